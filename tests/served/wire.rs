//! A client whose connections may break at any byte.
use super::{DEADLINE, KEY};
use serde_json::Value;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }
}

/// One request on a connection of its own. `headers` is whole lines.
pub fn ask(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> io::Result<Reply> {
    let mut conn = Conn::open(addr)?;
    conn.send(method, path, headers, body)?;
    conn.reply()
}

/// An event as it came: `id: SEQ` LF `data: JSON` LF LF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub seq: u64,
    pub text: String,
}

impl Frame {
    /// The frame of an event that is stored as `line`.
    pub fn of(seq: u64, line: &str) -> Frame {
        Frame { seq, text: format!("id: {seq}\ndata: {line}\n\n") }
    }

    pub fn json(&self) -> Value {
        let data = self.text.split_once("\ndata: ").unwrap().1;
        serde_json::from_str(data).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn event(&self) -> String {
        self.json()["event"].as_str().unwrap().to_owned()
    }

    pub fn is_terminal(&self) -> bool {
        ["completed", "failed", "cancelled", "interrupted"]
            .iter()
            .any(|end| self.event() == format!("run.{end}"))
    }
}

/// A stream of events.
pub struct Stream {
    conn: Conn,
    /// Payload that is not a whole frame yet.
    text: String,
}

impl Stream {
    /// The events of `run` after `last`. `None` if there are none and will be none (204).
    pub fn open(addr: SocketAddr, run: &str, last: Option<u64>) -> io::Result<Option<Stream>> {
        let mut conn = Conn::open(addr)?;
        let cursor = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
        conn.send("GET", &format!("/v1/runs/{run}/events"), &cursor, "")?;
        match Stream::of(conn)? {
            Ok(stream) => Ok(Some(stream)),
            Err(204) => Ok(None),
            Err(status) => panic!("no stream of {run} after {last:?}: {status}"),
        }
    }

    /// What answers a request that was sent: a stream, or else a status.
    pub fn of(mut conn: Conn) -> io::Result<Result<Stream, u16>> {
        let status = status_of(&conn.head()?);
        Ok(if status == 200 { Ok(Stream { conn, text: String::new() }) } else { Err(status) })
    }

    /// The next frame; `None` at the end of the stream. What comes in part is an error.
    pub fn next(&mut self) -> io::Result<Option<Frame>> {
        while let Some(block) = self.block()? {
            if let Some(rest) = block.strip_prefix("id: ") {
                let seq = rest.split('\n').next().unwrap().parse().unwrap();
                return Ok(Some(Frame { seq, text: block }));
            }
            assert!(block.starts_with(": "), "neither an event nor a comment: {block:?}");
        }
        Ok(None)
    }

    /// The next event, comment, or what else ends with an empty line.
    pub fn block(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.text.find("\n\n") {
                return Ok(Some(self.text.drain(..at + 2).collect()));
            }
            match self.conn.chunk()? {
                Some(payload) => self.text.push_str(&payload),
                None => {
                    assert_eq!(self.text, "", "the stream ended within a frame");
                    return Ok(None);
                }
            }
        }
    }

    pub fn rest(&mut self) -> io::Result<Vec<Frame>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next()? {
            frames.push(frame);
        }
        Ok(frames)
    }
}

/// A connection.
pub struct Conn {
    stream: TcpStream,
    inbox: Vec<u8>,
}

impl Conn {
    pub fn open(addr: SocketAddr) -> io::Result<Conn> {
        Conn::over(TcpStream::connect(addr)?)
    }

    pub fn over(stream: TcpStream) -> io::Result<Conn> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Conn { stream, inbox: Vec::new() })
    }

    pub fn send(&mut self, method: &str, path: &str, head: &str, body: &str) -> io::Result<()> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
             {kind}{head}Content-Length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(request.as_bytes())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        let head = self.head()?;
        let status = status_of(&head);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
        });
        let body = self.exactly(length.unwrap_or(0))?;
        Ok(Reply { status, head, body: String::from_utf8(body).unwrap() })
    }

    fn head(&mut self) -> io::Result<String> {
        self.until(b"\r\n\r\n")
    }

    fn chunk(&mut self) -> io::Result<Option<String>> {
        let line = self.until(b"\r\n")?;
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        let payload = self.exactly(size)?;
        self.exactly(2)?;
        Ok((size > 0).then(|| String::from_utf8(payload).unwrap()))
    }

    fn until(&mut self, mark: &[u8]) -> io::Result<String> {
        loop {
            let at = self.inbox.windows(mark.len()).position(|window| window == mark);
            if let Some(at) = at {
                let bytes = self.inbox.drain(..at + mark.len()).collect();
                return Ok(String::from_utf8(bytes).unwrap());
            }
            self.fill()?;
        }
    }

    fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.inbox.len() < count {
            self.fill()?;
        }
        Ok(self.inbox.drain(..count).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.inbox.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server is silent: {}", String::from_utf8_lossy(&self.inbox))
            }
            Err(error) => Err(error),
        }
    }
}

fn status_of(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}
