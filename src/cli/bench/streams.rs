//! Streams whose every event is counted.
//!
//! Almost nothing is done with an event, so that the server is what is measured: the chunk says how
//! long it is, its first line is compared with the number that is due, and the rest is passed over.
use super::child::Child;
use super::measure::TOO_SLOW;
use super::percentiles::Times;
use super::wire::{PIECE_BYTES_MAX, await_any, connect, head_len, is_ready, lost, send};
use rustix::event::{PollFd, PollFlags};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const READ_BYTES: usize = 64 * 1024;
/// Of a frame, enough to find its number, its name and its time.
const FRAME_START: usize = 160;
/// Streams that are opened at once, fewer than wait to be accepted anywhere.
const OPENED_AT_ONCE: usize = 64;

/// Streams of events, each of one run from its beginning.
pub struct Streams {
    sockets: Vec<TcpStream>,
    states: Vec<State>,
}

/// What was read of one stream.
#[derive(Default)]
struct State {
    /// Bytes that wait for more.
    rest: Vec<u8>,
    /// Bytes of a frame that are not looked at.
    skip: usize,
    next_seq: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Head,
    Open,
    /// The run has completed.
    Completed,
    /// So has the body.
    Ended,
}

/// What streams have told.
#[derive(Default)]
pub struct Told {
    pub events: u64,
    /// From the agent to here, of every delta; kept only where somebody asks for it.
    pub late: Option<Times>,
    /// When the first of them came.
    pub began: Option<Instant>,
}

impl Streams {
    /// Opens a stream for each of `run_ids`; all of them have had their first bytes then.
    pub fn open<'a>(
        child: &Child,
        run_ids: impl Iterator<Item = &'a str>,
        told: &mut Told,
    ) -> Result<Streams, String> {
        let mut streams = Streams { sockets: Vec::new(), states: Vec::new() };
        let mut buffer = vec![0; READ_BYTES];
        let mut run_ids = run_ids.peekable();
        while run_ids.peek().is_some() {
            let first = streams.sockets.len();
            for run_id in run_ids.by_ref().take(OPENED_AT_ONCE) {
                let socket = connect(child)?;
                let Child { addr, key, .. } = child;
                let request = format!(
                    "GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: {addr}\r\n\
                     Authorization: Bearer {key}\r\n\r\n"
                );
                send(&socket, &request)?;
                streams.sockets.push(socket);
                streams.states.push(State::default());
            }
            for at in first..streams.sockets.len() {
                while streams.states[at].phase == Phase::Head {
                    streams.states[at].read(&streams.sockets[at], &mut buffer, told)?;
                }
            }
        }
        Ok(streams)
    }

    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Reads all streams to their ends. Each must have had `events` deltas, and that its run has
    /// completed.
    pub fn read(&mut self, events: u64, until: Instant, told: &mut Told) -> Result<(), String> {
        let mut buffer = vec![0; READ_BYTES];
        let polled = |socket| PollFd::new(socket, PollFlags::IN);
        let mut fds: Vec<PollFd<'_>> = self.sockets.iter().map(polled).collect();
        let mut open = self.states.iter().filter(|state| state.phase != Phase::Ended).count();
        while open > 0 {
            await_any(&mut fds, until)?;
            let ready = fds.iter().enumerate().filter(|(_, fd)| is_ready(fd));
            let mut is_silent = true;
            for (at, _) in ready {
                let state = &mut self.states[at];
                is_silent = false;
                state.read(&self.sockets[at], &mut buffer, told)?;
                open -= usize::from(state.phase == Phase::Ended);
            }
            if Instant::now() > until {
                return Err(TOO_SLOW.to_owned());
            }
            if is_silent {
                let least = self.states.iter().map(|state| state.next_seq).min();
                let least = least.unwrap_or_default();
                return Err(format!("{open} readers wait for events; one has had {least}."));
            }
        }
        // The run's end is an event too.
        match self.states.iter().find(|state| state.next_seq != events + 1) {
            None => Ok(()),
            Some(short) => Err(format!(
                "A reader was told {} events instead of {}.",
                short.next_seq,
                events + 1
            )),
        }
    }
}

