//! Server-sent events as others write them: the parser of the WHATWG HTML standard, §9.2.6.
use super::sse::frame;
use crate::event::{Delta, Event, Kind};
use crate::id::{Key, RunId, RunKey};
use crate::time::Wall;
use std::fmt;

/// One event. Bytes that are not UTF-8 have become U+FFFD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// `message` if the stream names none.
    pub event: &'a str,
    /// The lines of `data`, joined by LF.
    pub data: &'a str,
    /// The last id the stream has given, in this event or an earlier one.
    pub id: Option<&'a str>,
}

/// An event was longer than the decoder's bound. Nothing after it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The bound, in bytes.
    pub max: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event is longer than {} bytes", self.max)
    }
}

impl std::error::Error for TooLong {}

/// Takes an event stream apart, at whatever places the network happened to cut it.
#[derive(Debug)]
pub struct Decoder {
    event_bytes_max: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The data of the event so far, an LF after each line.
    data: Vec<u8>,
    event: Vec<u8>,
    id: Vec<u8>,
    /// False until the first line is read: only that one may begin with a byte order mark.
    started: bool,
    /// True after a CR: an LF that follows belongs to it.
    after_cr: bool,
}

impl Decoder {
    /// `event_bytes_max` bounds what one event may hold: its data, name, id and the line that is
    /// being read.
    pub fn new(event_bytes_max: usize) -> Decoder {
        Decoder {
            event_bytes_max,
            line: Vec::new(),
            data: Vec::new(),
            event: Vec::new(),
            id: Vec::new(),
            started: false,
            after_cr: false,
        }
    }

    /// Reads all of `bytes` and hands each whole event to `on`.
    ///
    /// # Errors
    /// `TooLong` as soon as an event or a line exceeds the bound; the decoder is of no use then.
    pub fn feed(&mut self, bytes: &[u8], on: &mut dyn FnMut(Message<'_>)) -> Result<(), TooLong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|b| matches!(b, b'\n' | b'\r')) else {
                self.check_len(rest.len())?;
                self.line.extend_from_slice(rest);
                return Ok(());
            };
            self.check_len(end)?;
            self.after_cr = rest[end] == b'\r';
            if self.line.is_empty() {
                self.read_line(&rest[..end], on);
            } else {
                let mut line = std::mem::take(&mut self.line);
                line.extend_from_slice(&rest[..end]);
                self.read_line(&line, on);
                line.clear();
                self.line = line;
            }
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    /// True if nothing is half-received: a stream that ends here was not cut.
    pub fn is_empty(&self) -> bool {
        self.line.is_empty() && self.data.is_empty() && self.event.is_empty()
    }

    fn check_len(&self, more: usize) -> Result<(), TooLong> {
        let held = self.line.len() + self.data.len() + self.event.len() + self.id.len();
        let max = self.event_bytes_max;
        if more > max.saturating_sub(held) { Err(TooLong { max }) } else { Ok(()) }
    }

    fn read_line(&mut self, line: &[u8], on: &mut dyn FnMut(Message<'_>)) {
        let first = !std::mem::replace(&mut self.started, true);
        let line = if first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.dispatch(on);
        }
        let (name, value) = match line.iter().position(|b| *b == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            }
            b"event" => replace(&mut self.event, value),
            b"id" if !value.contains(&0) => replace(&mut self.id, value),
            // Comments, `retry`, and whatever else the standard says to ignore.
            _ => {}
        }
    }

    fn dispatch(&mut self, on: &mut dyn FnMut(Message<'_>)) {
        if self.data.pop().is_some() {
            let event = String::from_utf8_lossy(&self.event);
            let id = String::from_utf8_lossy(&self.id);
            on(Message {
                event: if event.is_empty() { "message" } else { &event },
                data: &String::from_utf8_lossy(&self.data),
                id: if id.is_empty() { None } else { Some(&id) },
            });
        }
        self.data.clear();
        self.event.clear();
    }
}

fn replace(old: &mut Vec<u8>, new: &[u8]) {
    old.clear();
    old.extend_from_slice(new);
}

/// The events do not depend on the cuts, and are those of the simplest parser; a frame of any
/// text is read back as that text.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    const EVENT_BYTES_MAX: usize = 200;
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let at_once = decode(std::iter::once(bytes), EVENT_BYTES_MAX);
    assert_eq!(at_once, decode(super::cuts::pieces(bytes, *seed), EVENT_BYTES_MAX));
    let whole = decode(super::cuts::pieces(bytes, *seed), usize::MAX);
    assert_eq!(whole, (simplest(bytes), true));
    assert!(whole.0.starts_with(&at_once.0), "the bound changed an event");

    let text = String::from_utf8_lossy(bytes).into_owned();
    let kind = Kind::MessageDelta(Delta { delta: text.clone() });
    let run = RunKey(Key { slot: 0, generation: 0 });
    let event = Event { run, seq: u64::from(*seed), at: Wall(1_500_000), kind };
    let mut out = Vec::new();
    frame(&mut out, RunId(7), &event);
    let (messages, finished) = decode(super::cuts::pieces(&out, *seed), usize::MAX);
    assert!(finished && messages.len() == 1, "one event, one message");
    let value: serde_json::Value =
        serde_json::from_str(&messages[0].1).expect("a frame carries JSON");
    assert_eq!(value["delta"], text);
    assert_eq!(messages[0].2, seed.to_string());
}

/// Event, data and id of each message, and whether all of it was within the bound.
type Decoded = (Vec<(String, String, String)>, bool);

fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>, event_bytes_max: usize) -> Decoded {
    let mut decoder = Decoder::new(event_bytes_max);
    let mut messages = Vec::new();
    for piece in pieces {
        let mut on = |message: Message<'_>| {
            let id = message.id.unwrap_or_default().to_owned();
            messages.push((message.event.to_owned(), message.data.to_owned(), id));
        };
        if decoder.feed(piece, &mut on).is_err() {
            return (messages, false);
        }
        let held = decoder.line.len() + decoder.data.len() + decoder.event.len();
        assert!(held <= event_bytes_max.saturating_add(1), "{held} bytes held");
    }
    (messages, true)
}

/// The standard's text, step by step, on a stream that is all there.
fn simplest(bytes: &[u8]) -> Vec<(String, String, String)> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut messages = Vec::new();
    let (mut data, mut event, mut id) = (String::new(), String::new(), String::new());
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    for line in lines {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                let name = if event.is_empty() { "message" } else { &event };
                messages.push((name.to_owned(), data.to_owned(), id.clone()));
            }
            data.clear();
            event.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data += &format!("{value}\n"),
            "event" => event = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    messages
}
