//! A run's history as ready bytes: every event once, framed for the wire, read by cursor.
//!
//! Each frame lies there as one chunk of a chunked body (RFC 9112 §7.1), so that a subscriber's
//! unsent bytes are a slice of this log and a thousand subscribers cost one copy. Places in the
//! log are offsets that only rise; they stay valid when old segments are dropped.
use crate::limits::{HISTORY_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::wire::body;
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub struct Log {
    /// Full segments, oldest first.
    older: VecDeque<Segment>,
    /// The segment being written. Empty only while the log is.
    last: Segment,
    next_seq: u64,
    /// The bytes of the closing comment and the last chunk follow the last frame.
    sealed: bool,
}

#[derive(Debug, Default)]
struct Segment {
    /// Where its first byte lies in the whole history.
    start: u64,
    /// The event of its first frame.
    first_seq: u64,
    bytes: Vec<u8>,
}

impl Segment {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Log {
    /// Appends the frame of event `next_seq`.
    pub fn push(&mut self, frame: &[u8]) {
        assert!(!self.sealed, "a frame after the last one");
        let full = self.last.bytes.len() + frame.len() > SEGMENT_BYTES_MAX;
        if full && !self.last.bytes.is_empty() {
            let next = Segment { start: self.end(), first_seq: self.next_seq, bytes: Vec::new() };
            self.older.push_back(std::mem::replace(&mut self.last, next));
            self.forget_oldest();
        }
        body::chunk(&mut self.last.bytes, frame);
        self.next_seq += 1;
    }

    /// Appends `comment` and the end of the body: no frame follows.
    pub fn seal(&mut self, comment: &[u8]) {
        assert!(!self.sealed && self.next_seq > 0, "sealed before its last frame");
        body::chunk(&mut self.last.bytes, comment);
        self.last.bytes.extend_from_slice(body::LAST_CHUNK);
        self.last.bytes.shrink_to_fit();
        self.sealed = true;
    }

    /// The bytes from `at` on that lie in one piece. Empty exactly at the end.
    ///
    /// `at` must not lie before `start`.
    pub fn slice(&self, at: u64) -> &[u8] {
        let segment = self.segment(|segment| at < segment.end());
        &segment.bytes[(at - segment.start) as usize..]
    }

    /// The place of the frame of event `seq`, which may be the next to come.
    ///
    /// `seq` must lie within `oldest_seq..=next_seq`.
    pub fn place_of(&self, seq: u64) -> u64 {
        assert!((self.oldest_seq()..=self.next_seq).contains(&seq));
        let index = self.older.partition_point(|segment| segment.first_seq <= seq);
        let in_last = self.last.first_seq <= seq;
        let segment = if in_last { &self.last } else { &self.older[index - 1] };
        let mut at = 0;
        for _ in segment.first_seq..seq {
            at += Chunk::first_of(&segment.bytes[at..]).end;
        }
        segment.start + at as u64
    }

    /// The payload of the chunk at `at`, and where the next one begins; `None` at the end.
    ///
    /// `at` must be the place of a frame.
    pub fn frame(&self, at: u64) -> Option<(&[u8], u64)> {
        let bytes = self.slice(at);
        if bytes.is_empty() || bytes == body::LAST_CHUNK {
            return None;
        }
        let chunk = Chunk::first_of(bytes);
        Some((&bytes[chunk.payload], at + chunk.end as u64))
    }

    /// The oldest place still in memory.
    pub fn start(&self) -> u64 {
        self.older.front().unwrap_or(&self.last).start
    }

    /// The place behind the last byte.
    pub fn end(&self) -> u64 {
        self.last.end()
    }

    pub fn oldest_seq(&self) -> u64 {
        self.older.front().unwrap_or(&self.last).first_seq
    }

    /// The sequence number the next event must have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Bytes of history in memory.
    pub fn len(&self) -> usize {
        (self.end() - self.start()) as usize
    }

    fn segment(&self, ends_after: impl Fn(&Segment) -> bool) -> &Segment {
        let index = self.older.partition_point(|segment| !ends_after(segment));
        self.older.get(index).unwrap_or(&self.last)
    }

    fn forget_oldest(&mut self) {
        while self.len() > HISTORY_BYTES_MAX && self.older.pop_front().is_some() {}
    }
}

/// Where one chunk of our own making lies: its size line and line ends are known to be right.
struct Chunk {
    payload: std::ops::Range<usize>,
    end: usize,
}

impl Chunk {
    fn first_of(bytes: &[u8]) -> Chunk {
        let digits = bytes.iter().take_while(|byte| **byte != b'\r');
        let digit = |byte: &u8| (*byte as char).to_digit(16).expect("the log writes hex sizes");
        let size = digits.fold(0, |size, byte| size * 16 + digit(byte) as usize);
        let start =
            bytes.iter().position(|b| *b == b'\n').expect("the log ends its size lines") + 1;
        Chunk { payload: start..start + size, end: start + size + 2 }
    }
}
