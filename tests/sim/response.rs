//! HTTP responses as a strict client reads them, however they were cut.

/// What came next on a connection.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// `100 Continue`: not an answer yet.
    Continue,
    Head(Head),
    /// The whole body of a response that has one and is not a stream.
    Body(Vec<u8>),
    /// One frame or comment of an event stream, without the empty line at its end.
    Frame(Vec<u8>),
    /// The response is over.
    End,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    pub status: u16,
    /// The server will close after this response.
    pub close: bool,
    pub stream: bool,
    pub headers: Vec<(String, String)>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default, PartialEq)]
enum State {
    #[default]
    Head,
    Sized(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    LastEnd,
    UntilClose,
    Over,
}

#[derive(Default)]
pub struct Responses {
    bytes: Tape,
    state: State,
    /// Event stream bytes whose frame is not complete.
    frame: Tape,
}

/// Bytes that are added at the end and taken from the front.
#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    taken: usize,
    /// Prefix of the rest in which the end of a frame was already looked for.
    searched: usize,
}

impl Tape {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.rest()[..count].to_vec();
        self.taken += count;
        self.searched = 0;
        taken
    }

    /// Everything before the next `mark`, which is taken too.
    fn take_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let from = self.searched.saturating_sub(mark.len() - 1);
        let found = self.rest()[from..].windows(mark.len()).position(|here| here == mark);
        let Some(end) = found else {
            self.searched = self.rest().len();
            return None;
        };
        let mut text = self.take(from + end + mark.len());
        text.truncate(from + end);
        Some(text)
    }
}

impl Responses {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.push(bytes);
    }

    /// True if nothing is half received: a connection that ends here was not cut.
    pub fn is_between(&self) -> bool {
        self.state == State::Head && self.bytes.rest().is_empty()
    }

    /// The connection has ended, which ends a body that lasts until then.
    pub fn ended(&mut self) -> bool {
        let was_open = self.state == State::UntilClose;
        assert!(!was_open || self.frame.rest().is_empty(), "a stream ended within a frame");
        if was_open {
            self.state = State::Head;
        }
        was_open
    }

    /// `head_only` says that the request was HEAD.
    pub fn next(&mut self, head_only: bool) -> Option<Piece> {
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(Piece::Frame(frame));
            }
            match self.state {
                State::Head => return self.read_head(head_only),
                State::Sized(size) if self.bytes.rest().len() < size => return None,
                State::Sized(size) => {
                    self.state = State::Over;
                    return Some(Piece::Body(self.bytes.take(size)));
                }
                State::ChunkSize => {
                    let line = self.take_line()?;
                    let size = usize::from_str_radix(&line, 16).expect("a size in hex");
                    self.state = if size == 0 { State::LastEnd } else { State::Chunk(size) };
                }
                State::Chunk(_) | State::UntilClose if self.bytes.rest().is_empty() => return None,
                State::Chunk(size) => {
                    let taken = self.bytes.rest().len().min(size);
                    self.take_payload(taken);
                    self.state =
                        if taken == size { State::ChunkEnd } else { State::Chunk(size - taken) };
                }
                State::UntilClose => self.take_payload(self.bytes.rest().len()),
                State::ChunkEnd => {
                    assert_eq!(self.take_line()?, "", "a chunk is longer than it said");
                    self.state = State::ChunkSize;
                }
                State::LastEnd => {
                    assert_eq!(self.take_line()?, "", "no trailers were announced");
                    assert!(self.frame.rest().is_empty(), "a stream ended within a frame");
                    self.state = State::Over;
                }
                State::Over => {
                    self.state = State::Head;
                    return Some(Piece::End);
                }
            }
        }
    }

    fn read_head(&mut self, head_only: bool) -> Option<Piece> {
        let head = self.bytes.take_until(b"\r\n\r\n")?;
        let text = String::from_utf8(head).expect("heads are ASCII");
        let mut lines = text.split("\r\n");
        let status_line = lines.next().expect("a head has a first line");
        let status = status_line.strip_prefix("HTTP/1.1 ").expect("a status line");
        let status: u16 = status[..3].parse().expect("a status");
        if status == 100 {
            return Some(Piece::Continue);
        }
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut head = Head { status, headers, ..Head::default() };
        assert!(head.get("date").is_some() && head.get("cache-control").is_some(), "{text}");
        assert_eq!(head.get("x-content-type-options"), Some("nosniff"));
        head.close = head.get("connection") == Some("close");
        head.stream = head.get("content-type") == Some("text/event-stream");
        self.state = match (head.get("content-length"), head.get("transfer-encoding")) {
            _ if head_only || status == 204 => State::Over,
            (Some(size), None) => State::Sized(size.parse().expect("a length")),
            (None, Some("chunked")) => State::ChunkSize,
            (None, None) if head.close => State::UntilClose,
            other => panic!("where does this body end? {other:?}"),
        };
        Some(Piece::Head(head))
    }

    fn take_payload(&mut self, count: usize) {
        let payload = self.bytes.take(count);
        self.frame.push(&payload);
    }

    fn take_line(&mut self) -> Option<String> {
        let line = self.bytes.take_until(b"\r\n")?;
        Some(String::from_utf8(line).expect("framing is ASCII"))
    }

    fn take_frame(&mut self) -> Option<Vec<u8>> {
        self.frame.take_until(b"\n\n")
    }
}
