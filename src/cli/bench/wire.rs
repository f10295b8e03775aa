//! The other end of a server that is measured: requests as bytes, and streams whose every event is
//! counted.
//!
//! Almost nothing is done with an event, so that the server is what is measured: the chunk says how
//! long it is, its first line is compared with the number that is due, and the rest is passed over.
use super::child::Child;
use super::percentiles::Times;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest time without a byte from a server that has something to say.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 64 * 1024;
/// Head of a reply, or beginning of a frame: what is read in one piece.
const PIECE_BYTES_MAX: usize = 4096;
/// Of a frame, enough to find its number, its name and its time.
const FRAME_START: usize = 160;
/// Streams that are opened at once, fewer than wait to be accepted anywhere.
const OPENED_AT_ONCE: usize = 64;

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

fn head_len(bytes: &[u8]) -> Option<usize> {
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

#[derive(Clone, Copy, Default, PartialEq)]
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
    /// From the agent to here, of every delta.
    pub late: Times,
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
            if is_silent || Instant::now() > until {
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
            if told.late.is_kept() {
                told.late.add(now.saturating_sub(time_in(rest)?));
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
