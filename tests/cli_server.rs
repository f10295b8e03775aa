//! `runwire run --server`: a run on another server, over connections that break.
#![cfg(all(feature = "cli", feature = "llm"))]
mod cli_kit;

use cli_kit::{Home, finish, http, lines, next_line, signal};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Stands before a server and cuts every reply after `bytes_max` bytes. Counts connections.
fn cutting_proxy(server: &str, bytes_max: u64) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (server, count) = (server.to_owned(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::Relaxed);
            let server = TcpStream::connect(&server).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut to));
            thread::spawn(move || {
                let _ = io::copy(&mut (&server).take(bytes_max), &mut (&client));
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (url, count)
}

#[test]
fn a_run_on_a_server_looks_like_one_here() {
    let home = Home::new();
    let served = home.serve(&["--workspace", "."]);
    let here = home.run(&["run", "read nothing"]);
    let there = home.run(&["run", "--server", &served.url, "read nothing"]);
    assert_eq!((there.code(), &there.out, &there.err), (here.code(), &here.out, &here.err));
}

#[test]
fn a_stream_cut_again_and_again_is_heard_whole_and_once() {
    let home = Home::new();
    let served = home.serve(&[]);
    let (url, connections) = cutting_proxy(served.addr(), 4_000);
    let done = home.run(&["run", "--json", "--server", &url, "run seq 200"]);
    assert_eq!(done.code(), 0, "{}", done.err);
    let events: Vec<Value> = done.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (seq, event) in events.iter().enumerate() {
        assert_eq!(event["seq"], seq);
    }
    assert_eq!(events.last().unwrap()["event"], "run.completed");
    assert!(connections.load(Ordering::Relaxed) > 2, "nothing was cut");
    assert!(done.err.contains("connection lost"), "{}", done.err);
}

#[test]
fn ctrl_c_stops_the_run_on_the_server() {
    let home = Home::new();
    let served = home.serve(&[]);
    let line = ["run", "--json", "--server", &served.url, "run sleep 60"];
    let mut child = home.command(&line).spawn().unwrap();
    let out = lines(child.stdout.take().unwrap());
    let started = loop {
        let line = next_line(&out);
        if line.contains("tool.started") {
            break serde_json::from_str::<Value>(&line).unwrap();
        }
    };
    signal(&child, "INT");
    while !next_line(&out).contains("run.cancelled") {}
    assert_eq!(finish(child).code(), 130);
    let key = std::fs::read_to_string(home.key_file()).unwrap();
    let run_id = started["run_id"].as_str().unwrap();
    let head = format!("GET /v1/runs/{run_id} HTTP/1.1\r\nAuthorization: Bearer {}", key.trim());
    assert!(http(served.addr(), &head, "").contains("\"status\":\"cancelled\""));
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_told_of_and_ends_with_1() {
    let home = Home::new();
    let served = home.serve(&[]);
    let wrong = ["run", "--server", &served.url, "--key", "0123456789abcdef", "x"];
    let done = home.run(&wrong);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("401") && done.err.contains("RUNWIRE_KEY"), "{}", done.err);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let done = home.run(&["run", "--server", &format!("http://{closed}"), "x"]);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("cannot be reached"), "{}", done.err);
}

#[test]
fn what_is_no_runs_api_is_told_of() {
    let home = Home::new();
    home.run(&["key"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        // Held open until the client has gone.
        let _ = stream.read(&mut [0; 4096]);
    });
    let done = home.run(&["run", "--server", &url, "x"]);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("does not answer like a runs API"), "{}", done.err);
}
