//! Events of runs that have left memory, in part or as a whole: the same bytes as ever.
#![cfg(feature = "sqlite")]
mod common;

use common::{Client, Shelf, Site, get, parts_of_events, wait_for};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

/// A server that keeps no finished run in memory which nobody reads.
fn forgetful(shelf: &Shelf) -> Site {
    Site::with_store(shelf.store(), |config| config.orphan_ttl = Duration::from_millis(1))
}

/// Waits until no finished run is in memory.
fn await_oblivion(site: &Site) {
    wait_for("finished runs to leave memory", || {
        (site.counts()["runs"]["finished"] == 0).then_some(())
    });
}

fn path(run: &str) -> String {
    format!("/v1/runs/{run}/events")
}

fn resume(run: &str, seen: impl std::fmt::Display) -> String {
    format!("GET {} HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {seen}\r\n\r\n", path(run))
}

/// A reader of all of a run's events, behind the head of its reply.
fn reader(site: &Site, run: &str) -> Client {
    let mut client = site.connect();
    client.send(get(&path(run)));
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

/// Posts a run that waits for the gate, takes a reader on, and lets it go: the run's id, and all that
/// the reader was told while it happened.
fn watched(site: &Site, input: &str) -> (String, String) {
    let first = site.submit(json!({"input": "gate", "session_id": "one at a time"}));
    let run = site.submit(json!({"input": input, "session_id": "one at a time"}));
    let run = run["run_id"].as_str().unwrap().to_owned();
    let reader = reader(site, &run);
    site.gate.open();
    let stream = rest(reader);
    site.await_end(first["run_id"].as_str().unwrap());
    (run, stream)
}

/// The stream from the frame of event `seq` on, behind a fresh `: open`.
fn from(stream: &str, seq: usize) -> String {
    let at = stream.find(&format!("\nid: {seq}\n")).unwrap() + 1;
    format!(": open\n\n{}", &stream[at..])
}

#[test]
fn a_run_that_left_memory_is_told_of_as_before() {
    let shelf = Shelf::durable();
    let site = forgetful(&shelf);
    let (run, live) = watched(&site, "emit 30 10");
    await_oblivion(&site);
    let page = site.status(&run);
    assert_eq!(
        (&page["status"], &page["last_event"]),
        (&json!("completed"), &json!("run.completed"))
    );
    let end = parts_of_events(live.as_bytes()).pop().unwrap();
    assert_eq!((&page["output"], &page["usage"]), (&end["output"], &end["usage"]));
    assert_eq!(page["updated_at"], end["timestamp"]);
    await_oblivion(&site);
    assert_eq!(site.get(&path(&run)).text(), live);
    for seen in 0..30 {
        await_oblivion(&site);
        assert_eq!(site.ask(resume(&run, seen)).text(), from(&live, seen + 1), "from {seen}");
    }
    await_oblivion(&site);
    let mut client = site.connect();
    client.send(resume(&run, 30));
    assert_eq!(client.head().status, 204, "it has seen the terminal event");
    for cursor in ["31", "x", "99999999999999999999"] {
        await_oblivion(&site);
        let reply = site.ask(resume(&run, cursor));
        assert_eq!((reply.status, reply.code()), (400, json!("invalid_cursor")), "{cursor}");
    }
    site.end();
}

#[test]
fn every_kind_of_end_is_told_of_as_before() {
    let shelf = Shelf::durable();
    let site = forgetful(&shelf);
    for (input, stop) in [("fail", false), ("panic", false), ("done", false), ("hold", true)] {
        let run = site.run(input);
        let live = reader(&site, &run);
        if stop {
            site.await_status(&run, "running");
            site.stop(&run);
        }
        let (live, page) = (rest(live), site.await_end(&run));
        await_oblivion(&site);
        assert_eq!(site.get(&path(&run)).text(), live, "{input}");
        assert_eq!(site.status(&run), page, "{input}");
    }
    site.end();
}

#[test]
fn an_old_client_gets_the_events_without_chunks() {
    let shelf = Shelf::durable();
    let site = forgetful(&shelf);
    // Beyond what is kept in memory, and beyond one page.
    let (run, live) = watched(&site, "emit 100 5000");
    await_oblivion(&site);
    let ask = |headers: &str| {
        let reply = site.ask(format!("GET {} HTTP/1.0\r\n{headers}\r\n", path(&run)));
        assert_eq!(reply.header("transfer-encoding"), None);
        reply
    };
    assert_eq!(ask("").text(), live);
    assert_eq!(ask("Last-Event-ID: 49\r\n").text(), from(&live, 50));
    site.end();
}

#[test]
fn many_readers_at_once_get_the_same_bytes_from_the_store() {
    let shelf = Shelf::durable();
    let site = forgetful(&shelf);
    let (run, live) = watched(&site, "emit 200 3000");
    await_oblivion(&site);
    let readers: Vec<Client> = (0..60).map(|_| reader(&site, &run)).collect();
    thread::scope(|scope| {
        let threads: Vec<_> =
            readers.into_iter().map(|client| scope.spawn(move || rest(client))).collect();
        assert!(threads.into_iter().all(|it| it.join().unwrap() == live));
    });
    await_oblivion(&site);
    site.end();
}

/// More than a run's window in memory holds, and than sockets take.
const LONG: &str = "emit 1500 10000";

#[test]
fn late_and_slow_readers_of_a_long_run_get_every_byte_once_and_in_order() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |_| {});
    let first = site.submit(json!({"input": "gate", "session_id": "s"}));
    let run = site.submit(json!({"input": LONG, "session_id": "s"}));
    let run = run["run_id"].as_str().unwrap().to_owned();
    let quick = reader(&site, &run);
    // These read nothing while the run works, and so fall behind it.
    let stuck: Vec<Client> = (0..5).map(|_| reader(&site, &run)).collect();
    let (live, late) = thread::scope(|scope| {
        let quick = scope.spawn(move || rest(quick));
        site.gate.open();
        let late: Vec<_> = (0..8)
            .map(|_| {
                thread::sleep(Duration::from_millis(20));
                scope.spawn(|| rest(reader(&site, &run)))
            })
            .collect();
        let late: Vec<String> = late.into_iter().map(|it| it.join().unwrap()).collect();
        (quick.join().unwrap(), late)
    });
    let seqs: Vec<u64> =
        parts_of_events(live.as_bytes()).iter().map(|it| it["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (0..=1500).collect::<Vec<u64>>());
    assert!(late.iter().all(|stream| *stream == live));
    for (number, mut client) in stuck.into_iter().enumerate() {
        let mut stream = Vec::new();
        while let Some(chunk) = client.chunk() {
            stream.extend_from_slice(&chunk);
            // Stops for a while, and goes on.
            if number > 0 && stream.len() % (number * 1_000_000) < 10_000 {
                thread::sleep(Duration::from_millis(2));
            }
        }
        assert!(stream == live.as_bytes(), "reader {number}");
    }
    site.await_end(first["run_id"].as_str().unwrap());
    site.end();
}

#[test]
fn a_reader_that_stops_and_resumes_while_a_long_run_works_misses_nothing() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |_| {});
    let run = site.run("emit 3000 3000");
    let mut seen: i64 = -1;
    let mut heard = String::new();
    loop {
        let mut client = site.connect();
        client.send(resume(&run, seen));
        if client.head().status == 204 {
            break;
        }
        assert_eq!(client.frame(), ": open\n\n");
        for _ in 0..200 {
            let Some(chunk) = client.chunk() else { break };
            if let Some(event) = parts_of_events(&chunk).pop() {
                seen = event["seq"].as_i64().unwrap();
                heard += std::str::from_utf8(&chunk).unwrap();
            }
        }
    }
    let whole = String::from_utf8(site.stream(&run)).unwrap();
    assert!(format!(": open\n\n{heard}: stream closed\n\n") == whole);
    site.end();
}

