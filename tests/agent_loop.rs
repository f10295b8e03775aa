//! The tool loop against a model that says what a script holds.
mod agent_support;

use agent_support::{Dir, Scripted, events, job, names, request, results, said, turn};
use runwire::agent::model::{Entry, Finish, ToolCall, Turn};
use runwire::agent::{Agent, Cancel, Cause, Ending, Job, Secrets, Settings, ToolAgent, live};
use runwire::event::{Event, Kind};
use runwire::request::{Content, Message, Request};
use serde_json::json;
use std::sync::{Arc, Mutex};

type Shown = Arc<Mutex<Vec<Vec<Entry>>>>;

fn agent(dir: &Dir, turns: impl IntoIterator<Item = Turn>) -> (ToolAgent, Shown) {
    agent_with(dir.settings(), turns.into_iter().map(Ok))
}

fn agent_with(
    settings: Settings,
    turns: impl IntoIterator<Item = Result<Turn, Ending>>,
) -> (ToolAgent, Shown) {
    let model = Scripted::new(turns);
    let shown = model.shown.clone();
    (ToolAgent::new(Box::new(model), settings).unwrap(), shown)
}

fn run(agent: &ToolAgent, text: &str) -> Vec<Kind> {
    events(agent, &job(request(text)), &Secrets::default())
}

fn failed(events: &[Kind]) -> (&'static str, Option<&str>) {
    match events.last().unwrap() {
        Kind::Failed(failed) => (failed.reason, failed.output.as_deref()),
        other => panic!("{other:?}"),
    }
}

/// The results the model was told in one of its turns.
fn told(shown: &Shown, turn: usize) -> Vec<String> {
    let shown = shown.lock().unwrap();
    let result = |entry: &Entry| match entry {
        Entry::Tool { result, .. } => Some(result.clone()),
        _ => None,
    };
    shown[turn].iter().filter_map(result).collect()
}

#[test]
fn an_answer_without_tools_is_one_turn() {
    let dir = Dir::new();
    let (agent, shown) = agent(&dir, [turn("Hello, you.", &[])]);
    let events = run(&agent, "hello");
    assert_eq!(names(&events), ["message.delta", "run.completed"]);
    assert_eq!(said(&events), "Hello, you.");
    let Some(Kind::Completed(done)) = events.last() else { panic!("{events:?}") };
    assert_eq!((done.output.as_str(), done.usage.total_tokens), ("Hello, you.", 12));
    assert_eq!(
        (done.runtime.provider.as_str(), done.runtime.model.as_str()),
        ("script", "scripted-1")
    );
    let shown = shown.lock().unwrap();
    assert!(matches!(&shown[0][0], Entry::System(text) if text.contains("workspace")));
    assert_eq!(shown[0][1..], [Entry::User(Content::Text("hello".into()))]);
}

