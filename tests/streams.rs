//! The event stream as readers see it: exact bytes, cursors, many readers, slow readers.
mod common;
use common::{Child, Client, Site, get, parts_of_events, post_input, wait_for};
use runwire::Config;
use serde_json::Value;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

fn events(run: &str) -> String {
    format!("/v1/runs/{run}/events")
}

/// A request for the events after `cursor`, which is a header line or nothing.
fn resume(run: &str, query: &str, header: &str) -> String {
    format!("GET {}{query} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n", events(run))
}

/// A site with a run that has ended, its id, and its stream.
fn finished(input: &str) -> (Site, String, String) {
    let site = Site::start();
    let run = site.run(input);
    let stream = String::from_utf8(site.stream(&run)).unwrap();
    (site, run, stream)
}

/// The stream from the frame of event `seq` on, behind a fresh `: open`.
fn from(stream: &str, seq: usize) -> String {
    let at = stream.find(&format!("\nid: {seq}\n")).unwrap() + 1;
    format!(": open\n\n{}", &stream[at..])
}

#[test]
fn a_stream_is_exactly_these_bytes() {
    let (site, run, stream) = finished("say hello \u{1f600}\u{2028}\"");
    let times: Vec<f64> = parts_of_events(stream.as_bytes())
        .iter()
        .map(|event| event["timestamp"].as_f64().unwrap())
        .collect();
    let at: Vec<String> = times.iter().map(|time| format!("{time:.6}")).collect();
    let head = |seq: usize, event: &str| {
        let at = &at[seq];
        format!(
            "id: {seq}\ndata: {{\"event\":\"{event}\",\"run_id\":\"{run}\",\"timestamp\":{at},\"seq\":{seq}"
        )
    };
    let usage = "{\"input_tokens\":0,\"output_tokens\":0,\"total_tokens\":0,\
        \"cache_read_tokens\":0,\"cache_write_tokens\":0}";
    let expected = format!(
        ": open\n\n{},\"delta\":\"hello \"}}\n\n{},\"delta\":\"\u{1f600}\u{2028}\\\"\"}}\n\n\
         {},\"output\":\"hello \u{1f600}\u{2028}\\\"\",\"usage\":{usage},\
         \"runtime\":{{\"provider\":\"agent\",\"model\":\"hermes-agent\"}}}}\n\n: stream closed\n\n",
        head(0, "message.delta"),
        head(1, "message.delta"),
        head(2, "run.completed"),
    );
    assert_eq!(stream, expected);
    assert!(times.is_sorted() && times[0] > 1.6e9);
    let reply = site.get(&events(&run));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-accel-buffering"), Some("no"));
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
}

