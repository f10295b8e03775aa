//! The other end of a server that is measured: requests as bytes, replies, and waiting for them.
use super::child::Child;
use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The longest time without a byte from a server that has something to say.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Head of a reply, or beginning of a frame: what is read in one piece.
pub const PIECE_BYTES_MAX: usize = 4096;

pub fn connect(child: &Child) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(child.addr).and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(stream)
    });
    stream.map_err(|error| format!("Could not connect to the server: {error}."))
}

/// The request that starts a run of this input.
pub fn post_request(child: &Child, input: &str) -> String {
    let body = format!("{{\"input\":\"{input}\"}}");
    let Child { addr, key, .. } = child;
    format!(
        "POST /v1/runs HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Starts a run. Returns its id.
pub fn post(child: &Child, input: &str) -> Result<String, String> {
    let mut stream = connect(child)?;
    send(&stream, &post_request(child, input))?;
    let mut reply = Vec::new();
    let mut piece = [0; PIECE_BYTES_MAX];
    while reply_len(&reply).is_none() {
        let read = stream.read(&mut piece).map_err(|error| lost(&error))?;
        if read == 0 || reply.len() > PIECE_BYTES_MAX {
            return Err("The server answers a run with nothing.".to_owned());
        }
        reply.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8_lossy(&reply);
    let id = text.split_once("\"run_id\":\"").and_then(|(_, rest)| rest.split('"').next());
    id.map(str::to_owned).ok_or_else(|| format!("The server did not take a run: {text}"))
}

pub fn send(mut stream: &TcpStream, request: &str) -> Result<(), String> {
    stream.write_all(request.as_bytes()).map_err(|error| lost(&error))
}

pub fn lost(error: &dyn std::fmt::Display) -> String {
    format!("The connection to the server broke: {error}.")
}

/// How long the reply is that `bytes` begin with; `None` while its head is not whole.
pub fn reply_len(bytes: &[u8]) -> Option<usize> {
    let head = head_len(bytes)?;
    let text = std::str::from_utf8(&bytes[..head]).ok()?;
    let length = text.split_once("\r\nContent-Length: ")?.1.split("\r\n").next()?;
    let len = head + length.parse::<usize>().ok()?;
    (bytes.len() >= len).then_some(len)
}

pub fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Waits until one of `fds` can be read, `until` then at the latest.
pub fn await_any(fds: &mut [PollFd<'_>], until: Instant) -> Result<(), String> {
    let left = until.saturating_duration_since(Instant::now()).min(SILENCE_MAX);
    let left = Timespec { tv_sec: left.as_secs() as _, tv_nsec: left.subsec_nanos().into() };
    match poll(fds, Some(&left)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(format!("Could not wait for the server: {error}.")),
    }
}

pub fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}
