//! What a token's stream leaves out, live and later: whole frames, and nothing else.
#![cfg(feature = "tokens")]
mod common;

use common::{Client, Gate, Shelf, Site, on_each_store, parts_of_events, post_with, wait_for};
use runwire::approval::Ask;
use runwire::event::Usage;
use runwire::limits::SEGMENT_BYTES_MAX;
use runwire::wire::redact::Redact;
use runwire::{Agent, Config, Context, Ending};
use serde_json::json;
use std::time::Duration;

const KEY: &str = "a-long-enough-key";
const TOOLS: &[&str] = &["tools"];
const REASONING: &[&str] = &["reasoning"];
const BOTH: &[&str] = &["tools", "reasoning"];

/// Understands `turns COUNT BYTES`: that many turns, each with thoughts and a tool's result of so many
/// bytes, the second half once the gate is open; `think COUNT BYTES`: nothing but so many thoughts, and
/// a word; `ponder`: thoughts until it is stopped; `ask`: a request for leave.
struct Thinker(Gate);

impl Agent for Thinker {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        let input = run.request().input.to_text();
        let words: Vec<&str> = input.split(' ').collect();
        let number = |at: usize| words[at].parse::<usize>().unwrap();
        match words[0] {
            "turns" => {
                for turn in 0..number(1) {
                    if turn == number(1) / 2 {
                        self.0.wait();
                    }
                    take_turn(run, turn, number(2))?;
                }
                run.add_usage(Usage { total_tokens: 7, ..Usage::default() });
                run.delta("the end")
            }
            "think" => {
                let thought = "t".repeat(number(2));
                (0..number(1)).try_for_each(|_| run.reasoning_delta(&thought))?;
                run.delta("the end")
            }
            "ask" => {
                let (tool, command) = ("terminal".to_owned(), "rm -rf build".to_owned());
                let (description, arguments) = ("It deletes.".to_owned(), "{}".to_owned());
                run.approve(&Ask { tool, command, description, arguments })?;
                run.delta("decided")
            }
            "ponder" => loop {
                run.reasoning_delta("hm ")?;
                std::thread::sleep(Duration::from_millis(1));
            },
            other => panic!("no such script: {other}"),
        }
    }
}

fn take_turn(run: &mut Context<'_>, turn: usize, bytes: usize) -> Result<(), Ending> {
    let long = "x".repeat(bytes);
    run.reasoning_delta("I think ")?;
    run.reasoning_delta(&long)?;
    run.reasoning(&format!("I think {long}"))?;
    run.delta(&format!("turn {turn}"))?;
    run.end_turn()?;
    let call = format!("call-{turn}");
    run.tool_started(&call, "terminal", "ls", "{\"command\":\"ls\"}")?;
    run.tool_completed(&call, "terminal", Duration::ZERO, false, &long)
}

fn config(config: &mut Config) {
    config.key = Some(KEY.to_owned());
}

