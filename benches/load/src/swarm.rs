//! Many readers of one run, on one thread.
use crate::frames::{self, Frame, Frames};
use crate::http::{self, Response};
use crate::{Result, wall_us};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const OPENING_MAX: usize = 128;
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
const BUFFER_BYTES: usize = 256 * 1024;
/// Of a large swarm, about so many readers time what they read.
const TIMED: usize = 100;
/// The receive buffer of a reader that never reads.
const DEAF_BUFFER_BYTES: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    Reads,
    /// Reads the head of its stream and then nothing more.
    NeverReads,
}

#[derive(Default)]
pub struct Tally {
    pub opened: usize,
    pub deltas: u64,
    /// Streams that said how their run ended, and of those, how many said "completed".
    pub ended: usize,
    pub completed: usize,
    /// Streams that broke off before that.
    pub broken: usize,
    /// Events that did not follow the one before them.
    pub disordered: u64,
    /// When the first delta came.
    pub began: Option<Instant>,
    /// Microseconds from an event to its reader.
    pub delays_us: Vec<u64>,
}

pub struct Swarm {
    addr: SocketAddr,
    poll: Poll,
    ready: Events,
    readers: Vec<Reader>,
    buffer: Vec<u8>,
    pub tally: Tally,
}

struct Reader {
    stream: TcpStream,
    request: Vec<u8>,
    response: Response,
    frames: Frames,
    manners: Manners,
    is_timed: bool,
    next_seq: Option<u64>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Opening,
    Open,
    Ended,
    Over,
}

impl Swarm {
    pub fn new(addr: SocketAddr) -> Result<Swarm> {
        Ok(Swarm {
            addr,
            poll: Poll::new()?,
            ready: Events::with_capacity(1024),
            readers: Vec::new(),
            buffer: vec![0; BUFFER_BYTES],
            tally: Tally::default(),
        })
    }

    /// Adds `count` readers of `run`; returns once each has the head of its stream.
    pub fn open(&mut self, run: &str, count: usize, manners: Manners) -> Result<()> {
        let deadline = Instant::now() + OPEN_TIMEOUT;
        let target = self.readers.len() + count;
        while self.tally.opened < target {
            while self.readers.len() < target
                && self.readers.len() - self.tally.opened < OPENING_MAX
            {
                let is_timed = self.readers.len().is_multiple_of((count / TIMED).max(1));
                self.connect(run, manners, is_timed)?;
            }
            self.pump(Duration::from_millis(100))?;
            if self.tally.broken > 0 || Instant::now() > deadline {
                let opened = self.tally.opened;
                return Err(format!("only {opened} of {target} streams would open").into());
            }
        }
        Ok(())
    }

    /// Reads until every reader has heard the end of its run, or for `time` at most.
    pub fn read_to_end(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        let readers = self.readers.iter().filter(|reader| reader.manners == Manners::Reads);
        let count = readers.count();
        while self.tally.ended + self.tally.broken < count && Instant::now() < deadline {
            self.pump(Duration::from_millis(100))?;
        }
        if self.tally.ended < count {
            return Err(format!("{} of {count} streams ended", self.tally.ended).into());
        }
        if self.tally.disordered > 0 {
            return Err(format!("{} events came out of order", self.tally.disordered).into());
        }
        Ok(())
    }

    /// Handles what comes within `time`.
    pub fn rest(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            self.pump(Duration::from_millis(50))?;
        }
        Ok(())
    }

    fn connect(&mut self, run: &str, manners: Manners, is_timed: bool) -> Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        if manners == Manners::NeverReads {
            socket.set_recv_buffer_size(DEAF_BUFFER_BYTES)?;
        }
        match socket.connect(&self.addr.into()) {
            // EINPROGRESS has no kind of its own on stable Rust.
            Err(error) if error.raw_os_error() != Some(115) => return Err(error.into()),
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.readers.len()), both)?;
        self.readers.push(Reader {
            stream,
            request: http::get_events(self.addr, run),
            response: Response::new(),
            frames: Frames::default(),
            manners,
            is_timed,
            next_seq: None,
            phase: Phase::Connecting,
        });
        Ok(())
    }

    fn pump(&mut self, time: Duration) -> Result<()> {
        match self.poll.poll(&mut self.ready, Some(time)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.ready {
            let reader = &mut self.readers[event.token().0];
            if event.is_writable() && reader.phase == Phase::Connecting {
                reader.stream.write_all(&reader.request)?;
                reader.phase = Phase::Opening;
            }
            if event.is_readable() {
                reader.read(&mut self.buffer, &mut self.tally)?;
            }
        }
        Ok(())
    }
}

impl Reader {
    fn read(&mut self, buffer: &mut [u8], tally: &mut Tally) -> Result<()> {
        while self.phase != Phase::Over && !self.is_deaf() {
            let room = if self.manners == Manners::Reads { buffer.len() } else { 512 };
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => self.broke_off(tally),
                Ok(count) => {
                    self.take(&buffer[..count], tally)?;
                    if count < room {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => self.broke_off(tally),
            }
        }
        Ok(())
    }

    fn is_deaf(&self) -> bool {
        self.manners == Manners::NeverReads && self.phase == Phase::Open
    }

    fn broke_off(&mut self, tally: &mut Tally) {
        if self.phase != Phase::Ended {
            tally.broken += 1;
        }
        self.phase = Phase::Over;
    }

    fn take(&mut self, bytes: &[u8], tally: &mut Tally) -> Result<()> {
        let now_us = if self.is_timed { wall_us() } else { 0 };
        let Reader { response, frames, phase, is_timed, next_seq, .. } = self;
        response.feed(bytes, |part| {
            frames.feed(part, |kind, frame| {
                if let Some(seq) = frames::seq(frame) {
                    tally.disordered += u64::from(next_seq.is_some_and(|next| next != seq));
                    *next_seq = Some(seq + 1);
                }
                match kind {
                    Frame::Delta => {
                        tally.deltas += 1;
                        if let Some(stamp) = frames::stamp_us(frame).filter(|_| *is_timed) {
                            tally.delays_us.push(now_us.saturating_sub(stamp));
                        }
                    }
                    Frame::Last { completed } => {
                        tally.ended += 1;
                        tally.completed += usize::from(completed);
                        *phase = Phase::Ended;
                    }
                    Frame::Other => {}
                }
            });
        })?;
        if tally.deltas > 0 && tally.began.is_none() {
            tally.began = Some(Instant::now());
        }
        if self.response.has_head() && self.phase == Phase::Opening {
            self.phase = Phase::Open;
            if self.response.status != 200 {
                return Err(format!("a stream was refused with {}", self.response.status).into());
            }
        }
        // A stream may end before it counts as open: its head and its end came in one piece.
        if self.response.has_head() && !std::mem::take(&mut self.request).is_empty() {
            tally.opened += 1;
        }
        Ok(())
    }
}
