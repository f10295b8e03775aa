//! `runwire chat`: turns on a pipe and at a terminal, here and on a server.
#![cfg(all(feature = "cli", feature = "llm", feature = "sandbox", target_os = "linux"))]
mod cli_kit;

use cli_kit::{Done, Home, finish, lines, next_line, signal};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(8);

/// The program with a pipe to type into.
fn piped(home: &Home, words: &[&str]) -> (Child, ChildStdin, Receiver<String>) {
    let mut child = home.command(words).stdin(Stdio::piped()).spawn().unwrap();
    let (input, out) = (child.stdin.take().unwrap(), lines(child.stdout.take().unwrap()));
    (child, input, out)
}

fn all(home: &Home, words: &[&str], typed: &str) -> Done {
    let mut child = home.command(words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    finish(child)
}

/// The program at a terminal of its own.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    out: Receiver<String>,
    shown: String,
}

impl Terminal {
    fn new(home: &Home, words: &str) -> Terminal {
        // In the place of the shell, which would end by the Ctrl-C that the program outlives.
        let line = format!("exec {} chat {words}", env!("CARGO_BIN_EXE_runwire"));
        let mut command = home.command(&[]);
        // The terminal is made by a program of its own.
        let mut script = std::process::Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).env_clear().current_dir(&home.0);
        script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("SHELL", "/bin/sh").env("TERM", "xterm").env("NO_COLOR", "1");
        command = script;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (keys, mut bytes) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, out) = channel();
        thread::spawn(move || {
            let mut piece = [0; 1024];
            while let Ok(count @ 1..) = bytes.read(&mut piece) {
                let _ = sender.send(String::from_utf8_lossy(&piece[..count]).into_owned());
            }
        });
        Terminal { child, keys, out, shown: String::new() }
    }

    /// Waits until it shows `text`, and forgets what it has shown up to there.
    fn await_text(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                return self.shown.drain(..at + text.len()).collect();
            }
            match self.out.recv_timeout(DEADLINE) {
                Ok(piece) => self.shown.push_str(&piece),
                Err(_) => panic!("`{text}` never came, but: {}", self.shown),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn end(mut self) -> (String, i32) {
        while let Ok(piece) = self.out.recv_timeout(DEADLINE) {
            self.shown.push_str(&piece);
        }
        drop(self.keys);
        (self.shown, finish(self.child).code())
    }
}

/// A prompt at the beginning of a line.
const PROMPT: &str = "\n> ";
const TALK: &str = "run echo one\nwhat did I say before?\n";

#[test]
fn a_conversation_here_and_on_a_server_is_the_same_and_is_remembered() {
    let home = Home::new();
    let served = home.serve(&["--workspace", "."]);
    let here = all(&home, &["chat"], TALK);
    let there = all(&home, &["chat", "--server", &served.url], TALK);
    assert_eq!((here.code(), &here.out, &here.err), (there.code(), &there.out, &there.err));
    assert_eq!(here.code(), 0, "{}", here.err);
    assert!(here.out.contains("one\n") && here.out.contains("1. run echo one"), "{}", here.out);
}

#[test]
fn a_session_is_gone_on_with_and_a_new_one_knows_nothing() {
    let home = Home::new();
    let served = home.serve(&[]);
    let server = ["--server", &served.url];
    let typed = "/session work\nrun echo one\n/new\nwhat did I say before?\n/session work\n\
                 what did I say before?\n";
    for place in [&[][..], &server] {
        let done = all(&home, &[&["chat"], place].concat(), typed);
        assert_eq!(done.code(), 0, "{}", done.err);
        assert_eq!(done.out.matches("1. run echo one").count(), 1, "{}", done.out);
    }
    let again = all(
        &home,
        &["chat", "--server", &served.url, "--session", "work"],
        "what did I say before?\n",
    );
    assert!(again.out.contains("1. run echo one"), "{}", again.out);
    let listed = home.run(&["sessions", "--server", &served.url]);
    assert!(listed.out.lines().any(|line| line.starts_with("work\t3\t")), "{}", listed.out);
}

#[test]
fn sigint_stops_the_turn_and_the_next_one_is_worked_on() {
    let home = Home::new();
    let served = home.serve(&[]);
    for place in [&[][..], &["--server", &served.url]] {
        let (mut child, mut input, out) = piped(&home, &[&["chat"], place].concat());
        let notes = lines(child.stderr.take().unwrap());
        input.write_all(b"run sleep 60\n").unwrap();
        while !next_line(&notes).contains("sleep 60") {}
        signal(&child, "INT");
        while !next_line(&notes).contains("stopped") {}
        input.write_all(b"run echo again\n").unwrap();
        while next_line(&out) != "again" {}
        drop(input);
        assert_eq!(finish(child).code(), 0);
    }
}

#[test]
fn a_second_sigint_ends_the_program() {
    let home = Home::new();
    let (mut child, mut input, _out) = piped(&home, &["chat"]);
    let notes = lines(child.stderr.take().unwrap());
    input.write_all(b"run sleep 60\n").unwrap();
    while !next_line(&notes).contains("sleep 60") {}
    signal(&child, "INT");
    while !next_line(&notes).contains("stopped") {}
    signal(&child, "INT");
    assert_eq!(finish(child).code(), 130);
}

