//! Slow, silent and many clients: time-outs, and nothing left behind.
mod common;
use common::{Child, DEADLINE, Site, get, post, post_input, wait_for};
use runwire::Config;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(60);

fn site(head: Duration, body: Duration, idle: Duration) -> Site {
    Site::with(|config| {
        config.head_timeout = head;
        config.body_timeout = body;
        config.idle_timeout = idle;
    })
}

/// Sends `bytes` one by one with pauses until the server speaks; gives what it says, and after
/// how long.
fn drip(site: &Site, start: &str, bytes: &str) -> (String, Duration) {
    let mut stream = TcpStream::connect(site.addr).unwrap();
    stream.write_all(start.as_bytes()).unwrap();
    let begun = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    let mut said = [0; 65_536];
    for byte in bytes.as_bytes().iter().cycle() {
        assert!(begun.elapsed() < DEADLINE, "the server waits for ever");
        let _ = stream.write_all(&[*byte]);
        match stream.read(&mut said) {
            Ok(count) => {
                return (String::from_utf8_lossy(&said[..count]).into_owned(), begun.elapsed());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a cycle has no end")
}

#[test]
fn a_head_that_drips_is_cut_off_in_time() {
    let site = site(SHORT, LONG, LONG);
    let (said, took) = drip(&site, "GET /health HTTP/1.1\r\nX: ", "x");
    assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("request_timeout"), "{said}");
    assert!(said.contains("Connection: close"));
    assert!(took >= SHORT / 2 && took < SHORT * 10, "{took:?}");
}

#[test]
fn a_body_that_drips_is_cut_off_in_time() {
    let site = site(LONG, SHORT, LONG);
    let head = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    for (framing, bytes) in [
        ("Content-Length: 1000\r\n\r\n", "{"),
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\n{\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", "x"),
    ] {
        let (said, took) = drip(&site, &format!("{head}{framing}"), bytes);
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(took >= SHORT / 2 && took < SHORT * 10, "{took:?}");
    }
}

#[test]
fn a_large_body_at_a_fair_pace_is_waited_for() {
    let site = site(LONG, SHORT, LONG);
    let body = format!("{{\"input\":\"done\",\"x\":\"{}\"}}", "x".repeat(1_000_000));
    let mut client = site.connect();
    let begun = Instant::now();
    for piece in post("/v1/runs", &body).as_bytes().chunks(100_000) {
        client.send(piece);
        thread::sleep(SHORT / 5);
    }
    assert!(begun.elapsed() > SHORT, "the test did not outlast the time-out");
    assert_eq!(client.reply().status, 202);
}

#[test]
fn an_idle_connection_is_closed_in_silence() {
    let site = site(LONG, LONG, SHORT);
    let begun = Instant::now();
    let mut fresh = site.connect();
    let mut used = site.connect();
    used.send(get("/health"));
    used.reply();
    assert!(fresh.rest().is_empty());
    assert!(used.rest().is_empty());
    // The server's clock counts whole milliseconds.
    assert!(begun.elapsed() >= SHORT - Duration::from_millis(1));
}

#[test]
fn an_idle_time_out_is_not_for_streams_nor_for_requests_under_way() {
    let site = site(LONG, LONG, SHORT);
    let run = site.run("gate");
    let mut reader = site.connect();
    reader.send(get(&format!("/v1/runs/{run}/events")));
    let mut slow = site.connect();
    slow.send("GET /health HTTP/1.1\r\n");
    let mut idle = site.connect();
    assert!(idle.rest().is_empty());
    slow.send("Host: localhost\r\n\r\n");
    assert_eq!(slow.reply().status, 200);
    site.gate.open();
    assert!(reader.reply().text().ends_with(": stream closed\n\n"));
}

#[test]
fn a_second_request_begins_with_fresh_time() {
    let site = site(SHORT, LONG, LONG);
    let mut client = site.connect();
    for _ in 0..4 {
        let (first, second) = ("GET /health HTTP/1.1\r\n", "Host: localhost\r\n\r\n");
        client.send(first);
        thread::sleep(SHORT / 2);
        client.send(second);
        assert_eq!(client.reply().status, 200);
    }
}

#[test]
fn many_slow_clients_delay_nobody() {
    let site = Site::start();
    let slow: Vec<_> = (0..300)
        .map(|i| {
            let mut client = site.connect();
            client.send(&post_input("done")[..i % 100]);
            client
        })
        .collect();
    for _ in 0..20 {
        let begun = Instant::now();
        assert_eq!(site.get("/health").status, 200);
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
    drop(slow);
    wait_for("them to be forgotten", || (site.counts()["connections"] == 1).then_some(()));
}

#[test]
#[ignore = "serves the tests below as a process of its own"]
fn serve() {
    Child::serve(|config: &mut Config| {
        config.idle_timeout = LONG;
        config.max_runs = 8;
    });
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_recovers() {
    let child = Child::start("serve", "ulimit -n 40;");
    let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(child.addr).unwrap()).collect();
    wait_for("the descriptors to run out", || (child.descriptors() >= 40).then_some(()));
    // One that is in goes on being served while others knock in vain.
    let mut first = &held[0];
    first.set_read_timeout(Some(DEADLINE)).unwrap();
    first.write_all(get("/health").as_bytes()).unwrap();
    assert!(first.read(&mut [0; 4096]).unwrap() > 0);
    drop(held);
    let mut client = common::Client::connect(child.addr);
    client.send(get("/health"));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn ten_thousand_visits_leave_nothing_behind() {
    let child = Child::start("serve", "");
    let mut client = common::Client::connect(child.addr);
    client.send(post_input("hold"));
    let run = client.reply().json()["run_id"].as_str().unwrap().to_owned();
    let (descriptors, threads) = (child.descriptors(), child.threads());
    let events = get(&format!("/v1/runs/{run}/events"));
    let visits = [String::new(), get("/health"), events, "GET /hea".to_owned(), "\0".to_owned()];
    thread::scope(|scope| {
        for half in 0..2 {
            let visits = &visits;
            let child = &child;
            scope.spawn(move || {
                for i in 0..5_000 {
                    let mut stream = TcpStream::connect(child.addr).unwrap();
                    stream.write_all(visits[(i + half) % visits.len()].as_bytes()).unwrap();
                    if i % 7 == 0 {
                        let _ = stream.shutdown(Shutdown::Write);
                        let _ = stream.read(&mut [0; 100]);
                    }
                }
            });
        }
    });
    child.await_descriptors(descriptors);
    assert_eq!(child.threads(), threads);
    wait_for("the subscribers to be gone", || {
        client.send(get("/health/detailed"));
        let page = client.reply().json();
        (page["subscribers"] == 0 && page["connections"] == 1).then_some(())
    });
}

#[test]
fn a_thousand_runs_leave_no_more_threads_than_may_work_at_once() {
    let child = Child::start("serve", "");
    let idle = child.threads();
    let mut client = common::Client::connect(child.addr);
    for _ in 0..10 {
        client.send(post_input("say a b c").repeat(100));
        (0..100).for_each(|_| assert_eq!(client.reply().status, 202));
    }
    assert!(child.threads() <= idle + 8, "{} threads", child.threads());
}