#[test]
fn calls_are_carried_out_in_order_and_told_to_the_model() {
    let dir = Dir::new();
    let calls = [
        ("a", "write_file", r#"{"path":"f","content":"one"}"#),
        ("b", "read_file", r#"{"path":"f"}"#),
        ("c", "read_file", r#"{"path":"none"}"#),
    ];
    let (agent, shown) = agent(&dir, [turn("First this.", &calls), turn("Done.", &[])]);
    let events = run(&agent, "go");
    assert_eq!(
        names(&events),
        [
            "message.delta",
            "message.interim",
            "tool.started",
            "tool.completed",
            "tool.started",
            "tool.completed",
            "tool.started",
            "tool.completed",
            "message.delta",
            "run.completed"
        ]
    );
    assert_eq!(said(&events), "First this.\n\nDone.");
    let results = results(&events);
    assert_eq!(results[..2], [("Wrote 3 bytes to f.", false), ("one", false)]);
    assert!(results[2].0.contains("does not exist") && results[2].1);
    let Some(Kind::Completed(done)) = events.last() else { panic!("{events:?}") };
    assert_eq!((done.output.as_str(), done.usage.total_tokens), ("Done.", 24));
    let told = told(&shown, 1);
    assert_eq!(told[1], "one");
    assert!(told[2].starts_with("[tool error] `none` does not exist"), "{}", told[2]);
    let started: Vec<_> = events
        .iter()
        .filter_map(|kind| match kind {
            Kind::ToolStarted(started) => Some((&*started.tool_call_id, &*started.preview)),
            _ => None,
        })
        .collect();
    assert_eq!(started, [("a", "f"), ("b", "f"), ("c", "none")]);
}

#[test]
fn a_wrong_call_is_told_to_the_model_and_does_not_end_the_run() {
    let dir = Dir::new();
    let calls = [
        ("a", "fly", "{}"),
        ("b", "read_file", "{\"path\": \"f"),
        ("c", "read_file", "[]"),
        ("d", "read_file", "{}"),
    ];
    let (agent, shown) = agent(&dir, [turn("", &calls), turn("Sorry.", &[])]);
    let events = run(&agent, "go");
    assert!(matches!(events.last(), Some(Kind::Completed(_))));
    assert!(results(&events).iter().all(|(_, error)| *error));
    let told = told(&shown, 1);
    for (told, word) in told.iter().zip(["no tool `fly`", "not JSON", "object", "missing"]) {
        assert!(told.starts_with("[tool error] ") && told.contains(word), "{told}");
    }
    let shown = shown.lock().unwrap();
    let Entry::Assistant { calls, .. } = &shown[1][2] else { panic!("{:?}", shown[1]) };
    for call in calls {
        let arguments: serde_json::Value = serde_json::from_str(&call.arguments).unwrap();
        assert!(arguments.is_object(), "servers refuse {arguments}");
    }
}

#[test]
fn a_call_cut_by_the_token_limit_is_not_carried_out() {
    let dir = Dir::new();
    let calls = [
        ("a", "write_file", r#"{"path":"whole","content":"x"}"#),
        ("b", "write_file", r#"{"path":"cut","content":"x"}"#),
    ];
    let cut = Turn { finish: Finish::Length, ..turn("", &calls) };
    let (agent, shown) = agent(&dir, [cut, turn("Done.", &[])]);
    let events = run(&agent, "go");
    assert!(matches!(events.last(), Some(Kind::Completed(_))));
    assert!(dir.inside("whole").exists() && !dir.inside("cut").exists());
    assert!(told(&shown, 1)[1].contains("cut off"));
    assert!(results(&events)[1].1);
}

#[test]
fn an_answer_cut_by_the_token_limit_says_so() {
    let dir = Dir::new();
    let cut = |text| Turn { finish: Finish::Length, ..turn(text, &[]) };
    let (agent, _) = agent(&dir, [cut("Once upon a"), cut(" ")]);
    let events = run(&agent, "go");
    let Some(Kind::Completed(done)) = events.last() else { panic!("{events:?}") };
    assert!(done.output.starts_with("Once upon a\n\n[cut off"), "{}", done.output);
    assert_eq!(failed(&run(&agent, "go")).0, "max_tokens");
}

#[test]
fn a_withheld_answer_fails_the_run() {
    let dir = Dir::new();
    let (agent, _) = agent(&dir, [Turn { finish: Finish::Filtered, ..turn("Well", &[]) }]);
    assert_eq!(failed(&run(&agent, "go")), ("content_filtered", Some("Well")));
}

#[test]
fn a_failing_model_fails_the_run_and_what_it_said_is_kept() {
    let dir = Dir::new();
    let calls = turn("Wait.", &[("a", "list_files", "{}")]);
    let broken = Ending::failed("model_unreachable", "No route to the model.");
    let (agent, _) = agent_with(dir.settings(), [Ok(calls), Err(broken)]);
    let events = run(&agent, "go");
    assert_eq!(failed(&events), ("model_unreachable", None));
    assert_eq!(said(&events), "Wait.");
}

#[test]
fn reasoning_is_said_once_and_never_echoes_the_answer() {
    let dir = Dir::new();
    let thinking = |reasoning: &str| Turn { reasoning: reasoning.into(), ..turn("Yes.", &[]) };
    let (agent, _) = agent(&dir, [thinking("Let me see."), thinking("Yes.\n"), thinking(" ")]);
    let events = run(&agent, "go");
    assert_eq!(
        names(&events),
        ["reasoning.delta", "message.delta", "reasoning.available", "run.completed"]
    );
    for _ in 0..2 {
        assert!(!names(&run(&agent, "go")).contains(&"reasoning.available"));
    }
}

#[test]
fn calls_without_an_id_or_with_one_again_get_one_of_their_own() {
    let dir = Dir::new();
    let first =
        turn("", &[("", "list_files", ""), ("x", "list_files", ""), ("x", "list_files", "")]);
    let second = turn("", &[("x", "list_files", "{}"), ("call_1", "list_files", "{}")]);
    let (agent, shown) = agent(&dir, [first, second, turn("Done.", &[])]);
    let events = run(&agent, "go");
    let started = events.iter().filter_map(|kind| match kind {
        Kind::ToolStarted(started) => Some(started.tool_call_id.clone()),
        _ => None,
    });
    let mut ids: Vec<String> = started.collect();
    assert_eq!(ids.len(), 5);
    let shown = shown.lock().unwrap();
    let told = shown[2].iter().filter_map(|entry| match entry {
        Entry::Tool { call_id, .. } => Some(call_id.clone()),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), ids);
    let called = shown[2].iter().flat_map(|entry| match entry {
        Entry::Assistant { calls, .. } => calls.iter().map(|call| call.id.clone()).collect(),
        _ => Vec::new(),
    });
    assert_eq!(called.collect::<Vec<_>>(), ids);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5, "{ids:?}");
}

#[test]
fn more_calls_than_one_turn_may_have_are_not_carried_out() {
    let dir = Dir::new();
    let calls = vec![("", "list_files", "{}"); 70];
    let (agent, _) = agent(&dir, [turn("", &calls), turn("Done.", &[])]);
    let events = run(&agent, "go");
    let results = results(&events);
    assert_eq!(results.len(), 70);
    assert_eq!(results.iter().filter(|(_, error)| *error).count(), 6);
}

#[test]
fn a_secret_in_a_result_reaches_neither_client_nor_model() {
    let dir = Dir::new();
    dir.file("config", "key=open-sesame-42");
    let calls = [("a", "read_file", r#"{"path":"config"}"#), ("b", "open-sesame-42", "{}")];
    let (agent, shown) = agent(&dir, [turn("", &calls), turn("Done.", &[])]);
    let secrets = Secrets::new(["open-sesame-42".to_owned()]);
    let events = events(&agent, &job(request("go")), &secrets);
    assert_eq!(results(&events)[0].0, "key=[secret]");
    assert_eq!(told(&shown, 1)[0], "key=[secret]");
    assert!(!told(&shown, 1)[1].contains("open-sesame"));
}

#[test]
fn a_secret_a_model_says_is_masked_however_its_pieces_cut_it() {
    let dir = Dir::new();
    let key = "open sesame 42";
    let calls = [("a", key, "{}")];
    let mut first = turn("It is open sesame 42, or open sesame", &calls);
    first.reasoning = "I know open sesame 42 and open".to_owned();
    let (agent, _) = agent(&dir, [first, turn("So open sesame 42", &[])]);
    let secrets = Secrets::new([key.to_owned()]);
    let events = events(&agent, &job(request("go")), &secrets);
    assert_eq!(said(&events), "It is [secret], or open sesame\n\nSo [secret]");
    let Some(Kind::Completed(done)) = events.last() else { panic!("{events:?}") };
    assert_eq!(done.output, "So [secret]");
    let thought = events.iter().filter_map(|kind| match kind {
        Kind::ReasoningDelta(delta) => Some(delta.delta.as_str()),
        _ => None,
    });
    assert_eq!(thought.collect::<String>(), "I know [secret] and open");
    assert!(!format!("{events:?}").contains(key), "{events:?}");
}

#[test]
fn instructions_of_the_operator_and_the_client_are_told() {
    let dir = Dir::new();
    let settings = Settings { instructions: Some("Be brief.".into()), ..dir.settings() };
    let (agent, shown) = agent_with(settings, [Ok(turn("Yes.", &[]))]);
    let mut asked = request("go");
    asked.instructions = Some("Say yes.".into());
    events(&agent, &job(asked), &Secrets::default());
    let shown = shown.lock().unwrap();
    let Entry::System(text) = &shown[0][0] else { panic!() };
    assert!(text.ends_with("\n\nBe brief.\n\nSay yes."), "{text}");
}

fn message(role: &str, text: &str) -> Message {
    Message::new(role, Content::Text(text.into()))
}

fn with_history(text: &str, history: Vec<Message>) -> Request {
    let mut request = request(text);
    request.history = history;
    request
}

#[test]
fn history_that_does_not_fit_is_dropped_by_whole_exchanges_from_the_oldest() {
    let dir = Dir::new();
    let long = "word ".repeat(2_000);
    let history = vec![
        message("system", "Rules."),
        message("user", &long),
        message("assistant", "first answer"),
        message("tool", "of the first"),
        message("user", "second"),
        message("assistant", "second answer"),
    ];
    let settings = Settings { context_tokens: 4_000, ..dir.settings() };
    let (agent, shown) = agent_with(settings, [Ok(turn("Yes.", &[]))]);
    let asked = with_history("third", history);
    let events = events(&agent, &job(asked), &Secrets::default());
    assert_eq!(names(&events), ["session.truncated", "message.delta", "run.completed"]);
    let Kind::SessionTruncated(cut) = &events[0] else { panic!("{events:?}") };
    assert_eq!(cut.dropped_messages, 3);
    let shown = shown.lock().unwrap();
    let user = |text: &str| Entry::User(Content::Text(text.into()));
    let answer = Entry::Assistant { text: "second answer".into(), calls: Vec::new() };
    assert_eq!(shown[0][1], Entry::System("Rules.".into()));
    assert_eq!(shown[0][2..], [user("second"), answer, user("third")]);
}

#[test]
fn the_newest_user_turn_stays_however_long_it_is() {
    let dir = Dir::new();
    let long = "word ".repeat(10_000);
    let settings = Settings { context_tokens: 2_000, ..dir.settings() };
    let (agent, shown) = agent_with(settings, [Ok(turn("Yes.", &[]))]);
    let asked = with_history(&long, vec![message("user", "old")]);
    let events = events(&agent, &job(asked), &Secrets::default());
    assert!(matches!(events.last(), Some(Kind::Completed(_))));
    assert_eq!(shown.lock().unwrap()[0][1..], [Entry::User(Content::Text(long))]);
}

/// About as many tokens as the loop counts.
fn size(entries: &[Entry]) -> usize {
    let text = |entry: &Entry| match entry {
        Entry::System(text) | Entry::Tool { result: text, .. } => text.len(),
        Entry::User(content) | Entry::Other { content, .. } => content.len(),
        Entry::Assistant { text, calls } => {
            text.len() + calls.iter().map(|call| call.arguments.len()).sum::<usize>()
        }
    };
    entries.iter().map(text).sum::<usize>() / 4
}

#[test]
fn a_long_loop_keeps_fitting_and_no_result_loses_its_call() {
    let dir = Dir::new();
    dir.file("big", "line of text\n".repeat(4_000));
    let call = ("", "read_file", r#"{"path":"big"}"#);
    let read = || turn("Once more.", &[call; 4]);
    let turns = (0..40).map(|_| Ok(read())).chain([Ok(turn("Done.", &[]))]);
    let settings = Settings { context_tokens: 8_000, ..dir.settings() };
    let (agent, shown) = agent_with(settings, turns);
    let events = run(&agent, "go");
    assert!(matches!(events.last(), Some(Kind::Completed(_))), "{:?}", events.last());
    assert!(names(&events).contains(&"session.truncated"));
    for entries in shown.lock().unwrap().iter() {
        assert!(size(entries) <= 6_000, "{}", size(entries));
        assert!(matches!(entries[1], Entry::User(_)));
        let mut waiting: Vec<String> = Vec::new();
        for entry in entries {
            match entry {
                Entry::Assistant { calls, .. } => {
                    assert!(waiting.is_empty());
                    waiting = calls.iter().map(|ToolCall { id, .. }| id.clone()).collect();
                }
                Entry::Tool { call_id, .. } => assert_eq!(*call_id, waiting.remove(0)),
                _ => {}
            }
        }
        assert!(waiting.is_empty());
    }
}

#[test]
fn one_result_never_takes_more_than_its_share() {
    let dir = Dir::new();
    dir.file("big", "x".repeat(60_000));
    let read = turn("", &[("a", "read_file", r#"{"path":"big"}"#)]);
    let settings = Settings { context_tokens: 16_000, ..dir.settings() };
    let (agent, shown) = agent_with(settings, [Ok(read), Ok(turn("Done.", &[]))]);
    run(&agent, "go");
    let told = &told(&shown, 1)[0];
    assert!(told.len() < 16_100 && told.contains("bytes left out"), "{}", told.len());
}

/// Stops the run as soon as something happens that `when` is true for.
fn stopped(agent: &dyn Agent, when: impl Fn(&Kind) -> bool) -> Vec<Kind> {
    let (asked, secrets) = (job(request("go")), Secrets::default());
    let Job { cancel, .. } = asked.clone();
    let mut events = Vec::new();
    live(agent, &asked, &secrets, &mut |event: Event| {
        if when(&event.kind) {
            Cancel::cancel(&cancel, Cause::Stop);
        }
        events.push(event.kind);
    });
    events
}

#[test]
fn a_stop_while_the_model_speaks_keeps_what_it_said() {
    let dir = Dir::new();
    let (agent, _) = agent(&dir, [turn("One two three.", &[])]);
    let events = stopped(&agent, |kind| matches!(kind, Kind::MessageDelta(_)));
    assert_eq!(names(&events), ["message.delta", "run.cancelled"]);
    let Some(Kind::Cancelled(end)) = events.last() else { panic!() };
    assert_eq!(end.output.as_deref(), Some("One "));
}

#[cfg(feature = "sys")]
#[test]
fn a_stop_while_a_tool_works_ends_the_run_at_once() {
    let dir = Dir::new();
    let sleep = turn("", &[("a", "terminal", r#"{"command":"sleep 1000"}"#)]);
    let (agent, _) = agent(&dir, [sleep]);
    let started = std::time::Instant::now();
    let events = stopped(&agent, |kind| matches!(kind, Kind::ToolStarted(_)));
    assert_eq!(names(&events), ["tool.started", "run.cancelled"]);
    assert!(started.elapsed().as_secs() < 2);
}

#[test]
fn the_agent_says_who_it_is() {
    let dir = Dir::new();
    let (agent, _) = agent(&dir, []);
    let about = agent.about();
    assert_eq!((about.model.as_str(), about.provider.as_str()), ("scripted", "script"));
    let tools: Vec<String> = about.toolsets.iter().flat_map(|set| set.tools.clone()).collect();
    assert_eq!(tools.contains(&"terminal".to_owned()), cfg!(feature = "sys"));
    let unconfined = about.warnings.iter().any(|warning| warning.contains("not confined"));
    assert_eq!(unconfined, cfg!(feature = "sys"));
    assert!(json!(about.toolsets[0])["enabled"] == json!(true));
}
