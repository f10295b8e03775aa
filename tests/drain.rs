//! The end of the server: no new runs, a grace for those that work, the last word for all readers.
mod common;
use common::{Client, Site, get, parts_of_events, post_input, wait_for};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

/// Readers of a run, their heads and first chunks read.
fn readers(site: &Site, run: &str, count: usize) -> Vec<Client> {
    let open = |_| {
        let mut client = site.connect();
        client.send(get(&format!("/v1/runs/{run}/events")));
        client.head();
        assert_eq!(client.frame(), ": open\n\n");
        client
    };
    (0..count).map(open).collect()
}

/// Reads on to the end of the stream and of the connection; gives the last event.
fn last_event(client: &mut Client) -> serde_json::Value {
    let mut stream = Vec::new();
    while let Some(chunk) = client.chunk() {
        stream.extend_from_slice(&chunk);
    }
    assert!(stream.ends_with(b": stream closed\n\n"));
    assert!(client.rest().is_empty());
    parts_of_events(&stream).pop().unwrap()
}

#[test]
fn without_work_a_drain_is_over_at_once() {
    let site = Site::with(|config| config.drain = LONG);
    let mut idle = site.connect();
    idle.send(get("/health"));
    idle.reply();
    let begun = Instant::now();
    site.handle.drain();
    site.handle.drain();
    assert!(idle.rest().is_empty(), "an idle connection is closed");
    site.join();
    assert!(begun.elapsed() < LONG / 10);
}

#[test]
fn a_draining_server_takes_no_new_runs_and_answers_all_else() {
    let site = Site::with(|config| config.drain = LONG);
    let run = site.run("gate");
    let mut reader = readers(&site, &run, 1).pop().unwrap();
    site.handle.drain();
    let reply = wait_for("the drain to begin", || {
        let reply = site.ask(post_input("done"));
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(reply.code(), "gateway_draining");
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(reply.header("connection"), Some("close"));
    assert_eq!(site.ask(post_input("")).status, 503, "503 comes before 400");
    assert_eq!(site.status(&run)["status"], "running");
    assert_eq!(site.counts()["draining"], true);
    let mut second = readers(&site, &run, 1).pop().unwrap();
    site.gate.open();
    assert_eq!(last_event(&mut reader)["event"], "run.completed", "it was given its grace");
    assert_eq!(last_event(&mut second)["event"], "run.completed");
    drop((reader, second));
    site.join();
}

#[test]
fn after_the_grace_every_reader_hears_that_the_run_was_interrupted() {
    let site = Site::with(|config| config.max_runs = 1);
    let (working, waiting) = (site.run("hold"), site.run("done"));
    let mut readers: Vec<Client> =
        readers(&site, &working, 50).into_iter().chain(readers(&site, &waiting, 50)).collect();
    site.handle.drain();
    for reader in &mut readers {
        let last = last_event(reader);
        assert_eq!(last["event"], "run.interrupted");
        assert!(last["error"].as_str().unwrap().contains("server stopped"));
    }
    drop(readers);
    site.join();
}

#[test]
fn a_second_call_ends_the_grace() {
    let site = Site::with(|config| config.drain = Duration::from_secs(3600));
    let run = site.run("hold");
    let mut reader = readers(&site, &run, 1).pop().unwrap();
    site.handle.drain();
    site.handle.drain();
    assert_eq!(last_event(&mut reader)["event"], "run.interrupted");
    drop(reader);
    site.join();
}

#[test]
fn an_agent_that_does_not_listen_does_not_hold_up_the_end() {
    let site = Site::start();
    let run = site.run("deaf");
    let mut reader = readers(&site, &run, 1).pop().unwrap();
    let begun = Instant::now();
    site.handle.drain();
    assert_eq!(last_event(&mut reader)["event"], "run.interrupted");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(reader);
    site.join();
}

#[test]
fn a_reader_in_the_middle_of_a_replay_gets_all_of_it() {
    let site = Site::with(|config| config.drain = LONG);
    let run = site.run("emit 2000 10000");
    site.await_status(&run, "completed");
    let mut reader = readers(&site, &run, 1).pop().unwrap();
    site.handle.drain();
    let mut events = 0;
    let begun = Instant::now();
    // A slow line: it takes longer than a closing connection would be given.
    while let Some(chunk) = reader.chunk() {
        events += usize::from(chunk.starts_with(b"id: "));
        if events % 100 == 0 && begun.elapsed() < Duration::from_secs(3) {
            thread::sleep(Duration::from_millis(150));
        }
    }
    assert!(begun.elapsed() > Duration::from_millis(2500));
    assert_eq!(events, 2001);
    drop(reader);
    site.join();
}

#[test]
fn a_reader_that_never_reads_does_not_hold_up_the_end() {
    let site = Site::start();
    let run = site.run("emit 2000 10000");
    site.await_status(&run, "completed");
    let stuck = readers(&site, &run, 3);
    let half = site.connect();
    site.handle.drain();
    site.join();
    drop((stuck, half));
}

#[test]
fn a_request_under_way_is_answered() {
    let site = Site::with(|config| config.drain = LONG);
    let run = site.run("gate");
    let mut client = site.connect();
    let request = post_input("done");
    let (first, second) = request.split_at(request.len() - 5);
    client.send(first);
    // An answer on another connection tells that the server has read this one's bytes.
    site.status(&run);
    site.handle.drain();
    wait_for("the drain to begin", || (site.counts()["draining"] == true).then_some(()));
    client.send(second);
    assert_eq!(client.reply().status, 503);
    assert!(client.rest().is_empty());
    drop(client);
    site.gate.open();
    site.join();
}

#[test]
fn a_visitor_who_says_nothing_does_not_hold_up_the_end() {
    let site = Site::with(|config| config.drain = LONG);
    let run = site.run("gate");
    let reader = readers(&site, &run, 1);
    site.handle.drain();
    wait_for("the drain to begin", || (site.counts()["draining"] == true).then_some(()));
    site.gate.open();
    site.await_status(&run, "completed");
    // The reader has not hung up, so this comes before the end.
    let silent = site.connect();
    let begun = Instant::now();
    site.join();
    assert!(begun.elapsed() < LONG / 10);
    drop((silent, reader));
}
