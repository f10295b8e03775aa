//! What is measured: each function starts a fresh server, loads it in one way, and gives figures.
use crate::http::{self, Response};
use crate::process::Server;
use crate::report::Figures;
use crate::swarm::{Manners, Swarm};
use crate::{Result, quantile};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read as _, Write as _};
use std::thread;
use std::time::{Duration, Instant};

const STARTS: usize = 11;
const IDLE_STREAMS: usize = 10_000;
const SUBSCRIBERS: usize = 1_000;
const NEVER_READERS: usize = 100;
const POSTS: usize = 100_000;
const POST_CONNS: usize = 64;
const HOST_BYTES: u64 = 32 * 1024 * 1024;
const HOST_RUNS: usize = 16;
/// No measurement takes longer; a server that needs more has failed it.
const PATIENCE: Duration = Duration::from_secs(100);

/// From exec to the first 200, and what the server holds then.
pub fn start(command: &[String]) -> Result<Figures> {
    let mut starts_ms = Vec::new();
    for _ in 0..STARTS {
        starts_ms.push(Server::start(command)?.start_took.as_secs_f64() * 1e3);
    }
    starts_ms.sort_by(f64::total_cmp);
    let server = Server::start(command)?;
    thread::sleep(Duration::from_millis(200));
    Ok(vec![("start", starts_ms[STARTS / 2]), ("resident", server.usage()?.resident)])
}

/// Ten thousand streams of a run that says nothing.
pub fn idle(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let run = http::start_run(server.addr, "bench hold=600000")?;
    let before = server.usage()?;
    let mut swarm = Swarm::new(server.addr)?;
    swarm.open(&run, IDLE_STREAMS, Manners::Reads)?;
    let opened = server.usage()?;
    swarm.rest(Duration::from_secs(1))?;
    let after = server.usage()?;
    let streams = IDLE_STREAMS as f64;
    Ok(vec![
        ("idle stream", (after.resident - before.resident) / streams),
        ("open stream", opened.cpu_s_since(&before) * 1e6 / streams),
    ])
}

/// A thousand subscribers of a run at full speed.
pub fn fan_out(command: &[String]) -> Result<Figures> {
    let (deliveries, cpu_s, _) = subscribers(command, "bench events=2000 size=64 hold=2000")?;
    Ok(vec![("deliveries", deliveries / cpu_s)])
}

/// A thousand subscribers of a run that says twenty things a second: nothing to put together.
pub fn paced(command: &[String]) -> Result<Figures> {
    let input = "bench events=100 size=64 rate=20 hold=2000";
    let (deliveries, cpu_s, delays_us) = subscribers(command, input)?;
    Ok(vec![
        ("live deliveries", deliveries / cpu_s),
        ("live p50", quantile(&delays_us, 0.5) / 1e3),
        ("live p99", quantile(&delays_us, 0.99) / 1e3),
    ])
}

/// Deliveries, the server's CPU seconds for them, and how long sampled ones took.
fn subscribers(command: &[String], input: &str) -> Result<(f64, f64, Vec<u64>)> {
    let server = Server::start(command)?;
    let run = http::start_run(server.addr, input)?;
    let mut swarm = Swarm::new(server.addr)?;
    swarm.open(&run, SUBSCRIBERS, Manners::Reads)?;
    if swarm.tally.deltas > 0 {
        return Err("the run began before all its subscribers were there".into());
    }
    let before = server.usage()?;
    swarm.read_to_end(PATIENCE)?;
    let cpu_s = server.usage()?.cpu_s_since(&before);
    Ok((swarm.tally.deltas as f64, cpu_s, std::mem::take(&mut swarm.tally.delays_us)))
}

/// One reader alone, and the same one beside a hundred that never read.
pub fn never_readers(command: &[String]) -> Result<Figures> {
    let (alone_grown, alone_p99) = one_reader(command, 0)?;
    let (grown, p99) = one_reader(command, NEVER_READERS)?;
    Ok(vec![
        ("never-reader", (grown - alone_grown).max(0.0) / NEVER_READERS as f64),
        ("p99 alone", alone_p99),
        ("p99 beside", p99),
    ])
}

