//! Connections that come, do one errand and go, each place taken by the next, on one thread.
use crate::frames::{self, Frame, Frames};
use crate::http::{self, Response};
use crate::measure::PATIENCE;
use crate::{Result, wall_us};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 256 * 1024;
/// One in so many visitors times what it reads.
const TIMED: usize = 8;

/// What each visitor does on a connection of its own.
pub enum Errand {
    /// Posts a run with this input and reads it to its end.
    Run { input: String },
    /// Reads so many deltas of a run that is there, and leaves.
    Look { run: String, deltas: usize },
}

#[derive(Default)]
pub struct Tally {
    /// Errands that were done.
    pub done: usize,
    /// Runs among them that did not say "completed".
    pub failed: usize,
    /// Errands that were not done, and why the first was not.
    pub broken: usize,
    first_reason: String,
    pub deltas: usize,
    /// Microseconds from an event to its reader.
    pub delays_us: Vec<u64>,
}

pub struct Visitors {
    addr: SocketAddr,
    /// The key they show; without one they show none.
    key: &'static str,
    errand: Errand,
    poll: Poll,
    places: Vec<Option<Visitor>>,
    begun: usize,
    total: usize,
    buffer: Vec<u8>,
    tally: Tally,
}

struct Visitor {
    stream: TcpStream,
    response: Response,
    body: Vec<u8>,
    frames: Frames,
    phase: Phase,
    deltas: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Connecting,
    Posting,
    Reading,
    /// The run has ended, and whether well.
    Ended {
        completed: bool,
    },
}

/// What has become of a visitor.
enum Outcome {
    GoesOn,
    Done { completed: bool },
}

impl Visitors {
    pub fn new(addr: SocketAddr, key: &'static str, errand: Errand) -> Result<Visitors> {
        let (poll, buffer) = (Poll::new()?, vec![0; BUFFER_BYTES]);
        let (places, tally) = (Vec::new(), Tally::default());
        Ok(Visitors { addr, key, errand, poll, places, begun: 0, total: 0, buffer, tally })
    }

    /// Has `total` visitors do the errand, `at_once` of them together.
    pub fn run(mut self, total: usize, at_once: usize) -> Result<Tally> {
        let deadline = Instant::now() + PATIENCE;
        let mut ready = Events::with_capacity(1024);
        self.total = total;
        self.places.resize_with(at_once, || None);
        for place in 0..at_once {
            self.begin(place)?;
        }
        while self.tally.done + self.tally.broken < total {
            if Instant::now() > deadline {
                return Err(format!("{} of {total} were done", self.tally.done).into());
            }
            match self.poll.poll(&mut ready, Some(Duration::from_millis(100))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &ready {
                self.turn(event.token().0, event.is_writable())?;
            }
        }
        Ok(self.tally)
    }

    /// Lets the next visitor have this place, if there is one.
    fn begin(&mut self, place: usize) -> Result<()> {
        self.places[place] = None;
        if self.begun == self.total {
            return Ok(());
        }
        self.begun += 1;
        let mut stream = TcpStream::connect(self.addr)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(place), both)?;
        let (response, frames) = (Response::new(), Frames::default());
        let (body, phase) = (Vec::new(), Phase::Connecting);
        self.places[place] = Some(Visitor { stream, response, body, frames, phase, deltas: 0 });
        Ok(())
    }

    fn turn(&mut self, place: usize, is_writable: bool) -> Result<()> {
        let Some(visitor) = &mut self.places[place] else { return Ok(()) };
        let times = place.is_multiple_of(TIMED);
        let asked = if is_writable && visitor.phase == Phase::Connecting {
            visitor.ask(self.addr, self.key, &self.errand)
        } else {
            Ok(())
        };
        let took = asked.and_then(|()| {
            visitor.read(&mut self.buffer, times, &self.errand, &mut self.tally, |run| {
                keyed(http::get_events(self.addr, run), self.key)
            })
        });
        match took {
            Ok(Outcome::GoesOn) => return Ok(()),
            Ok(Outcome::Done { completed }) => {
                self.tally.done += 1;
                self.tally.failed += usize::from(!completed);
            }
            Err(error) => self.tally.broke(error.to_string()),
        }
        self.begin(place)
    }
}

