//! What a model is shown of the conversation before its run: calls and results that belong
//! together, however the history was cut.
mod agent_support;

use agent_support::{Dir, Scripted, events, job, request, turn};
use runwire::agent::model::{Entry, ToolCall, Turn};
use runwire::agent::{Secrets, Settings, ToolAgent};
use runwire::event::Kind;
use runwire::request::{Content, Message, Request};
use std::collections::BTreeSet;

struct Told {
    events: Vec<Kind>,
    /// What the model was shown before each turn, without the agent's own instructions.
    shown: Vec<Vec<Entry>>,
}

/// Runs a script, and checks that no server could refuse what the model was shown.
fn run(settings: Settings, asked: Request, turns: impl IntoIterator<Item = Turn>) -> Told {
    let model = Scripted::new(turns.into_iter().map(Ok));
    let shown = model.shown.clone();
    let agent = ToolAgent::new(Box::new(model), settings).unwrap();
    let events = events(&agent, &job(asked), &Secrets::default());
    assert!(matches!(events.last(), Some(Kind::Completed(_))), "{:?}", events.last());
    let shown = shown.lock().unwrap().iter().map(|entries| entries[1..].to_vec()).collect();
    let told = Told { events, shown };
    told.shown.iter().for_each(|entries| check(entries));
    told
}

/// What servers ask of a conversation: after an assistant's message the results of its calls, all
/// of them and in their order; arguments that are an object; ids that are unique.
fn check(entries: &[Entry]) {
    let mut ids = BTreeSet::new();
    let mut waiting: Vec<&str> = Vec::new();
    for entry in entries {
        if let Entry::Tool { call_id, .. } = entry {
            assert!(!waiting.is_empty(), "a result without its call: {entries:?}");
            assert_eq!(call_id, waiting.remove(0), "{entries:?}");
            continue;
        }
        assert!(waiting.is_empty(), "a call without its result: {entries:?}");
        if let Entry::Assistant { text, calls } = entry {
            assert!(!text.is_empty() || !calls.is_empty(), "a message that says nothing");
            for call in calls {
                assert!(ids.insert(&call.id), "{} is there twice", call.id);
                let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
                assert!(arguments.is_object(), "{arguments}");
            }
            waiting = calls.iter().map(|call| call.id.as_str()).collect();
        }
    }
    assert!(waiting.is_empty(), "a call without its result: {entries:?}");
}

/// What the model is shown in its first turn, the run's own input aside.
fn shown(history: Vec<Message>) -> Vec<Entry> {
    let dir = Dir::new();
    let mut told = run(dir.settings(), asked(history), [turn("Yes.", &[])]);
    let mut entries = told.shown.remove(0);
    assert_eq!(entries.pop(), Some(Entry::User(Content::Text("go".into()))));
    assert!(dropped(&told.events).is_empty());
    entries
}

fn asked(history: Vec<Message>) -> Request {
    let mut asked = request("go");
    asked.history = history;
    asked
}

/// The `dropped_messages` of each time something was left out.
fn dropped(events: &[Kind]) -> Vec<usize> {
    let dropped = events.iter().filter_map(|kind| match kind {
        Kind::SessionTruncated(cut) => Some(cut.dropped_messages),
        _ => None,
    });
    dropped.collect()
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.into(), name: "read_file".into(), arguments: arguments.into() }
}

fn message(role: &str, text: &str) -> Message {
    Message::new(role, Content::Text(text.into()))
}

/// An assistant's message with calls that have no arguments.
fn calling(text: &str, ids: &[&str]) -> Message {
    let calls = ids.iter().map(|id| call(id, "{}")).collect();
    Message { calls, ..message("assistant", text) }
}

fn result(id: &str, text: &str) -> Message {
    Message::result(id, text.to_owned())
}

fn user(text: &str) -> Entry {
    Entry::User(Content::Text(text.into()))
}

fn assistant(text: &str, ids: &[&str]) -> Entry {
    let calls = ids.iter().map(|id| call(id, "{}")).collect();
    Entry::Assistant { text: text.into(), calls }
}

