//! Chunked bodies, both ways (RFC 9112 §7.1).
use super::Reject;
use super::head::is_token_byte;
use crate::limits::{CHUNK_OVERHEAD_BYTES_MAX, CHUNK_OVERHEAD_EARNED, TRAILER_BYTES_MAX};

/// Ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Ends each other chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends `payload` as one chunk. An empty payload would end the body, so it must not be empty.
pub fn chunk(out: &mut Vec<u8>, payload: &[u8]) {
    chunk_start(out, payload.len());
    out.extend_from_slice(payload);
    out.extend_from_slice(CHUNK_END);
}

/// Appends what comes before `len` bytes of payload and `CHUNK_END`. `len` must not be 0.
pub fn chunk_start(out: &mut Vec<u8>, len: usize) {
    assert!(len > 0, "an empty chunk would end the body");
    super::digits::hex(out, len);
    out.extend_from_slice(b"\r\n");
}

/// Takes a chunked body apart, at whatever places the network happened to cut it.
#[derive(Debug, Default)]
pub struct Dechunker {
    state: State,
    /// What is left of the current chunk's payload; at most what the body may still grow.
    size: usize,
    /// Payload announced so far, the current chunk included.
    announced: usize,
    /// Bytes of framing that no payload has earned yet.
    overhead: usize,
    trailer: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before the first digit of a size.
    #[default]
    SizeStart,
    Size,
    /// Space after the size, which only an extension may follow.
    SizeSpace,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

impl Dechunker {
    /// True once the whole body has been read, its trailers included.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Consumes from the front of `bytes`, appends payload to `out`, gives how many bytes were
    /// consumed: all of them, unless the body ends before. Trailers are checked and thrown away.
    ///
    /// # Errors
    /// `BodyTooLarge` as soon as a size line announces more than `body_max` bytes in total, else
    /// `Malformed`. After an error the rest of the connection means nothing.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        body_max: usize,
    ) -> Result<usize, Reject> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if self.state == State::Data {
                at += self.take(&bytes[at..], out);
            } else {
                self.state = self.step(bytes[at], body_max)?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let taken = self.size.min(bytes.len());
        out.extend_from_slice(&bytes[..taken]);
        self.size -= taken;
        self.overhead = self.overhead.saturating_sub(taken.saturating_mul(CHUNK_OVERHEAD_EARNED));
        if self.size == 0 {
            self.state = State::DataCr;
        }
        taken
    }

    /// Reads one byte of framing.
    fn step(&mut self, byte: u8, body_max: usize) -> Result<State, Reject> {
        self.pay()?;
        Ok(match (self.state, byte) {
            (State::SizeStart | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digit(byte, body_max)?
            }
            (State::Size, b'\r') | (State::Extension, b'\r') => State::SizeLf,
            (State::Size | State::SizeSpace, b';') => State::Extension,
            (State::Size | State::SizeSpace, b' ' | b'\t') => State::SizeSpace,
            (State::Extension, _) if is_text(byte) => State::Extension,
            (State::SizeLf, b'\n') if self.size == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::TrailerName, _) if is_token_byte(byte) => {
                State::TrailerName
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) if is_text(byte) => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(Reject::Malformed("bad chunk framing; see RFC 9112, section 7.1")),
        })
    }

    /// Counts a byte of framing against its bound.
    fn pay(&mut self) -> Result<(), Reject> {
        if matches!(
            self.state,
            State::TrailerStart | State::TrailerName | State::TrailerValue | State::TrailerLf
        ) {
            self.trailer += 1;
        } else {
            self.overhead += 1;
        }
        if self.trailer > TRAILER_BYTES_MAX {
            return Err(Reject::Malformed("too many trailers; send none"));
        }
        if self.overhead > CHUNK_OVERHEAD_BYTES_MAX {
            return Err(Reject::Malformed("too much chunk framing; send larger chunks"));
        }
        Ok(())
    }

    fn digit(&mut self, byte: u8, body_max: usize) -> Result<State, Reject> {
        let value = char::from(byte).to_digit(16).expect("the caller saw a digit") as usize;
        let before = self.announced - self.size;
        self.size = self.size.saturating_mul(16).saturating_add(value);
        if self.size > body_max.saturating_sub(before) {
            return Err(Reject::BodyTooLarge { max: body_max });
        }
        self.announced = before + self.size;
        Ok(State::Size)
    }
}

/// A byte that may stand in an extension or in a trailer's value.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The answer does not depend on the cuts; what was chunked is what comes out.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    const BODY_MAX: usize = 1000;
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let mut at_once = Vec::new();
    let mut dechunker = Dechunker::default();
    let answer = dechunker.feed(bytes, &mut at_once, BODY_MAX);
    assert_eq!(feed_cut(bytes, *seed, BODY_MAX), (answer, at_once.clone(), dechunker.is_done()));
    assert!(at_once.len() <= BODY_MAX);

    let mut wire = Vec::new();
    super::cuts::pieces(bytes, seed | 1).for_each(|piece| chunk(&mut wire, piece));
    wire.extend_from_slice(LAST_CHUNK);
    let expected = (Ok(wire.len()), bytes.to_vec(), true);
    assert_eq!(feed_cut(&wire, seed.wrapping_add(1), bytes.len()), expected);
}

/// What a fresh dechunker makes of `bytes` cut by `seed`: consumed, payload, whether it is done.
fn feed_cut(bytes: &[u8], seed: u8, body_max: usize) -> (Result<usize, Reject>, Vec<u8>, bool) {
    let mut dechunker = Dechunker::default();
    let mut out = Vec::new();
    let mut consumed = 0;
    for piece in super::cuts::pieces(bytes, seed) {
        match dechunker.feed(piece, &mut out, body_max) {
            Ok(taken) => consumed += taken,
            Err(reject) => return (Err(reject), out, dechunker.is_done()),
        }
    }
    (Ok(consumed), out, dechunker.is_done())
}
