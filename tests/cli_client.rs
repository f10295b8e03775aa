//! The commands that speak to a server: the real program against real servers, which are killed.
#![cfg(all(feature = "cli", feature = "llm", feature = "sqlite"))]
mod cli_kit;
mod served;

use cli_kit::{Done, Home, finish, lines, next_line};
use serde_json::Value;
use served::{KEY, Place, Server, model::Model};
use std::net::TcpListener;

/// Runs a command against the server.
fn ask(home: &Home, server: &Server, words: &[&str]) -> Done {
    let url = format!("http://{}", server.addr);
    home.run(&[words, &["--server", &url, "--key", KEY]].concat())
}

fn ended(server: &Server, input: &str) -> String {
    let run = server.run(input);
    server.frames(&run);
    run
}

fn values(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the run has said something.
fn says(server: &Server, run: &str, event: &str) {
    let mut stream = served::wire::Stream::open(server.addr, run, None).unwrap().unwrap();
    while stream.next().unwrap().expect("it goes on").event() != event {}
}

#[test]
fn runs_are_listed_newest_first_and_filtered() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&[]);
    let first = ended(&server, "run seq 1");
    let body = r#"{"input":"run\tseq 2","session_id":"a b&c"}"#;
    let second = server.post("/v1/runs", "", body).json()["run_id"].as_str().unwrap().to_owned();
    server.frames(&second);
    let done = ask(&home, &server, &["runs"]);
    assert_eq!(done.code(), 0, "{}", done.err);
    let rows: Vec<Vec<&str>> = done.out.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((rows[0][0], rows[1][0]), (&*second, &*first));
    assert_eq!((rows[0].len(), rows[1][1], rows[1][4]), (5, "completed", "run seq 1"));
    let ids = |words: &[&str]| -> Vec<Value> {
        let done = ask(&home, &server, words);
        assert_eq!(done.code(), 0, "{}", done.err);
        values(&done.out).into_iter().map(|run| run["run_id"].clone()).collect()
    };
    assert_eq!(ids(&["runs", "--json"]), [&*second, &*first]);
    assert_eq!(ids(&["runs", "--json", "--limit", "1"]), [&*second]);
    assert_eq!(ids(&["runs", "--json", "--session", "a b&c"]), [&*second]);
    assert_eq!(ids(&["runs", "--json", "--status", "failed"]), [""; 0]);
}

#[test]
fn more_runs_than_a_page_holds_are_listed_each_once() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&["--max-queue", "500"]);
    let mut all: Vec<String> = (0..130).map(|_| server.run("help")).collect();
    let done = ask(&home, &server, &["runs", "--json", "--limit", "120"]);
    all.reverse();
    let listed: Vec<String> =
        values(&done.out).iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, all[..120]);
}

#[test]
fn a_run_is_shown_whole_by_the_beginning_of_its_id_and_by_last() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&[]);
    let run = ended(&server, "run printf 'a\\033[31mb'");
    let by_last = ask(&home, &server, &["show", "last"]);
    assert_eq!(by_last.code(), 0, "{}", by_last.err);
    for name in [&run[..9], &run[4..12], &run] {
        assert_eq!(ask(&home, &server, &["show", name]).out, by_last.out, "{name}");
    }
    let shown = &by_last.out;
    for part in [&*run, "completed", "> run printf", "✓ terminal  printf", "used ", "a[31mb"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains('\x1b'), "{shown}");
    let json = ask(&home, &server, &["show", &run, "--json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let events: Vec<Value> = server.frames(&run).iter().map(served::wire::Frame::json).collect();
    assert_eq!((&json["events"], &json["status"]), (&Value::from(events), &"completed".into()));
}

#[test]
fn a_run_that_works_is_shown_as_far_as_it_has_come() {
    let (home, place, model) = (Home::new(), Place::new(), Model::start());
    let server = place.start(&model.flags());
    let run = server.run("words 3 wait 1");
    let mut stream = served::wire::Stream::open(server.addr, &run, None).unwrap().unwrap();
    while !stream.next().unwrap().expect("it goes on").text.contains("wait ") {}
    let done = ask(&home, &server, &["show", &run]);
    assert!(done.out.contains("running") && done.out.contains("word-2"), "{}", done.out);
    let shown = ask(&home, &server, &["show", &run, "--json"]);
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    let events = shown["events"].as_array().unwrap();
    assert_eq!(events.last().unwrap()["seq"], shown["last_seq"], "all there were, and no more");
}

#[test]
fn a_run_that_never_falls_silent_is_shown_up_to_where_it_was_with_its_budget() {
    let (home, place, model) = (Home::new(), Place::new(), Model::start());
    let server = place.start(&model.flags());
    let body = r#"{"input":"words 100000 pace 20000","budget":{"wall_seconds":600,"turns":1}}"#;
    let run = server.post("/v1/runs", "", body).json()["run_id"].as_str().unwrap().to_owned();
    says(&server, &run, "message.delta");
    let done = ask(&home, &server, &["show", &run, "--json"]);
    let shown: Value = serde_json::from_str(&done.out).unwrap();
    let events = shown["events"].as_array().unwrap();
    assert_eq!(events.len() as u64, shown["last_seq"].as_u64().unwrap() + 1);
    let done = ask(&home, &server, &["show", &run]);
    assert!(done.out.contains("\nmay use 600 s, 1 turn\n"), "{}", done.out);
    assert_eq!(ask(&home, &server, &["stop", &run]).code(), 0);
}

#[test]
fn a_name_that_is_no_runs_or_that_of_several_is_told_of() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&[]);
    let none = ask(&home, &server, &["show", "last"]);
    assert!(none.code() == 1 && none.err.contains("no runs yet"), "{}", none.err);
    let run = ended(&server, "help");
    ended(&server, "help");
    let several = ask(&home, &server, &["tail", "run_"]);
    assert!(several.err.contains("2 runs begin with run_") && several.err.contains(&run));
    // One digit of the id is mistyped.
    let digit = if run.ends_with('0') { "1" } else { "0" };
    let near = ask(&home, &server, &["stop", &format!("{}{digit}", &run[..35])]);
    assert_eq!(near.code(), 1);
    assert!(near.err.contains(&format!("Did you mean {run}?")), "{}", near.err);
    let far = ask(&home, &server, &["stop", "zzz"]);
    assert!(far.err.contains("There is no run zzz. `runwire runs`"), "{}", far.err);
}

