//! No process outlives its command: whatever it does to its session, its group or its supervisor,
//! with each means of ending it that there is.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod agent_support;

use agent_support::processes::{mark, marked, means, settings, terminal};
use agent_support::{Dir, call, eventually, read};
use runwire::agent::tools::Tools;
use runwire::agent::{Cancel, Cause, Secrets, Settings};
use runwire::config::EndedBy;
use serde_json::json;
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Ways to outlive one's command, each with a process that sleeps for `$S` seconds.
const ESCAPES: &[(&str, &str)] = &[
    ("setsid", "setsid sleep $S & echo"),
    ("double fork", "(sh -c 'sleep $S & exit 0' &) ; (setsid sh -c 'setsid sleep $S & exit 0' &)"),
    ("no environment", "env -i setsid sleep $S & (env -i sh -c \"sleep $S &\" &)"),
    (
        "no SIGTERM",
        "trap '' TERM HUP INT; setsid sh -c 'trap \"\" TERM; sleep $S; sleep $S' & echo",
    ),
    ("nohup", "nohup setsid sleep $S >/dev/null 2>&1 & echo"),
    ("stopped", "setsid sleep $S & kill -STOP $!"),
    (
        "fork loop",
        "setsid sh -c 'i=0; while [ $i -lt 300 ]; do (setsid sleep $S &); i=$((i+1)); done' & sleep 0.2",
    ),
    ("relay", "setsid sh -c 'r() { sleep 0.01; (r & ); }; sleep $S & r' & sleep 0.1"),
    ("group left", LEAVES_ITS_GROUP),
    (KILLS_ITS_SUPERVISOR, "setsid sleep $S & kill -9 $PPID; echo"),
];
const KILLS_ITS_SUPERVISOR: &str = "supervisor killed";
/// Moves two levels up, into the group of the server.
const LEAVES_ITS_GROUP: &str = "at=$(sed -n 's/^[0-9]* [0-9]* [^ ]* \\/ \\([^ ]*\\) .* - cgroup2 .*/\\1/p' \
     /proc/self/mountinfo | head -n 1); own=$(sed -n 's/^0:://p' /proc/self/cgroup); \
     (echo 0 >$at${own%/*/*}/cgroup.procs; setsid sleep $S) & sleep 0.1";

/// Confined or not, with a cgroup where there can be one, and without.
fn each_way(mut visit: impl FnMut(&Dir, &Tools, bool, EndedBy)) {
    let dir = Dir::new();
    for sandbox in [true, false] {
        for cgroup in [true, false] {
            let tools = Tools::new(&Settings { sandbox, cgroup, ..settings(&dir) }).unwrap();
            let ended_by = tools.confinement().unwrap().ended_by;
            assert_eq!(ended_by, if cgroup { means() } else { EndedBy::Supervisor });
            visit(&dir, &tools, sandbox, ended_by);
        }
    }
}

/// A command that is not confined can kill the only one who could end the others.
fn is_beyond(way: &str, is_confined: bool, ended_by: EndedBy) -> bool {
    way == KILLS_ITS_SUPERVISOR && !is_confined && ended_by == EndedBy::Supervisor
}

#[test]
fn nothing_outlives_its_command() {
    let mut number = 0;
    each_way(|_, tools, is_confined, ended_by| {
        for (way, command) in ESCAPES {
            if is_beyond(way, is_confined, ended_by) {
                continue;
            }
            number += 1;
            let mark = mark(number);
            let started = Instant::now();
            let ended = terminal(tools, &format!("export S={mark}; {command}"));
            let left = marked(&mark);
            assert!(left.is_empty(), "{way}, {ended_by:?}: {left:?} after {ended:?}");
            println!("{way}, {ended_by:?}, confined {is_confined}: {:?}", started.elapsed());
        }
    });
}

/// Calls the command, stops it once it says `ready`, and gives its result and what it took.
fn stopped(dir: &Dir, tools: &Tools, command: &str, mark: &str) -> (String, Duration) {
    let (cancel, ready) = (Cancel::new(), dir.inside("ready"));
    let _ = fs::remove_file(&ready);
    let command = format!("export S={mark}; {command}; echo >ready; sleep $S");
    let args = json!({"command": command}).to_string();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let ended = tools.call("terminal", &args, &cancel, &Secrets::default());
            (ended, Instant::now(), marked(mark))
        });
        eventually("the command runs", || ready.exists());
        let at = Instant::now();
        cancel.cancel(Cause::Stop);
        let (ended, ended_at, left) = working.join().unwrap();
        assert!(left.is_empty(), "{command}: {left:?}");
        (ended.unwrap_err(), ended_at - at)
    })
}

#[test]
fn nothing_outlives_a_stop() {
    let mut number = 200;
    each_way(|dir, tools, is_confined, ended_by| {
        for (way, command) in ESCAPES {
            if *way == KILLS_ITS_SUPERVISOR && !is_confined {
                // Its shell dies with it, before there is anything to stop.
                continue;
            }
            number += 1;
            let (shown, took) = stopped(dir, tools, command, &mark(number));
            assert!(shown.contains("[stopped"), "{way}: {shown}");
            println!("{way}, {ended_by:?}: stopped after {took:?}");
            assert!(took < Duration::from_secs(1), "{way}: {took:?}");
        }
    });
}

#[test]
fn nothing_outlives_a_timeout() {
    let mut number = 400;
    each_way(|_, tools, _, _| {
        number += 1;
        let mark = mark(number);
        let args = json!({"command": format!("setsid sleep {mark} & sleep {mark}"), "timeout": 1});
        assert!(call(tools, "terminal", args).unwrap_err().contains("[timed out after 1 s"));
        assert!(marked(&mark).is_empty());
    });
}