fn site(shelf: &Shelf, change: impl FnOnce(&mut Config)) -> Site {
    let gate = Gate::default();
    Site::with_agent(Thinker(gate.clone()), gate, shelf.store(), |settings| {
        config(settings);
        change(settings);
    })
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn bearer() -> String {
    format!("Authorization: Bearer {KEY}\r\n")
}

fn start(site: &Site, input: &str) -> String {
    let body = json!({ "input": input }).to_string();
    let reply = site.ask(post_with("/v1/runs", &bearer(), &body));
    reply.json()["run_id"].as_str().unwrap().to_owned()
}

/// The path of a run's events as a token opens it that leaves this out.
fn path(site: &Site, run: &str, redact: &[&str]) -> String {
    format!("/v1/runs/{run}/events?token={}", token(site, run, &["watch"], redact))
}

fn token(site: &Site, run: &str, verbs: &[&str], redact: &[&str]) -> String {
    let body = json!({ "verbs": verbs, "redact": redact }).to_string();
    let reply = site.ask(post_with(&format!("/v1/runs/{run}/token"), &bearer(), &body));
    reply.json()["token"].as_str().unwrap().to_owned()
}

fn reader(site: &Site, path: &str, headers: &str) -> Client {
    let mut client = site.connect();
    client.send(request(path, headers));
    assert_eq!(client.head().status, 200);
    client
}

fn rest(mut client: Client) -> String {
    let mut stream = Vec::new();
    while let Some(chunk) = client.chunk() {
        stream.extend_from_slice(&chunk);
    }
    String::from_utf8(stream).unwrap()
}

fn full(site: &Site, run: &str) -> String {
    let client = reader(site, &format!("/v1/runs/{run}/events"), &bearer());
    without_keepalives(&rest(client))
}

fn without_keepalives(stream: &str) -> String {
    stream.replace(": keepalive\n\n", "")
}

/// What should be left of a stream from the frame behind event `after` on, told in the simplest way
/// there is.
fn left(stream: &str, redact: &[&str], after: Option<u64>) -> String {
    let stays = |frame: &&str| {
        let kind = frame.split("\"event\":\"").nth(1).unwrap_or("").split('"').next().unwrap();
        let seq = frame.strip_prefix("id: ").map(|rest| rest.split('\n').next().unwrap());
        let is_new = seq.is_none_or(|seq| Some(seq.parse().unwrap()) > after);
        let hidden = match kind.split('.').next().unwrap() {
            "tool" => redact.contains(&"tools"),
            "reasoning" => redact.contains(&"reasoning"),
            _ => false,
        };
        is_new && !hidden
    };
    stream.split_inclusive("\n\n").filter(stays).collect()
}

#[test]
fn a_redacted_reader_gets_the_other_frames_byte_for_byte() {
    on_each_store(|shelf| {
        let site = site(shelf, |_| {});
        let run = start(&site, "turns 20 300");
        let live: Vec<_> = [TOOLS, REASONING, BOTH, &[]]
            .map(|redact| (redact, reader(&site, &path(&site, &run, redact), "")))
            .into();
        let old = reader_of_1_0(&site, &path(&site, &run, BOTH));
        site.gate.open();
        let seen: Vec<_> = live.into_iter().map(|(redact, it)| (redact, rest(it))).collect();
        let full = full(&site, &run);
        for (redact, stream) in seen {
            let left = left(&full, redact, None);
            assert_eq!(without_keepalives(&stream), left, "live, without {redact:?}");
            assert_eq!(rest(reader(&site, &path(&site, &run, redact), "")), left, "replayed");
        }
        let mut old = old;
        let bytes = old.rest();
        let text = String::from_utf8(bytes).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(without_keepalives(body), left(&full, BOTH, None), "over HTTP/1.0");
    });
}

fn reader_of_1_0(site: &Site, path: &str) -> Client {
    let mut client = site.connect();
    client.send(format!("GET {path} HTTP/1.0\r\n\r\n"));
    client
}

#[test]
fn a_cursor_means_the_same_to_a_redacted_reader() {
    on_each_store(|shelf| {
        let site = site(shelf, |_| {});
        site.gate.open();
        let run = start(&site, "turns 3 10");
        let full = full(&site, &run);
        let path = path(&site, &run, BOTH);
        let count = parts_of_events(full.as_bytes()).len() as u64;
        for seen in 0..count - 1 {
            let cursor = format!("Last-Event-ID: {seen}\r\n");
            let stream = rest(reader(&site, &path, &cursor));
            assert_eq!(stream, left(&full, BOTH, Some(seen)), "behind {seen}");
        }
        let end = request(&path, &format!("Last-Event-ID: {}\r\n", count - 1));
        assert_eq!(site.ask(end).status, 204);
        let beyond = request(&path, &format!("Last-Event-ID: {count}\r\n"));
        assert_eq!(site.ask(beyond).status, 400);
    });
}

#[test]
#[cfg(feature = "sqlite")]
fn what_is_told_from_the_store_is_redacted_too() {
    let shelf = Shelf::durable();
    let first = site(&shelf, |_| {});
    first.gate.open();
    // More than memory keeps of a run, in pages of which some hold nothing else.
    let run = start(&first, "turns 60 12000");
    let full = full(&first, &run);
    assert_eq!(rest(reader(&first, &path(&first, &run, BOTH), "")), left(&full, BOTH, None));
    first.end();
    let second = site(&shelf, |_| {});
    for redact in [TOOLS, REASONING, BOTH] {
        let path = path(&second, &run, redact);
        assert_eq!(rest(reader(&second, &path, "")), left(&full, redact, None), "{redact:?}");
        let stream = rest(reader(&second, &path, "Last-Event-ID: 100\r\n"));
        assert_eq!(stream, left(&full, redact, Some(100)), "{redact:?}, resumed");
    }
}

#[test]
fn much_that_is_left_out_is_passed_over_in_many_turns() {
    on_each_store(|shelf| {
        let site = site(shelf, |_| {});
        let run = start(&site, "think 400 2000");
        wait_for("the run to end", || {
            let page = site.ask(request(&format!("/v1/runs/{run}"), &bearer())).json();
            (page["status"] == "completed").then_some(())
        });
        const { assert!(400 * 2000 > 10 * SEGMENT_BYTES_MAX) };
        let path = path(&site, &run, REASONING);
        let stream = rest(reader(&site, &path, ""));
        assert_eq!(stream, left(&full(&site, &run), REASONING, None));
        assert_eq!(parts_of_events(stream.as_bytes()).len(), 2, "a word and the end");
        let mut old = reader_of_1_0(&site, &path);
        let text = String::from_utf8(old.rest()).unwrap();
        assert!(text.ends_with(&stream), "over HTTP/1.0");
    });
}

#[test]
fn a_reader_from_whom_all_is_left_out_is_kept_alive() {
    on_each_store(|shelf| {
        let site = site(shelf, |config| config.keepalive = Duration::from_millis(30));
        let run = start(&site, "ponder");
        let mut client = reader(&site, &path(&site, &run, REASONING), "");
        assert_eq!(client.frame(), ": open\n\n");
        for _ in 0..3 {
            assert_eq!(client.frame(), ": keepalive\n\n");
        }
        let stop = post_with(&format!("/v1/runs/{run}/stop"), &bearer(), "");
        assert_eq!(site.ask(stop).status, 200);
        let end = without_keepalives(&rest(client));
        assert_eq!(parts_of_events(end.as_bytes())[0]["event"], "run.cancelled");
        assert!(end.ends_with(": stream closed\n\n"));
    });
}

#[test]
fn a_request_for_leave_is_shown_to_whoever_may_decide() {
    let site = site(&Shelf::durable(), |_| {});
    let run = start(&site, "ask");
    let events = format!("/v1/runs/{run}/events");
    let mut all = reader(&site, &events, &bearer());
    while !all.frame().contains("approval.request") {}
    let page = site.ask(request(&format!("/v1/runs/{run}"), &bearer())).json();
    let cases = [(&["watch"][..], false), (&["watch", "approve"], true)];
    for (verbs, is_shown) in cases {
        let token = format!("Authorization: Bearer {}\r\n", token(&site, &run, verbs, TOOLS));
        let shown = site.ask(request(&format!("/v1/runs/{run}"), &token)).json();
        let wanted = if is_shown { &page["approval"] } else { &serde_json::Value::Null };
        assert_eq!(&shown["approval"], wanted, "in the status, for {verbs:?}");
    }
    let stop = post_with(&format!("/v1/runs/{run}/stop"), &bearer(), "");
    assert_eq!(site.ask(stop).status, 200);
    assert!(rest(all).contains("run.cancelled"));
    for (verbs, is_shown) in cases {
        let token = format!("Authorization: Bearer {}\r\n", token(&site, &run, verbs, TOOLS));
        let stream = rest(reader(&site, &events, &token));
        assert_eq!(stream.contains("approval.request"), is_shown, "in the stream, for {verbs:?}");
    }
}

#[test]
fn by_a_token_leave_is_given_for_its_run_alone() {
    let site = site(&Shelf::durable(), |_| {});
    let run = start(&site, "ask");
    let mut all = reader(&site, &format!("/v1/runs/{run}/events"), &bearer());
    while !all.frame().contains("approval.request") {}
    let token = token(&site, &run, &["watch", "approve"], TOOLS);
    let token = format!("Authorization: Bearer {token}\r\n");
    let decide = |choice: &str| {
        let body = format!("{{\"choice\":\"{choice}\"}}");
        site.ask(post_with(&format!("/v1/runs/{run}/approval"), &token, &body)).status
    };
    assert_eq!(["session", "always", "once"].map(decide), [400, 400, 200]);
}

#[test]
fn each_kind_of_event_is_left_out_for_whom_it_should_be() {
    let of = |tools, reasoning, decides| Redact { tools, reasoning, decides };
    let (tools, reasoning, decider) =
        (of(true, false, false), of(false, true, false), of(true, false, true));
    for (kind, hidden) in [
        ("message.delta", [false, false, false]),
        ("message.interim", [false, false, false]),
        ("reasoning.delta", [false, true, false]),
        ("reasoning.available", [false, true, false]),
        ("tool.started", [true, false, true]),
        ("tool.completed", [true, false, true]),
        ("subagent.start", [true, false, true]),
        ("subagent.complete", [true, false, true]),
        ("approval.request", [true, false, false]),
        ("approval.responded", [false, false, false]),
        ("session.truncated", [false, false, false]),
        ("replay.truncated", [false, false, false]),
        ("run.steered", [false, false, false]),
        ("run.completed", [false, false, false]),
        ("run.failed", [false, false, false]),
        ("run.cancelled", [false, false, false]),
        ("run.interrupted", [false, false, false]),
    ] {
        let json = format!("{{\"event\":\"{kind}\",\"run_id\":\"run_1\"");
        let frame = format!("id: 7\ndata: {json}");
        for (redact, hidden) in [tools, reasoning, decider].into_iter().zip(hidden) {
            assert_eq!(redact.hides(json.as_bytes()), hidden, "{kind}, {redact:?}");
            assert_eq!(redact.hides_frame(frame.as_bytes()), hidden, "{kind}, {redact:?}");
        }
        assert!(!Redact::NOTHING.hides(json.as_bytes()));
    }
    assert!(!tools.hides_frame(b": tool.started\n\n"));
}
