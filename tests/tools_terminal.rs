//! The terminal: what it shows, what it keeps secret, and that nothing it starts outlives it.
#![cfg(all(unix, feature = "sys"))]
mod agent_support;

use agent_support::{Dir, eventually, read};
use runwire::agent::tools::Tools;
use runwire::agent::{Cancel, Cause, Secrets, Settings};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn terminal(dir: &Dir, command: &str) -> Result<String, String> {
    dir.call("terminal", json!({"command": command}))
}

/// True while the process whose number is in `file` runs; a zombie does not.
fn runs(file: &Path) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", read(file).trim()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_command_shows_its_output_and_exit_code() {
    let dir = Dir::new();
    assert_eq!(
        terminal(&dir, "echo one; echo two >&2; echo three"),
        Ok("one\ntwo\nthree\n[exit code 0]".into())
    );
    assert_eq!(
        terminal(&dir, "printf no-line-end; exit 3"),
        Err("no-line-end\n[exit code 3]".into())
    );
    assert_eq!(terminal(&dir, "true"), Ok("[exit code 0]".into()));
    assert_eq!(terminal(&dir, "kill -9 $$"), Err("[ended by signal 9]".into()));
    assert!(terminal(&dir, "-no-option").unwrap_err().contains("[exit code 127]"));
    assert!(terminal(&dir, "echo 'unclosed").unwrap_err().contains("[exit code 2]"));
}

#[test]
fn a_command_works_in_the_workspace_or_where_it_is_told_to() {
    let dir = Dir::new();
    dir.file("sub/a", "");
    let root = dir.tools().workspace().display().to_string();
    assert_eq!(terminal(&dir, "pwd"), Ok(format!("{root}\n[exit code 0]")));
    let inside = dir.call("terminal", json!({"command": "pwd", "workdir": "sub"}));
    assert_eq!(inside, Ok(format!("{root}/sub\n[exit code 0]")));
    let missing = dir.call("terminal", json!({"command": "pwd", "workdir": "no"}));
    assert!(missing.unwrap_err().contains("not a folder"));
}

#[test]
fn a_command_has_no_input_and_may_not_be_impossible() {
    let dir = Dir::new();
    assert_eq!(terminal(&dir, "cat"), Ok("[exit code 0]".into()));
    assert!(terminal(&dir, "a\0b").unwrap_err().contains("NUL"));
    let long = "#".repeat(1 << 20);
    assert!(terminal(&dir, &long).unwrap_err().contains("file"));
}

#[test]
fn bytes_that_are_no_utf8_survive() {
    let dir = Dir::new();
    let shown = terminal(&dir, r"printf 'a\377\000b\303\251'").unwrap();
    assert_eq!(shown, "a\u{fffd}\0b\u{e9}\n[exit code 0]");
}

#[test]
fn of_a_long_output_head_and_tail_are_shown() {
    let dir = Dir::new();
    let shown = terminal(&dir, "seq 1 100000").unwrap();
    assert!(shown.len() <= 64 * 1024, "{}", shown.len());
    assert!(shown.starts_with("1\n2\n3\n"));
    assert!(shown.ends_with("\n99999\n100000\n\n[588895 bytes printed in all]\n[exit code 0]"));
    let (head, rest) = shown.split_once("\n[... ").unwrap();
    let (missing, rest) = rest.split_once(" bytes left out ...]\n").unwrap();
    let (tail, _) = rest.split_once("\n[588895").unwrap();
    let missing: usize = missing.parse().unwrap();
    assert_eq!(head.len() + missing + tail.len(), 588_895);
}

