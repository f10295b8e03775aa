//! A receiver of webhooks: it answers as it is told to, and keeps what it is sent.
#![allow(dead_code)] // each test binary uses its own part
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Nothing a test waits for takes nearly as long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// What was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Posted {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("no {name}: {self:?}")).1
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub struct Postbox {
    pub addr: SocketAddr,
    posted: Receiver<Posted>,
    held: Held,
}

/// Connections that are given no answer.
type Held = Arc<Mutex<Vec<TcpStream>>>;

impl Postbox {
    /// Answers the first posts with these, and all that follow with 204. An empty answer is none:
    /// the connection is held open.
    pub fn answering(answers: &[&str]) -> Postbox {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, posted) = channel();
        let mut answers: Vec<String> = answers.iter().map(|it| (*it).to_owned()).collect();
        answers.reverse();
        let held = Held::default();
        let holding = held.clone();
        thread::spawn(move || serve(&listener, answers, &sender, &holding));
        Postbox { addr, posted, held }
    }

    pub fn new() -> Postbox {
        Postbox::answering(&[])
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub fn next(&self) -> Posted {
        self.posted.recv_timeout(DEADLINE).expect("something is posted")
    }

    /// Closes the connections that are held open.
    pub fn let_go(&self) {
        self.held.lock().unwrap().clear();
    }

    /// What has come so far, beside what `next` gave.
    pub fn rest(&self) -> Vec<Posted> {
        self.posted.try_iter().collect()
    }
}

fn serve(
    listener: &TcpListener,
    mut answers: Vec<String>,
    sender: &Sender<Posted>,
    held: &Mutex<Vec<TcpStream>>,
) {
    while let Ok((mut stream, _)) = listener.accept() {
        let Some(posted) = read(&stream) else { continue };
        let answer = answers.pop().unwrap_or_else(|| "204 No Content".to_owned());
        if answer.is_empty() {
            held.lock().unwrap().push(stream);
        } else {
            let head =
                format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        }
        if sender.send(posted).is_err() {
            return;
        }
    }
}

fn read(stream: &TcpStream) -> Option<Posted> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length")?.1.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted { path, headers, body: String::from_utf8(body).ok()? })
}
