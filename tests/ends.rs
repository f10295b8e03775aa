//! The end of a run, seen from outside: a real server, real commands, and nobody left of them when
//! the run's last event is there. A stop is taken in every state a run can be in.
#![cfg(all(feature = "sandbox", feature = "sqlite", target_os = "linux"))]
mod served;

use serde_json::{Value, json};
use served::{Place, Server, wait_for};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// The settings under which each means is in use, and confinement or not.
const WAYS: [[&str; 4]; 4] = [
    ["--sandbox", "on", "--cgroup", "auto"],
    ["--sandbox", "on", "--cgroup", "off"],
    ["--sandbox", "off", "--cgroup", "auto"],
    ["--sandbox", "off", "--cgroup", "off"],
];

/// A number of seconds to sleep that nothing else uses.
fn mark(number: u32) -> String {
    format!("{}{number:03}", 6_000_000 + u64::from(std::process::id()))
}

/// The processes that sleep for so long, zombies apart.
fn sleeping(mark: &str) -> Vec<u32> {
    let sleeps = format!("sleep\0{mark}\0");
    let number = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let is_one = line == sleeps.as_bytes();
        entry.file_name().to_str()?.parse().ok().filter(|_| is_one)
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(number).collect()
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

fn kill(pid: u32) {
    assert!(Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status().unwrap().success());
}

fn await_sleepers(mark: &str, count: usize) -> Vec<u32> {
    wait_for("the sleepers", || Some(sleeping(mark)).filter(|found| found.len() >= count))
}

fn stop(server: &Server, run: &str) -> (u16, Value) {
    let reply = server.post(&format!("/v1/runs/{run}/stop"), "", "");
    (reply.status, reply.json()["status"].clone())
}

fn status(server: &Server, run: &str) -> Value {
    server.get(&format!("/v1/runs/{run}")).json()["status"].clone()
}

fn ended_by(server: &Server) -> Value {
    let page = server.get("/v1/capabilities").json()["terminal"].clone();
    assert_eq!(server.get("/health/detailed").json()["terminal"], page);
    page["ended_by"].clone()
}

/// The folder in which this server has its commands' cgroups, if there is one.
fn folder(server: &Server) -> Option<PathBuf> {
    let run = server.run("run `grep ^0:: /proc/self/cgroup`");
    let shown = format!("{:?}", server.frames(&run));
    let inner = shown.split("0::/").nth(1)?.split_once("runwire-")?;
    let name = format!("{}runwire-{}", inner.0, inner.1.split('/').next()?);
    let mounts = runwire::agent::cgroup::mounts();
    mounts.into_iter().map(|at| at.join(&name)).find(|folder| folder.exists())
}

/// A command whose processes do what they can to stay, `count` of which sleep.
fn stays(mark: &str) -> (String, usize) {
    let command = format!(
        "run `trap '' TERM HUP INT; setsid sleep {mark} & (env -i setsid sh -c 'trap \"\" TERM; \
         sleep {mark}' &); (setsid setsid sleep {mark} &); sleep {mark}`"
    );
    (command, 4)
}

#[test]
fn the_last_event_of_a_stopped_run_finds_no_process_left() {
    for (number, way) in WAYS.iter().enumerate() {
        let place = Place::new();
        let server = place.start(way);
        let mark = mark(number as u32);
        let (command, count) = stays(&mark);
        let run = server.run(&command);
        await_sleepers(&mark, count);
        let begun = Instant::now();
        assert_eq!(stop(&server, &run), (200, json!("stopping")));
        let last = server.frames(&run).pop().unwrap();
        let left = sleeping(&mark);
        println!("{way:?}, {}: stop to last event {:?}", ended_by(&server), begun.elapsed());
        assert_eq!(last.json()["event"], "run.cancelled", "{way:?}");
        assert!(left.is_empty(), "{way:?}: {left:?}");
        assert_eq!(stop(&server, &run), (200, json!("cancelled")));
    }
}

#[test]
fn a_stop_is_taken_in_every_state() {
    for way in &WAYS[..2] {
        let (place, model) = (Place::new(), served::model::Model::start());
        let server = place.start(&[&way[..], &model.flags(), &["--max-runs", "1"]].concat());
        // It waits for its model, which says nothing yet.
        let asking = server.run("wait 1");
        wait_for("it runs", || (status(&server, &asking) == "running").then_some(()));
        let queued = server.run("wait 1");
        assert_eq!(status(&server, &queued), "queued");
        assert_eq!(stop(&server, &queued), (200, json!("stopping")));
        assert_eq!(server.frames(&queued).pop().unwrap().event(), "run.cancelled");
        assert_eq!(stop(&server, &asking), (200, json!("stopping")));
        let again = stop(&server, &asking);
        assert!(again.1 == "stopping" || again.1 == "cancelled", "{again:?}");
        assert_eq!(server.frames(&asking).pop().unwrap().event(), "run.cancelled");
        // Stopped in the moment it is taken up.
        let place = Place::new();
        let server = place.start(&[&way[..], &["--max-runs", "1"]].concat());
        for number in 0..20 {
            let mark = mark(100 + number);
            let run = server.run(&format!("run `setsid sleep {mark} & sleep {mark}`"));
            assert_eq!(stop(&server, &run).0, 200);
            assert_eq!(server.frames(&run).pop().unwrap().event(), "run.cancelled");
            assert!(sleeping(&mark).is_empty());
        }
    }
}

#[test]
fn a_server_that_is_killed_leaves_no_process_and_no_cgroup() {
    for (number, way) in WAYS.iter().enumerate() {
        let place = Place::new();
        let mut server = place.start(way);
        let mark = mark(200 + number as u32);
        let folder = folder(&server);
        assert_eq!(folder.is_some(), ended_by(&server) == "cgroup");
        let (command, count) = stays(&mark);
        server.run(&command);
        await_sleepers(&mark, count);
        server.kill();
        wait_for("nobody is left", || sleeping(&mark).is_empty().then_some(()));
        if let Some(folder) = folder {
            wait_for("no folder is left", || (!folder.exists()).then_some(()));
        }
    }
}

/// Nobody is there to end the command: the supervisor goes first, the server with it.
#[test]
fn what_is_left_of_a_server_and_its_supervisor_ends_with_the_next_start() {
    let place = Place::new();
    let mut server = place.start(&WAYS[2]);
    let Some(folder) = folder(&server) else {
        eprintln!("not looked at: no cgroup2 mount can be written to here");
        return;
    };
    let mark = mark(300);
    server.run(&format!("run `setsid sleep {mark} & sleep {mark}`"));
    let sleepers = await_sleepers(&mark, 2);
    let shell = sleepers.iter().map(|pid| parent(*pid)).find(|pid| is_shell(*pid)).unwrap();
    let supervisor = parent(shell);
    // Stopped, so that it does not see the server go.
    assert!(
        Command::new("kill").args(["-STOP", &supervisor.to_string()]).status().unwrap().success()
    );
    server.kill();
    kill(supervisor);
    assert!(!sleeping(&mark).is_empty(), "the test tests nothing");
    let next = place.start(&WAYS[2]);
    wait_for("nobody is left", || sleeping(&mark).is_empty().then_some(()));
    wait_for("no folder is left", || (!folder.exists()).then_some(()));
    drop(next);
}

fn is_shell(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with(b"/bin/sh\0-c\0--\0")
}

#[test]
fn a_command_that_kills_its_supervisor_leaves_nothing_where_it_can_and_where_it_cannot() {
    for (number, way) in WAYS[..3].iter().enumerate() {
        let place = Place::new();
        let server = place.start(way);
        if number == 2 && ended_by(&server) != "cgroup" {
            eprintln!("not looked at: no cgroup2 mount can be written to here");
            continue;
        }
        let mark = mark(400 + number as u32);
        let run = server.run(&format!("run `setsid sleep {mark} & sleep 0.05; kill -9 $PPID`"));
        let frames = server.frames(&run);
        assert!(sleeping(&mark).is_empty(), "{way:?}: {frames:?}");
        assert!(frames.last().unwrap().is_terminal());
    }
}

#[test]
fn the_server_says_what_ends_its_commands() {
    let place = Place::new();
    let mut starting = place.spawn(&["--cgroup", "off"]);
    starting.await_line("Commands:  confined, ended by a supervisor");
    let server = Place::new();
    let server = server.start(&["--cgroup", "off"]);
    assert_eq!(ended_by(&server), "supervisor");
}
