//! Conversations with the model `builtin`, from the request to the last event.
mod agent_support;

use agent_support::{Dir, events, job, names, read, request, results, said};
use runwire::agent::model::builtin::Builtin;
use runwire::agent::{Agent, Secrets, ToolAgent, live};
use runwire::event::{Event, Kind, ToolStarted};
use runwire::request::Steer;
use serde_json::Value;
use std::fs;
use std::sync::Arc;

fn agent(dir: &Dir) -> ToolAgent {
    ToolAgent::new(Box::new(Builtin), dir.settings()).unwrap()
}

fn ask(dir: &Dir, text: &str) -> Vec<Kind> {
    events(&agent(dir), &job(request(text)), &Secrets::default())
}

/// The answer, which no tool came before.
fn answer(dir: &Dir, text: &str) -> String {
    let events = ask(dir, text);
    assert_eq!(names(&events), ["message.delta", "run.completed"], "{text}");
    said(&events)
}

fn started(events: &[Kind]) -> Vec<&ToolStarted> {
    let started = events.iter().filter_map(|kind| match kind {
        Kind::ToolStarted(started) => Some(&**started),
        _ => None,
    });
    started.collect()
}

/// Which tool a request leads to, with its main argument.
fn calls(dir: &Dir, text: &str) -> Vec<(String, String)> {
    let events = ask(dir, text);
    let calls = started(&events);
    calls.iter().map(|call| (call.tool.clone(), call.preview.clone())).collect()
}

fn call(tool: &str, main: &str) -> Vec<(String, String)> {
    vec![(tool.to_owned(), main.to_owned())]
}

/// How a folder is listed: by the terminal where there is one.
fn listing(folder: &str) -> Vec<(String, String)> {
    match cfg!(feature = "sys") {
        true => call("terminal", &format!("ls -la {folder}")),
        false => call("list_files", folder.trim_start_matches("-- ").trim_matches('\'')),
    }
}

#[test]
fn files_are_listed_step_by_step_for_all_to_see() {
    let dir = Dir::new();
    dir.file("sub/hello.txt", "hi");
    let events = ask(&dir, "list files in sub");
    assert_eq!(
        names(&events),
        [
            "reasoning.delta",
            "reasoning.available",
            "tool.started",
            "tool.completed",
            "message.delta",
            "run.completed"
        ]
    );
    assert!(results(&events)[0].0.contains("hello.txt"));
    let Some(Kind::Completed(done)) = events.last() else { panic!("{events:?}") };
    assert_eq!(done.output, said(&events));
    assert!(done.output.starts_with("The files in sub:\n\n"), "{}", done.output);
    assert!(done.output.contains("hello.txt") && done.output.contains("no language model"));
    assert_eq!((&*done.runtime.provider, &*done.runtime.model), ("builtin", "builtin"));
    let usage = done.usage;
    assert!(usage.input_tokens > 50 && usage.output_tokens > 20, "{usage:?}");
    assert_eq!(usage.total_tokens, usage.input_tokens + usage.output_tokens);
    let pieces = events.iter().filter(|kind| matches!(kind, Kind::MessageDelta(_))).count();
    assert!(pieces > 10, "streamed in {pieces} pieces");
}

#[test]
fn folders_are_named_in_many_ways() {
    let dir = Dir::new();
    fs::create_dir(dir.inside("my docs")).unwrap();
    fs::create_dir(dir.inside("sub")).unwrap();
    for text in [
        "list files in sub",
        "List files in sub.",
        "LIST THE FILES IN sub",
        "please list all files in sub",
        "Could you please list the files in the folder sub?",
        "list sub",
        "list \"sub\"",
        "list files in 'sub', please",
        "  list   files  of   sub  ",
    ] {
        assert_eq!(calls(&dir, text), listing("sub"), "{text}");
    }
    for text in ["list", "list files", "list files in .", "list the files."] {
        assert_eq!(calls(&dir, text), listing("."), "{text}");
    }
    assert_eq!(calls(&dir, "list files in \"my docs\""), listing("-- 'my docs'"));
    assert_eq!(calls(&dir, "list files in /tmp"), listing("/tmp"));
    assert_eq!(calls(&dir, "list files in .."), listing(".."));
}

