//! A server that is given 16 MiB stays within them, whoever comes, and goes on serving.
#![cfg(all(feature = "sqlite", target_os = "linux"))]
mod common;
use common::wait_for;
use common::{Child, Client, Folder, Gate, Puppet, Site, get, parts_of_events, post_input};
use runwire::Config;
use runwire::shares::Shares;
use runwire::store::{Memory, Sqlite, Store};
use serde_json::Value;
use std::net::SocketAddr;
use std::thread;

const BUDGET: usize = 16 * 1024 * 1024;
/// What the process takes beside its budget: the program, its store, its allocator's gaps. A debug
/// build's stacks alone are several times as deep.
const BESIDE: usize = if cfg!(debug_assertions) { 24 << 20 } else { 8 << 20 };
const RUNS: usize = 64;
/// What each run says: 1,200 deltas of 256 bytes, more than its share of memory holds.
const INPUT: &str = "emit 1200 256";
const EVENTS: usize = 1201;

fn within_budget(config: &mut Config) {
    config.memory = Some(BUDGET);
    config.max_runs = RUNS;
}

fn site(store: impl FnOnce(Shares) -> Box<dyn Store>) -> Site {
    let shares = Shares::of(Some(BUDGET), RUNS, 10_000_000);
    let gate = Gate::default();
    Site::with_agent(Puppet { gate: gate.clone() }, gate, store(shares), within_budget)
}

#[test]
#[ignore = "only the server that the tests start"]
fn serve_from_memory() {
    Child::serve_site(|| site(|shares| Box::new(Memory::within(shares.said))));
}

#[test]
#[ignore = "only the server that the tests start"]
fn serve_from_a_file() {
    let folder = Folder::new();
    let path = folder.path("runs.db");
    Child::serve_site(|| site(|_| Box::new(Sqlite::open(&path).unwrap())));
}

#[test]
fn a_storm_is_weathered_within_the_budget_with_a_file() {
    storm("serve_from_a_file", true);
}

#[test]
fn a_storm_is_weathered_within_the_budget_without_one() {
    storm("serve_from_memory", false);
}

/// A thousand connections that do harm, beside 64 runs at full speed.
fn storm(serve: &str, is_durable: bool) {
    let child = Child::start(serve, "ulimit -n 2048 &&");
    let addr = child.addr;
    let before = child.peak();
    let held: Vec<Client> = (0..100).map(|_| slow_body(addr)).collect();
    let runs: Vec<String> = (0..RUNS).map(|_| accepted(addr, INPUT)).collect();
    let readers: Vec<_> = runs[..8].iter().map(|run| reader(addr, run, is_durable)).collect();
    let hostile = hostile(addr, &runs);
    wait_for("all runs to end", || {
        let page = counts(addr);
        let memory = &page["memory"];
        assert_eq!(memory["budget"], BUDGET);
        assert!(memory["charged"].as_u64().unwrap() <= BUDGET as u64, "{page}");
        (page["runs"]["working"] == 0).then_some(())
    });
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let peak = child.peak();
    println!("{serve}: {} KiB before, {} KiB at the peak", before >> 10, peak >> 10);
    assert!(peak <= BUDGET + BESIDE, "{peak} bytes");
    drop((held, hostile));
    wait_for("the storm to be over", || (counts(addr)["connections"] == 1).then_some(()));
    let run = accepted(addr, "say all is well");
    let events = get(&format!("/v1/runs/{run}/events"));
    assert_eq!(parts_of_events(&ask(addr, &events).body).len(), 4);
}

/// Nine hundred connections: idle streams, half-sent heads, slow bodies, never-readers, and some
/// that ask on and on behind a stream.
fn hostile(addr: SocketAddr, runs: &[String]) -> Vec<Client> {
    let events = |at: usize| get(&format!("/v1/runs/{}/events", runs[at % runs.len()]));
    let mut held = Vec::new();
    for at in 0..180 {
        held.push(sending(addr, &events(at)));
        let head = format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}", "y".repeat(12_000));
        held.push(sending(addr, &head));
        held.push(slow_body(addr));
        held.push(sending(addr, &format!("{}{}", events(0), events(at).repeat(250))));
        held.push(sending(addr, &get("/v1/runs").repeat(200)));
    }
    held
}

/// A submission of which only the first 60,000 bytes come.
fn slow_body(addr: SocketAddr) -> Client {
    let body = post_input(&"z".repeat(120_000));
    sending(addr, &body[..60_000])
}

/// The server may hang up on it at any time.
fn sending(addr: SocketAddr, bytes: &str) -> Client {
    let mut client = Client::connect(addr);
    client.try_send(bytes);
    client
}

/// A good client's submission: what is refused is tried again, as the refusal says.
fn accepted(addr: SocketAddr, input: &str) -> String {
    wait_for("a submission to be accepted", || {
        let reply = ask(addr, &post_input(input));
        if reply.status == 503 {
            assert_eq!(reply.code(), "memory_exhausted");
            assert!(reply.header("Retry-After").is_some(), "{reply:?}");
            return None;
        }
        assert_eq!(reply.status, 202, "{reply:?}");
        Some(reply.json()["run_id"].as_str().unwrap().to_owned())
    })
}

/// A good client that reads all of a run's events. Only where they are nowhere but in memory may
/// the oldest be missing.
fn reader(addr: SocketAddr, run: &str, is_durable: bool) -> thread::JoinHandle<()> {
    let request = get(&format!("/v1/runs/{run}/events"));
    thread::spawn(move || {
        let mut client = Client::connect(addr);
        client.send(&request);
        assert_eq!(client.head().status, 200);
        let mut text = Vec::new();
        while let Some(chunk) = client.try_chunk() {
            text.extend_from_slice(&chunk);
        }
        let seqs: Vec<u64> =
            parts_of_events(&text).iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert!(seqs.is_sorted_by(|a, b| a + 1 == *b), "a gap");
        assert!(!is_durable || seqs.len() == EVENTS, "{} of {EVENTS}", seqs.len());
    })
}

fn counts(addr: SocketAddr) -> Value {
    ask(addr, &get("/health/detailed")).json()
}

fn ask(addr: SocketAddr, request: &str) -> common::Reply {
    let mut client = Client::connect(addr);
    client.send(request);
    client.reply()
}