/// The request with the key in it.
fn keyed(request: Vec<u8>, key: &str) -> Vec<u8> {
    if key.is_empty() {
        return request;
    }
    let line_end = memchr::memchr(b'\n', &request).map_or(0, |at| at + 1);
    let field = format!("Authorization: Bearer {key}\r\n");
    [&request[..line_end], field.as_bytes(), &request[line_end..]].concat()
}

impl Visitor {
    fn ask(&mut self, addr: SocketAddr, key: &str, errand: &Errand) -> Result<()> {
        let (request, phase) = match errand {
            Errand::Run { input } => (http::post(addr, input), Phase::Posting),
            Errand::Look { run, .. } => (http::get_events(addr, run), Phase::Reading),
        };
        self.stream.write_all(&keyed(request, key))?;
        self.phase = phase;
        Ok(())
    }

    fn read(
        &mut self,
        buffer: &mut [u8],
        times: bool,
        errand: &Errand,
        tally: &mut Tally,
        get_events: impl Fn(&str) -> Vec<u8>,
    ) -> Result<Outcome> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err("the server broke off".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Outcome::GoesOn),
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    return Ok(Outcome::GoesOn);
                }
                Err(error) => return Err(error.into()),
            };
            match self.phase {
                Phase::Posting => self.hear_answer(&buffer[..count], &get_events)?,
                _ => self.hear_events(&buffer[..count], times, tally)?,
            }
            match (self.phase, errand) {
                (Phase::Ended { completed }, _) => return Ok(Outcome::Done { completed }),
                (_, Errand::Look { deltas, .. }) if self.deltas >= *deltas => {
                    return Ok(Outcome::Done { completed: true });
                }
                _ => {}
            }
            if count < buffer.len() {
                return Ok(Outcome::GoesOn);
            }
        }
    }

    fn hear_answer(&mut self, bytes: &[u8], get_events: impl Fn(&str) -> Vec<u8>) -> Result<()> {
        let body = &mut self.body;
        self.response.feed(bytes, |part| body.extend_from_slice(part))?;
        if self.response.is_done() {
            let run = http::accepted(self.response.status, std::str::from_utf8(&self.body)?)?;
            self.stream.write_all(&get_events(&run))?;
            self.response = Response::new();
            self.phase = Phase::Reading;
        }
        Ok(())
    }

    fn hear_events(&mut self, bytes: &[u8], times: bool, tally: &mut Tally) -> Result<()> {
        let now_us = if times { wall_us() } else { 0 };
        let Visitor { response, frames, phase, deltas, .. } = self;
        response.feed(bytes, |part| {
            frames.feed(part, |kind, frame| match kind {
                Frame::Delta => {
                    *deltas += 1;
                    tally.deltas += 1;
                    if let Some(stamp) = frames::stamp_us(frame).filter(|_| times) {
                        tally.delays_us.push(now_us.saturating_sub(stamp));
                    }
                }
                Frame::Last { completed } => *phase = Phase::Ended { completed },
                Frame::Other => {}
            });
        })?;
        match self.response.status {
            0 | 200 => Ok(()),
            status => Err(format!("a stream was refused with {status}").into()),
        }
    }
}

impl Tally {
    fn broke(&mut self, reason: String) {
        self.broken += 1;
        if self.first_reason.is_empty() {
            self.first_reason = reason;
        }
    }

    /// What went wrong, if something did.
    pub fn trouble(&self) -> Option<String> {
        let broken = || format!("{} broke off, the first by: {}", self.broken, self.first_reason);
        match (self.broken, self.failed) {
            (0, 0) => None,
            (0, failed) => Some(format!("{failed} runs did not complete")),
            (_, 0) => Some(broken()),
            (_, failed) => Some(format!("{}; {failed} runs did not complete", broken())),
        }
    }
}
