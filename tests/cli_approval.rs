//! What the command line does with a call that needs leave: on a pipe, and at a terminal.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod cli_kit;

use cli_kit::{Home, finish};
use serde_json::Value;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

fn at_work() -> Home {
    let home = Home::new();
    std::fs::create_dir(home.0.join("work")).unwrap();
    home
}

const WRITE: &str = "run echo x >../out";

#[test]
fn without_a_terminal_what_needs_leave_is_denied_and_the_way_out_is_named() {
    let home = at_work();
    let done = home.run(&["run", "--workspace", "work", WRITE]);
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.out.contains("Denied: the person in charge"), "{}", done.out);
    for said in ["? terminal  echo x >../out", "--approve never", "may write in "] {
        assert!(done.err.contains(said), "{}", done.err);
    }
    assert!(!home.0.join("out").exists());
}

#[test]
fn never_asks_nothing_and_the_sandbox_holds() {
    let home = at_work();
    let done = home.run(&["run", "--workspace", "work", "--approve", "never", WRITE]);
    assert!(done.out.contains("ermission denied"), "{}", done.out);
    assert!(!home.0.join("out").exists());
    let bad = home.run(&["run", "--approve", "sometimes", "x"]);
    assert_eq!(bad.code(), 2);
    assert!(bad.err.contains("--approve: expected never, risky or always"), "{}", bad.err);
}

#[test]
fn the_question_and_its_answer_stand_among_the_events_without_a_gap() {
    let home = at_work();
    let done = home.run(&["run", "--json", "--workspace", "work", WRITE]);
    let events: Vec<Value> = done.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (seq, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], seq);
    }
    let at = events.iter().position(|event| event["event"] == "approval.request").unwrap();
    assert_eq!(events[at - 1]["event"], "tool.started");
    assert_eq!(events[at]["command"], "echo x >../out");
    assert_eq!(events[at]["choices"], serde_json::json!(["once", "session", "deny"]));
    let answer = &events[at + 1];
    assert_eq!(answer["event"], "approval.responded");
    assert_eq!((&answer["choice"], &answer["resolved"]), (&"deny".into(), &1.into()));
    assert_eq!(answer["request_id"], events[at]["request_id"]);
    assert_eq!(events[at + 2]["event"], "tool.completed");
    assert!(done.err.contains("--approve never"), "{}", done.err);
}

/// Runs `text` at a terminal of its own, and types the next of `answers` at each question.
fn at_terminal(home: &Home, text: &str, answers: &[&str]) -> (String, i32) {
    let run = format!("{} run --workspace work '{text}'", env!("CARGO_BIN_EXE_runwire"));
    let mut child = Command::new("script")
        .args(["-qec", &run, "/dev/null"])
        .env_clear()
        .current_dir(&home.0)
        .env("HOME", &home.0)
        .env("SHELL", "/bin/sh")
        .env("PATH", std::env::var_os("PATH").unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut bytes, mut asked) = (String::new(), [0; 1024], 0);
    loop {
        let count = out.read(&mut bytes).unwrap();
        if count == 0 {
            break;
        }
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        let questions = shown.matches("[d]eny: ").count();
        while asked < questions {
            let answer = answers.get(asked).expect("no more questions than answers");
            keys.write_all(answer.as_bytes()).unwrap();
            asked += 1;
        }
    }
    drop(keys);
    assert_eq!(asked, answers.len(), "{shown}");
    (shown, finish(child).code())
}

#[test]
fn at_a_terminal_a_question_is_answered_there() {
    let home = at_work();
    let text = "run echo x >>../out then run echo x >>../out then run rm ../out";
    // A line that is none of the choices is asked about again.
    let (shown, code) = at_terminal(&home, text, &["s\n", "what\n", "d\n"]);
    assert_eq!(code, 0, "{shown}");
    for said in ["allowed, and for this session", "one of the letters", "denied"] {
        assert!(shown.contains(said), "{shown}");
    }
    assert_eq!(std::fs::read_to_string(home.0.join("out")).unwrap(), "x\nx\n");
}

#[test]
fn ctrl_c_at_a_question_stops_the_run() {
    let home = at_work();
    let (shown, code) = at_terminal(&home, WRITE, &["\x03"]);
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("stopped") && !home.0.join("out").exists(), "{shown}");
}