fn tool(id: &str, text: &str) -> Entry {
    Entry::Tool { call_id: id.into(), result: text.into() }
}

#[test]
fn calls_and_results_are_shown_as_they_were() {
    let history = vec![
        message("user", "read both"),
        calling("Wait.", &["a", "b"]),
        result("a", "one"),
        result("b", "two"),
        calling("", &["c"]),
        result("c", "[tool error] gone"),
        message("assistant", "Done."),
    ];
    let expected = [
        user("read both"),
        assistant("Wait.", &["a", "b"]),
        tool("a", "one"),
        tool("b", "two"),
        assistant("", &["c"]),
        tool("c", "[tool error] gone"),
        assistant("Done.", &[]),
    ];
    assert_eq!(shown(history), expected);
}

#[test]
fn a_result_is_shown_with_its_call_wherever_it_stood() {
    let history = vec![
        calling("", &["a", "b"]),
        message("user", "well?"),
        result("b", "two"),
        message("system", "Rules."),
        result("a", "one"),
    ];
    let expected = [
        Entry::System("Rules.".into()),
        assistant("", &["a", "b"]),
        tool("a", "one"),
        tool("b", "two"),
        user("well?"),
    ];
    assert_eq!(shown(history), expected);
}

#[test]
fn a_call_without_a_result_gets_one_and_a_result_without_a_call_is_not_shown() {
    let history = vec![
        result("z", "of a call that was cut away"),
        message("tool", "of no call at all"),
        message("user", "read"),
        calling("", &["a", "b"]),
        result("b", "two"),
        result("b", "two again"),
        message("assistant", ""),
        message("assistant", "Done."),
        result("c", "before its call"),
        calling("", &["c"]),
    ];
    let expected = [
        user("read"),
        assistant("", &["a", "b"]),
        tool("a", "[no result]"),
        tool("b", "two"),
        assistant("Done.", &[]),
        assistant("", &["c"]),
        tool("c", "[no result]"),
    ];
    assert_eq!(shown(history), expected);
}

#[test]
fn an_id_that_is_there_again_is_changed_together_with_its_result() {
    let history = vec![
        calling("", &["a"]),
        calling("", &["a", "b", "a"]),
        result("a", "second"),
        result("a", "third"),
        result("b", "b"),
        calling("", &["", "a_1"]),
        result("a_1", "other"),
        result("", "nameless"),
    ];
    let expected = [
        assistant("", &["a"]),
        tool("a", "[no result]"),
        assistant("", &["a_1", "b", "a_2"]),
        tool("a_1", "second"),
        tool("b", "b"),
        tool("a_2", "third"),
        assistant("", &["call_3", "a_1_4"]),
        tool("call_3", "nameless"),
        tool("a_1_4", "other"),
    ];
    assert_eq!(shown(history), expected);
}