#[test]
fn no_folder_is_a_command() {
    let dir = Dir::new();
    dir.file("precious", "safe");
    fs::create_dir(dir.inside("it's")).unwrap();
    for folder in [
        "/tmp; rm -rf precious ./precious",
        "./$(rm precious)",
        "./`rm precious`",
        "./x\nrm precious",
        "./x' ; rm precious ; echo '",
        "./x && rm precious",
        "./x | rm precious",
        "./x > precious",
        "-la/;rm precious",
        "~/x; rm precious",
        "./$IFS;rm precious",
    ] {
        for text in [format!("list files in {folder}"), format!("list {folder}")] {
            let events = ask(&dir, &text);
            assert!(matches!(events.last(), Some(Kind::Completed(_))), "{text}");
            assert!(started(&events).len() <= 1, "{text}");
            assert_eq!(read(dir.inside("precious")), "safe", "{text}");
        }
    }
    let quoted = ask(&dir, "list files in \"it's\"");
    assert!(results(&quoted).iter().all(|(_, error)| !error), "{:?}", results(&quoted));
    assert!(calls(&dir, "list files in -R") == listing("-- '-R'"));
}

#[test]
fn files_are_read_as_they_are_named() {
    let dir = Dir::new();
    dir.file("notes.txt", "remember");
    dir.file("my notes.txt", "mine");
    for text in ["read notes.txt", "Read the file notes.txt.", "please read 'notes.txt'!"] {
        assert_eq!(calls(&dir, text), call("read_file", "notes.txt"), "{text}");
        assert!(said(&ask(&dir, text)).contains("This is in notes.txt:\n\nremember"), "{text}");
    }
    assert!(said(&ask(&dir, "read my notes.txt")).contains("mine"));
    let missing = said(&ask(&dir, "read nothing.txt"));
    assert!(missing.contains("I could not read nothing.txt") && missing.contains("not exist"));
}

#[cfg(feature = "sys")]
#[test]
fn commands_are_run_as_they_are_written() {
    let dir = Dir::new();
    for (text, command) in [
        ("run echo one; echo two", "echo one; echo two"),
        ("Run the command `echo one`", "echo one"),
        ("run \"echo one then list two\"", "echo one then list two"),
        ("run 'a' 'b'", "'a' 'b'"),
        ("run if true; then read x; fi", "if true; then read x; fi"),
        ("please run echo .", "echo ."),
    ] {
        assert_eq!(calls(&dir, text), call("terminal", command), "{text}");
    }
    let failed = said(&ask(&dir, "run exit 3"));
    assert!(failed.contains("I could not run `exit 3`") && failed.contains("[exit code 3]"));
    assert!(said(&ask(&dir, "run echo hello")).starts_with("`echo hello` printed:\n\nhello\n\n("));
}

#[test]
fn text_is_searched_for_and_written() {
    let dir = Dir::new();
    dir.file("src/a.rs", "fn main in here\n");
    let searched = |text: &str| {
        let events = ask(&dir, text);
        let args: Vec<Value> = started(&events).iter().map(|call| call.args.clone()).collect();
        let field = |name: &str| args[0][name].as_str().unwrap().to_owned();
        (field("text"), field("path"))
    };
    let expected = |text: &str, path: &str| (text.to_owned(), path.to_owned());
    assert_eq!(searched("search main in src"), expected("main", "src"));
    assert_eq!(searched("Search for \"main in\" in src."), expected("main in", "src"));
    assert_eq!(searched("search main in here in src"), expected("main in here", "src"));
    assert_eq!(searched("search main"), expected("main", "."));
    assert!(said(&ask(&dir, "search main in src")).contains("src/a.rs:1: fn main"));
    let written = said(&ask(&dir, "write \"hello, you\" to out.txt then read out.txt"));
    assert!(written.contains("Wrote 10 bytes"), "{written}");
    assert_eq!(read(dir.inside("out.txt")), "hello, you");
    ask(&dir, "write up to you to the file b.txt");
    assert_eq!(read(dir.inside("b.txt")), "up to you");
}

#[test]
fn steps_joined_by_then_are_done_one_by_one() {
    let dir = Dir::new();
    dir.file("a.txt", "first then read on");
    let text =
        "Please write \"x then read y\" to b.txt, then read a.txt and then please list files";
    let events = ask(&dir, text);
    let tools: Vec<&str> = started(&events).iter().map(|call| &*call.tool).collect();
    assert_eq!(tools[..2], ["write_file", "read_file"]);
    assert_eq!(tools.len(), 3);
    assert_eq!(read(dir.inside("b.txt")), "x then read y");
    let said = said(&events);
    let order = ["Done:", "This is in a.txt:", "The files in .:"].map(|title| said.find(title));
    assert!(order.is_sorted() && order[0].is_some(), "{said}");
    let thoughts = events.iter().filter(|kind| matches!(kind, Kind::ReasoningAvailable(_)));
    assert_eq!(thoughts.count(), 1);
}