#[test]
fn a_forgotten_run_can_be_gone_on_with_stopped_and_steered_at_no_one() {
    let shelf = Shelf::durable();
    let site = forgetful(&shelf);
    let body = json!({"input": "say one", "session_id": "s", "instructions": "be brief"});
    let run = site.finish(body);
    await_oblivion(&site);
    let body = json!({"input": "recall", "previous_response_id": run.replace("run_", "resp_")});
    let next = site.finish(body);
    await_oblivion(&site);
    let recalled = "user:say one,assistant:one | be brief | s";
    assert_eq!(site.status(&next)["output"], recalled);
    await_oblivion(&site);
    let stopped = site.stop(&run);
    assert_eq!((stopped.status, &stopped.json()["status"]), (200, &json!("completed")));
    await_oblivion(&site);
    let steered = site.steer(&run, json!({"input": "too late"}));
    assert_eq!((steered.status, steered.code()), (409, json!("run_not_accepting_steer")));
    await_oblivion(&site);
    let head = site.connect();
    let mut head = head;
    head.send(format!("HEAD {} HTTP/1.1\r\nHost: localhost\r\n\r\n", path(&run)));
    assert_eq!(head.head().status, 200);
    site.end();
}

#[test]
fn requests_that_wait_for_the_store_are_answered_in_their_order() {
    let shelf = Shelf::durable();
    let site = forgetful(&shelf);
    let runs: Vec<String> =
        (0..10).map(|n| site.finish(json!({"input": format!("say {n}")}))).collect();
    await_oblivion(&site);
    let mut client = site.connect();
    let asked = runs.iter().map(|run| get(&format!("/v1/runs/{run}")) + &get("/health"));
    client.send(asked.collect::<String>() + &get(&path(&runs[0])) + &get("/v1/models"));
    for (number, run) in runs.iter().enumerate() {
        let page: Value = client.reply().json();
        assert_eq!((&page["run_id"], &page["output"]), (&json!(run), &json!(number.to_string())));
        assert_eq!(client.reply().json()["status"], "ok");
    }
    assert!(client.reply().text().contains("run.completed"));
    assert_eq!(client.reply().json()["object"], "list");
    site.end();
}