/// What the server's memory has grown by at its peak, and the reader's p99 in milliseconds.
fn one_reader(command: &[String], never_readers: usize) -> Result<(f64, f64)> {
    let server = Server::start(command)?;
    let input = "bench events=4000 size=2000 rate=2000 hold=1500";
    let run = http::start_run(server.addr, input)?;
    let mut deaf = Swarm::new(server.addr)?;
    // First, so that they stand before the one that reads in any list.
    deaf.open(&run, never_readers, Manners::NeverReads)?;
    let mut swarm = Swarm::new(server.addr)?;
    swarm.open(&run, 1, Manners::Reads)?;
    server.forget_peak()?;
    let before = server.usage()?;
    swarm.read_to_end(PATIENCE)?;
    let grown = server.usage()?.peak - before.resident;
    Ok((grown, quantile(&swarm.tally.delays_us, 0.99) / 1e3))
}

/// Submissions over keep-alive connections, for an agent that ends at once.
pub fn post(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let before = server.usage()?;
    let (accepted, took_us) = Posters::new(&server)?.run(POSTS)?;
    let after = server.usage()?;
    Ok(vec![
        ("posts", accepted as f64 / after.cpu_s_since(&before)),
        ("refused", (POSTS - accepted) as f64),
        ("post p99", quantile(&took_us, 0.99) / 1e3),
        ("run kept", (after.resident - before.resident) / accepted as f64),
    ])
}

/// A thousand idle streams and sixteen runs, where all addresses must fit into 32 MiB.
pub fn small_host(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    server.limit_address_space(HOST_BYTES)?;
    let silent = http::start_run(server.addr, "bench hold=600000")?;
    let mut idle = Swarm::new(server.addr)?;
    idle.open(&silent, SUBSCRIBERS, Manners::Reads)?;
    let mut swarm = Swarm::new(server.addr)?;
    for _ in 0..HOST_RUNS {
        let run = http::start_run(server.addr, "bench events=500 size=200 rate=250 hold=200")?;
        swarm.open(&run, 1, Manners::Reads)?;
    }
    swarm.read_to_end(PATIENCE)?;
    Ok(vec![
        ("host streams", idle.tally.opened as f64),
        ("host runs", swarm.tally.completed as f64),
        ("host peak", server.usage()?.peak),
    ])
}

/// Connections that post, each again as soon as it has its answer.
struct Posters {
    poll: Poll,
    request: Vec<u8>,
    conns: Vec<Poster>,
    begun: usize,
    accepted: usize,
    took_us: Vec<u64>,
}

struct Poster {
    stream: TcpStream,
    response: Response,
    began: Option<Instant>,
}

impl Posters {
    fn new(server: &Server) -> Result<Posters> {
        let poll = Poll::new()?;
        let mut conns = Vec::new();
        for index in 0..POST_CONNS {
            let mut stream = TcpStream::connect(server.addr)?;
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), both)?;
            conns.push(Poster { stream, response: Response::new(), began: None });
        }
        let request = http::post(server.addr, "bench");
        Ok(Posters { poll, request, conns, begun: 0, accepted: 0, took_us: Vec::new() })
    }

    /// Posts `count` times; returns how many were accepted, and how long each took.
    fn run(mut self, count: usize) -> Result<(usize, Vec<u64>)> {
        let deadline = Instant::now() + PATIENCE;
        let mut ready = Events::with_capacity(POST_CONNS);
        while self.took_us.len() < count {
            if Instant::now() > deadline {
                return Err(format!("{} of {count} posts were answered", self.took_us.len()).into());
            }
            match self.poll.poll(&mut ready, Some(Duration::from_millis(100))) {
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
        Ok((self.accepted, self.took_us))
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
        if conn.response.is_done()
            && let Some(began) = conn.began
        {
            self.took_us.push(u64::try_from(began.elapsed().as_micros())?);
            self.accepted += usize::from(conn.response.status == 202);
            self.ask(index, count)?;
        }
        Ok(())
    }
}
