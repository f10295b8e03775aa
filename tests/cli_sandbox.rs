//! The sandbox from the outside: on by default, and nothing survives the program that started it.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod cli_kit;

use cli_kit::{Home, finish, http, signal};
use std::fs;
use std::time::{Duration, Instant};

fn runs(mark: &str) -> bool {
    let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.into_iter().any(|line| line.contains(mark))
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn a_run_here_is_confined_unless_told_otherwise() {
    let home = Home::new();
    fs::create_dir(home.0.join("work")).unwrap();
    let write = "run `echo escaped >../outside; cat ../.ssh/id`";
    fs::create_dir(home.0.join(".ssh")).unwrap();
    fs::write(home.0.join(".ssh/id"), "sesame").unwrap();
    let bare = ["run", "--approve", "never", "--workspace", "work", write];
    let done = home.run(&bare);
    assert!(!home.0.join("outside").exists() && !done.out.contains("sesame"), "{}", done.out);
    let done = home.run(&[&bare[..], &["--sandbox", "off"]].concat());
    assert!(home.0.join("outside").exists() && done.out.contains("sesame"), "{}", done.out);
    let deny = ["run", "--sandbox", "off", "--tool-network", "deny", "run `true`"];
    let done = home.run(&deny);
    assert!(done.err.contains("--tool-network deny has no effect"), "{}", done.err);
}

#[test]
fn the_server_says_how_commands_are_confined() {
    let home = Home::new();
    let served = home.serve(&["--key", "0123456789abcdef", "--tool-network", "deny"]);
    assert!(served.greeting.contains("Commands are confined"), "{}", served.greeting);
    let head = "GET /v1/capabilities HTTP/1.1\r\nAuthorization: Bearer 0123456789abcdef";
    let page = http(served.addr(), head, "");
    assert!(
        page.contains("\"ended_by\":\"cgroup\"") || page.contains("\"ended_by\":\"supervisor\""),
        "{page}"
    );
    assert!(page.contains("\"network\":false"), "{page}");
    assert!(!page.contains("\"landlock_abi\":0"), "{page}");
}

#[test]
fn a_program_that_is_killed_leaves_no_process() {
    let home = Home::new();
    let mark = format!("8{}", 1_000_000 + std::process::id());
    let command = format!("run `trap '' TERM; setsid sleep {mark} & env -i setsid sleep {mark}`");
    let child = home.command(&["run", &command]).spawn().unwrap();
    let sleeps = format!("sleep {mark} ");
    let count = || {
        let lines = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|line| *line == sleeps).count()
    };
    eventually("both sleep", || count() == 2);
    signal(&child, "KILL");
    finish(child);
    eventually("nothing is left", || !runs(&mark));
}
