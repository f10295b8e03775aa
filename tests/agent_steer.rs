//! The tool loop while somebody steers it: what the model is told, and when.
mod agent_support;

use agent_support::{Dir, Scripted, job, names, request_within, results, turn};
use runwire::agent::model::{Entry, Finish, Turn};
use runwire::agent::{Ending, Secrets, Settings, ToolAgent, live};
use runwire::budget::Budget;
use runwire::event::{Event, Kind};
use runwire::request::{Content, Steer};
use std::sync::Arc;

struct Told {
    events: Vec<Kind>,
    /// What the model was shown before each turn.
    shown: Vec<Vec<Entry>>,
}

/// Runs a script, and says to the run what `steer` answers to each event.
fn steered(
    settings: Settings,
    turns: impl IntoIterator<Item = Result<Turn, Ending>>,
    steer: impl FnMut(&Kind) -> Option<Steer>,
) -> Told {
    steered_within(Budget::default(), settings, turns, steer)
}

fn steered_within(
    budget: Budget,
    settings: Settings,
    turns: impl IntoIterator<Item = Result<Turn, Ending>>,
    mut steer: impl FnMut(&Kind) -> Option<Steer>,
) -> Told {
    let model = Scripted::new(turns);
    let shown = model.shown.clone();
    let agent = ToolAgent::new(Box::new(model), settings).unwrap();
    let job = job(request_within("go", budget));
    let inbox = job.inbox.clone();
    let secrets = Secrets::new(["open-sesame-42".to_owned()]);
    let mut events = Vec::new();
    live(&agent, &job, &secrets, &mut |event: Event| {
        if let Some(steer) = steer(&event.kind) {
            inbox.push(Arc::new(steer));
        }
        events.push(event.kind);
    });
    let shown = shown.lock().unwrap().clone();
    Told { events, shown }
}

fn say(text: &str, interrupt: bool) -> Option<Steer> {
    Some(Steer { text: text.to_owned(), interrupt })
}

fn user(text: &str) -> Entry {
    Entry::User(Content::Text(text.to_owned()))
}

const LIST: (&str, &str, &str) = ("a", "list_files", "{}");

/// What the model was told of each call of its first turn.
fn told_results(told: &Told) -> Vec<&str> {
    let results = told.shown[1].iter().filter_map(|entry| match entry {
        Entry::Tool { result, .. } => Some(result.as_str()),
        _ => None,
    });
    results.collect()
}

#[test]
fn a_steer_while_a_tool_works_is_told_before_the_next_turn() {
    let dir = Dir::new();
    let turns = [turn("", &[LIST, LIST]), turn("Done.", &[])].map(Ok);
    let mut first = true;
    let told = steered(dir.settings(), turns, |kind| {
        let now = matches!(kind, Kind::ToolStarted(_)) && std::mem::take(&mut first);
        now.then(|| say("be brief", false)).flatten()
    });
    assert_eq!(told.shown[1].last(), Some(&user("be brief")));
    assert_eq!(
        names(&told.events)[4..],
        ["run.steered", "message.delta", "run.completed"],
        "{:?}",
        told.events
    );
    assert!(results(&told.events).iter().all(|(_, error)| !error), "no call is skipped for it");
}

#[test]
fn a_steer_that_interrupts_skips_the_calls_that_have_not_begun() {
    let dir = Dir::new();
    let calls =
        ["one", "two", "three"].map(|name| format!("{{\"path\":\"{name}\",\"content\":\"\"}}"));
    let calls: Vec<_> = calls.iter().map(|args| ("", "write_file", args.as_str())).collect();
    let turns = [turn("", &calls), turn("Done.", &[])].map(Ok);
    let mut first = true;
    let told = steered(dir.settings(), turns, |kind| {
        // The first call works already: it is not torn down.
        let now = matches!(kind, Kind::ToolStarted(_)) && std::mem::take(&mut first);
        now.then(|| say("stop that", true)).flatten()
    });
    assert_eq!(["one", "two", "three"].map(|name| dir.inside(name).exists()), [true, false, false]);
    let told_results = told_results(&told);
    assert_eq!(told_results.len(), 3, "each call has its result");
    assert!(
        told_results[1..].iter().all(|told| told.starts_with("[tool error] Skipped: the user"))
    );
    let errors: Vec<bool> = results(&told.events).iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [false, true, true]);
    assert_eq!(told.shown[1].last(), Some(&user("stop that")));
}

#[test]
fn an_interruption_is_over_once_it_has_been_told() {
    let dir = Dir::new();
    let turns = [turn("Well.", &[LIST]), turn("", &[LIST]), turn("Done.", &[])].map(Ok);
    let told = steered(dir.settings(), turns, |kind| match kind {
        Kind::MessageDelta(said) if said.delta == "Well." => say("no", true),
        _ => None,
    });
    let errors: Vec<bool> = results(&told.events).iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [true, false]);
}

