//! What is measured: each function starts a fresh server, loads it in one way, and gives figures.
use crate::http;
use crate::posters::Posters;
use crate::process::{self, Folder, Server};
use crate::report::Figures;
use crate::swarm::{Manners, Swarm};
use crate::{Result, quantile};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const STARTS: usize = 11;
const IDLE_STREAMS: usize = 10_000;
const SUBSCRIBERS: usize = 1_000;
const NEVER_READERS: usize = 100;
const POSTS: usize = 100_000;
const HOST_BYTES: u64 = 32 * 1024 * 1024;
const HOST_RUNS: usize = 16;
/// No measurement takes longer; a server that needs more has failed it.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// From exec to the first 200, in a folder that is new and in one that is not, and what the server
/// holds then.
pub fn start(command: &[String]) -> Result<Figures> {
    let folder = Rc::new(Folder::new()?);
    let start_ms = || -> Result<f64> {
        Ok(Server::start_in(command, &folder)?.start_took.as_secs_f64() * 1e3)
    };
    let first_ms = start_ms()?;
    let mut starts_ms = (0..STARTS).map(|_| start_ms()).collect::<Result<Vec<f64>>>()?;
    starts_ms.sort_by(f64::total_cmp);
    let server = Server::start_in(command, &folder)?;
    thread::sleep(Duration::from_millis(200));
    Ok(Figures::from(vec![
        ("first start", first_ms),
        ("start", starts_ms[STARTS / 2]),
        ("resident", server.usage()?.resident),
    ]))
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
    Ok(Figures::from(vec![
        ("idle stream", (after.resident - before.resident) / streams),
        ("open stream", opened.cpu_s_since(&before) * 1e6 / streams),
    ]))
}

/// A thousand subscribers of a run at full speed.
pub fn fan_out(command: &[String]) -> Result<Figures> {
    let (deliveries, cpu_s, _) = subscribers(command, "bench events=300 size=64 hold=2000")?;
    Ok(vec![("deliveries", deliveries / cpu_s)].into())
}

/// A thousand subscribers of a run that says twenty things a second: nothing to put together.
pub fn paced(command: &[String]) -> Result<Figures> {
    let input = "bench events=100 size=64 rate=20 hold=2000";
    let (deliveries, cpu_s, delays_us) = subscribers(command, input)?;
    Ok(Figures::from(vec![
        ("live cpu", cpu_s * 1e6 / deliveries),
        ("live deliveries", deliveries / cpu_s),
        ("live p50", quantile(&delays_us, 0.5) / 1e3),
        ("live p99", quantile(&delays_us, 0.99) / 1e3),
    ]))
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
    let alone = one_reader(command, 0)?;
    let beside = one_reader(command, NEVER_READERS)?;
    Ok(Figures::from(vec![
        ("deaf user", (beside.user_bytes - alone.user_bytes).max(0.0)),
        ("deaf kernel", (beside.kernel_bytes - alone.kernel_bytes).max(0.0)),
        ("p99 alone", alone.p99_ms),
        ("p99 beside", beside.p99_ms),
        ("p99 ratio", beside.p99_ms / alone.p99_ms),
    ]))
}

/// What has grown while one reader read a run, and how late it was served.
struct Reading {
    /// The server's resident memory at its peak.
    user_bytes: f64,
    /// What the kernel holds for sockets, just after the run's end.
    kernel_bytes: f64,
    p99_ms: f64,
}

fn one_reader(command: &[String], never_readers: usize) -> Result<Reading> {
    let server = Server::start(command)?;
    let input = "bench events=4000 size=2000 rate=2000 hold=1500";
    let run = http::start_run(server.addr, input)?;
    let mut deaf = Swarm::new(server.addr)?;
    // First, so that they stand before the one that reads in any list.
    deaf.open(&run, never_readers, Manners::NeverReads)?;
    let mut swarm = Swarm::new(server.addr)?;
    swarm.open(&run, 1, Manners::Reads)?;
    server.forget_peak()?;
    let (before, kernel_before) = (server.usage()?, process::kernel_socket_bytes()?);
    swarm.read_to_end(PATIENCE)?;
    Ok(Reading {
        user_bytes: server.usage()?.peak - before.resident,
        kernel_bytes: process::kernel_socket_bytes()? - kernel_before,
        p99_ms: quantile(&swarm.tally.delays_us, 0.99) / 1e3,
    })
}

/// Submissions over keep-alive connections, for an agent that ends at once.
pub fn post(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let before = server.usage()?;
    let began = Instant::now();
    let tally = Posters::new(&server, "bench")?.run(POSTS)?;
    let took_s = began.elapsed().as_secs_f64();
    let after = server.usage()?;
    let cpu_s = after.cpu_s_since(&before);
    let figures = Figures::from(vec![
        ("post cpu", cpu_s * 1e6 / POSTS as f64),
        ("posts", POSTS as f64 / cpu_s),
        ("posts a second", POSTS as f64 / took_s),
        ("post p50", quantile(&tally.took_us, 0.5) / 1e3),
        ("post p99", quantile(&tally.took_us, 0.99) / 1e3),
        ("run kept", (after.resident - before.resident) / POSTS as f64),
    ]);
    let refused = tally.refused;
    Ok(figures.but((refused > 0).then(|| format!("{refused} refused with 429, beside {POSTS}"))))
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
    Ok(Figures::from(vec![
        ("host streams", idle.tally.opened as f64),
        ("host runs", swarm.tally.completed as f64),
        ("host peak", server.usage()?.peak),
    ]))
}
