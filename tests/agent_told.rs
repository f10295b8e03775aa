//! What the events of a run tell, but for its deltas, is all that was said in it: later runs of its
//! session know nothing else.
mod agent_support;

use agent_support::{Dir, Scripted, job, names, request, said, turn};
use runwire::agent::model::{Finish, Turn};
use runwire::agent::{Cause, Ending, Secrets, Settings, ToolAgent, live};
use runwire::budget::Limit;
use runwire::event::{Event, Kind};
use runwire::request::Steer;
use std::sync::Arc;

/// What happens to a run at one of its events.
#[derive(Clone, Copy)]
enum Act {
    Steer(&'static str),
    Cancel(Cause),
}

/// Runs a script, and has happen to it what `act` answers to each event.
fn run(
    settings: Settings,
    turns: impl IntoIterator<Item = Result<Turn, Ending>>,
    mut act: impl FnMut(&Kind) -> Option<Act>,
) -> Vec<Kind> {
    let agent = ToolAgent::new(Box::new(Scripted::new(turns)), settings).unwrap();
    let job = job(request("go"));
    let mut events = Vec::new();
    live(&agent, &job, &Secrets::default(), &mut |event: Event| {
        match act(&event.kind) {
            Some(Act::Steer(text)) => {
                job.inbox.push(Arc::new(Steer { text: text.to_owned(), interrupt: false }));
            }
            Some(Act::Cancel(cause)) => job.cancel.cancel(cause),
            None => {}
        }
        events.push(event.kind);
    });
    events
}

/// The conversation that later runs are told.
fn told(events: &[Kind]) -> Vec<String> {
    let line = |who: &str, text: &str| Some(format!("{who}: {text}"));
    let told = events.iter().filter_map(|kind| match kind {
        Kind::MessageInterim(interim) => line("model", &interim.text),
        Kind::ToolStarted(started) => line("call", &started.tool),
        Kind::ToolCompleted(_) => line("result", ""),
        Kind::Steered(steered) => line("user", &steered.text),
        Kind::Completed(end) => line("model", &end.output),
        Kind::Failed(end) => line("model", end.output.as_deref()?),
        Kind::Cancelled(end) => line("model", end.output.as_deref()?),
        _ => None,
    });
    told.collect()
}

/// True if all that the deltas said, and no more, is in what later runs are told.
fn is_whole(events: &[Kind]) -> bool {
    let told = told(events);
    let texts = told.iter().filter_map(|line| line.strip_prefix("model: "));
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n") == said(events)
}

const LIST: (&str, &str, &str) = ("a", "list_files", "{}");

fn at_delta(text: &'static str, act: Act) -> impl FnMut(&Kind) -> Option<Act> {
    move |kind| match kind {
        Kind::MessageDelta(delta) if delta.delta == text => Some(act),
        _ => None,
    }
}

#[test]
fn texts_calls_and_steers_are_told_in_their_order() {
    let dir = Dir::new();
    let turns = [
        turn("Look.", &[LIST, LIST]),
        turn("", &[LIST]),
        turn("Blue.", &[]),
        turn("", &[LIST]),
        turn("Red.", &[]),
    ];
    let events = run(dir.settings(), turns.map(Ok), at_delta("Blue.", Act::Steer("not blue")));
    let expected = [
        "model: Look.",
        "call: list_files",
        "result: ",
        "call: list_files",
        "result: ",
        "call: list_files",
        "result: ",
        "model: Blue.",
        "user: not blue",
        "call: list_files",
        "result: ",
        "model: Red.",
    ];
    assert_eq!(told(&events), expected);
    assert!(is_whole(&events), "{events:?}");
}

#[test]
fn the_text_of_a_turn_that_was_cut_is_told_with_its_mark() {
    let dir = Dir::new();
    let cut = |text: &str, calls: &[_]| Turn { finish: Finish::Length, ..turn(text, calls) };
    let turns = [cut("First", &[LIST]), cut("Second", &[]), cut("Third", &[])].map(Ok);
    let events = run(dir.settings(), turns, at_delta("Second", Act::Steer("go on")));
    let mark = "[cut off: the model's limit on output tokens was reached]";
    assert_eq!(
        told(&events),
        [
            "model: First",
            "call: list_files",
            "result: ",
            &format!("model: Second\n\n{mark}"),
            "user: go on",
            &format!("model: Third\n\n{mark}"),
        ]
    );
    assert!(is_whole(&events), "{events:?}");
}

#[test]
fn what_a_run_said_before_it_failed_is_told() {
    let dir = Dir::new();
    let silent = Turn { finish: Finish::Length, ..turn("", &[]) };
    let filtered = Turn { finish: Finish::Filtered, ..turn("Well", &[]) };
    let broken = Ending::failed("model_unreachable", "No route to the model.");
    for last in [Ok(silent), Ok(filtered), Err(broken)] {
        let events = run(dir.settings(), [Ok(turn("Wait.", &[LIST])), last], |_| None);
        assert!(matches!(events.last(), Some(Kind::Failed(_))), "{events:?}");
        assert!(is_whole(&events), "{events:?}");
    }
}

#[test]
fn a_run_that_is_ended_between_two_events_loses_no_text() {
    let dir = Dir::new();
    for cause in
        [Cause::Stop, Cause::Orphan, Cause::Budget(Limit::Wall), Cause::Shutdown, Cause::Store]
    {
        // Once it completes all the same, there are no more events to end it at.
        for at in 0.. {
            let mut seen = 0;
            let turns = [turn("One two.", &[LIST]), turn("Three four.", &[])];
            let turns = turns.map(|turn| Ok(Turn { reasoning: "Hm.".into(), ..turn }));
            let events = run(dir.settings(), turns, |_| {
                seen += 1;
                (seen == at + 1).then_some(Act::Cancel(cause))
            });
            assert!(is_whole(&events), "{cause:?} at {at}: {events:?}");
            if let Some(Kind::Completed(end)) = events.last() {
                assert!(at > 9, "{cause:?} at {at}: {events:?}");
                assert_eq!(end.output, "Three four.", "it was done before it was told to end");
                break;
            }
        }
    }
}

#[test]
fn a_run_whose_events_cannot_be_stored_fails_and_says_what_to_do() {
    let dir = Dir::new();
    let turns = [Ok(turn("One two.", &[]))];
    let events = run(dir.settings(), turns, at_delta("One ", Act::Cancel(Cause::Store)));
    assert_eq!(names(&events), ["message.delta", "run.failed"]);
    let Some(Kind::Failed(end)) = events.last() else { panic!("{events:?}") };
    assert_eq!((end.reason, end.output.as_deref()), ("store_unavailable", Some("One ")));
    for word in ["store", "space", "log", "again"] {
        assert!(end.error.contains(word), "{}", end.error);
    }
}

#[test]
fn an_interrupted_run_that_said_nothing_says_only_that() {
    let dir = Dir::new();
    let thinking = Turn { reasoning: "Hm.".into(), ..turn("Yes.", &[]) };
    let events = run(dir.settings(), [Ok(thinking)], |kind| match kind {
        Kind::ReasoningDelta(_) => Some(Act::Cancel(Cause::Shutdown)),
        _ => None,
    });
    assert_eq!(names(&events), ["reasoning.delta", "run.interrupted"]);
}