#[test]
fn arguments_that_are_no_object_are_shown_inside_one() {
    let arguments = |text: &str| {
        let calls = vec![call("a", text)];
        let history = vec![Message { calls, ..message("assistant", "") }];
        match shown(history).remove(0) {
            Entry::Assistant { calls, .. } => calls[0].arguments.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(arguments("{\"path\": \"x\"}"), "{\"path\": \"x\"}");
    assert_eq!(arguments(" "), "{}");
    assert_eq!(arguments("{\"path\""), "{\"not_an_object\":\"{\\\"path\\\"\"}");
    assert_eq!(arguments("[1]"), "{\"not_an_object\":\"[1]\"}");
}

#[test]
fn the_run_uses_no_id_of_its_history() {
    let dir = Dir::new();
    let list = |id| (id, "list_files", "{}");
    let turns = [turn("", &[list("step_1"), list(""), list("fresh")]), turn("Done.", &[])];
    let history = vec![calling("", &["step_1", "call_2"]), result("step_1", "one")];
    let told = run(dir.settings(), asked(history), turns);
    let started = told.events.iter().filter_map(|kind| match kind {
        Kind::ToolStarted(started) => Some(started.tool_call_id.as_str()),
        _ => None,
    });
    assert_eq!(started.collect::<Vec<_>>(), ["step_1_1", "call_3", "fresh"]);
}

/// Six messages, of which one is never shown; one result is long, one is not there.
fn exchange(number: usize, result_bytes: usize) -> Vec<Message> {
    vec![
        message("user", &format!("question {number}")),
        calling("", &["a", "b", "c"]),
        result("a", &"r".repeat(result_bytes)),
        result("b", "short"),
        result("z", "of no call"),
        message("assistant", &format!("answer {number}")),
    ]
}

#[test]
fn old_results_are_shortened_before_an_exchange_is_dropped() {
    let dir = Dir::new();
    let settings = Settings { context_tokens: 12_000, ..dir.settings() };
    let history: Vec<Message> = (0..5).flat_map(|number| exchange(number, 8_000)).collect();
    let told = run(settings, asked(history), [turn("Yes.", &[])]);
    assert!(dropped(&told.events).is_empty(), "shortening is enough");
    let results = told.shown[0].iter().filter_map(|entry| match entry {
        Entry::Tool { result, .. } if result.starts_with('r') => Some(result.len()),
        _ => None,
    });
    let lengths: Vec<usize> = results.collect();
    assert_eq!(lengths.len(), 5);
    assert!(lengths[0] < 600 && lengths[4] == 8_000, "the oldest first: {lengths:?}");
}

#[test]
fn exchanges_are_dropped_whole_and_counted_as_the_client_counts() {
    let dir = Dir::new();
    let history: Vec<Message> = (0..40).flat_map(|number| exchange(number, 8_000)).collect();
    for context_tokens in [6_000, 8_000, 10_000] {
        let settings = Settings { context_tokens, ..dir.settings() };
        let told = run(settings, asked(history.clone()), [turn("Yes.", &[])]);
        let questions = told.shown[0].iter().filter_map(|entry| match entry {
            Entry::User(content) => content.to_text().strip_prefix("question ")?.parse().ok(),
            _ => None,
        });
        let questions: Vec<usize> = questions.collect();
        let first = questions[0];
        assert!(0 < first && first < 40, "{questions:?}");
        assert_eq!(questions, (first..40).collect::<Vec<_>>());
        assert_eq!(told.shown[0][0], user(&format!("question {first}")), "a whole exchange");
        assert_eq!(dropped(&told.events), [first * 6]);
    }
}

#[test]
fn messages_that_were_not_loaded_are_told_of_once_and_first() {
    let dir = Dir::new();
    let turns = || [turn("", &[("", "list_files", "{}")]), turn("Done.", &[])];
    let mut omitting =
        asked(vec![message("user", &"old ".repeat(4_000)), message("assistant", "older")]);
    omitting.omitted = 7;
    let told = run(dir.settings(), omitting.clone(), turns());
    assert_eq!(dropped(&told.events), [7]);
    assert_eq!(told.shown[0].len(), 3, "what was loaded is shown");
    assert!(matches!(told.events[0], Kind::SessionTruncated(_)));
    let settings = Settings { context_tokens: 2_000, ..dir.settings() };
    let told = run(settings, omitting, turns());
    assert_eq!(dropped(&told.events), [9]);
}

#[test]
fn a_dropped_turn_of_the_run_counts_as_its_session_will_show_it() {
    let dir = Dir::new();
    let long = "x".repeat(6_000);
    let arguments = format!("{{\"path\":\"f\",\"content\":\"{long}\"}}");
    let write = || turn("Wait.", &[("", "write_file", arguments.as_str()); 3]);
    let settings = Settings { context_tokens: 12_000, ..dir.settings() };
    let told = run(settings, request("go"), [write(), write(), turn("Done.", &[])]);
    assert_eq!(dropped(&told.events), [6], "three calls and three results");
}

#[test]
fn however_a_history_is_cut_no_server_could_refuse_it() {
    let whole: Vec<Message> = (0..3).flat_map(|number| exchange(number, 10)).collect();
    for from in 0..whole.len() {
        for to in from..=whole.len() {
            shown(whole[from..to].to_vec());
        }
        let mut holed = whole.clone();
        holed.remove(from);
        shown(holed);
    }
}
