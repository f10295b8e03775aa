//! Responses read piece by piece, however their bytes are cut, and requests on one connection.
use crate::Result;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// One response after another of one connection; none may follow before the last is `is_done`.
pub struct Response {
    state: State,
    head: Vec<u8>,
    pub status: u16,
}

enum State {
    Head,
    Sized(usize),
    /// As long as the connection lasts (RFC 9112 §6.3).
    Endless,
    /// The size line of a chunk, as far as it has been read.
    Size(usize),
    Chunk(usize),
    /// The line end behind a chunk, or behind the last one.
    LineEnd {
        left: usize,
        is_last: bool,
    },
    Done,
}

impl Response {
    pub fn new() -> Response {
        Response { state: State::Head, head: Vec::new(), status: 0 }
    }

    pub fn has_head(&self) -> bool {
        !matches!(self.state, State::Head)
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Takes `bytes` in; calls `body` with each piece of the body among them.
    pub fn feed(&mut self, mut bytes: &[u8], mut body: impl FnMut(&[u8])) -> Result<()> {
        while let Some(&first) = bytes.first() {
            let used = match &mut self.state {
                State::Head => self.feed_head(bytes)?,
                State::Sized(left) | State::Chunk(left) => {
                    let count = bytes.len().min(*left);
                    body(&bytes[..count]);
                    *left -= count;
                    count
                }
                State::Endless => {
                    body(bytes);
                    bytes.len()
                }
                State::Size(size) => {
                    match first {
                        b'\r' => {}
                        b'\n' if *size == 0 => {
                            self.state = State::LineEnd { left: 2, is_last: true };
                        }
                        b'\n' => self.state = State::Chunk(*size),
                        digit => *size = *size * 16 + hex(digit)?,
                    }
                    1
                }
                State::LineEnd { left, .. } => {
                    let count = bytes.len().min(*left);
                    *left -= count;
                    count
                }
                State::Done => return Err("bytes behind the end of a response".into()),
            };
            bytes = &bytes[used..];
            self.go_on();
        }
        Ok(())
    }

    fn go_on(&mut self) {
        self.state = match self.state {
            State::Sized(0) | State::LineEnd { left: 0, is_last: true } => State::Done,
            State::Chunk(0) => State::LineEnd { left: 2, is_last: false },
            State::LineEnd { left: 0, is_last: false } => State::Size(0),
            _ => return,
        };
    }

    fn feed_head(&mut self, bytes: &[u8]) -> Result<usize> {
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let Some(end) = memchr::memmem::find(&self.head, b"\r\n\r\n") else {
            return Ok(bytes.len());
        };
        let head = std::str::from_utf8(&self.head[..end])?.to_ascii_lowercase();
        self.status = head.get(9..12).ok_or("a head too short")?.parse()?;
        self.state = State::Endless;
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            match name {
                "content-length" => self.state = State::Sized(value.parse()?),
                "transfer-encoding" => self.state = State::Size(0),
                _ => {}
            }
        }
        self.head.clear();
        Ok(end + 4 - before)
    }
}

fn hex(digit: u8) -> Result<usize> {
    Ok(char::from(digit).to_digit(16).ok_or("a chunk size that is no number")? as usize)
}

pub fn post(addr: SocketAddr, input: &str) -> Vec<u8> {
    let body = format!("{{\"input\":\"{input}\"}}");
    let length = body.len();
    format!(
        "POST /v1/runs HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

pub fn get(addr: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").into_bytes()
}

pub fn get_events(addr: SocketAddr, run: &str) -> Vec<u8> {
    get(addr, &format!("/v1/runs/{run}/events"))
}

/// Asks on a connection of its own; gives the status and the body.
pub fn ask(addr: SocketAddr, request: &[u8]) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    stream.write_all(request)?;
    let (mut response, mut body, mut buffer) = (Response::new(), Vec::new(), [0; 4096]);
    while !response.is_done() {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err("the connection ended before its answer".into());
        }
        response.feed(&buffer[..count], |piece| body.extend_from_slice(piece))?;
    }
    Ok((response.status, String::from_utf8(body)?))
}

/// How long it takes from a request for a run's events to the first of them.
pub fn first_event(addr: SocketAddr, run: &str) -> Result<Duration> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
    let began = Instant::now();
    stream.write_all(&get_events(addr, run))?;
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while memchr::memmem::find(&read, b"\"seq\":").is_none() {
        match stream.read(&mut buffer)? {
            0 => return Err("a replay ended before its first event".into()),
            count => read.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(began.elapsed())
}

/// Starts a run; gives its id.
pub fn start_run(addr: SocketAddr, input: &str) -> Result<String> {
    let (status, body) = ask(addr, &post(addr, input))?;
    accepted(status, &body)
}

/// The id of the run that this answer accepts.
pub fn accepted(status: u16, body: &str) -> Result<String> {
    let id = body.split('"').skip_while(|text| *text != "run_id").nth(2);
    match id {
        Some(id) if status == 202 => Ok(id.to_owned()),
        _ => Err(format!("POST /v1/runs: {status} {body}").into()),
    }
}
