//! Many connections that post runs, on one thread.
use crate::Result;
use crate::http::{self, Response};
use crate::measure::PATIENCE;
use crate::process::Server;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

const POST_CONNS: usize = 64;
/// How long a connection rests that was told there are too many runs.
const REST: Duration = Duration::from_millis(20);

/// Connections that post, each again as soon as it has its answer.
pub struct Posters {
    poll: Poll,
    request: Vec<u8>,
    conns: Vec<Poster>,
    /// Connections that rest, and until when.
    resting: VecDeque<(Instant, usize)>,
    begun: usize,
    tally: Tally,
}

#[derive(Default)]
pub struct Tally {
    pub accepted: usize,
    pub refused: usize,
    /// Microseconds that each accepted one took.
    pub took_us: Vec<u64>,
}

struct Poster {
    stream: TcpStream,
    response: Response,
    began: Option<Instant>,
}

impl Posters {
    pub fn new(server: &Server, input: &str) -> Result<Posters> {
        let poll = Poll::new()?;
        let mut conns = Vec::new();
        for index in 0..POST_CONNS {
            let mut stream = TcpStream::connect(server.addr)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), both)?;
            conns.push(Poster { stream, response: Response::new(), began: None });
        }
        let request = http::post(server.addr, input);
        let (resting, tally) = (VecDeque::new(), Tally::default());
        Ok(Posters { poll, request, conns, resting, begun: 0, tally })
    }

    /// Posts until `count` runs are accepted.
    pub fn run(mut self, count: usize) -> Result<Tally> {
        let deadline = Instant::now() + PATIENCE;
        let mut ready = Events::with_capacity(POST_CONNS);
        while self.tally.accepted < count {
            let now = Instant::now();
            if now > deadline {
                return Err(
                    format!("{} of {count} posts were accepted", self.tally.accepted).into()
                );
            }
            while let Some((_, index)) = self.resting.pop_front_if(|(due, _)| *due <= now) {
                self.ask(index, count)?;
            }
            match self.poll.poll(&mut ready, Some(Duration::from_millis(1))) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &ready {
                let index = event.token().0;
                if self.conns[index].began.is_none() && event.is_writable() {
                    self.ask(index, count)?;
                }
                if event.is_readable() {
                    self.hear(index, count)?;
                }
            }
        }
        Ok(self.tally)
    }

    fn ask(&mut self, index: usize, count: usize) -> Result<()> {
        if self.begun < count {
            self.begun += 1;
            let conn = &mut self.conns[index];
            conn.response = Response::new();
            conn.began = Some(Instant::now());
            conn.stream.write_all(&self.request)?;
        }
        Ok(())
    }

    fn hear(&mut self, index: usize, count: usize) -> Result<()> {
        let mut buffer = [0; 4096];
        let conn = &mut self.conns[index];
        match conn.stream.read(&mut buffer) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(read) => conn.response.feed(&buffer[..read], |_| {})?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let Some(began) = conn.began.filter(|_| conn.response.is_done()) else { return Ok(()) };
        match conn.response.status {
            202 => {
                self.tally.accepted += 1;
                self.tally.took_us.push(u64::try_from(began.elapsed().as_micros())?);
                self.ask(index, count)
            }
            429 => {
                self.tally.refused += 1;
                self.begun -= 1;
                self.resting.push_back((Instant::now() + REST, index));
                Ok(())
            }
            status => Err(format!("a post was answered with {status}").into()),
        }
    }
}
