//! A client that writes the bytes it is given and reads replies one byte range at a time.
use super::DEADLINE;
use serde_json::Value;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

pub struct Client {
    pub stream: TcpStream,
    /// Received and not yet given out.
    inbox: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    /// Status line and headers, as they came.
    pub head: String,
    /// Without its chunk framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The one header of this name; `None` if there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        let first = found.next();
        assert!(found.next().is_none(), "{name} twice in {}", self.head);
        first
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The `code` of an error.
    pub fn code(&self) -> Value {
        self.json()["error"]["code"].clone()
    }
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, inbox: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends what the server will take; it may have hung up.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// A whole reply, to the end of its body.
    pub fn reply(&mut self) -> Reply {
        self.read_reply(true)
    }

    /// A reply to HEAD, or the head of a stream.
    pub fn head(&mut self) -> Reply {
        self.read_reply(false)
    }

    fn read_reply(&mut self, with_body: bool) -> Reply {
        let head = self.until(b"\r\n\r\n");
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        if !with_body || matches!(status, 204 | 304) || status < 200 {
            return reply;
        }
        if reply.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                reply.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = reply.header("content-length") {
            let length = length.parse().unwrap();
            reply.body = self.exactly(length);
        } else {
            reply.body = self.rest();
        }
        reply
    }

    /// The payload of the next chunk; `None` for the last one.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.until(b"\r\n");
        let size = std::str::from_utf8(&line).unwrap().trim_end();
        let size = usize::from_str_radix(size, 16).unwrap();
        let payload = self.exactly(size);
        assert_eq!(self.exactly(2), b"\r\n");
        (size > 0).then_some(payload)
    }

    /// The same, and `None` also where the server has hung up.
    pub fn try_chunk(&mut self) -> Option<Vec<u8>> {
        while !self.inbox.windows(2).any(|window| window == b"\r\n") {
            let mut buffer = [0; 65_536];
            match self.stream.read(&mut buffer) {
                Ok(count @ 1..) => self.inbox.extend_from_slice(&buffer[..count]),
                _ => return None,
            }
        }
        self.chunk()
    }

    /// The next chunk of a stream that has not ended, as text.
    pub fn frame(&mut self) -> String {
        String::from_utf8(self.chunk().expect("the stream has ended")).unwrap()
    }

    /// Everything to the end of the connection, which must come without an error.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        std::mem::take(&mut self.inbox)
    }

    /// True once the server has hung up, politely or not; whatever it still said is thrown away.
    pub fn await_hang_up(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Err(error) => panic!("the server did not hang up: {error}"),
            }
        }
    }

    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.inbox.len() < count {
            assert!(self.fill() > 0, "the connection ended after {:?}", self.shown());
        }
        self.inbox.drain(..count).collect()
    }

    fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.inbox.windows(mark.len()).position(|window| window == mark) {
                return self.inbox.drain(..at + mark.len()).collect();
            }
            assert!(self.fill() > 0, "the connection ended after {:?}", self.shown());
        }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.inbox[..self.inbox.len().min(500)]).into_owned()
    }

    fn fill(&mut self) -> usize {
        let mut buffer = [0; 65_536];
        let count = match self.stream.read(&mut buffer) {
            Ok(count) => count,
            Err(error) => panic!("{error} after {:?}", self.shown()),
        };
        self.inbox.extend_from_slice(&buffer[..count]);
        count
    }
}

/// The `data` of every frame of a stream, comments left out.
pub fn parts_of_events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|json| serde_json::from_str(json).unwrap()).collect()
}
