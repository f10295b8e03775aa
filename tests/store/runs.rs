//! Single runs: found, changed, gone.
use crate::desk::{
    ANN, BOB, Desk, Made, asked, cancelled, completed, delta, failed, interrupted, started,
};
use crate::on_each;
use runwire::id::RunId;
use runwire::record::{Answer, Lineage, Outcome, Query, Status, Stored, Write};
use runwire::time::{Waited, Wall};
use std::sync::Arc;

fn idempotent(desk: &mut Desk, owner: &str, key: &str, since: Wall) -> Option<Stored> {
    match desk.ask(&Query::Idempotent { owner: owner.into(), key: key.into(), since }) {
        Answer::Run(run) => run.map(|run| *run),
        other => panic!("{other:?}"),
    }
}

fn status(desk: &mut Desk, run: Made) -> Status {
    desk.run(ANN, run.id).expect("it is there").status
}

#[test]
fn a_run_is_found_as_it_was_created() {
    on_each(|desk| {
        let mut ask = asked("Hello").in_session("s").keyed("k");
        ask.lineage = Lineage::Given;
        for _ in 0..6 {
            let (record, request) = desk.prepare(ask.clone());
            let create = Write::Create { record: record.clone(), request, status: Status::Queued };
            desk.write(vec![create]);
            let created = record.created;
            let expected = Stored {
                record: record.clone(),
                status: Status::Queued,
                updated: created,
                waited: Waited::STILL,
                next_seq: 0,
                outcome: None,
            };
            assert_eq!(desk.run(ANN, record.id), Some(expected));
        }
    });
}

#[test]
fn a_run_that_is_not_there_is_not_found() {
    on_each(|desk| {
        let run = desk.begin(asked("Hello"));
        assert_eq!(desk.run(ANN, RunId(1)), None);
        assert_eq!(desk.run(BOB, run.id), None, "another's");
        assert!(desk.run(ANN, run.id).is_some());
    });
}

#[test]
fn a_run_goes_from_waiting_to_working_to_its_end() {
    on_each(|desk| {
        let run = desk.queue(asked("Hello"));
        assert_eq!(status(desk, run), Status::Queued);
        assert_eq!(desk.run(ANN, run.id).unwrap().waited, Waited::STILL);
        desk.start(run);
        assert_eq!(status(desk, run), Status::Running);
        let begun = desk.run(ANN, run.id).unwrap();
        assert_eq!(begun.waited, Waited::between(begun.record.created, begun.updated));
        desk.say(run, vec![delta("a"), started("a", "t")]);
        desk.finish(run, completed("a"));
        let at = desk.tick();
        let stored = desk.run(ANN, run.id).expect("it is there");
        assert_eq!((stored.status, stored.next_seq), (Status::Completed, 3));
        assert_eq!(stored.updated, Wall(at.0 - 1_500));
    });
}

#[test]
fn every_end_is_told_with_all_that_came_of_it() {
    on_each(|desk| {
        for ending in [completed("out"), completed(""), failed("why"), cancelled(None)]
            .into_iter()
            .chain([cancelled(Some("part")), interrupted()])
        {
            let run = desk.begin(asked("Hello"));
            desk.finish(run, ending.clone());
            let stored = desk.run(ANN, run.id).expect("it is there");
            assert_eq!(Some(stored.status), Status::after(&ending));
            assert_eq!(stored.outcome, Some(Arc::new(Outcome::of(ending))));
        }
    });
}

#[test]
fn a_run_may_end_without_having_begun() {
    on_each(|desk| {
        let run = desk.queue(asked("Hello").in_session("s"));
        desk.finish(run, cancelled(None));
        assert_eq!(status(desk, run), Status::Cancelled);
    });
}

#[test]
fn a_deleted_run_is_found_by_nothing() {
    on_each(|desk| {
        let run = desk.whole(asked("Hello").keyed("k"), "Hi");
        let stays = desk.whole(asked("Hello"), "Hi");
        desk.delete(run);
        assert_eq!(desk.run(ANN, run.id), None);
        assert_eq!(idempotent(desk, ANN, "k", Wall(0)), None);
        let all = Query::Runs {
            owner: ANN.into(),
            status: None,
            session_id: None,
            after: None,
            limit: 9,
        };
        let left: Vec<RunId> = desk.runs(&all).runs.iter().map(|run| run.id).collect();
        assert_eq!(left, [stays.id]);
        assert_eq!(desk.session(ANN, &run.id.to_string()), None);
        assert!(desk.history(run, usize::MAX).messages.is_empty());
    });
}

#[test]
fn deleting_what_is_not_there_does_nothing() {
    on_each(|desk| {
        let run = desk.whole(asked("Hello").in_session("s"), "Hi");
        desk.delete(run);
        desk.delete(run);
        desk.delete_session(ANN, "s");
        desk.delete_session(ANN, "never was");
        desk.write(vec![Write::Probe]);
        desk.write(vec![]);
    });
}

#[test]
fn a_key_finds_the_latest_run_of_its_owner_that_has_it() {
    on_each(|desk| {
        let first = desk.begin(asked("1").keyed("k"));
        let of_bob = desk.begin(asked("2").by(BOB).keyed("k"));
        desk.begin(asked("3").keyed("kk"));
        desk.begin(asked("4"));
        let id = |run: Option<Stored>| run.map(|run| run.record.id);
        assert_eq!(id(idempotent(desk, ANN, "k", Wall(0))), Some(first.id));
        assert_eq!(id(idempotent(desk, BOB, "k", Wall(0))), Some(of_bob.id));
        assert_eq!(idempotent(desk, BOB, "kk", Wall(0)), None);
        assert_eq!(idempotent(desk, ANN, "", Wall(0)), None);
        let second = desk.begin(asked("5").keyed("k"));
        assert_eq!(id(idempotent(desk, ANN, "k", Wall(0))), Some(second.id));
    });
}

#[test]
fn a_key_is_good_for_runs_created_at_that_time_or_later() {
    on_each(|desk| {
        let run = desk.begin(asked("1").keyed("k"));
        let created = desk.run(ANN, run.id).expect("it is there").record.created;
        assert!(idempotent(desk, ANN, "k", created).is_some());
        assert_eq!(idempotent(desk, ANN, "k", Wall(created.0 + 1)), None);
    });
}

#[test]
fn a_batch_is_written_in_its_order() {
    on_each(|desk| {
        let (record, request) = desk.prepare(asked("Hello").in_session("s"));
        let run = Made { no: record.no, id: record.id };
        let create = Write::Create { record, request, status: Status::Queued };
        let begin = Write::Begin { no: run.no, at: desk.tick() };
        let rows = desk.rows(run, vec![delta("Hi"), completed("Hi")]);
        let outcome = Arc::new(Outcome::of(completed("Hi")));
        let at = desk.tick();
        let (no, status) = (run.no, Status::Completed);
        let finish = Write::Finish { no, status, at, next_seq: 2, outcome };
        desk.write(vec![create, begin, Write::Events { no, rows }, finish]);
        assert_eq!(desk.conversation(ANN, "s").unwrap(), ["user: Hello", "assistant: Hi"]);
    });
}
