//! Server-sent events as far as counting and timing them needs.

/// What a frame was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    Delta,
    /// A run's last event, and whether it says that all went well.
    Last {
        completed: bool,
    },
    Other,
}

/// Finds frames in a body that comes in pieces.
#[derive(Default)]
pub struct Frames {
    /// The beginning of a frame whose end has not come.
    begun: Vec<u8>,
}

impl Frames {
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Frame, &[u8])) {
        if self.begun.is_empty() {
            let used = scan(bytes, &mut each);
            self.begun.extend_from_slice(&bytes[used..]);
        } else {
            self.begun.extend_from_slice(bytes);
            let used = scan(&self.begun, &mut each);
            self.begun.drain(..used);
        }
    }
}

/// Visits each whole frame; returns how many bytes they take.
fn scan(bytes: &[u8], each: &mut impl FnMut(Frame, &[u8])) -> usize {
    let mut start = 0;
    for line_end in memchr::memchr_iter(b'\n', bytes) {
        if line_end > start && bytes.get(line_end + 1) == Some(&b'\n') {
            let frame = &bytes[start..line_end];
            each(kind(frame), frame);
            start = line_end + 2;
        }
    }
    start
}

fn kind(frame: &[u8]) -> Frame {
    let names = [
        (&b"\"message.delta\""[..], Frame::Delta),
        (b"\"run.completed\"", Frame::Last { completed: true }),
        (b"\"run.failed\"", Frame::Last { completed: false }),
    ];
    // The name stands at the front; what the agent says comes behind.
    let front = &frame[..frame.len().min(64)];
    let named = names.iter().find(|(name, _)| memchr::memmem::find(front, name).is_some());
    named.map_or(Frame::Other, |(_, kind)| *kind)
}

/// The number in a frame's `id:` line; `None` if it has no such line.
pub fn seq(frame: &[u8]) -> Option<u64> {
    let digits = frame.strip_prefix(b"id: ")?.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |seq, digit| seq * 10 + u64::from(digit - b'0')))
}

/// When the event happened: microseconds since 1970, from its `timestamp`.
pub fn stamp_us(frame: &[u8]) -> Option<u64> {
    let from = memchr::memmem::find(frame, b"\"timestamp\":")? + 12;
    let rest = &frame[from..];
    let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'.'))?;
    let (whole, fraction) = std::str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
    let micros = format!("{fraction:0<6}");
    Some(whole.parse::<u64>().ok()? * 1_000_000 + micros.get(..6)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Response;

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        assert_eq!((seq(b"id: 407\ndata: {}"), seq(b"data: {}")), (Some(407), None));
        let body =
            b": open\n\nid: 0\ndata: {\"event\":\"message.delta\",\"timestamp\":12.25,\"x\":1}\n\n\
            data: {\"event\":\"run.completed\"}\n\n";
        let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in body.chunks(7) {
            wire.extend(format!("{:x}\r\n", piece.len()).bytes());
            wire.extend([piece, b"\r\n"].concat());
        }
        wire.extend(b"0\r\n\r\n");
        for step in 1..wire.len() {
            let (mut response, mut frames, mut seen) = (Response::new(), Frames::default(), vec![]);
            for piece in wire.chunks(step) {
                let fed = response.feed(piece, |part| {
                    frames.feed(part, |kind, frame| seen.push((kind, stamp_us(frame))));
                });
                fed.expect("a good response");
            }
            let last = (Frame::Last { completed: true }, None);
            assert!(response.is_done());
            assert!(seen == [(Frame::Other, None), (Frame::Delta, Some(12_250_000)), last]);
        }
    }
}
