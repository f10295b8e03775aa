//! What all clients have: chance, a list of their last steps, and a way to go on after a restart.
use crate::fleet::{Fleet, Life};
use crate::served::chance::Chance;
use crate::served::wire::{Conn, Reply, ask};
use crate::tally::Tally;
use socket2::{Domain, Socket, Type};
use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Steps of a client that a failure shows.
const STEPS: usize = 40;

pub struct Client<'a> {
    pub fleet: &'a Fleet,
    pub tally: &'a Tally,
    pub chance: Chance,
    pub name: String,
    begun: Instant,
    steps: RefCell<VecDeque<String>>,
}

impl<'a> Client<'a> {
    pub fn new(fleet: &'a Fleet, tally: &'a Tally, seed: u64, name: String) -> Client<'a> {
        let steps = RefCell::default();
        Client { fleet, tally, chance: Chance(seed), name, begun: Instant::now(), steps }
    }

    /// One who does a part of the same thing.
    pub fn fork(&mut self, part: &str) -> Client<'a> {
        let name = format!("{} / {part}", self.name);
        Client::new(self.fleet, self.tally, self.chance.next(), name)
    }

    pub fn step(&self, what: impl FnOnce() -> String) {
        let mut steps = self.steps.borrow_mut();
        if steps.len() == STEPS {
            steps.pop_front();
        }
        steps.push_back(format!("{:9.3} s  {}", self.begun.elapsed().as_secs_f64(), what()));
    }

    /// Does it; a failure is written down together with what led to it.
    pub fn attempt<T>(mut self, act: impl FnOnce(&mut Client<'a>) -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(|| act(&mut self)));
        done.map_err(|panic| {
            let steps: Vec<String> = self.steps.take().into();
            let text = text_of(&*panic);
            self.tally.fail(format!("{}: {text}\n    {}", self.name, steps.join("\n    ")));
        })
        .ok()
    }

    /// Does it, again with the next server if this one ends; an error while the server lives is a
    /// failure.
    pub fn insist<T>(&mut self, mut act: impl FnMut(&mut Client<'a>, Life) -> io::Result<T>) -> T {
        loop {
            let life = self.fleet.await_life();
            match act(self, life) {
                Ok(done) => return done,
                Err(error) => self.excuse(life, &error),
            }
        }
    }

    pub fn excuse(&self, life: Life, error: &io::Error) {
        self.step(|| format!("life {}: {error}", life.number));
        assert!(self.fleet.is_over(life), "the server of life {} lives, but: {error}", life.number);
        self.tally.count("lines broken by a restart");
    }

    /// A request that is not repeated if the server ends: then there is no answer.
    pub fn try_post(&self, life: Life, path: &str, body: &str) -> Option<Reply> {
        match ask(life.addr, "POST", path, "", body) {
            Ok(reply) => {
                self.step(|| format!("POST {path} {body}: {}", reply.status));
                Some(reply)
            }
            Err(error) => {
                self.excuse(life, &error);
                None
            }
        }
    }

    /// A status that is right, or the server is ending.
    pub fn expect(&self, life: Life, reply: &Reply, statuses: &[u16]) {
        let is_right = statuses.contains(&reply.status);
        assert!(is_right || reply.status == 503 && self.fleet.is_over(life), "{reply:?}");
    }

    /// Takes its time, as people and slow lines do.
    pub fn dawdle(&mut self, millis_max: u64) {
        std::thread::sleep(Duration::from_micros(self.chance.below(millis_max * 1_000 + 1)));
    }
}

/// What a panic says.
pub fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_default()
}

/// A connection that takes little before it makes its sender wait.
pub fn connect_narrow(addr: SocketAddr) -> io::Result<Conn> {
    Conn::over(narrow(addr, 4096)?)
}

pub fn narrow(addr: SocketAddr, bytes: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(bytes)?;
    socket.connect(&addr.into())?;
    Ok(socket.into())
}
