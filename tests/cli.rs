//! The command line as a user meets it: the real binary, an empty home.
#![cfg(all(feature = "cli", feature = "sys"))]
mod cli_kit;

use cli_kit::{Home, finish, http, lines, next_line, signal};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[test]
fn version_is_printed_in_each_way_of_asking() {
    let home = Home::new();
    for line in ["version", "--version", "-V"] {
        let done = home.run(&[line]);
        assert_eq!(done.out, concat!("runwire ", env!("CARGO_PKG_VERSION"), "\n"));
        assert_eq!((done.code(), done.err.as_str()), (0, ""));
    }
}

#[test]
fn help_teaches_and_makes_nothing() {
    let home = Home::new();
    for line in [&[][..], &["--help"], &["help"]] {
        let done = home.run(line);
        assert_eq!(done.code(), 0);
        assert!(done.out.contains("runwire run \"list files in /tmp\""), "{}", done.out);
    }
    for command in ["run", "serve", "key"] {
        let done = home.run(&[command, "--help"]);
        assert_eq!(done.code(), 0);
        assert!(done.out.contains("--state DIR"), "{}", done.out);
    }
    assert_eq!(std::fs::read_dir(&home.0).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_understood_ends_with_2_and_says_why() {
    let home = Home::new();
    for (line, said) in [
        (&["serve", "--prot", "1"][..], "--port"),
        (&["serv"], "runwire serve"),
        (&["serve", "--keepalive", "soon"], "--keepalive: expected a time"),
        (&["serve", "--max-body", "1T"], "such as 10M"),
        (&["serve", "--memory", "1M"], "8M or more"),
        (&["serve", "--memory", "16M", "--max-runs", "1000"], "give --memory 188M"),
        (&["serve", "--base-url", "http://127.0.0.1/v1"], "--model"),
        (&["run", "--model", "m", "x"], "OPENAI_API_KEY"),
        (&["run"], "TEXT"),
        (&["run", "a", "b"], "quotes"),
    ] {
        let done = home.run(line);
        assert_eq!(done.code(), 2, "{line:?}: {}", done.err);
        assert!(done.err.starts_with("runwire: ") && done.err.contains(said), "{}", done.err);
        assert_eq!(done.out, "");
    }
    let bad = finish(home.command(&["serve"]).env("RUNWIRE_PORT", "http").spawn().unwrap());
    assert_eq!(bad.code(), 2);
    assert!(bad.err.contains("RUNWIRE_PORT: expected a port") && bad.err.contains("got \"http\""));
}

#[test]
fn the_key_is_made_at_the_first_call_and_stays() {
    let home = Home::new();
    let first = home.run(&["key"]);
    assert_eq!((first.code(), first.out.len()), (0, 65));
    let mode = std::fs::metadata(home.key_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(home.run(&["key"]).out, first.out);
    assert_ne!(home.run(&["key", "--state", "other"]).out, first.out);
}

#[test]
fn a_key_that_was_given_goes_before_the_one_that_is_kept() {
    let home = Home::new();
    let given = "0123456789abcdef";
    let done = finish(home.command(&["key"]).env("RUNWIRE_KEY", given).spawn().unwrap());
    assert_eq!(done.out.trim(), given);
    assert!(!home.key_file().exists());
}

#[test]
fn without_a_home_the_way_out_is_named() {
    let home = Home::new();
    for line in [&["key"][..], &["serve", "--port", "0"]] {
        let done = finish(home.command(line).env_remove("HOME").spawn().unwrap());
        assert_eq!(done.code(), 1);
        assert!(done.err.contains("--state DIR"), "{}", done.err);
    }
}

#[test]
fn a_run_on_a_pipe_gives_the_answer_alone_and_works_where_the_user_is() {
    let home = Home::new();
    std::fs::write(home.0.join("here.txt"), "").unwrap();
    let done = home.run(&["run", "list files in ."]);
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.out.contains("here.txt"), "{}", done.out);
    assert!(!done.out.contains("> terminal") && done.err.contains("> terminal"), "{}", done.err);
    assert!(!format!("{}{}", done.out, done.err).contains('\x1b'));
    let left: Vec<_> =
        std::fs::read_dir(&home.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["here.txt"], "a run leaves nothing behind");
}

#[test]
fn json_gives_every_event_as_the_wire_has_it_and_nothing_else() {
    let done = Home::new().run(&["run", "--json", "list files in ."]);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let events: Vec<Value> = done.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (seq, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], seq);
        assert!(done.out.lines().nth(seq).unwrap().starts_with("{\"event\":\""));
    }
    assert_eq!(events.last().unwrap()["event"], "run.completed");
    assert!(events.iter().any(|event| event["event"] == "tool.completed"));
}

#[test]
fn the_text_may_come_through_a_pipe() {
    let home = Home::new();
    for line in [&["run"][..], &["run", "-"]] {
        let mut child = home.command(line).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"list files in .\n").unwrap();
        let done = finish(child);
        assert_eq!(done.code(), 0, "{}", done.err);
        assert!(done.err.contains("> terminal"), "{}", done.err);
    }
    let mut child = home.command(&["run"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\xff\xfe").unwrap();
    let done = finish(child);
    assert_eq!(done.code(), 2);
    assert!(done.err.contains("UTF-8"), "{}", done.err);
}

#[test]
fn a_run_that_fails_ends_with_1_and_says_why() {
    let done = Home::new().run(&["run", "--run-timeout", "200ms", "run sleep 60"]);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("failed: ") && done.err.contains("--run-timeout"), "{}", done.err);
}