#[test]
fn a_stream_opens_at_once_and_is_kept_alive() {
    let site = Site::with(|config| config.keepalive = Duration::from_millis(50));
    let run = site.run("gate");
    let mut client = site.connect();
    client.send(get(&events(&run)));
    assert_eq!(client.head().status, 200);
    assert_eq!(client.frame(), ": open\n\n");
    assert!(client.frame().starts_with("id: 0\ndata: {\"event\":\"message.delta\""));
    assert_eq!(client.frame(), ": keepalive\n\n");
    assert_eq!(client.frame(), ": keepalive\n\n");
    site.gate.open();
    let mut rest = String::new();
    while let Some(chunk) = client.chunk() {
        rest += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(rest.contains("run.completed") && rest.ends_with("\n\n: stream closed\n\n"));
}

#[test]
fn a_waiting_run_has_a_stream_too() {
    let site = Site::with(|config| config.max_runs = 1);
    site.run("gate");
    let waiting = site.run("say later");
    let mut client = site.connect();
    client.send(get(&events(&waiting)));
    client.head();
    assert_eq!(client.frame(), ": open\n\n");
    assert_eq!(site.status(&waiting)["status"], "queued");
    site.gate.open();
    assert!(client.frame().contains("later"));
}

#[test]
fn a_connection_goes_on_after_a_stream() {
    let site = Site::start();
    let run = site.run("gate");
    let mut client = site.connect();
    client.send(get(&events(&run)) + &get("/health"));
    client.head();
    assert_eq!(client.frame(), ": open\n\n");
    // What is pipelined behind a stream waits for its end.
    client.send(get("/v1/models"));
    site.gate.open();
    while client.chunk().is_some() {}
    assert_eq!(client.reply().json()["status"], "ok");
    assert_eq!(client.reply().json()["object"], "list");
    client.send(get(&events(&run)));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn a_reader_resumes_behind_what_it_has_seen() {
    let (site, run, stream) = finished("emit 20 10");
    for seen in 0..20 {
        let expected = from(&stream, seen + 1);
        let by_header = site.ask(resume(&run, "", &format!("Last-Event-ID: {seen}\r\n")));
        assert_eq!(by_header.text(), expected);
        let by_query = site.ask(resume(&run, &format!("?last_seq={seen}"), ""));
        assert_eq!(by_query.text(), expected);
    }
    for (query, header) in [
        ("", ""),
        ("", "Last-Event-ID: -1\r\n"),
        ("", "Last-Event-ID:\r\n"),
        ("?last_seq=-1", ""),
        ("?other=5", ""),
        ("?last_seq=5", "Last-Event-ID: -1\r\n"),
        ("?last_seq=junk", "Last-Event-ID: -1\r\n"),
    ] {
        assert_eq!(site.ask(resume(&run, query, header)).text(), stream, "{query} {header}");
    }
    let both = site.ask(resume(&run, "?last_seq=3", "Last-Event-ID: 17\r\n"));
    assert_eq!(both.text(), from(&stream, 18), "the header wins");
}

#[test]
fn a_cursor_that_means_nothing_is_refused() {
    let (site, run, _) = finished("emit 5 10");
    let working = site.run("hold");
    for cursor in ["6", "-2", "x", "1x", "1.0", "+1", "0x1", " ", "99999999999999999999", "%31"] {
        if cursor != " " {
            let reply = site.ask(resume(&run, "", &format!("Last-Event-ID: {cursor}\r\n")));
            assert_eq!(
                (reply.status, reply.code()),
                (400, Value::from("invalid_cursor")),
                "{cursor}"
            );
            let reply = site.ask(resume(&run, &format!("?last_seq={cursor}"), ""));
            assert_eq!(reply.status, 400, "{cursor}");
        }
        let reply = site.ask(resume(&working, "", "Last-Event-ID: 50\r\n"));
        assert_eq!(reply.status, 400, "a run that works has not said that yet");
    }
}

#[test]
fn at_the_end_there_is_nothing_more() {
    let (site, run, _) = finished("emit 5 10");
    let mut client = site.connect();
    for (query, header) in [("", "Last-Event-ID: 5\r\n"), ("?last_seq=5", "")] {
        client.send(resume(&run, query, header));
        let reply = client.head();
        assert_eq!((reply.status, reply.header("content-length")), (204, None));
    }
    client.send(get("/health"));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn two_hundred_readers_get_the_same_bytes() {
    let site = Site::start();
    let run = site.run("gate");
    let early: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = site.connect();
            client.send(get(&events(&run)));
            client.head();
            client
        })
        .collect();
    site.gate.open();
    let read = |mut client: Client| {
        let mut stream = Vec::new();
        while let Some(chunk) = client.chunk() {
            stream.extend_from_slice(&chunk);
        }
        stream
    };
    let streams: Vec<Vec<u8>> = early.into_iter().map(read).collect();
    let late: Vec<Vec<u8>> = (0..100).map(|_| site.stream(&run)).collect();
    assert!(String::from_utf8_lossy(&streams[0]).contains("run.completed"));
    assert!(streams.iter().chain(&late).all(|stream| *stream == streams[0]));
}

/// Reads up to `chunks` chunks, then lets the line drop; gives what was whole.
fn read_some(addr: SocketAddr, run: &str, last_seq: i64, chunks: usize) -> Option<Vec<Value>> {
    let mut client = Client::connect(addr);
    client.send(resume(run, "", &format!("Last-Event-ID: {last_seq}\r\n")));
    if client.head().status == 204 {
        return None;
    }
    let mut stream = Vec::new();
    for _ in 0..chunks {
        let Some(chunk) = client.chunk() else { break };
        stream.extend_from_slice(&chunk);
    }
    Some(parts_of_events(&stream))
}

#[test]
fn a_storm_of_reconnects_loses_and_doubles_nothing() {
    let site = Site::start();
    let run = site.run("drip 60");
    thread::scope(|scope| {
        for reader in 0..8 {
            let (addr, run) = (site.addr, &run);
            scope.spawn(move || {
                let mut seqs = Vec::new();
                let mut last_seq = -1;
                while let Some(events) = read_some(addr, run, last_seq, 2 + reader % 3) {
                    seqs.extend(events.iter().map(|event| event["seq"].as_i64().unwrap()));
                    last_seq = seqs.last().copied().unwrap_or(-1);
                }
                assert_eq!(seqs, (0..=60).collect::<Vec<i64>>());
            });
        }
    });
    assert_eq!(site.counts()["subscribers"], 0);
}

#[test]
fn a_reader_that_goes_away_does_not_stop_its_run() {
    let site = Site::start();
    let run = site.run("gate");
    let mut client = site.connect();
    client.send(get(&events(&run)));
    client.head();
    drop(client);
    wait_for("the reader to be gone", || (site.counts()["subscribers"] == 0).then_some(()));
    assert_eq!(site.status(&run)["status"], "running");
    site.gate.open();
    assert_eq!(site.await_status(&run, "completed")["output"], "waiting done");
}

#[test]
#[ignore = "serves the test below as a process of its own"]
fn serve() {
    Child::serve(|_: &mut Config| {});
}

#[test]
fn readers_that_never_read_cost_no_memory_and_harm_no_one() {
    const LOG: usize = 20_000_000;
    let child = Child::start("serve", "");
    let ask = |request: String| {
        let mut client = Client::connect(child.addr);
        client.send(request);
        client.reply()
    };
    let reply = ask(post_input(&format!("emit {} 10000", LOG / 10_000)));
    let run = reply.json()["run_id"].as_str().unwrap().to_owned();
    let whole = ask(get(&events(&run))).body;
    assert!(whole.len() > LOG);
    let before = child.memory();
    let stuck: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = Client::connect(child.addr);
            client.send(get(&events(&run)));
            assert_eq!(client.head().status, 200);
            client
        })
        .collect();
    for _ in 0..3 {
        assert_eq!(ask(get(&events(&run))).body, whole, "another reader noticed");
    }
    let grown = child.memory().saturating_sub(before);
    assert!(grown < 4_000_000, "100 readers that do not read took {grown} bytes");
    drop(stuck);
}