#[test]
fn at_a_terminal_questions_are_asked_inline_and_ctrl_c_stops_but_does_not_leave() {
    let home = Home::new();
    std::fs::create_dir(home.0.join("work")).unwrap();
    let served = home.serve(&["--workspace", "work"]);
    for place in ["--workspace work", &format!("--server {}", served.url)] {
        let mut terminal = Terminal::new(&home, place);
        terminal.await_text("> ");
        terminal.press("run echo x >>../out\n");
        terminal.await_text("[d]eny: ");
        terminal.press("o\n");
        terminal.await_text(PROMPT);
        assert_eq!(std::fs::read_to_string(home.0.join("out")).unwrap(), "x\n");
        terminal.press("run echo x >>../out\n");
        terminal.await_text("[d]eny: ");
        terminal.press("\x03");
        terminal.await_text("stopped");
        terminal.await_text(PROMPT);
        terminal.press("run echo on\n");
        terminal.await_text("\non\r\n");
        terminal.await_text(PROMPT);
        terminal.press("/quit\n");
        let (shown, code) = terminal.end();
        assert_eq!(code, 0, "{shown}");
        assert_eq!(std::fs::read_to_string(home.0.join("out")).unwrap(), "x\n");
        std::fs::remove_file(home.0.join("out")).unwrap();
    }
}

#[test]
fn a_turn_is_steered_and_stopped_by_what_is_typed() {
    let home = Home::new();
    let served = home.serve(&[]);
    for place in ["", &format!("--server {}", served.url)] {
        let mut terminal = Terminal::new(&home, place);
        terminal.await_text("> ");
        terminal.press("/stop\n");
        terminal.await_text("Nothing works");
        terminal.press("run sleep 1\n");
        terminal.await_text("sleep 1");
        terminal.await_text("sleep 1");
        terminal.press("/steer run echo steered\n");
        terminal.await_text("steered: run echo steered");
        terminal.await_text(PROMPT);
        terminal.press("run sleep 60\n");
        terminal.await_text("asked to run `sleep 60`");
        terminal.press("/stop\n");
        terminal.await_text("stopped");
        terminal.await_text(PROMPT);
        terminal.press("\x03");
        terminal.await_text("once more");
        terminal.press("\x03");
        let (shown, code) = terminal.end();
        assert_eq!(code, 130, "{shown}");
    }
}

#[test]
fn a_turn_that_ends_before_it_could_hear_what_was_typed_says_so() {
    let home = Home::new();
    let served = home.serve(&[]);
    for place in ["", &format!("--server {}", served.url)] {
        let mut terminal = Terminal::new(&home, place);
        terminal.await_text("> ");
        terminal.press("run sleep 60\n");
        terminal.await_text("asked to run `sleep 60`");
        terminal.press("/steer run echo steered\n/stop\n");
        terminal.await_text("stopped");
        terminal.await_text("The turn was over before it could hear that. Say it again.");
        terminal.await_text(PROMPT);
        terminal.press("run true\n");
        terminal.await_text("asked to run `true`");
        terminal.await_text(PROMPT);
        terminal.press("/quit\n");
        let (shown, code) = terminal.end();
        assert_eq!(code, 0, "{shown}");
        assert!(!shown.contains("Say it again"), "{shown}");
    }
}

#[test]
fn what_chat_cannot_do_is_told_of_and_it_goes_on() {
    let home = Home::new();
    let done = all(&home, &["chat"], "/nonsense\n\nrun echo on\n");
    assert!(done.err.contains("There is no /nonsense: /help"), "{}", done.err);
    assert!(done.code() == 0 && done.out.contains("on\n"), "{}", done.out);
    let done = home.run(&["chat", "--server", "http://127.0.0.1:9", "--key", "0123456789abcdef"]);
    assert!(done.code() == 1 && done.err.contains("`runwire serve`"), "{}", done.err);
    let served = home.serve(&[]);
    let done = home.run(&["chat", "--server", &served.url, "--key", "0123456789abcdef"]);
    assert!(done.code() == 1 && done.err.contains("RUNWIRE_KEY"), "{}", done.err);
    let done = home.run(&["chat", "--server", &served.url, "--model", "x"]);
    assert!(done.code() == 2 && done.err.contains("no effect with --server"), "{}", done.err);
}

#[test]
fn without_a_terminal_what_needs_leave_is_denied_here() {
    let home = Home::new();
    std::fs::create_dir(home.0.join("work")).unwrap();
    let done = all(&home, &["chat", "--workspace", "work"], "run echo x >../out\n");
    assert!(done.out.contains("Denied") && !home.0.join("out").exists(), "{}", done.out);
}

#[test]
fn a_list_at_a_terminal_is_a_table_no_wider_than_it() {
    let home = Home::new();
    let served = home.serve(&[]);
    let long = format!("run echo {}", "x".repeat(200));
    home.run(&["run", "--server", &served.url, &long]);
    let line =
        format!("stty cols 60; {} runs --server {}", env!("CARGO_BIN_EXE_runwire"), served.url);
    let mut script = home.command(&[]);
    let env: Vec<_> =
        script.get_envs().map(|(n, v)| (n.to_owned(), v.unwrap().to_owned())).collect();
    script = std::process::Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env_clear().envs(env).env("SHELL", "/bin/sh");
    script.current_dir(&home.0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let done = finish(script.spawn().unwrap());
    let rows: Vec<&str> = done.out.lines().collect();
    assert!(rows[0].starts_with("RUN ") && rows[1].starts_with("run_"), "{}", done.out);
    assert!(rows[1].contains("completed") && rows[1].ends_with('…'), "{}", done.out);
    assert!(rows.iter().all(|row| row.chars().count() < 60), "{}", done.out);
}