#[test]
fn no_character_is_cut_where_output_is_left_out() {
    let dir = Dir::new();
    for shift in 0..4 {
        let print = format!(
            "printf '%{shift}s' ''; yes '\u{1f680}' | tr -d '\\n' | head -c 400000; printf '%{shift}s' ''"
        );
        let shown = terminal(&dir, &print).unwrap();
        assert!(!shown.contains('\u{fffd}'), "shift {shift}");
    }
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    let dir = Dir::new();
    // A child that ignores SIGTERM, and a grandchild in the background that does too.
    let command = "trap '' TERM; (trap '' TERM; echo $$ >group; sh -c 'echo $$ >grandchild; \
                   sleep 1000' & sleep 1000) & echo started; wait";
    let started = Instant::now();
    let ended = dir.call("terminal", json!({"command": command, "timeout": 1})).unwrap_err();
    assert!(ended.starts_with("started\n[timed out after 1 s"), "{ended}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let grandchild = dir.inside("grandchild");
    eventually("the grandchild has ended", || !runs(&grandchild));
    eventually("the group is empty", || alive_in_group_of(&dir.inside("group")) == 0);
}

/// How many processes are in the group whose leader's number is in `file`.
fn alive_in_group_of(file: &Path) -> usize {
    let group = read(file).trim().to_owned();
    let stats = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats
        .filter(|stat| {
            let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let fields: Vec<&str> = after_name.split(' ').collect();
            fields.get(2) == Some(&group.as_str()) && fields[0] != "Z"
        })
        .count()
}

#[test]
fn what_runs_in_the_background_ends_with_the_command() {
    let dir = Dir::new();
    let silent = "sh -c 'echo $$ >silent; exec sleep 1000' >/dev/null 2>&1 & \
                  while [ ! -s silent ]; do :; done; echo done";
    assert_eq!(terminal(&dir, silent), Ok("done\n[exit code 0]".into()));
    eventually("the silent one has ended", || !runs(&dir.inside("silent")));
}

#[test]
fn a_background_process_that_holds_the_output_does_not_hold_the_tool() {
    let dir = Dir::new();
    let started = Instant::now();
    let holder = "sh -c 'trap \"\" TERM; echo $$ >holder; sleep 1000; sleep 1000' & \
                  while [ ! -s holder ]; do :; done; echo done";
    assert_eq!(terminal(&dir, holder), Ok("done\n[exit code 0]".into()));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    eventually("the holder has ended", || !runs(&dir.inside("holder")));
    // One that has left the group is out of reach, and still holds nothing up.
    let started = Instant::now();
    let left = "setsid sh -c 'echo $$ >left; while sleep 0.01; do echo more; done' & \
                while [ ! -s left ]; do :; done; echo done";
    assert!(terminal(&dir, left).unwrap().contains("done\n"));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let number = read(dir.inside("left"));
    assert!(Command::new("kill").args(["-9", number.trim()]).status().unwrap().success());
}

#[test]
fn a_process_may_tidy_up_when_it_is_ended() {
    let dir = Dir::new();
    let command = "trap 'echo tidied; exit' TERM; echo begun; while :; do sleep 0.01; done";
    let ends_tidily = || {
        let args = json!({"command": command, "timeout": 1});
        let ended = dir.call("terminal", args).unwrap_err();
        assert!(ended.starts_with("begun\n"), "{ended}");
        ended.contains("tidied\n")
    };
    // On a machine that is very busy the grace may be over before the shell has its turn.
    assert!((0..5).any(|_| ends_tidily()));
}

#[test]
fn a_stop_ends_a_command_at_once() {
    let dir = Dir::new();
    let tools = dir.tools();
    for command in ["echo $$ >pid; sleep 1000", "trap '' TERM; echo $$ >pid; yes"] {
        let _ = fs::remove_file(dir.inside("pid"));
        let (cancel, pid) = (Cancel::new(), dir.inside("pid"));
        let (stopped_at, ended) = std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let args = json!({"command": command}).to_string();
                let result = tools.call("terminal", &args, &cancel, &Secrets::default());
                (result, Instant::now())
            });
            eventually("the command runs", || pid.exists() && !read(&pid).is_empty());
            let stopped_at = Instant::now();
            cancel.cancel(Cause::Stop);
            let (result, ended_at) = working.join().unwrap();
            assert!(result.unwrap_err().contains("[stopped"));
            (stopped_at, ended_at)
        });
        let took = ended - stopped_at;
        println!("stopped after {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        eventually("the shell has ended", || !runs(&pid));
    }
}

#[test]
fn a_command_of_a_stopped_run_is_ended_at_once() {
    let dir = Dir::new();
    let cancel = Cancel::new();
    cancel.cancel(Cause::Stop);
    let args = json!({"command": "sleep 1000"}).to_string();
    let started = Instant::now();
    assert!(dir.tools().call("terminal", &args, &cancel, &Secrets::default()).is_err());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn commands_leave_no_zombies() {
    let dir = Dir::new();
    terminal(&dir, "true").unwrap();
    let tools = dir.tools();
    for _ in 0..20 {
        agent_support::call(&tools, "terminal", json!({"command": "sleep 1000 & true"})).unwrap();
    }
    let own = std::process::id().to_string();
    let stats = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    let zombies = stats.filter(|stat| stat.contains(&format!("(sh) Z {own} "))).count();
    // Other tests of this file may have one that is about to be reaped.
    assert!(zombies < 10, "{zombies} zombies");
}

/// Not a test of its own: what `no_key_reaches_a_command` runs, in an environment with keys.
#[test]
#[ignore = "run by no_key_reaches_a_command"]
fn shows_the_environment_of_a_command() {
    let dir = Dir::new();
    let private_env = vec!["MODEL_KEY".to_owned()];
    let tools = Tools::new(&Settings { private_env, ..dir.settings() }).unwrap();
    let secrets = Secrets::new(["sesame-sesame".to_owned()]);
    let args = json!({"command": "env"}).to_string();
    println!("{}", tools.call("terminal", &args, &Cancel::new(), &secrets).unwrap());
}

#[test]
fn no_key_reaches_a_command() {
    let own = std::env::current_exe().unwrap();
    let shown = Command::new(own)
        .args(["shows_the_environment_of_a_command", "--exact", "--ignored", "--nocapture"])
        .env("RUNWIRE_KEY", "key-1")
        .env("RUNWIRE_PORT", "1")
        .env("API_SERVER_KEY", "key-2")
        .env("MODEL_KEY", "key-3")
        .env("INNOCENT", "Bearer sesame-sesame")
        .env("KEPT", "kept-value")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("KEPT=kept-value") && shown.contains("PATH="), "{shown}");
    for word in ["key-1", "key-2", "key-3", "sesame", "RUNWIRE_", "INNOCENT"] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }
}
