//! Calls that need somebody's leave: what is asked, what a leave opens, and that it is over after
//! the one call. Where the kernel has no Landlock these tests fail.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod agent_support;

use agent_support::{Dir, Scripted, job, names, read, request, results, turn};
use runwire::agent::model::Entry;
use runwire::agent::{Cause, Job, Secrets, Settings, ToolAgent, live};
use runwire::approval::{Approve, Choice};
use runwire::event::{ApprovalRequest, Event, Kind};
use runwire::request::Steer;
use serde_json::{Value, json};
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

fn settings(dir: &Dir) -> Settings {
    Settings { launcher: Some(env!("CARGO_BIN_EXE_runwire").into()), ..dir.settings() }
}

struct Told {
    events: Vec<Kind>,
    /// What the model was shown before its last turn.
    shown: Vec<Entry>,
}

impl Told {
    fn asked(&self) -> Vec<&ApprovalRequest> {
        let asked = self.events.iter().filter_map(|kind| match kind {
            Kind::ApprovalRequest(asked) => Some(&**asked),
            _ => None,
        });
        asked.collect()
    }

    /// What the model was told of each call.
    fn told(&self) -> Vec<&str> {
        let told = self.shown.iter().filter_map(|entry| match entry {
            Entry::Tool { result, .. } => Some(result.as_str()),
            _ => None,
        });
        told.collect()
    }
}

