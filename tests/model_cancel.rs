//! A stop is heard within 250 ms, wherever the model client hangs.
#![cfg(all(feature = "llm", target_os = "linux"))]
#[path = "model/server.rs"]
mod server;

use runwire::agent::model::openai::{Dns, OpenAi, OpenAiSettings};
use runwire::agent::{Cancel, Cause, Ending};
use server::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Far above what is promised, for machines that are busy with other tests.
const STOPPED_WITHIN: Duration = Duration::from_secs(1);

/// Cancels a turn of `model` once `hangs` says that it hangs, and checks how soon it returns.
fn check(stage: &str, model: OpenAi, input: &'static str, times: usize, hangs: impl FnOnce()) {
    let cancel = Cancel::new();
    let worker = thread::spawn({
        let cancel = cancel.clone();
        let input = input.repeat(times);
        move || (say_until(&model, &input, &cancel, None), Instant::now())
    });
    hangs();
    let start = Instant::now();
    cancel.cancel(Cause::Stop);
    let (said, ended) = worker.join().unwrap();
    let took = ended - start;
    println!("stopped {stage}: {took:?}");
    assert_eq!(said.turn, Err(Ending::Stopped), "{stage}");
    assert!(took < STOPPED_WITHIN, "{stage}: {took:?}");
}

fn soon(hangs: &Receiver<()>) {
    hangs.recv_timeout(DEADLINE).expect("the client to get there");
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < DEADLINE, "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn script(hang: Sender<()>, bytes: &'static str) -> Script {
    Box::new(move |stream| {
        stream.write_all(bytes.as_bytes()).unwrap();
        hang.send(()).unwrap();
        until_closed(stream);
    })
}

fn model_at(scheme: &str, addr: SocketAddr) -> OpenAi {
    OpenAi::new(OpenAiSettings::new(format!("{scheme}://{addr}/v1"), "m")).unwrap()
}

#[test]
fn while_a_name_is_looked_up() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let resolv_conf = folder.join("cancel-resolv.conf");
    fs::write(&resolv_conf, "nameserver 127.0.0.1\n").unwrap();
    let port = server.local_addr().unwrap().port();
    let dns = Dns { hosts: folder.join("none"), resolv_conf, port };
    let settings = OpenAiSettings::new("http://model.example/v1", "m");
    let model = OpenAi::new(OpenAiSettings { dns, ..settings }).unwrap();
    check("in DNS", model, "x", 1, || {
        server.recv_from(&mut [0; 512]).expect("a question");
    });
}

#[test]
fn while_a_connection_is_not_taken() {
    // A full backlog: further connections get no answer at all.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
        waiting.push(stream);
        assert!(waiting.len() < 100, "the backlog never fills");
    }
    // Local and remote address, then state 02: SYN_SENT.
    let hanging = format!(" 0100007F:{:04X} 02 ", addr.port());
    let connects = || fs::read_to_string("/proc/net/tcp").unwrap().contains(&hanging);
    until("the last try is over", || !connects());
    check("in connect", model_at("http", addr), "x", 1, || until("it connects", connects));
}

#[test]
fn while_tls_is_being_agreed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let model = model_at("https", listener.local_addr().unwrap());
    let mut kept = None;
    check("in the TLS handshake", model, "x", 1, || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 5]).expect("a greeting");
        kept = Some(stream);
    });
}

#[test]
fn before_the_first_byte() {
    let (hang, hangs) = channel();
    let server = Server::new(vec![script(hang, "")]);
    check("before the first byte", server.model(), "x", 1, || soon(&hangs));
}

#[test]
fn in_the_middle_of_a_body() {
    for head in [CHUNKED, UNTIL_CLOSE] {
        let (hang, hangs) = channel();
        let server = Server::new(vec![script(hang, head)]);
        check("in a body", server.model(), "x", 1, || soon(&hangs));
    }
}

#[test]
fn in_the_middle_of_an_error_reply() {
    let (hang, hangs) = channel();
    let head = "HTTP/1.1 500 Oops\r\nContent-Length: 10\r\n\r\n";
    let server = Server::new(vec![script(hang, head)]);
    check("in an error reply", server.model(), "x", 1, || soon(&hangs));
}

#[test]
fn between_the_pieces_of_an_answer_that_never_pauses() {
    let server = Server::new(vec![Box::new(|stream| {
        stream.write_all(UNTIL_CLOSE.as_bytes()).unwrap();
        let piece = format!("data: {}\n\n", text("x")).repeat(100);
        while stream.write_all(piece.as_bytes()).is_ok() {}
    })]);
    let (heard, hears) = channel();
    let (model, cancel) = (server.model(), Cancel::new());
    let worker = thread::spawn({
        let cancel = cancel.clone();
        move || say_until(&model, "x", &cancel, Some(&heard)).turn
    });
    soon(&hears);
    let start = Instant::now();
    cancel.cancel(Cause::Stop);
    assert_eq!(worker.join().unwrap(), Err(Ending::Stopped));
    println!("stopped in a flood: {:?}", start.elapsed());
    assert!(start.elapsed() < STOPPED_WITHIN);
}

#[test]
fn while_a_large_request_is_written() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let model = model_at("http", listener.local_addr().unwrap());
    let mut kept = None;
    check("in a large request", model, "0123456789abcdef", 2 << 20, || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1000]).expect("the start of a request");
        // It hangs once the window is full: when no more arrives than has.
        let mut before = 0;
        until("the window fills", || {
            thread::sleep(Duration::from_millis(50));
            let now = stream.peek(&mut vec![0; 8 << 20]).unwrap();
            std::mem::replace(&mut before, now) == now
        });
        kept = Some(stream);
    });
}

#[test]
fn in_the_pause_before_another_try() {
    let (hang, hangs) = channel();
    let server = Server::new(vec![Box::new(move |stream| {
        let head = "HTTP/1.1 429 Busy\r\nRetry-After: 10\r\nConnection: close\r\n";
        write!(stream, "{head}Content-Length: 2\r\n\r\n{{}}").unwrap();
        // The client closes once it has read that.
        until_closed(stream);
        hang.send(()).unwrap();
    })]);
    check("in a pause", server.model(), "x", 1, || soon(&hangs));
}

#[test]
fn before_it_has_begun() {
    let (cancel, start) = (Cancel::new(), Instant::now());
    cancel.cancel(Cause::Stop);
    let server = Server::new(vec![stream(&[&text("hi"), STOP, DONE])]);
    let said = say_until(&server.model(), "x", &cancel, None);
    assert_eq!((said.turn, said.pieces.len()), (Err(Ending::Stopped), 0));
    assert!(start.elapsed() < STOPPED_WITHIN);
}

#[test]
fn a_stopped_connection_serves_no_other_run_and_a_stopped_run_harms_none() {
    let (hang, hangs) = channel();
    let server = Server::new(vec![script(hang, CHUNKED), stream(&[&text("hi"), STOP, DONE])]);
    let (model, cancel) = (server.model(), Cancel::new());
    thread::scope(|scope| {
        let first = scope.spawn(|| say_until(&model, "x", &cancel, None).turn);
        soon(&hangs);
        cancel.cancel(Cause::Stop);
        assert_eq!(first.join().unwrap(), Err(Ending::Stopped));
    });
    assert_eq!(say(&model).turn.unwrap().text, "hi");
    // Cancelling what is over touches nothing.
    cancel.cancel(Cause::Stop);
    assert_eq!(server.requests_seen(), 2);
}
