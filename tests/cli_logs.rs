//! The log of the real binary: what it says, what it never says, and that nobody waits for it.
#![cfg(all(feature = "cli", unix))]
mod cli_kit;

use cli_kit::{Home, finish, http, lines, signal};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);
const KEY: &str = "canary-key-0123456789";

/// A server whose standard error is kept line by line.
struct Logged {
    child: Option<Child>,
    lines: Receiver<String>,
    seen: Vec<String>,
    addr: String,
}

impl Logged {
    fn start(home: &Home, args: &[&str]) -> Logged {
        let words = [&["serve", "--port", "0", "--key", KEY, "--workspace", "."], args].concat();
        let mut child = home.command(&words).spawn().unwrap();
        let lines = lines(child.stderr.take().unwrap());
        let addr = String::new();
        Logged { child: Some(child), lines, seen: Vec::new(), addr }
    }

    /// Starts one that logs JSON, and waits until it says where it listens.
    fn json(home: &Home, args: &[&str]) -> Logged {
        let mut logged = Logged::start(home, &[&["--log", "json"], args].concat());
        let started = logged.await_line("server.started");
        logged.addr = parsed(&started)["address"].as_str().unwrap().to_owned();
        logged
    }

    /// Starts one that logs text.
    fn text(home: &Home, args: &[&str]) -> Logged {
        let mut logged = Logged::start(home, args);
        let line = logged.await_line("listens on http://");
        logged.addr = line.split_once("http://").unwrap().1.to_owned();
        logged.await_line("curl -sN");
        logged
    }