type Calls<'a> = &'a [(&'a str, Value)];

/// One turn with these calls; `hear` is told each event as it happens.
fn run(settings: Settings, calls: Calls<'_>, mut hear: impl FnMut(&Job, &Kind)) -> Told {
    let calls: Vec<(&str, String)> =
        calls.iter().map(|(name, args)| (*name, args.to_string())).collect();
    let calls: Vec<(&str, &str, &str)> =
        calls.iter().map(|(name, args)| ("", *name, args.as_str())).collect();
    let model = Scripted::new([turn("", &calls), turn("Done.", &[])].map(Ok));
    let shown = model.shown.clone();
    let agent = ToolAgent::new(Box::new(model), settings).unwrap();
    let job = job(request("go"));
    let secrets = Secrets::new(["open-sesame-42".to_owned()]);
    let mut events = Vec::new();
    live(&agent, &job, &secrets, &mut |event: Event| {
        hear(&job, &event.kind);
        events.push(event.kind);
    });
    let shown = shown.lock().unwrap().last().unwrap().clone();
    Told { events, shown }
}

fn answered(settings: Settings, calls: Calls<'_>, choice: Choice) -> Told {
    run(settings, calls, |job, kind| {
        if matches!(kind, Kind::ApprovalRequest(_)) {
            job.inbox.decide(choice);
        }
    })
}

fn terminal(command: &str) -> (&'static str, Value) {
    ("terminal", json!({ "command": command }))
}

#[test]
fn a_write_outside_works_with_leave_and_the_next_call_is_confined_again() {
    let dir = Dir::new();
    fs::write(dir.path("outside"), "safe").unwrap();
    let never = Settings { approve: Approve::Never, ..settings(&dir) };
    let told = answered(never, &[terminal("echo x >../outside")], Choice::Once);
    assert!(told.asked().is_empty());
    assert!(told.told()[0].contains("ermission denied"), "{:?}", told.told());
    assert_eq!(read(dir.path("outside")), "safe");

    // The second command writes there unseen by the rules: only the sandbox holds it.
    fs::write(dir.path("workspace/later.sh"), "echo y >../outside; echo y >../beside").unwrap();
    let calls = [terminal("echo x >../outside; echo z >../beside2"), terminal("sh later.sh")];
    let told = answered(settings(&dir), &calls[..], Choice::Once);
    assert_eq!(told.asked().len(), 1, "{:?}", told.asked());
    assert_eq!(read(dir.path("outside")), "x\n");
    assert!(told.told()[1].contains("ermission denied"), "{:?}", told.told());
    assert!(!dir.path("beside").exists());
}

#[test]
fn a_leave_opens_only_the_place_that_is_named() {
    let dir = Dir::new();
    fs::write(dir.path("outside"), "safe").unwrap();
    fs::write(dir.path("other"), "safe").unwrap();
    fs::write(dir.path("workspace/more.sh"), "echo y >../other").unwrap();
    let told =
        answered(settings(&dir), &[terminal("echo x >../outside; sh more.sh")], Choice::Always);
    let asked = told.asked();
    let place = dir.path("outside").display().to_string();
    assert_eq!(
        asked[0].description,
        format!(
            "This command writes outside the workspace. If you allow it, this one command may \
             write in {place}."
        )
    );
    assert_eq!(read(dir.path("outside")), "x\n");
    assert_eq!(read(dir.path("other")), "safe");
}

#[test]
fn a_file_is_made_beside_keys_which_stay_unread() {
    let dir = Dir::new();
    fs::create_dir(dir.path("state")).unwrap();
    fs::write(dir.path("state/key"), "open sesame").unwrap();
    dir.file("peek.sh", "cat ../state/key");
    let settings = Settings { private: vec![dir.path("state")], ..settings(&dir) };
    let told = answered(settings, &[terminal("echo x >../new; sh peek.sh")], Choice::Once);
    assert!(told.asked()[0].description.contains("but not read them"), "{:?}", told.asked());
    assert_eq!(read(dir.path("new")), "x\n");
    assert!(!told.told()[0].contains("sesame"), "{:?}", told.told());
}

#[test]
fn a_denied_call_is_not_carried_out_and_the_model_is_told_so_and_goes_on() {
    let dir = Dir::new();
    fs::write(dir.path("outside"), "safe").unwrap();
    let calls = [terminal("rm ../outside; touch here"), terminal("echo next")];
    let told = answered(settings(&dir), &calls, Choice::Deny);
    assert_eq!(read(dir.path("outside")), "safe");
    assert!(!dir.inside("here").exists(), "no part of it is carried out");
    assert!(told.told()[0].starts_with("[tool error] Denied: the person in charge"));
    assert_eq!(told.told()[1], "next\n[exit code 0]");
    assert_eq!(
        names(&told.events)[..4],
        ["tool.started", "approval.request", "tool.completed", "tool.started"]
    );
    assert!(matches!(told.events.last(), Some(Kind::Completed(_))));
    let errors: Vec<bool> = results(&told.events).iter().map(|(_, error)| *error).collect();
    assert_eq!(errors, [true, false]);
}

#[test]
fn what_is_asked_is_masked_and_what_is_carried_out_is_not() {
    let dir = Dir::new();
    let command = "echo open-sesame-42 >../outside";
    let told = answered(settings(&dir), &[terminal(command)], Choice::Once);
    let asked = told.asked()[0];
    assert_eq!(
        (asked.tool.as_str(), asked.command.as_str()),
        ("terminal", "echo [secret] >../outside")
    );
    assert!(!asked.allow_permanent && asked.arguments.is_empty(), "no secret is remembered");
    assert_eq!(read(dir.path("outside")), "open-sesame-42\n");
}

#[test]
fn a_leave_is_for_exactly_the_call_and_what_it_opens() {
    let dir = Dir::new();
    let [one, two] = ["one", "two"].map(|name| {
        fs::create_dir(dir.path(name)).unwrap();
        dir.path(name)
    });
    let link = dir.inside("link");
    let asked = |to: &std::path::Path| {
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(to, &link).unwrap();
        let told = answered(settings(&dir), &[terminal("echo x >link/a")], Choice::Deny);
        told.asked()[0].arguments.clone()
    };
    let first = asked(&one);
    assert_eq!(first, asked(&one));
    assert_ne!(first, asked(&two), "the same words, but another place");
    fs::write(one.join("a"), "").unwrap();
    assert_eq!(first, asked(&one), "the file is there meanwhile, and the place is the same");
    assert!(first.contains("echo x >link/a"), "{first}");
}

#[test]
fn a_stop_ends_a_run_that_waits_for_a_decision() {
    let dir = Dir::new();
    let told = run(settings(&dir), &[terminal("rm ../outside")], |job, kind| {
        if matches!(kind, Kind::ApprovalRequest(_)) {
            let cancel = job.cancel.clone();
            std::thread::spawn(move || cancel.cancel(Cause::Stop));
        }
    });
    assert_eq!(names(&told.events), ["tool.started", "approval.request", "run.cancelled"]);
}

#[test]
fn a_steer_while_a_decision_is_awaited_skips_what_comes_after_without_asking() {
    let dir = Dir::new();
    let calls = [terminal("echo x >../one"), terminal("echo x >../two")];
    let told = run(settings(&dir), &calls, |job, kind| {
        if matches!(kind, Kind::ApprovalRequest(_)) {
            job.inbox.push(Arc::new(Steer { text: "stop that".to_owned(), interrupt: true }));
            job.inbox.decide(Choice::Once);
        }
    });
    assert_eq!(told.asked().len(), 1);
    assert_eq!([dir.path("one"), dir.path("two")].map(|path| path.exists()), [true, false]);
    assert!(told.told()[1].contains("Skipped: the user"), "{:?}", told.told());
}

#[test]
fn a_call_that_is_denied_by_an_interruption_is_not_called_forbidden() {
    let dir = Dir::new();
    let told = run(settings(&dir), &[terminal("echo x >../one")], |job, kind| {
        if matches!(kind, Kind::ApprovalRequest(_)) {
            job.inbox.push(Arc::new(Steer { text: "stop that".to_owned(), interrupt: true }));
            job.inbox.decide(Choice::Deny);
        }
    });
    assert!(!dir.path("one").exists());
    assert!(told.told()[0].contains("the user has said something"), "{:?}", told.told());
}

#[test]
fn the_time_to_decide_is_not_the_tools() {
    let dir = Dir::new();
    let told = run(settings(&dir), &[terminal("echo x >../one")], |job, kind| {
        if matches!(kind, Kind::ApprovalRequest(_)) {
            let inbox = job.inbox.clone();
            std::thread::spawn(move || {
                // The point of the test: somebody takes this long.
                std::thread::sleep(Duration::from_millis(1_500));
                inbox.decide(Choice::Deny);
            });
        }
    });
    let took = told.events.iter().find_map(|kind| match kind {
        Kind::ToolCompleted(done) => Some(done.duration),
        _ => None,
    });
    assert!(took.unwrap() < 1.0, "{took:?}");
}

#[test]
fn file_tools_write_outside_with_leave_and_never_what_is_closed() {
    let dir = Dir::new();
    fs::create_dir(dir.path("state")).unwrap();
    fs::write(dir.path("old"), "one two").unwrap();
    let settings = Settings { private: vec![dir.path("state")], ..settings(&dir) };
    let new = dir.path("a/new");
    let calls = [
        ("write_file", json!({"path": new, "content": "text"})),
        ("edit_file", json!({"path": "../old", "old_string": "one", "new_string": "1"})),
        ("write_file", json!({"path": "../state/key", "content": "mine"})),
        ("read_file", json!({"path": "../old"})),
    ];
    let told = answered(settings.clone(), &calls, Choice::Once);
    assert_eq!(read(&new), "text");
    assert_eq!(read(dir.path("old")), "1 two");
    assert!(!dir.path("state/key").exists());
    let asked: Vec<&str> = told.asked().iter().map(|asked| asked.command.as_str()).collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0], format!("Write this to {}:\ntext", new.display()));
    let denied = answered(settings, &calls[..1], Choice::Deny);
    assert!(denied.told()[0].contains("Denied"));
}

