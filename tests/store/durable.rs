//! What only stores must do that outlive their process: keep every event, and come back.
use crate::desk::{
    ANN, Desk, Made, asked, completed, delta, ended, failed, interim, line, started,
};
use crate::{on_each, on_each_durable};
use runwire::event::Kind;
use runwire::id::RunNo;
use runwire::record::{Answer, EventsPage, Query, Write};
use runwire::time::Wall;

fn page(desk: &mut Desk, no: RunNo, from_seq: u64, bytes_max: usize) -> EventsPage {
    match desk.ask(&Query::Events { no, from_seq, bytes_max }) {
        Answer::Events(page) => page,
        other => panic!("{other:?}"),
    }
}

/// A run that says much in many commits. Returns its lines.
fn talk(desk: &mut Desk, run: Made) -> Vec<String> {
    let mut lines = Vec::new();
    for number in 0..120 {
        let word = "wörter ".repeat(number % 23);
        let kinds: Vec<Kind> = match number % 5 {
            0 => vec![delta(&word), delta("and"), started("a", "t"), delta("more")],
            1 => vec![ended("a", false, &word.repeat(30))],
            2 => vec![interim(&word), delta("x\ny\u{2028}z")],
            _ => vec![delta(&word); number % 7],
        };
        let (seq, time) = (lines.len() as u64, desk.time().0);
        let numbered = (0..).zip(kinds.iter().cloned());
        lines.extend(numbered.map(|(index, kind)| {
            line(run.id, seq + index, Wall(time + (index + 1) * 1_500), kind)
        }));
        desk.say(run, kinds);
    }
    lines
}

#[test]
fn every_event_comes_back_as_it_was_told_from_wherever_one_asks() {
    on_each_durable(|desk| {
        let run = desk.begin(asked("Hello"));
        let noise = desk.begin(asked("Noise"));
        desk.say(noise, vec![delta("noise")]);
        let lines = talk(desk, run);
        for is_reopened in [false, true] {
            if is_reopened {
                desk.reopen();
            }
            for from in [0, 1, 2, 3, 50, 100, lines.len() - 1] {
                let page = page(desk, run.no, from as u64, usize::MAX);
                assert_eq!(page.first_seq, from as u64);
                assert_eq!(page.lines, lines[from..].concat());
            }
        }
    });
}

#[test]
fn events_come_in_pages_of_as_many_as_fit_and_at_least_one() {
    on_each_durable(|desk| {
        let run = desk.begin(asked("Hello"));
        let lines = talk(desk, run);
        for bytes_max in [0, 1, 700, 5_000, 100_000] {
            let mut from = 0;
            while from < lines.len() {
                let page = page(desk, run.no, from as u64, bytes_max);
                let count = page.lines.lines().count();
                assert_eq!(page.first_seq, from as u64);
                assert!(count > 0, "nothing from {from} in {bytes_max} bytes");
                assert_eq!(page.lines, lines[from..from + count].concat());
                assert!(page.lines.len() <= bytes_max || count == 1);
                from += count;
            }
        }
    });
}

#[test]
fn events_that_are_not_there_are_an_empty_page() {
    on_each(|desk| {
        let run = desk.begin(asked("Hello"));
        desk.say(run, vec![delta("Hi")]);
        assert_eq!(page(desk, run.no, 1, 99).lines, "");
        assert_eq!(page(desk, RunNo(77), 0, 99).lines, "");
        desk.finish(run, completed("Hi"));
        assert_eq!(page(desk, run.no, 2, 99).lines, "");
        desk.delete(run);
        assert_eq!(page(desk, run.no, 0, 99).lines, "");
    });
}

#[test]
fn a_run_that_works_tells_how_many_events_it_has() {
    on_each_durable(|desk| {
        let run = desk.begin(asked("Hello"));
        desk.say(run, vec![delta("a"), delta("b")]);
        desk.say(run, vec![delta("c"), started("a", "t")]);
        assert_eq!(desk.run(ANN, run.id).unwrap().next_seq, 4);
    });
}

#[test]
fn runs_that_had_not_ended_are_recovered_in_their_order() {
    on_each_durable(|desk| {
        let mut ask = asked("Works").in_session("s").given(&["Given"]).keyed("k");
        ask.lineage = runwire::record::Lineage::Session;
        let (record, request) = desk.prepare(ask);
        let status = runwire::record::Status::Queued;
        let create = Write::Create { record: record.clone(), request: request.clone(), status };
        desk.write(vec![create]);
        desk.whole(asked("Ends"), "Hi");
        let works = desk.begin(asked("Works"));
        desk.say(works, vec![delta("a"), delta("b")]);
        desk.say(works, vec![delta("c")]);
        let time = desk.time();
        let recovered = desk.reopen();
        assert_eq!(recovered.last_no, 3);
        let [waits, works_on] = &recovered.unfinished[..] else { panic!("{recovered:?}") };
        assert_eq!(waits.record, record);
        assert_eq!(waits.request, Some(request));
        assert_eq!((waits.updated, waits.next_seq), (record.created, 0));
        assert_eq!(works_on.record.id, works.id);
        assert_eq!((works_on.updated, works_on.next_seq), (time, 3));
        assert_eq!(works_on.request, None, "it has begun");
    });
}

#[test]
fn a_recovered_run_goes_on_where_it_was() {
    on_each_durable(|desk| {
        let run = desk.begin(asked("One").in_session("s"));
        desk.say(run, vec![delta("a"), delta("b")]);
        let waits = desk.queue(asked("Two").in_session("s"));
        desk.reopen();
        desk.say(run, vec![delta("c")]);
        desk.finish(run, failed("the server stopped"));
        desk.start(waits);
        assert_eq!(page(desk, run.no, 0, usize::MAX).lines.lines().count(), 4);
        assert_eq!(desk.told(waits), ["user: One", "assistant: half an ans"]);
    });
}

#[test]
fn numbers_are_remembered_even_of_runs_that_are_gone() {
    on_each_durable(|desk| {
        let run = desk.whole(asked("Hello"), "Hi");
        desk.delete(run);
        assert_eq!(desk.reopen().last_no, run.no.0);
        let run = desk.whole(asked("Hello").in_session("s"), "Hi");
        desk.delete_session(ANN, "s");
        assert_eq!(desk.reopen().last_no, run.no.0);
    });
}