    fn await_line(&mut self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no {part} in {:#?}", self.seen));
            self.seen.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Ends the server and gives all it has said.
    fn end(mut self) -> Vec<String> {
        let child = self.child.take().unwrap();
        signal(&child, "TERM");
        assert!(finish(child).status.success());
        self.seen.extend(self.lines.iter());
        std::mem::take(&mut self.seen)
    }

    fn post(&self, path: &str, body: &Value) -> String {
        let head = format!(
            "POST {path} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json"
        );
        http(&self.addr, &head, &body.to_string())
    }

    fn get(&self, path: &str) -> String {
        http(&self.addr, &format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {KEY}"), "")
    }

    /// Has a run done to its end, and gives its id and the line of its end.
    fn run(&mut self, body: &Value) -> (String, String) {
        let reply = self.post("/v1/runs", body);
        let at = reply.find("run_").unwrap_or_else(|| panic!("{reply}"));
        let id = reply[at..at + 36].to_owned();
        self.await_line(&id);
        let ended = self.await_line("run.ended");
        assert!(ended.contains(&id), "{ended}");
        (id, ended)
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn parsed(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    assert!(value["ts"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(value["level"].is_string() && value["event"].is_string(), "{line}");
    value
}

#[test]
fn json_lines_tell_of_each_run_and_of_the_server_and_nothing_else_is_said() {
    let home = Home::new();
    let mut served = Logged::json(&home, &[]);
    let (id, ended) = served.run(&json!({ "input": "read nothing" }));
    let ended = parsed(&ended);
    assert_eq!((&ended["run_id"], &ended["owner"]), (&json!(id), &json!("default")));
    assert!(ended["status"].is_string() && ended["duration_ms"].is_u64(), "{ended}");
    assert!(ended["events"].as_u64().unwrap() > 1 && ended["output_tokens"].is_u64(), "{ended}");
    let all = served.end();
    let events: Vec<Value> = all.iter().map(|line| parsed(line)["event"].clone()).collect();
    let started = events.iter().position(|event| event == "server.started").unwrap();
    assert!(events[..started].iter().all(|event| event == "warning"), "{all:#?}");
    let rest = ["server.started", "run.begun", "run.ended", "server.stopping", "server.stopped"];
    assert_eq!(events[started..], rest, "{all:#?}");
}

#[test]
fn text_lines_say_the_same_for_people() {
    let home = Home::new();
    let mut served = Logged::text(&home, &[]);
    let (id, ended) = served.run(&json!({ "input": "read nothing" }));
    assert!(ended.contains(&format!("INFO  run.ended run_id={id} owner=default status=")));
    let all = served.end();
    assert!(all.iter().any(|line| line.contains("INFO  server.stopped address=127.0.0.1:")));
    assert!(!all.iter().any(|line| line.contains(" request ")), "{all:#?}");
}

#[test]
fn a_log_that_is_off_or_of_a_higher_level_does_not_tell_of_runs() {
    for args in [["--log", "off"], ["--log-level", "warn"]] {
        let home = Home::new();
        let served = Logged::text(&home, &args);
        served.post("/v1/runs", &json!({ "input": "read nothing" }));
        let all = served.end();
        assert!(!all.iter().any(|line| line.contains(" INFO ")), "{all:#?}");
    }
}

#[test]
fn requests_are_logged_by_method_path_and_status() {
    for args in
        [["--log-requests", "--log-level", "info"], ["--log-level", "debug", "--log-content"]]
    {
        let home = Home::new();
        let mut served = Logged::json(&home, &args);
        served.get("/v1/runs?token=canary-in-a-query");
        let line = parsed(&served.await_line("/v1/runs"));
        assert_eq!((&line["event"], &line["method"]), (&json!("request"), &json!("GET")));
        assert_eq!((&line["path"], &line["status"]), (&json!("/v1/runs"), &json!(200)));
        assert!(line["duration_ms"].is_u64());
        http(&served.addr, "POST /v1/runs HTTP/1.1\r\nAuthorization: Bearer canary-wrong", "");
        assert_eq!(parsed(&served.await_line("POST"))["status"], 401);
        http(&served.addr, "no request at all", "");
        assert_eq!(parsed(&served.await_line("\"-\""))["status"], 400);
        let all = served.end().join("\n");
        assert!(!all.contains("canary"), "{all}");
    }
}

#[test]
fn a_path_cannot_write_a_line_of_its_own() {
    let home = Home::new();
    for form in ["text", "json"] {
        let mut served = match form {
            "json" => Logged::json(&home, &["--log-requests"]),
            _ => Logged::text(&home, &["--log-requests"]),
        };
        for path in ["/%0aX=1\\n\"status\"=200", "/a\u{202e}\u{85}b", "/\"}\u{1b}[2J", "/a b"] {
            http(&served.addr, &format!("GET {path} HTTP/1.1"), "");
        }
        served.get("/the-last");
        served.await_line("/the-last");
        let all = served.end();
        let odd = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
        assert!(!all.iter().any(|line| line.contains(odd)), "{all:#?}");
        if form == "json" {
            assert_eq!(all.iter().filter(|line| parsed(line)["event"] == "request").count(), 5);
        }
    }
}

/// What a run is given and finds, each with a word that must stay where it is.
fn with_canaries(home: &Home) -> Value {
    std::fs::write(home.0.join("canary-in-the-input.txt"), "canary-in-a-tools-output\n").unwrap();
    json!({
        "input": "read canary-in-the-input.txt",
        "instructions": "canary-in-the-instructions",
        "session_id": "canary-session",
        "conversation_history": [{ "role": "user", "content": "canary-in-the-history" }],
    })
}

#[test]
fn nothing_that_was_said_is_in_the_log_or_the_metrics() {
    let home = Home::new();
    for form in ["text", "json"] {
        let body = with_canaries(&home);
        let args = ["--log-level", "debug", "--instructions", "canary-of-the-operator"];
        let mut served = match form {
            "json" => Logged::json(&home, &args),
            _ => Logged::text(&home, &args),
        };
        let (id, _) = served.run(&body);
        let events = served.get(&format!("/v1/runs/{id}/events"));
        assert!(events.contains("canary-in-a-tools-output"), "the tool has read: {events}");
        served.post(&format!("/v1/runs/{id}/steer"), &json!({ "text": "canary-in-a-steer" }));
        served.post("/v1/runs", &json!({ "input": "run echo canary-$(echo command) >&2; exit 3" }));
        served.await_line("run.ended");
        let metrics = served.get("/metrics");
        assert!(metrics.contains("runwire_tool_duration_seconds_count{tool=\"read_file\"} 1\n"));
        assert!(!metrics.contains("canary"), "{metrics}");
        let all = served.end().join("\n");
        assert!(all.contains(&id) && !all.contains("canary"), "{all}");
    }
}

#[test]
fn with_log_content_the_beginnings_are_shown_and_secrets_are_not() {
    let home = Home::new();
    let mut served = Logged::json(&home, &["--log-content"]);
    let input = format!("read found.txt: {KEY} {}", "long ".repeat(1_000));
    std::fs::write(home.0.join("found.txt"), "what was found").unwrap();
    served.run(&json!({ "input": input }));
    let all = served.end();
    let begun = all.iter().find(|line| line.contains("run.begun")).unwrap();
    let begun = parsed(begun);
    let shown = begun["input"].as_str().unwrap();
    assert!(shown.starts_with("read found.txt: ") && shown.chars().count() <= 300, "{shown}");
    let ended = parsed(all.iter().find(|line| line.contains("run.ended")).unwrap());
    assert!(!ended["output"].as_str().unwrap().is_empty());
    assert!(!all.join("\n").contains(KEY), "{all:#?}");
}

/// A server whose standard error nobody reads any more from here on.
fn unread(home: &Home) -> (Child, BufReader<ChildStderr>, String) {
    let args = ["serve", "--port", "0", "--key", KEY, "--log", "json", "--log-requests"];
    let mut child = home.command(&args).spawn().unwrap();
    let mut stderr = BufReader::with_capacity(1, child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("server.started") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    let addr = parsed(&line)["address"].as_str().unwrap().to_owned();
    (child, stderr, addr)
}

/// How many lines the page of metrics says were dropped.
fn dropped(addr: &str) -> u64 {
    let head = format!("GET /metrics HTTP/1.1\r\nAuthorization: Bearer {KEY}");
    let page = http(addr, &head, "");
    let line = page.lines().find(|line| line.starts_with("runwire_log_lines_dropped_total "));
    line.unwrap_or_else(|| panic!("{page}")).rsplit(' ').next().unwrap().parse().unwrap()
}

/// Sends requests until lines of the log are dropped for want of a reader.
fn flood(addr: &str) {
    let (begun, path) = (Instant::now(), "x".repeat(250));
    while dropped(addr) == 0 {
        assert!(begun.elapsed() < DEADLINE, "the log never fills");
        let many = format!("GET /{path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").repeat(99);
        http(addr, &format!("{many}GET / HTTP/1.1"), "");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let home = Home::new();
    let (child, mut stderr, addr) = unread(&home);
    flood(&addr);
    let head = format!(
        "POST /v1/runs HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json"
    );
    assert!(http(&addr, &head, "{\"input\":\"read nothing\"}").contains(" 202 "));
    // Somebody reads again, and is told what is missing.
    let mut line = String::new();
    let count = loop {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it has ended");
        let value = parsed(&line);
        if value["event"] == "log.dropped" {
            break value["lines"].as_u64().unwrap();
        }
    };
    assert!(count >= 1);
    let rest = lines(stderr.into_inner());
    let begun = Instant::now();
    while !rest.try_iter().any(|line| line.contains("/somebody-reads-again")) {
        assert!(begun.elapsed() < DEADLINE, "the log does not come to itself");
        http(&addr, "GET /somebody-reads-again HTTP/1.1", "");
    }
    signal(&child, "TERM");
    assert!(rest.iter().any(|line| line.contains("server.stopped")));
    assert!(finish(child).status.success());
}

#[test]
fn a_server_whose_log_nobody_reads_still_ends() {
    let home = Home::new();
    let (child, stderr, addr) = unread(&home);
    flood(&addr);
    signal(&child, "TERM");
    assert!(finish(child).status.success());
    drop(stderr);
}

#[test]
fn a_server_whose_log_is_closed_goes_on() {
    let home = Home::new();
    let (child, stderr, addr) = unread(&home);
    drop(stderr);
    for _ in 0..20 {
        assert!(http(&addr, "GET /health HTTP/1.1", "").contains(" 200 OK"));
    }
    signal(&child, "TERM");
    assert!(finish(child).status.success());
}
