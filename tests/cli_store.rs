//! Runs that outlive the server: the real binary, stopped, killed and started again.
#![cfg(all(feature = "cli", feature = "sqlite"))]
mod cli_kit;

use cli_kit::{Home, Served, finish, http};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const KEY: &str = "0123456789abcdef";

fn serve(home: &Home, flags: &[&str]) -> Served {
    home.serve(&[&["--key", KEY], flags].concat())
}

fn get(served: &Served, path: &str) -> String {
    http(served.addr(), &format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {KEY}"), "")
}

/// What comes behind the head, which is where dates are.
fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").unwrap().1
}

fn submit(served: &Served, body: &str) -> String {
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {KEY}"
    );
    http(served.addr(), &head, body)
}

fn post(served: &Served, body: &str) -> String {
    let reply = submit(served, body);
    assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
    let reply: Value = serde_json::from_str(self::body(&reply)).unwrap();
    reply["run_id"].as_str().unwrap().to_owned()
}

fn status(served: &Served, run: &str) -> String {
    let reply = get(served, &format!("/v1/runs/{run}"));
    let reply: Value = serde_json::from_str(body(&reply)).unwrap();
    reply["status"].as_str().unwrap_or_else(|| panic!("{reply}")).to_owned()
}

fn wait_for_status(served: &Served, run: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while status(served, run) != wanted {
        assert!(Instant::now() < deadline, "{run} is {}", status(served, run));
        std::thread::yield_now();
    }
}

fn file(home: &Home) -> PathBuf {
    home.0.join(".local/state/runwire/runs.db")
}

fn stop(served: Served) {
    served.signal("TERM");
    assert_eq!(served.wait().code(), Some(0));
}