#[test]
fn a_link_that_is_swapped_while_somebody_decides_leads_nowhere() {
    let dir = Dir::new();
    for name in ["shown", "hidden"] {
        fs::create_dir(dir.path(name)).unwrap();
    }
    let link = dir.inside("link");
    std::os::unix::fs::symlink(dir.path("shown"), &link).unwrap();
    let calls = [("write_file", json!({"path": "link/a", "content": "x"}))];
    let told = run(settings(&dir), &calls, |job, kind| {
        if matches!(kind, Kind::ApprovalRequest(_)) {
            fs::remove_file(&link).unwrap();
            std::os::unix::fs::symlink(dir.path("hidden"), &link).unwrap();
            job.inbox.decide(Choice::Once);
        }
    });
    assert!(told.told()[0].contains("outside the workspace"), "{:?}", told.told());
    assert!(!dir.path("hidden/a").exists() && !dir.path("shown/a").exists());
}

#[test]
fn with_leave_a_command_that_asks_for_privilege_runs_unconfined() {
    let dir = Dir::new();
    // A `sudo` of our own, which shows what it may do.
    dir.file("sudo", "#!/bin/sh\n\"$@\"\n");
    let command = "sh -c 'PATH=.; sudo x' 2>/dev/null; echo x >$(echo ../)free; \
                   grep NoNewPrivs /proc/self/status";
    let told = answered(settings(&dir), &[terminal(command)], Choice::Once);
    assert!(told.asked()[0].description.contains("runs unconfined"), "{:?}", told.asked());
    assert!(told.told()[0].contains("NoNewPrivs:\t0"), "{:?}", told.told());
    assert!(dir.path("free").exists());
}