#[test]
fn after_a_step_that_failed_the_others_are_left_out() {
    let dir = Dir::new();
    dir.file("b", "");
    let events = ask(&dir, "read a then read b then read b");
    assert_eq!(started(&events).len(), 1);
    assert!(said(&events).contains("I left out the last 2 steps"), "{}", said(&events));
}

#[test]
fn what_it_does_not_understand_it_says() {
    let dir = Dir::new();
    for text in [
        "write me a poem",
        "list the planets of the solar system",
        "list files in sub then dance for me",
        "read me a story about a fox",
        "run",
        "read",
        "read \"\"",
        "search",
        "write hello",
        "listing",
        "\u{1f680}\u{e9}\u{e9}",
        "then then then",
        "please",
    ] {
        let answer = answer(&dir, text);
        assert!(answer.starts_with("I do not understand \""), "{text}: {answer}");
        assert!(answer.contains("- list files in DIR") && answer.contains("no language model"));
    }
    assert!(answer(&dir, "help").starts_with("I am `builtin`, which is no language model."));
}

#[test]
fn a_very_long_request_is_taken_apart_in_time() {
    let dir = Dir::new();
    for text in ["please ", "then ", "then list ", "' \" ", "list the ", "\" then read "] {
        let events = ask(&dir, &text.repeat(100_000));
        assert!(events.last().is_some_and(Kind::is_terminal));
    }
}

#[test]
fn a_conversation_goes_on_from_its_newest_request() {
    use runwire::request::{Content, Message};
    let dir = Dir::new();
    dir.file("b.txt", "bee");
    let message = |role: &str, text: &str| Message::new(role, Content::Text(text.into()));
    let mut asked = request("read b.txt");
    asked.history = vec![message("user", "read a.txt"), message("assistant", "This is in a.txt")];
    let events = events(&agent(&dir), &job(asked), &Secrets::default());
    assert!(said(&events).contains("bee") && !said(&events).contains("a.txt"));
}

#[test]
fn what_the_user_said_before_is_told_when_asked_for() {
    use runwire::request::{Content, Message};
    let dir = Dir::new();
    let message = |role: &str, text: &str| Message::new(role, Content::Text(text.into()));
    let long = format!("write \"{}\" to x", "y".repeat(300));
    let past = [
        message("system", "rules"),
        message("user", "read\na.txt"),
        message("assistant", "This is in a.txt"),
        message("user", " "),
        message("user", &long),
    ];
    let told = |text: &str, history: &[Message]| {
        let mut asked = request(text);
        asked.history = history.to_vec();
        let events = events(&agent(&dir), &job(asked), &Secrets::default());
        assert_eq!(names(&events), ["message.delta", "run.completed"], "{text}");
        said(&events)
    };
    for text in [
        "what did I say before?",
        "What did I ask you before?",
        "Hello, what have I said so far?",
        "what did I just tell you",
        " WHAT DID I ASK ",
    ] {
        let answer = told(text, &past);
        let lines = "1. read a.txt\n2. (no text)\n3. write \"yyy";
        let start = format!("Before this you said, as far as I see:\n\n{lines}");
        assert!(answer.starts_with(&start), "{text}: {answer}");
        assert!(answer.contains("yyy…\n\n(This is `builtin`") && !answer.contains("rules"));
        assert!(answer.len() < 1_000, "{answer}");
        assert!(told(text, &[]).starts_with("I see nothing that you said before this."));
    }
    for text in ["what did I", "what did I say about foxes?", "what did you say", "what did I you"]
    {
        assert!(told(text, &past).starts_with("I do not understand \""), "{text}");
    }
}

#[test]
fn it_says_who_it_is() {
    let about = agent(&Dir::new()).about();
    assert_eq!((about.model.as_str(), about.provider.as_str()), ("builtin", "builtin"));
}

#[test]
fn a_steer_is_carried_out_next_though_its_step_has_a_number_that_was_there_before() {
    let dir = Dir::new();
    dir.file("one", "first");
    dir.file("two", "second");
    let job = job(request("read the file one"));
    let mut events = Vec::new();
    live(&agent(&dir), &job, &Secrets::default(), &mut |event: Event| {
        if matches!(&event.kind, Kind::ToolStarted(started) if started.preview == "one") {
            let text = "read the file two".to_owned();
            job.inbox.push(Arc::new(Steer { text, interrupt: false }));
        }
        events.push(event.kind);
    });
    let previews: Vec<&str> = started(&events).iter().map(|call| &*call.preview).collect();
    assert_eq!(previews, ["one", "two"]);
    let Some(Kind::Completed(done)) = events.last() else { panic!("{events:?}") };
    assert!(done.output.contains("second"), "{}", done.output);
}