#[test]
fn a_run_is_byte_for_byte_the_same_after_a_restart() {
    let home = Home::new();
    let first = serve(&home, &[]);
    assert!(first.greeting.contains("Store:     "), "{}", first.greeting);
    assert!(first.greeting.contains(file(&home).to_str().unwrap()), "{}", first.greeting);
    let run = post(&first, r#"{"input":"list files in /"}"#);
    let (record, events) = (format!("/v1/runs/{run}"), format!("/v1/runs/{run}/events"));
    let streamed = get(&first, &events);
    assert!(streamed.contains("\"run.completed\""), "{streamed}");
    let told = get(&first, &record);
    stop(first);
    let second = serve(&home, &[]);
    assert_eq!(body(&get(&second, &events)), body(&streamed));
    assert_eq!(body(&get(&second, &record)), body(&told));
    let from = get(&second, &format!("{events}?last_seq=1"));
    assert!(from.contains("id: 2\n") && !from.contains("id: 1\n"), "{from}");
}

#[test]
fn what_was_shown_outlives_kill_9() {
    let home = Home::new();
    let first = serve(&home, &[]);
    let done = post(&first, r#"{"input":"list files in /"}"#);
    let events = format!("/v1/runs/{done}/events");
    let streamed = get(&first, &events);
    let working = post(&first, r#"{"input":"run `sleep 60`"}"#);
    wait_for_status(&first, &working, "running");
    first.signal("KILL");
    first.wait();
    let second = serve(&home, &[]);
    assert_eq!(body(&get(&second, &events)), body(&streamed));
    wait_for_status(&second, &working, "interrupted");
}

#[test]
fn a_run_that_waited_when_the_server_was_stopped_works_after_the_next_start() {
    let home = Home::new();
    let first = serve(&home, &["--max-runs", "1", "--drain", "0"]);
    let working = post(&first, r#"{"input":"run `sleep 60`"}"#);
    wait_for_status(&first, &working, "running");
    let waiting = post(&first, r#"{"input":"list files in /"}"#);
    assert_eq!(status(&first, &waiting), "queued");
    stop(first);
    let second = serve(&home, &[]);
    let streamed = get(&second, &format!("/v1/runs/{waiting}/events"));
    assert!(streamed.contains("\"run.completed\""), "{streamed}");
    assert_eq!(status(&second, &working), "interrupted");
}

#[test]
fn a_conversation_goes_on_after_a_restart() {
    let home = Home::new();
    let first = serve(&home, &[]);
    let run = post(&first, r#"{"input":"my dog is called Rex","session_id":"dogs"}"#);
    assert!(get(&first, &format!("/v1/runs/{run}/events")).contains("\"run.completed\""));
    stop(first);
    let second = serve(&home, &[]);
    let run = post(&second, r#"{"input":"what did I say before?","session_id":"dogs"}"#);
    let streamed = get(&second, &format!("/v1/runs/{run}/events"));
    assert!(streamed.contains("Rex"), "{streamed}");
}

#[test]
fn a_second_server_on_the_same_state_is_refused_and_told_of_the_first() {
    let home = Home::new();
    let first = serve(&home, &[]);
    let done = home.run(&["serve", "--port", "0", "--key", KEY]);
    assert_eq!(done.code(), 1);
    let holder = format!("process {}", first.id());
    assert!(done.err.contains(&holder) && done.err.contains("--state"), "{}", done.err);
    let elsewhere = serve(&home, &["--state", "other"]);
    assert!(get(&elsewhere, "/v1/runs").contains("\"data\":[]"));
}

#[test]
fn a_store_in_memory_makes_no_file_and_says_so() {
    let home = Home::new();
    let served = serve(&home, &["--store", "memory", "--retain", "30d"]);
    assert!(served.greeting.contains("Store:     memory"), "{}", served.greeting);
    assert!(served.greeting.contains("--retain, "), "{}", served.greeting);
    post(&served, r#"{"input":"list files in /"}"#);
    stop(served);
    assert!(!file(&home).exists());
}

#[test]
fn the_files_of_the_store_are_for_their_owner_alone_and_after_a_stop_one_holds_all() {
    let home = Home::new();
    let served = serve(&home, &[]);
    let run = post(&served, r#"{"input":"list files in /"}"#);
    get(&served, &format!("/v1/runs/{run}/events"));
    for entry in fs::read_dir(file(&home).parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
    stop(served);
    fs::create_dir(home.0.join("backup")).unwrap();
    fs::copy(file(&home), home.0.join("backup/runs.db")).unwrap();
    let restored = serve(&home, &["--state", "backup"]);
    assert_eq!(status(&restored, &run), "completed");
}

#[test]
fn no_tool_can_read_the_store() {
    let home = Home::new();
    // The state directory lies in this workspace.
    let served = serve(&home, &["--workspace", "."]);
    let inside = ".local/state/runwire";
    for input in [
        format!("run `cat {inside}/runs.db*; cp {inside}/runs.db stolen`"),
        format!("run `echo > {inside}/runs.db; rm -r {inside}; touch {inside}/runs.db-journal`"),
        format!("read {inside}/runs.db"),
        format!("read {inside}/runs.db-wal"),
    ] {
        let run = post(&served, &serde_json::json!({ "input": input }).to_string());
        let streamed = get(&served, &format!("/v1/runs/{run}/events"));
        let tool = streamed.lines().find(|line| line.contains("tool.completed"));
        let tool = tool.unwrap_or_else(|| panic!("{streamed}"));
        assert!(tool.contains("\"error\":true") && !tool.contains("SQLite format"), "{tool}");
    }
    assert!(!home.0.join("stolen").exists());
    stop(served);
    assert_eq!(home.run(&["db", "check"]).code(), 0);
}

#[test]
fn a_server_whose_last_words_cannot_be_stored_says_so_and_ends_with_1() {
    let home = Home::new();
    let served = home.serve_cramped(1_200_000, &["--key", KEY, "--drain", "0"]);
    // Whoever reads for long keeps the log from being shortened.
    let reader = rusqlite::Connection::open(file(&home)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM runs").unwrap();
    // Runs that work, and so have something to say at the end.
    let is_refused =
        || !submit(&served, r#"{"input":"run `sleep 60`"}"#).starts_with("HTTP/1.1 202");
    assert!((0..200).any(|_| is_refused()), "there was room for everything");
    served.signal("TERM");
    served.wait_for("Not all that was said at the end is stored: ");
    assert_eq!(served.wait().code(), Some(1));
    drop(reader);
    assert_eq!(home.run(&["db", "check"]).code(), 0);
}

#[test]
fn finished_runs_beyond_what_is_kept_go() {
    let home = Home::new();
    let first = serve(&home, &[]);
    // One after the other: those that ended first go first.
    let runs: Vec<_> = (0..3)
        .map(|_| {
            let run = post(&first, r#"{"input":"help"}"#);
            wait_for_status(&first, &run, "completed");
            run
        })
        .collect();
    stop(first);
    let second = serve(&home, &["--retain-runs", "1"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !get(&second, &format!("/v1/runs/{}", runs[1])).starts_with("HTTP/1.1 404") {
        assert!(Instant::now() < deadline, "it is still there");
        std::thread::yield_now();
    }
    assert_eq!(status(&second, &runs[2]), "completed");
}

#[test]
fn check_and_export_do_not_disturb_a_server() {
    let home = Home::new();
    let served = serve(&home, &[]);
    let run = post(&served, r#"{"input":"list files in /"}"#);
    let streamed = get(&served, &format!("/v1/runs/{run}/events"));
    let checked = home.run(&["db", "check"]);
    assert_eq!(checked.code(), 0, "{}", checked.err);
    assert!(checked.out.contains("1 run, ") && checked.out.contains("nothing is wrong"));
    let exported = home.run(&["db", "export"]);
    assert_eq!((exported.code(), exported.err.as_str()), (0, ""));
    let line: Value = serde_json::from_str(exported.out.trim()).unwrap();
    assert_eq!((&line["run_id"], &line["status"]), (&run.into(), &"completed".into()));
    let events: Vec<String> =
        line["events"].as_array().unwrap().iter().map(Value::to_string).collect();
    let sent = streamed.lines().filter_map(|line| line.strip_prefix("data: "));
    let sent: Vec<Value> = sent.map(|data| serde_json::from_str(data).unwrap()).collect();
    assert_eq!(events, sent.iter().map(Value::to_string).collect::<Vec<_>>());
    let again = post(&served, r#"{"input":"help"}"#);
    assert!(get(&served, &format!("/v1/runs/{again}/events")).contains("\"run.completed\""));
}

#[test]
fn an_export_goes_to_a_new_file_for_its_owner_alone() {
    let home = Home::new();
    let served = serve(&home, &[]);
    post(&served, r#"{"input":"help"}"#);
    let line = ["db", "export", "--state", ".local/state/runwire", "--output", "saved.jsonl"];
    let done = home.run(&line);
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.out.contains("1 run with "), "{}", done.out);
    let saved = home.0.join("saved.jsonl");
    assert_eq!(fs::metadata(&saved).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&saved).unwrap().lines().count(), 1);
    let again = home.run(&line);
    assert_eq!(again.code(), 1);
    assert!(again.err.contains("saved.jsonl: File exists"), "{}", again.err);
}

#[test]
fn a_damaged_file_is_not_served_but_told_of_and_saved_as_far_as_it_goes() {
    let home = Home::new();
    let served = serve(&home, &[]);
    let runs: Vec<_> = (0..40).map(|_| post(&served, r#"{"input":"help"}"#)).collect();
    for run in &runs {
        wait_for_status(&served, run, "completed");
    }
    stop(served);
    let bytes = fs::metadata(file(&home)).unwrap().len();
    let mut db = fs::OpenOptions::new().write(true).open(file(&home)).unwrap();
    std::io::Seek::seek(&mut db, std::io::SeekFrom::Start(bytes - 4096)).unwrap();
    db.write_all(&[0xa5; 4096]).unwrap();
    let refused = home.run(&["serve", "--port", "0", "--key", KEY]);
    assert_eq!(refused.code(), 1, "{}", refused.err);
    assert!(refused.err.contains("is damaged") && refused.err.contains("runwire db check"));
    let checked = home.run(&["db", "check"]);
    assert_eq!(checked.code(), 1);
    assert!(
        checked.out.contains("problem") && checked.err.contains("db export"),
        "{}",
        checked.out
    );
    let exported = home.run(&["db", "export", file(&home).to_str().unwrap()]);
    assert_eq!(exported.code(), 1);
    assert!(exported.err.contains("could not be read"), "{}", exported.err);
    let lines = exported.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(lines.count() > 0, "{}", exported.err);
}

#[test]
fn what_is_no_store_is_told_of() {
    let home = Home::new();
    for line in [&["db", "check"][..], &["db", "export", "nothing"]] {
        let done = home.run(line);
        assert_eq!(done.code(), 1);
        assert!(done.err.contains("There is no file "), "{}", done.err);
    }
    fs::write(home.0.join("text"), "not a database".repeat(500)).unwrap();
    let done = home.run(&["db", "check", "text"]);
    assert_eq!(done.code(), 1, "{}", done.out);
    assert!(done.err.contains("text"), "{}", done.err);
    for (line, said) in [
        (&["db"][..], "runwire db check"),
        (&["db", "chek"], "runwire db check"),
        (&["db", "check", "a", "b"], "one word too many"),
        (&["db", "check", "--output", "a"], "runwire db export"),
        (&["db", "export", "a", "--state", "b"], "not both"),
        (&["db", "export", "--outptu", "b"], "--output"),
        (&["db", "check", "--port", "1"], "runwire serve"),
    ] {
        let done = home.run(line);
        assert_eq!(done.code(), 2, "{line:?}: {}", done.err);
        assert!(done.err.contains(said), "{line:?}: {}", done.err);
    }
}

#[test]
fn an_export_nobody_reads_ends_quietly() {
    let home = Home::new();
    let served = serve(&home, &[]);
    post(&served, r#"{"input":"help"}"#);
    let mut child = home.command(&["db", "export"]).spawn().unwrap();
    drop(child.stdout.take());
    let done = finish(child);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
}
