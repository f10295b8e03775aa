//! Names of model servers, looked up at name servers of the tests' own.
#![cfg(all(feature = "llm", target_os = "linux"))]
#[path = "model/server.rs"]
mod server;

use runwire::agent::model::openai::{Dns, OpenAi, OpenAiSettings, reason};
use server::*;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

const A: u8 = 1;
const TRUNCATED: u8 = 0x02;
const NO_SUCH_NAME: u8 = 3;
const REFUSED: u8 = 5;
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// What a question asks: the name, and the kind of address.
fn asked(question: &[u8]) -> (String, u8) {
    let mut labels = Vec::new();
    let mut at = 12;
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8(question[at + 1..end].to_vec()).unwrap());
        at = end;
    }
    (labels.join("."), question[at + 2])
}

fn answer(question: &[u8], flags: u8, code: u8, address: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = question.to_vec();
    bytes[2] |= 0x80 | flags;
    bytes[3] = code;
    if let Some(address) = address {
        bytes[7] = 1;
        bytes.extend([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 1, 0, 4]);
        bytes.extend(address);
    }
    bytes
}

/// A name server at `ip` that sends what `reply` makes of each question; the names it is asked for.
fn name_server(
    ip: &str,
    port: u16,
    mut reply: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (u16, Receiver<String>) {
    let socket = UdpSocket::bind((ip, port)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (seen, names) = channel();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((got, from)) = socket.recv_from(&mut question) {
            let question = &question[..got];
            let _ = seen.send(asked(question).0);
            for bytes in reply(question) {
                socket.send_to(&bytes, from).unwrap();
            }
        }
    });
    (port, names)
}

/// The right answer: loopback, for the kind IPv4 only.
fn loopback(question: &[u8]) -> Vec<u8> {
    answer(question, 0, 0, (asked(question).1 == A).then_some(LOOPBACK))
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, text).unwrap();
    path
}

fn dns(name: &str, resolv_conf: &str, hosts: &str, port: u16) -> Dns {
    let resolv_conf = file(&format!("{name}.resolv"), resolv_conf);
    Dns { hosts: file(&format!("{name}.hosts"), hosts), resolv_conf, port }
}

/// A turn at the model server on this machine, under the name `host`.
fn say_at(host: &str, dns: Dns) -> Said {
    let server = Server::new(vec![stream(&[&text("hi"), STOP, DONE])]);
    let base_url = server.base_url.replace("127.0.0.1", host);
    let settings = OpenAiSettings { base_url, dns, ..server.settings() };
    say(&OpenAi::new(settings).unwrap())
}

fn assert_found(said: Said) {
    assert_eq!(said.turn.expect("found").text, "hi");
}

#[test]
fn a_name_server_is_asked() {
    let (port, names) = name_server("127.0.0.1", 0, |question| vec![loopback(question)]);
    assert_found(say_at("model.example", dns("plain", "nameserver 127.0.0.1", "", port)));
    assert_eq!(names.recv().unwrap(), "model.example");
}

#[test]
fn search_domains_complete_a_short_name() {
    let (port, names) = name_server("127.0.0.1", 0, |question| {
        let known = asked(question).0 == "model.b.example";
        vec![if known { loopback(question) } else { answer(question, 0, NO_SUCH_NAME, None) }]
    });
    let conf = "nameserver 127.0.0.1\nsearch a.example b.example\n";
    assert_found(say_at("model", dns("search", conf, "", port)));
    let asked: Vec<String> = names.try_iter().collect();
    assert_eq!(asked[0], "model.a.example");
    assert_eq!(asked.last().unwrap(), "model.b.example");
}

#[test]
fn the_hosts_file_comes_first() {
    let hosts = "127.0.0.1 other model.example\n";
    assert_found(say_at("model.example", dns("hosts", "nameserver 127.0.0.1", hosts, 1)));
}

#[test]
fn localhost_needs_no_name_server() {
    assert_found(say_at("localhost", dns("localhost", "", "", 1)));
    assert_found(say_at("my.localhost", dns("localhost2", "", "", 1)));
}

#[test]
fn a_forged_reply_is_not_believed() {
    let (port, _names) = name_server("127.0.0.1", 0, |question| {
        let forged = answer(question, 0, 0, Some([192, 0, 2, 1]));
        let (mut other_id, mut other_name) = (forged.clone(), forged);
        other_id[0] ^= 1;
        other_name[13] ^= 1;
        vec![other_id, other_name, b"short".to_vec(), loopback(question)]
    });
    assert_found(say_at("model.example", dns("forged", "nameserver 127.0.0.1", "", port)));
}

#[test]
fn a_truncated_reply_is_asked_for_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let SocketAddr::V4(addr) = listener.local_addr().unwrap() else { unreachable!() };
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; u16::from_be_bytes(length).into()];
            stream.read_exact(&mut question).unwrap();
            let reply = loopback(&question);
            let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
            // In pieces, as TCP may have it.
            for byte in length.iter().chain(&reply) {
                stream.write_all(&[*byte]).unwrap();
            }
        }
    });
    let (port, _names) = name_server("127.0.0.1", addr.port(), |question| {
        vec![answer(question, TRUNCATED, 0, None)]
    });
    assert_found(say_at("model.example", dns("tcp", "nameserver 127.0.0.1", "", port)));
}

#[test]
fn the_next_name_server_is_asked_if_one_refuses_or_is_not_there() {
    let (port, names) = name_server("127.0.0.3", 0, |question| vec![loopback(question)]);
    // Nobody at 127.0.0.1; a refusal from 127.0.0.2.
    let refuse = |question: &[u8]| vec![answer(question, 0, REFUSED, None)];
    let (_, refused) = name_server("127.0.0.2", port, refuse);
    let conf = "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n";
    assert_found(say_at("model.example", dns("next", conf, "", port)));
    assert!(refused.try_iter().count() > 0 && names.try_iter().count() > 0);
}

#[test]
fn a_server_that_knows_only_ipv4_does_not_hold_us_up() {
    let (port, _names) = name_server("127.0.0.1", 0, |question| {
        if asked(question).1 == A { vec![loopback(question)] } else { Vec::new() }
    });
    let start = std::time::Instant::now();
    assert_found(say_at("model.example", dns("v4", "nameserver 127.0.0.1", "", port)));
    assert!(start.elapsed().as_millis() < 1500, "{:?}", start.elapsed());
}

#[test]
fn a_name_nobody_knows_is_told_at_once() {
    let no = |question: &[u8]| vec![answer(question, 0, NO_SUCH_NAME, None)];
    let (port, _names) = name_server("127.0.0.1", 0, no);
    let (why, message) =
        say_at("model.example", dns("unknown", "nameserver 127.0.0.1", "", port)).failure();
    assert_eq!(why, reason::UNREACHABLE);
    assert!(message.contains("model.example") && message.contains("--base-url"), "{message}");
}

#[test]
fn without_any_name_server_the_turn_fails_with_advice() {
    let (why, message) = say_at("model.example", dns("none", "", "", 1)).failure();
    assert_eq!(why, reason::UNREACHABLE);
    assert!(message.contains("not found"), "{message}");
}