#[test]
fn tail_hears_each_event_once_though_the_server_is_killed_and_started_again() {
    let (home, place, model) = (Home::new(), Place::new(), Model::start());
    let mut server = place.start(&model.flags());
    let run = server.run("words 40 wait 1");
    let url = format!("http://{}", server.addr);
    let words = ["tail", &run, "--json", "--server", &url, "--key", KEY];
    let mut child = home.command(&words).spawn().unwrap();
    let out = lines(child.stdout.take().unwrap());
    let mut heard = Vec::new();
    while !heard.last().is_some_and(|line: &String| line.contains("now I wait")) {
        heard.push(next_line(&out));
    }
    server.kill();
    let port = server.addr.port().to_string();
    let again = place.start(&[&model.flags()[..], &["--port", &port]].concat());
    while !heard.last().unwrap().contains("run.interrupted") {
        heard.push(next_line(&out));
    }
    let done = finish(child);
    assert_eq!(done.code(), 1, "an interrupted run ends as `run` would");
    assert!(done.err.contains("connection lost"), "{}", done.err);
    let whole = again.frames(&run);
    let whole: Vec<&str> = whole.iter().map(|frame| data(&frame.text)).collect();
    assert_eq!(heard, whole);
}

fn data(frame: &str) -> &str {
    frame.split_once("\ndata: ").unwrap().1.trim_end()
}

#[test]
fn tail_begins_where_it_is_told_and_ends_as_the_run_did() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&[]);
    let run = ended(&server, "run seq 3");
    let count = server.frames(&run).len();
    let done = ask(&home, &server, &["tail", "last", "--json", "--from", "2"]);
    let seqs: Vec<u64> = values(&done.out).iter().map(|it| it["seq"].as_u64().unwrap()).collect();
    assert_eq!((done.code(), seqs), (0, (2..count as u64).collect()));
    let past = ask(&home, &server, &["tail", "last", "--from", &count.to_string()]);
    assert_eq!((past.code(), &*past.out), (0, ""), "{}", past.err);
    let beyond = ask(&home, &server, &["tail", "last", "--from", "99999"]);
    assert!(beyond.code() == 1 && beyond.err.contains("cursor"), "{}", beyond.err);
}

#[test]
fn a_run_is_steered_and_stopped_from_elsewhere() {
    let (home, place, model) = (Home::new(), Place::new(), Model::start());
    let server = place.start(&model.flags());
    let run = server.run("words 1 wait 1");
    says(&server, &run, "message.delta");
    let steered = ask(&home, &server, &["steer", "last", "words 2", "--interrupt", "--json"]);
    assert_eq!(steered.code(), 0, "{}", steered.err);
    assert_eq!(values(&steered.out)[0]["accepted"], true);
    model.go_on();
    let frames = server.frames(&run);
    let steer = frames.iter().find(|it| it.event() == "run.steered").expect("it was told");
    assert_eq!(
        (&steer.json()["text"], &steer.json()["interrupt"]),
        (&"words 2".into(), &true.into())
    );
    let late = ask(&home, &server, &["steer", &run, "more"]);
    assert!(late.code() == 1 && late.err.contains("409"), "{}", late.err);

    let run = server.run("words 1 wait 1");
    says(&server, &run, "message.delta");
    let stopped = ask(&home, &server, &["stop", &run]);
    assert_eq!((stopped.code(), stopped.out), (0, format!("{run} is stopping.\n")));
    assert_eq!(ask(&home, &server, &["tail", &run]).code(), 130);
    let again = ask(&home, &server, &["stop", &run]);
    assert_eq!((again.code(), again.out), (0, format!("{run} is cancelled.\n")));
}