#[test]
fn a_steer_during_the_answer_has_the_run_go_on_for_one_more_turn() {
    let dir = Dir::new();
    let turns = [turn("Blue.", &[]), turn("Red, then.", &[])].map(Ok);
    let told = steered(dir.settings(), turns, |kind| match kind {
        Kind::MessageDelta(said) if said.delta == "Blue." => say("not blue", false),
        _ => None,
    });
    let answer = Entry::Assistant { text: "Blue.".into(), calls: Vec::new() };
    assert_eq!(told.shown[1][1..], [user("go"), answer, user("not blue")]);
    assert_eq!(
        names(&told.events),
        ["message.delta", "message.interim", "run.steered", "message.delta", "run.completed"]
    );
    let Some(Kind::Completed(done)) = told.events.last() else { panic!("{:?}", told.events) };
    assert_eq!(done.output, "Red, then.");
}

#[test]
fn steers_are_told_in_their_order_and_each_once() {
    let dir = Dir::new();
    let turns = [turn("One two.", &[]), turn("", &[]), turn("Done.", &[])].map(Ok);
    let mut number = 0;
    let told = steered(dir.settings(), turns, |kind| match kind {
        Kind::MessageDelta(said) if said.delta != "Done." => {
            number += 1;
            say(&format!("no {number}"), false)
        }
        Kind::Steered(steered) if steered.text == "no 2" => say("no 3", false),
        _ => None,
    });
    let answer = Entry::Assistant { text: "One two.".into(), calls: Vec::new() };
    assert_eq!(told.shown[1][1..], [user("go"), answer, user("no 1"), user("no 2"), user("no 3")]);
    assert_eq!(told.shown.len(), 2, "nothing waited, so the empty answer ended the run");
}

#[test]
fn an_answer_in_the_last_turn_allowed_ends_the_run_whatever_waits() {
    let dir = Dir::new();
    let budget = Budget { turns: Some(1), ..Budget::default() };
    let turns = [Ok(turn("Blue.", &[]))];
    let told = steered_within(budget, dir.settings(), turns, |kind| match kind {
        Kind::MessageDelta(_) => say("not blue", false),
        _ => None,
    });
    assert_eq!(names(&told.events), ["message.delta", "run.completed"]);
}

#[test]
fn an_empty_answer_before_a_steer_is_not_told_to_the_model() {
    let dir = Dir::new();
    let silent = Turn { reasoning: "Hm.".into(), ..turn("", &[]) };
    let told = steered(dir.settings(), [silent, turn("Yes.", &[])].map(Ok), |kind| match kind {
        Kind::ReasoningDelta(_) => say("well?", false),
        _ => None,
    });
    assert_eq!(told.shown[1][1..], [user("go"), user("well?")]);
}

#[test]
fn a_cut_answer_still_says_that_it_was_cut() {
    let dir = Dir::new();
    let cut = Turn { finish: Finish::Length, ..turn("Once", &[]) };
    let told = steered(dir.settings(), [cut, turn("Yes.", &[])].map(Ok), |kind| match kind {
        Kind::MessageDelta(said) if said.delta == "Once" => say("go on", false),
        _ => None,
    });
    let interim = told.events.iter().find_map(|kind| match kind {
        Kind::MessageInterim(interim) => Some(interim.text.as_str()),
        _ => None,
    });
    let interim = interim.unwrap();
    assert!(interim.starts_with("Once\n\n[cut off"));
    let answer = Entry::Assistant { text: interim.to_owned(), calls: Vec::new() };
    assert_eq!(told.shown[1][2], answer, "the model is told what the client is");
    assert!(matches!(told.events.last(), Some(Kind::Completed(_))), "{:?}", told.events.last());
}

#[test]
fn a_secret_in_a_steer_reaches_neither_client_nor_model() {
    let dir = Dir::new();
    let turns = [turn("Blue.", &[]), turn("Done.", &[])].map(Ok);
    let told = steered(dir.settings(), turns, |kind| match kind {
        Kind::MessageDelta(said) if said.delta == "Blue." => say("key open-sesame-42", false),
        _ => None,
    });
    assert_eq!(told.shown[1].last(), Some(&user("key [secret]")));
    assert!(!format!("{:?}", told.events).contains("open-sesame"));
}

#[test]
fn what_the_user_has_said_stays_when_old_turns_are_dropped() {
    let dir = Dir::new();
    dir.file("big", "line of text\n".repeat(4_000));
    let read = || turn("Once more.", &[("", "read_file", "{\"path\":\"big\"}"); 4]);
    let turns = (0..20).map(|_| Ok(read())).chain([Ok(turn("Done.", &[]))]);
    let settings = Settings { context_tokens: 8_000, ..dir.settings() };
    let mut first = true;
    let told = steered(settings, turns, |kind| {
        let now = matches!(kind, Kind::ToolStarted(_)) && std::mem::take(&mut first);
        now.then(|| say("only read", false)).flatten()
    });
    assert!(names(&told.events).contains(&"session.truncated"));
    let last = told.shown.last().unwrap();
    assert_eq!(last[1..3], [user("go"), user("only read")]);
    for entries in &told.shown {
        let called = entries.iter().map(|entry| match entry {
            Entry::Assistant { calls, .. } => calls.len(),
            _ => 0,
        });
        let results = entries.iter().filter(|entry| matches!(entry, Entry::Tool { .. }));
        assert_eq!(called.sum::<usize>(), results.count(), "a call without its result");
    }
}