impl State {
    /// Reads once.
    fn read(
        &mut self,
        mut socket: &TcpStream,
        buffer: &mut [u8],
        told: &mut Told,
    ) -> Result<(), String> {
        let kept = self.rest.len();
        buffer[..kept].copy_from_slice(&self.rest);
        let read = socket.read(&mut buffer[kept..]).map_err(|error| lost(&error))?;
        if read == 0 {
            return Err(format!("A stream ended after {} events.", self.next_seq));
        }
        let bytes = &buffer[..kept + read];
        let left = self.take(bytes, told).ok_or_else(|| {
            format!("A stream did not go on with event {}, as it should.", self.next_seq)
        })?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[bytes.len() - left..]);
        Ok(())
    }

    /// Takes what is whole off the front of `bytes`, and says how many are left; `None` if the
    /// stream is not as it should be.
    fn take(&mut self, bytes: &[u8], told: &mut Told) -> Option<usize> {
        let now = micros_now();
        let mut rest = bytes;
        loop {
            let skipped = self.skip.min(rest.len());
            self.skip -= skipped;
            rest = &rest[skipped..];
            let taken = match self.phase {
                Phase::Head => self.head(rest)?,
                Phase::Open | Phase::Completed => self.chunk(rest, now, told)?,
                Phase::Ended => return rest.is_empty().then_some(0),
            };
            if taken == 0 {
                return (rest.len() <= PIECE_BYTES_MAX).then_some(rest.len());
            }
            rest = &rest[taken..];
        }
    }

    /// Bytes of a head that is whole, or 0.
    fn head(&mut self, bytes: &[u8]) -> Option<usize> {
        let Some(len) = head_len(bytes) else { return Some(0) };
        self.phase = Phase::Open;
        bytes.starts_with(b"HTTP/1.1 200").then_some(len)
    }

    /// Looks at a chunk, which is a frame, if enough of it is there. Returns the bytes of its length.
    fn chunk(&mut self, bytes: &[u8], now: u64, told: &mut Told) -> Option<usize> {
        let Some(line) = bytes.iter().take(20).position(|byte| *byte == b'\n') else {
            return (bytes.len() < 20).then_some(0);
        };
        let digits = std::str::from_utf8(&bytes[..line]).ok()?.trim_end();
        let len = usize::from_str_radix(digits, 16).ok()?;
        let start = &bytes[line + 1..];
        if len > 0 && start.len() < len.min(FRAME_START) {
            return Some(0);
        }
        match start {
            _ if len == 0 => {
                let is_completed = self.phase == Phase::Completed;
                self.phase = Phase::Ended;
                if !is_completed {
                    return None;
                }
            }
            [b':', ..] => {}
            start => self.frame(&start[..len.min(FRAME_START)], now, told)?,
        }
        self.skip = len + 2;
        Some(line + 1)
    }

    /// Counts an event, which must be the next.
    fn frame(&mut self, start: &[u8], now: u64, told: &mut Told) -> Option<()> {
        let start = std::str::from_utf8(start).ok()?;
        let (seq, rest) = start.strip_prefix("id: ")?.split_once('\n')?;
        let rest = rest.strip_prefix("data: {\"event\":\"")?;
        if self.phase == Phase::Completed || seq.parse() != Ok(self.next_seq) {
            return None;
        }
        if rest.starts_with("run.completed\"") {
            self.phase = Phase::Completed;
        } else if rest.starts_with("message.delta\"") {
            told.began.get_or_insert_with(Instant::now);
            if let Some(late) = &mut told.late {
                late.push(now.saturating_sub(time_in(rest)?));
            }
        } else {
            return None;
        }
        self.next_seq += 1;
        told.events += 1;
        Some(())
    }
}

/// Microseconds since 1970 in a frame: seconds and six decimals.
fn time_in(frame: &str) -> Option<u64> {
    let (_, rest) = frame.split_once("\"timestamp\":")?;
    let (seconds, rest) = rest.split_once('.')?;
    let micros = rest.get(..6)?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}

fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Phase, State, Told};

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const END: &str = "11\r\n: stream closed\n\n\r\n0\r\n\r\n";

    fn chunk(seq: u64, name: &str, text: &str) -> String {
        let run_id = "0123456789abcdef0123456789abcdef";
        let frame = format!(
            "id: {seq}\ndata: {{\"event\":\"{name}\",\"run_id\":\"run_{run_id}\",\
             \"timestamp\":1.500000,\"seq\":{seq},\"delta\":\"{text}\"}}\n\n"
        );
        format!("{:x}\r\n{frame}\r\n", frame.len())
    }

    fn delta(seq: u64) -> String {
        chunk(seq, "message.delta", &"x".repeat(300))
    }

    fn completed(seq: u64) -> String {
        chunk(seq, "run.completed", &"x".repeat(9_000))
    }

    /// The events of a stream that comes in pieces of so many bytes, and where it stands then.
    fn read(bytes: &str, piece: usize) -> Option<(u64, Phase)> {
        let (mut state, mut told) = (State::default(), Told::default());
        for piece in bytes.as_bytes().chunks(piece) {
            let bytes = [&state.rest, piece].concat();
            let left = state.take(&bytes, &mut told)?;
            state.rest = bytes[bytes.len() - left..].to_vec();
        }
        assert_eq!(told.events, state.next_seq);
        Some((state.next_seq, state.phase))
    }

    #[test]
    fn a_whole_stream_is_counted_however_it_is_cut() {
        let open = "8\r\n: open\n\n\r\n";
        let stream = [HEAD, open, &delta(0), &delta(1), &completed(2), END].concat();
        for piece in [1, 2, 3, 7, 100, 161, 1_000, 4_096, 1 << 20] {
            assert_eq!(read(&stream, piece), Some((3, Phase::Ended)), "{piece}");
        }
    }

    #[test]
    fn what_is_missing_twice_or_out_of_order_is_seen() {
        for chunks in [
            [delta(0), delta(2), completed(3)],
            [delta(0), delta(0), completed(1)],
            [delta(1), delta(0), completed(2)],
            [delta(0), delta(1), completed(3)],
            [delta(0), completed(1), delta(2)],
            [delta(0), delta(1), chunk(2, "run.failed", "")],
            [delta(0), delta(1), delta(2)],
        ] {
            let stream = [HEAD, &chunks.concat(), END].concat();
            assert_eq!(read(&stream, 1 << 20), None, "{chunks:?}");
        }
        assert_eq!(read("HTTP/1.1 404 Not Found\r\n\r\n", 9), None);
        assert_eq!(read(&[HEAD, &delta(0)].concat(), 9), Some((1, Phase::Open)));
    }
}