#[test]
fn ctrl_c_stops_a_run_properly_and_ends_with_130() {
    for name in ["INT", "TERM"] {
        let home = Home::new();
        let mut child = home.command(&["run", "--json", "run sleep 60"]).spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        while !next_line(&out).contains("tool.started") {}
        signal(&child, name);
        while !next_line(&out).contains("run.cancelled") {}
        assert_eq!(finish(child).code(), 130);
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let home = Home::new();
    for line in [&["--help"][..], &["key"], &["run", "--json", "run seq 3 then run sleep 60"]] {
        let mut child = home.command(line).spawn().unwrap();
        let mut first = [0];
        let mut out = child.stdout.take().unwrap();
        if line[0] == "run" {
            out.read_exact(&mut first).unwrap();
        }
        drop(out);
        let done = finish(child);
        assert_eq!(done.err, "", "{line:?}");
    }
}

#[test]
fn the_first_start_shows_the_key_and_no_later_one_does() {
    let home = Home::new();
    let first = home.serve(&[]);
    let key = std::fs::read_to_string(home.key_file()).unwrap().trim().to_owned();
    assert!(first.greeting.contains(&format!("{}/#key={key}", first.url)), "{}", first.greeting);
    assert!(first.greeting.contains(" confined"), "{}", first.greeting);
    assert!(http(first.addr(), "GET /health HTTP/1.1", "").starts_with("HTTP/1.1 200"));
    let models = "GET /v1/models HTTP/1.1";
    assert!(http(first.addr(), models, "").starts_with("HTTP/1.1 401"));
    let with_key = format!("{models}\r\nAuthorization: Bearer {key}");
    assert!(http(first.addr(), &with_key, "").starts_with("HTTP/1.1 200"));
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));

    let second = home.serve(&[]);
    assert!(!second.greeting.contains(&key), "{}", second.greeting);
    assert!(second.greeting.contains(" key` prints it"), "{}", second.greeting);
    assert!(http(second.addr(), &with_key, "").starts_with("HTTP/1.1 200"));
    second.signal("INT");
    assert_eq!(second.wait().code(), Some(0));
}

#[test]
fn the_greeting_can_be_pasted_into_a_shell() {
    let home = Home::new();
    let served = home.serve(&["--state", "its state"]);
    let (_, script) = served.greeting.split_once("KEY=").unwrap();
    let script = format!("KEY={script}");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("HOME", &home.0).current_dir(&home.0);
    shell.env("PATH", std::env::var_os("PATH").unwrap());
    let done = finish(shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(done.out.contains("\"run.completed\""), "{}{}", done.out, done.err);
    assert!(done.out.ends_with(": stream closed\n\n"), "{}", done.out);
}

#[test]
fn a_second_signal_ends_the_grace_and_leaves_no_process_behind() {
    let home = Home::new();
    let served = home.serve(&["--drain", "60s"]);
    let key = std::fs::read_to_string(home.key_file()).unwrap();
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {}",
        key.trim()
    );
    let reply = http(served.addr(), &head, r#"{"input":"run sleep 6123"}"#);
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    let sleeps = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| line.starts_with(b"sleep\x006123\0")).count()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while sleeps() == 0 {
        assert!(Instant::now() < deadline, "the tool never began");
        std::thread::yield_now();
    }
    served.signal("TERM");
    served.wait_for("Stopping");
    served.signal("TERM");
    assert_eq!(served.wait().code(), Some(0));
    assert_eq!(sleeps(), 0);
}

#[test]
fn a_port_in_use_is_told_of_with_the_way_out() {
    let home = Home::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port().to_string();
    let done = home.run(&["serve", "--port", &port]);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains(&port) && done.err.contains("--port"), "{}", done.err);
}

#[test]
fn beyond_loopback_a_warning_is_given() {
    let home = Home::new();
    let served = home.serve(&["--host", "0.0.0.0"]);
    assert!(
        served.greeting.contains("Warning: 0.0.0.0:0 can be reached by others"),
        "{}",
        served.greeting
    );
    assert!(served.url.starts_with("http://127.0.0.1:"), "{}", served.url);
}

#[test]
fn a_models_key_reaches_no_tool_even_where_no_model_is_asked() {
    let home = Home::new();
    let key = "sk-0123456789abcdef";
    for (variable, flags) in
        [("OPENAI_API_KEY", &[][..]), ("OTHER_KEY", &["--api-key-env", "OTHER_KEY"])]
    {
        let line = [&["run"], flags, &["run echo the environment: && env"]].concat();
        let done = finish(home.command(&line).env(variable, key).spawn().unwrap());
        assert!(done.out.contains("PATH=") && !done.out.contains(key), "{}", done.out);
    }
}

#[test]
fn a_key_that_was_given_is_not_printed() {
    let home = Home::new();
    let served = home.serve(&["--key", "0123456789abcdef"]);
    assert!(served.greeting.contains("KEY=PUT_IT_HERE"), "{}", served.greeting);
    assert!(!served.greeting.contains("0123456789abcdef"), "{}", served.greeting);
}
