//! A run's history as ready bytes: every event once, framed for the wire, read by cursor.
//!
//! Each frame lies there as one chunk of a chunked body (RFC 9112 §7.1), so that a subscriber's
//! unsent bytes are a slice of this log and a thousand subscribers cost one copy. Places in the
//! log are offsets that only rise; they stay valid when old segments are dropped.
//!
//! What is pushed lies there unseen until it is shown: a durable store must have it first.
use super::pack;
use crate::id::RunId;
use crate::wire::body;
use std::collections::VecDeque;

/// What a first frame has around it, and behind it if it is also the last.
const FRAMING_BYTES: usize = 48;
/// What follows the last frame: the closing comment as a chunk, and the last chunk.
const TAIL: &[u8] = b"11\r\n: stream closed\n\n\r\n0\r\n\r\n";
/// No longer log is packed: it would take long, and others are few.
const PACKED_BYTES_MAX: usize = 1024;

#[derive(Debug, Default)]
pub struct Log {
    /// Full segments, if there are any: most logs have none.
    older: Option<Box<Older>>,
    /// The segment being written. Empty only while the log is.
    last: Segment,
    next_seq: u64,
    /// The place behind the last byte that readers may see.
    shown: u64,
    /// The event of the first frame they may not see yet.
    shown_seq: u64,
    form: Form,
}

/// Oldest first.
#[derive(Debug, Default)]
struct Older {
    segments: VecDeque<Segment>,
    /// Room in all of them.
    room: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Open,
    /// `TAIL` follows the last frame.
    Sealed,
    /// The same, all of it shown, and its only segment packed: nobody reads.
    Packed,
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
    /// The log of a finished run of so many events, none of which is in memory.
    pub fn closed(next_seq: u64) -> Log {
        let last = Segment { start: 0, first_seq: next_seq, bytes: Vec::new() };
        let mut log = Log { last, next_seq, ..Log::default() };
        log.seal();
        log.show_all();
        log
    }

    /// The log of an unfinished run that has said so much before the server began.
    pub fn resumed(next_seq: u64) -> Log {
        let last = Segment { start: 0, first_seq: next_seq, bytes: Vec::new() };
        Log { last, next_seq, shown_seq: next_seq, ..Log::default() }
    }

    /// Appends the frame of event `next_seq`, to a new segment where it would make the last one
    /// bigger than `segment_max` bytes.
    pub fn push(&mut self, frame: &[u8], segment_max: usize) {
        assert!(self.form == Form::Open, "a frame after the last one");
        let full = self.last.bytes.len() + frame.len() > segment_max;
        if full && !self.last.bytes.is_empty() {
            let start = self.last.end();
            let next = Segment { start, first_seq: self.next_seq, bytes: Vec::new() };
            let mut last = std::mem::replace(&mut self.last, next);
            last.bytes.shrink_to_fit();
            let older = self.older.get_or_insert_default();
            older.room += last.bytes.capacity();
            older.segments.push_back(last);
        }
        if self.last.bytes.is_empty() {
            self.last.bytes.reserve_exact(frame.len() + FRAMING_BYTES);
        }
        body::chunk(&mut self.last.bytes, frame);
        self.next_seq += 1;
    }

    /// Appends the closing comment and the end of the body: no frame follows.
    pub fn seal(&mut self) {
        assert!(self.form == Form::Open && self.next_seq > 0, "sealed before its last frame");
        self.form = Form::Sealed;
        self.last.bytes.extend_from_slice(TAIL);
        self.last.bytes.shrink_to_fit();
    }

    /// Packs what is over and short. Nobody may read it until it is unpacked.
    pub fn pack(&mut self, run: RunId, scratch: &mut Vec<u8>) {
        let is_short = self.older.is_none() && self.last.bytes.len() <= PACKED_BYTES_MAX;
        if self.form != Form::Sealed || !is_short || !self.is_over() {
            return;
        }
        scratch.clear();
        if pack::pack(&self.last.bytes, run, scratch) {
            self.last.bytes = scratch.to_vec();
            self.form = Form::Packed;
        }
    }

    /// Has a log be readable that was packed.
    pub fn unpack(&mut self, run: RunId) {
        if self.form == Form::Packed {
            self.last.bytes = pack::unpack(&self.last.bytes, run, self.len());
            self.form = Form::Sealed;
        }
    }

    pub fn is_packed(&self) -> bool {
        self.form == Form::Packed
    }

    /// Lets readers see all that was pushed when `written` was asked.
    pub fn show(&mut self, written: Place) {
        assert!((self.shown..=self.last_end()).contains(&written.at));
        (self.shown, self.shown_seq) = (written.at, written.seq);
    }

    pub fn show_all(&mut self) {
        self.show(self.written());
    }

    /// Where the next frame will lie.
    pub fn written(&self) -> Place {
        Place { at: self.last_end(), seq: self.next_seq }
    }

    /// The bytes from `at` on that lie in one piece and may be seen. Empty exactly at the end.
    ///
    /// `at` must not lie before `start`.
    pub fn slice(&self, at: u64) -> &[u8] {
        let segment = self.segment(at);
        let shown = self.shown.min(segment.end());
        &segment.bytes[(at - segment.start) as usize..(shown - segment.start) as usize]
    }

