//! A model server for tests: plays one script for each connection, in the order they come.
#![allow(dead_code)]
use runwire::agent::model::openai::{OpenAi, OpenAiSettings};
use runwire::agent::model::{Ask, Entry, Model, Piece, Turn};
use runwire::agent::{Cancel, Ending};
use runwire::request::Content;
use serde_json::{Map, Value};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// The longest a test waits for anything before it fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// What a connection does once its request has been read.
pub type Script = Box<dyn FnOnce(&mut TcpStream) + Send>;

pub struct Server {
    pub base_url: String,
    /// Each request's head and body, as they arrive.
    pub requests: Receiver<(String, Vec<u8>)>,
}

impl Server {
    /// Plays `scripts`, then refuses connections.
    pub fn new(scripts: Vec<Script>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, requests) = channel();
        thread::spawn(move || {
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(DEADLINE)).unwrap();
                let seen = seen.clone();
                thread::spawn(move || {
                    if let Some(request) = read_request(&mut stream) {
                        let _ = seen.send(request);
                        script(&mut stream);
                    }
                });
            }
        });
        Server { base_url, requests }
    }

    pub fn model(&self) -> OpenAi {
        OpenAi::new(self.settings()).unwrap()
    }

    /// A time-out that no good test reaches.
    pub fn settings(&self) -> OpenAiSettings {
        OpenAiSettings { timeout: DEADLINE, ..OpenAiSettings::new(&*self.base_url, "test-model") }
    }

    pub fn next_request(&self) -> (String, Value) {
        let (head, body) = self.requests.recv_timeout(DEADLINE).expect("a request");
        (head, serde_json::from_slice(&body).expect("a JSON body"))
    }

    pub fn requests_seen(&self) -> usize {
        self.requests.try_iter().count()
    }
}

/// The next request of a connection; `None` at its end.
pub fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).expect("a length");
    let mut body = vec![0; length.split("\r\n").next().unwrap().parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

pub fn reply(bytes: impl Into<Vec<u8>>) -> Script {
    let bytes = bytes.into();
    Box::new(move |stream| stream.write_all(&bytes).unwrap())
}

pub fn error(status: &str, headers: &str, body: &str) -> Script {
    let length = body.len();
    reply(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"))
}

/// Says `messages` as a stream whose body has a length.
pub fn stream(messages: &[&str]) -> Script {
    reply(stream_bytes(messages))
}

pub fn stream_bytes(messages: &[&str]) -> String {
    let body: String = messages.iter().map(|data| format!("data: {data}\n\n")).collect();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The head of a stream whose body is chunked.
pub const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
/// The head of a stream whose body ends with its connection.
pub const UNTIL_CLOSE: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

pub fn chunk(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

/// Waits for the client to go away.
pub fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).is_ok_and(|got| got > 0) {}
}

/// Resets the connection instead of closing it.
pub fn reset(stream: &TcpStream) {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Gives the client time to read what was sent, which a reset would swallow, then resets.
pub fn reset_once_read(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let _ = stream.read(&mut [0]);
    reset(stream);
}

pub fn text(piece: &str) -> String {
    serde_json::json!({ "choices": [{ "delta": { "content": piece } }] }).to_string()
}

pub const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
pub const DONE: &str = "[DONE]";

/// What a turn came to, and each piece that was handed out.
pub struct Said {
    pub turn: Result<Turn, Ending>,
    pub pieces: Vec<String>,
}

impl Said {
    /// The reason and the message of a turn that failed.
    pub fn failure(&self) -> (&'static str, String) {
        match &self.turn {
            Err(Ending::Failed { reason, message }) => (reason, message.to_string()),
            other => panic!("not a failure: {other:?}"),
        }
    }
}

pub fn say(model: &OpenAi) -> Said {
    say_until(model, "Hello?", &Cancel::new(), None)
}

/// Has `model` answer `input`, and tells `heard` of each piece.
pub fn say_until(model: &OpenAi, input: &str, cancel: &Cancel, heard: Option<&Sender<()>>) -> Said {
    let entries = [Entry::User(Content::Text(input.to_owned()))];
    let ask = Ask { model: None, entries: &entries, tools: &[], options: &Map::new() };
    let mut pieces = Vec::new();
    let turn = model.turn(&ask, cancel, &mut |piece| {
        let (Piece::Text(piece) | Piece::Reasoning(piece)) = piece;
        pieces.push(piece.to_owned());
        if let Some(heard) = heard {
            heard.send(()).unwrap();
        }
        Ok(())
    });
    Said { turn, pieces }
}