#[test]
fn with_leave_a_command_gets_the_network_and_only_that() {
    let dir = Dir::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = "bash connect.sh";
    dir.file("connect.sh", format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected"));
    let settings = Settings { tool_network: false, ..settings(&dir) };
    // What sends is asked about; this one sends nothing, for want of a peer.
    let sends = format!("curl -sm 1 -d a http://127.0.0.1:1; {connect}; echo x >$(echo ..)/free");
    let calls = [terminal(&sends), terminal(connect)];
    let told = answered(settings, &calls, Choice::Once);
    assert!(told.asked()[0].description.contains("may use the network"), "{:?}", told.asked());
    assert!(told.told()[0].contains("connected"), "{:?}", told.told());
    assert!(told.told()[1].contains("ermission denied"), "{:?}", told.told());
    assert!(!dir.path("free").exists());
}

#[test]
fn always_asks_for_whatever_is_more_than_reading() {
    let dir = Dir::new();
    dir.file("a", "text");
    let settings = Settings { approve: Approve::Always, ..settings(&dir) };
    let calls = [
        ("read_file", json!({"path": "a"})),
        ("list_files", json!({})),
        ("search_files", json!({"text": "x"})),
        ("write_file", json!({"path": "b", "content": "x"})),
        terminal("true"),
        ("no_such_tool", json!({})),
        ("write_file", json!({"path": 7})),
    ];
    let told = answered(settings, &calls, Choice::Once);
    let tools: Vec<&str> = told.asked().iter().map(|asked| asked.tool.as_str()).collect();
    assert_eq!(tools, ["write_file", "terminal"]);
    assert!(told.told()[5].contains("There is no tool"));
}

#[test]
fn a_file_of_keys_is_read_with_leave_only() {
    let dir = Dir::new();
    dir.file(".env", "PASSWORD=x");
    dir.file(".env.example", "PASSWORD=");
    let calls = [".env", ".env.example"].map(|path| ("read_file", json!({"path": path})));
    let told = answered(settings(&dir), &calls, Choice::Deny);
    assert_eq!(told.asked().len(), 1);
    assert!(told.told()[0].contains("Denied") && told.told()[1].contains("PASSWORD="));
}