    /// The place of the frame of event `seq`, which may be the next to be shown.
    ///
    /// `seq` must lie within `oldest_seq..=shown_seq`.
    pub fn place_of(&self, seq: u64) -> u64 {
        assert!((self.oldest_seq()..=self.shown_seq).contains(&seq));
        assert!(!self.is_packed(), "a packed log is read");
        let segment = match self.older.as_deref() {
            Some(Older { segments, .. }) if self.last.first_seq > seq => {
                let index = segments.partition_point(|segment| segment.first_seq <= seq);
                &segments[index - 1]
            }
            _ => &self.last,
        };
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

    /// The place up to which whole frames lie in one piece from `at` on, and may be seen. It is `at`
    /// exactly where none follows.
    ///
    /// `at` must be the place of a frame.
    pub fn piece_end(&self, at: u64) -> u64 {
        let end = at + self.slice(at).len() as u64;
        if self.is_over() { end.min(self.shown - TAIL.len() as u64) } else { end }
    }

    /// What is left of the frame that `at` lies within, and the event of the frame after it.
    ///
    /// `at` must lie within `start..=end`.
    pub fn rest_of_frame(&self, at: u64) -> (&[u8], u64) {
        let segment = self.segment(at);
        let within = (at - segment.start) as usize;
        let (mut end, mut seq) = (0, segment.first_seq);
        while end < within {
            end += Chunk::first_of(&segment.bytes[end..]).end;
            seq += 1;
        }
        (&segment.bytes[within..end], seq)
    }

    /// The oldest place still in memory.
    pub fn start(&self) -> u64 {
        self.oldest().start
    }

    /// The place behind the last byte that may be seen.
    pub fn end(&self) -> u64 {
        self.shown
    }

    pub fn oldest_seq(&self) -> u64 {
        self.oldest().first_seq
    }

    fn oldest(&self) -> &Segment {
        self.older().next().unwrap_or(&self.last)
    }

    fn older(&self) -> impl Iterator<Item = &Segment> {
        self.older.iter().flat_map(|older| &older.segments)
    }

    /// The sequence number the next event must have.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The first event readers may not see yet.
    pub fn shown_seq(&self) -> u64 {
        self.shown_seq
    }

    /// True once readers may see that nothing follows.
    pub fn is_over(&self) -> bool {
        self.form != Form::Open && self.shown == self.last_end()
    }

    /// Bytes of history in memory.
    pub fn len(&self) -> usize {
        (self.last_end() - self.start()) as usize
    }

    /// Bytes of memory it holds.
    pub fn room(&self) -> usize {
        self.older.as_ref().map_or(0, |older| older.room) + self.last.bytes.capacity()
    }

    /// Where the log would begin if it kept about `bytes_max`. What has not been shown stays, and so
    /// does the segment being written.
    pub fn start_within(&self, bytes_max: usize) -> u64 {
        let (end, shown) = (self.last_end(), self.shown);
        let goes =
            |segment: &&Segment| end - segment.start > bytes_max as u64 && segment.end() <= shown;
        let gone = self.older().take_while(goes).last();
        gone.map_or(self.start(), Segment::end)
    }

    /// Drops all segments before this place, the start of one.
    pub fn forget_before(&mut self, start: u64) {
        let Some(older) = &mut self.older else { return };
        while older.segments.front().is_some_and(|segment| segment.start < start) {
            let gone = older.segments.pop_front().expect("it was there a moment ago");
            older.room -= gone.bytes.capacity();
        }
    }

    /// The place behind all there is.
    fn last_end(&self) -> u64 {
        if self.is_packed() { self.shown } else { self.last.end() }
    }

    fn segment(&self, at: u64) -> &Segment {
        assert!(!self.is_packed(), "a packed log is read");
        let Some(Older { segments, .. }) = self.older.as_deref() else { return &self.last };
        segments.get(segments.partition_point(|segment| segment.end() <= at)).unwrap_or(&self.last)
    }
}

/// Where a frame lies, and the event it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub at: u64,
    pub seq: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::sse;

    #[test]
    fn the_tail_is_the_closing_comment_and_the_last_chunk() {
        let mut tail = Vec::new();
        body::chunk(&mut tail, sse::CLOSED);
        tail.extend_from_slice(body::LAST_CHUNK);
        assert_eq!(tail, TAIL);
    }

    #[test]
    fn a_packed_log_takes_less_and_comes_back_as_it_was() {
        let mut log = Log::default();
        log.push(b"id: 0\ndata: {\"seq\":0,\"output\":\"hello\"}\n\n", 1024);
        log.seal();
        log.pack(RunId(7), &mut Vec::new());
        assert!(!log.is_packed(), "not all of it is shown");
        log.show_all();
        let (before, room, place) = (log.slice(0).to_vec(), log.room(), log.written());
        log.pack(RunId(7), &mut Vec::new());
        assert!(log.is_packed() && log.is_over() && log.room() < room);
        assert_eq!((log.len(), log.end(), log.written()), (before.len(), place.at, place));
        log.unpack(RunId(7));
        assert_eq!(log.slice(0), before);
    }
}