/// Each process starts two more until there are enough, and none listens to SIGTERM.
#[test]
fn a_storm_of_forks_is_over_with_its_command() {
    let mut number = 500;
    each_way(|dir, tools, _, ended_by| {
        number += 1;
        let mark = mark(number);
        let _ = fs::remove_file(dir.inside("born"));
        let storm = "trap '' TERM; cat >storm <<'EOF'\ntrap '' TERM\necho >>born\n\
                     [ $1 -gt 0 ] && { setsid sh storm $(($1-1)) & setsid sh storm $(($1-1)) & }\n\
                     sleep $S\nEOF\n>born; setsid sh storm 7 & \
                     while [ $(wc -l <born) -lt 100 ]; do sleep 0.01; done";
        let (shown, took) = stopped(dir, tools, storm, &mark);
        println!("storm, {ended_by:?}: over after {took:?}");
        assert!(shown.contains("[stopped"), "{shown}");
    });
}

#[test]
fn a_supervisor_that_was_stopped_keeps_nothing_alive_where_there_are_cgroups() {
    if means() != EndedBy::Cgroup {
        eprintln!("not looked at: no cgroup2 mount can be written to here");
        return;
    }
    let dir = Dir::new();
    let tools = Tools::new(&Settings { sandbox: false, ..settings(&dir) }).unwrap();
    let mark = mark(600);
    let command =
        format!("echo $PPID >parent; setsid sleep {mark} & kill -STOP $PPID; sleep {mark}");
    let ended = call(&tools, "terminal", json!({"command": command, "timeout": 1}));
    assert!(ended.is_err() && marked(&mark).is_empty(), "{ended:?}");
    let supervisor = format!("/proc/{}", read(dir.inside("parent")).trim());
    eventually("the supervisor is gone", || !PathBuf::from(&supervisor).exists());
}

/// The folders of this process's tools among the cgroups.
fn folders() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap().to_owned();
    runwire::agent::cgroup::mounts().iter().map(|at| at.join(&own)).collect()
}

#[test]
fn a_command_is_in_a_group_of_its_own_that_goes_with_it() {
    if means() != EndedBy::Cgroup {
        eprintln!("not looked at: no cgroup2 mount can be written to here");
        return;
    }
    let dir = Dir::new();
    let tools = Tools::new(&settings(&dir)).unwrap();
    let group = || {
        let shown = terminal(&tools, "sed -n 's/^0:://p' /proc/self/cgroup").unwrap();
        shown.lines().next().unwrap().to_owned()
    };
    let (one, two) = (group(), group());
    assert!(one != two && one.contains("/runwire-"), "{one} {two}");
    let servers = one.rsplit_once('/').unwrap().0.trim_start_matches('/').to_owned();
    let at: Vec<PathBuf> =
        runwire::agent::cgroup::mounts().iter().map(|at| at.join(&servers)).collect();
    let folder = at.iter().find(|folder| folder.exists()).unwrap();
    let below = fs::read_dir(folder).unwrap().flatten();
    assert_eq!(below.filter(|entry| entry.path().is_dir()).count(), 0);
    drop(tools);
    assert!(!folder.exists());
}

/// What is open to writing is all but the secrets; a cgroup must not be.
#[test]
fn a_confined_command_leaves_its_group_nowhere() {
    let dir = Dir::new();
    for allow_outside in [false, true] {
        let tools = Tools::new(&Settings { allow_outside, ..settings(&dir) }).unwrap();
        let shown = terminal(
            &tools,
            "before=$(grep ^0:: /proc/self/cgroup); for at in $(sed -n \
             's/^[0-9]* [0-9]* [^ ]* [^ ]* \\([^ ]*\\) .* - cgroup2 .*/\\1/p' /proc/self/mountinfo); do \
             echo 0 >$at/cgroup.procs; mkdir $at/mine; for sub in $at/runwire-*; do \
             echo 1 >$sub/cgroup.kill; rmdir $sub; done; done; \
             [ \"$before\" = \"$(grep ^0:: /proc/self/cgroup)\" ] && cat /proc/self/cgroup",
        );
        let shown = shown.unwrap();
        let group = shown.lines().find(|line| line.starts_with("0::")).unwrap();
        assert_eq!(group.contains("/runwire-"), means() == EndedBy::Cgroup, "{shown}");
    }
}

#[test]
fn what_a_server_left_behind_goes_with_the_next_start_and_what_one_uses_stays() {
    if means() != EndedBy::Cgroup {
        eprintln!("not looked at: no cgroup2 mount can be written to here");
        return;
    }
    let dir = Dir::new();
    let place = folders().into_iter().find(|at| at.exists()).unwrap();
    let left = place.join(format!("runwire-left{}", std::process::id()));
    // Held as a server would, against the other tests' servers.
    let mut held = None;
    eventually("it is made and locked", || {
        let _ = fs::create_dir(&left);
        held = File::open(&left).ok().filter(|folder| folder.lock_shared().is_ok());
        fs::create_dir_all(left.join("0/deeper")).is_ok()
    });
    let mark = mark(700);
    let enter = format!("echo 0 >{}/0/deeper/cgroup.procs; exec sleep {mark}", left.display());
    let mut orphan = std::process::Command::new("sh").args(["-c", &enter]).spawn().unwrap();
    eventually("it sleeps in its group", || {
        marked(&mark).iter().any(|line| line.starts_with("sleep"))
    });
    let used = Tools::new(&settings(&dir)).unwrap();
    assert!(left.exists());
    drop(held);
    drop(Tools::new(&settings(&dir)).unwrap());
    eventually("what was in it has ended", || orphan.try_wait().unwrap().is_some());
    eventually("what was left is gone", || !left.exists());
    assert_eq!(terminal(&used, "true"), Ok("[exit code 0]".into()));
}