#[cfg(all(feature = "sandbox", target_os = "linux"))]
#[test]
fn what_waits_for_leave_is_shown_and_decided() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&[]);
    let nothing = ask(&home, &server, &["approve"]);
    assert_eq!(&*nothing.out, "Nothing waits for a decision.\n");
    for (words, made) in [(["last", "once"], true), (["last", "--deny"], false)] {
        let _ = std::fs::remove_file(place.0.join("out"));
        let run = server.run("run echo x >../out");
        says(&server, &run, "approval.request");
        let shown = ask(&home, &server, &["approve"]);
        assert!(shown.out.contains(&run) && shown.out.contains("echo x >../out"), "{}", shown.out);
        let asked = ask(&home, &server, &["approve", &run]);
        assert!(asked.code() == 1 && asked.err.contains("once, session"), "{}", asked.err);
        let decided = ask(&home, &server, &["approve", words[0], words[1]]);
        assert_eq!(decided.code(), 0, "{}", decided.err);
        server.frames(&run);
        assert_eq!(place.0.join("out").exists(), made);
    }
    let late = ask(&home, &server, &["approve", "last", "deny"]);
    assert!(late.code() == 1 && late.err.contains("409"), "{}", late.err);
}

#[test]
fn sessions_are_listed_shown_and_deleted() {
    let (home, place) = (Home::new(), Place::new());
    let server = place.start(&[]);
    for input in ["run seq 2", "what did I say before?"] {
        let body = serde_json::json!({ "input": input, "session_id": "my talk/1" }).to_string();
        let run = server.post("/v1/runs", "", &body).json()["run_id"].as_str().unwrap().to_owned();
        server.frames(&run);
    }
    let listed = ask(&home, &server, &["sessions"]);
    assert!(listed.out.starts_with("my talk/1\t2\t"), "{}", listed.out);
    assert_eq!(values(&ask(&home, &server, &["sessions", "--json"]).out)[0]["runs"], 2);
    let shown = ask(&home, &server, &["sessions", "show", "my talk/1"]);
    for part in ["> run seq 2\n", "✓ terminal  {", "> what did I say", "1. run seq 2"] {
        assert!(shown.out.contains(part), "{part} is not in {}", shown.out);
    }
    let deleted = ask(&home, &server, &["sessions", "delete", "my talk/1"]);
    assert_eq!(deleted.code(), 0, "{}", deleted.err);
    let gone = ask(&home, &server, &["sessions", "show", "my talk/1"]);
    assert!(gone.code() == 1 && gone.err.contains("`runwire sessions` lists"), "{}", gone.err);
}

#[test]
fn what_cannot_be_reached_or_opened_is_told_of_with_what_to_do() {
    let home = Home::new();
    home.run(&["key"]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    for words in [&["runs"][..], &["show", "last"], &["tail", "last"], &["approve"], &["sessions"]]
    {
        let done = home.run(&[words, &["--server", &url]].concat());
        assert_eq!(done.code(), 1, "{words:?}");
        assert!(done.err.contains("`runwire serve` starts one"), "{}", done.err);
    }
    let place = Place::new();
    let server = place.start(&[]);
    let url = format!("http://{}", server.addr);
    let done = home.run(&["runs", "--server", &url]);
    assert!(done.code() == 1 && done.err.contains("RUNWIRE_KEY"), "{}", done.err);
}

#[test]
fn a_line_that_cannot_be_obeyed_ends_with_2() {
    let home = Home::new();
    for (words, said) in [
        (&["show"][..], "Say which run"),
        (&["steer", "last"], "Say what the run is to be told"),
        (&["runs", "--status", "done"], "--status: expected queued"),
        (&["runs", "--limit", "0"], "--limit: expected"),
        (&["runs", "--model", "x"], "--model belongs to"),
        (&["runs", "--sesion", "x"], "Did you mean --session?"),
        (&["approve", "last", "maybe"], "is no choice"),
        (&["approve", "last", "once", "--deny"], "Say once"),
        (&["sessions", "delete"], "Say which"),
        (&["sessions", "shwo", "x"], "Did you mean `show`?"),
        (&["runs", "--server", "http://10.0.0.1:1"], "wants a key"),
        (&["tial", "last"], "Did you mean `runwire tail`?"),
    ] {
        let done = home.run(words);
        assert_eq!(done.code(), 2, "{words:?}: {}", done.err);
        assert!(done.err.contains(said), "{words:?}: {}", done.err);
    }
}
