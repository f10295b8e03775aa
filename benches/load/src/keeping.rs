//! What it costs to keep runs, and what it is like where many are kept.
use crate::http;
use crate::measure::PATIENCE;
use crate::posters::Posters;
use crate::process::{Folder, Server};
use crate::report::Figures;
use crate::swarm::{Manners, Swarm};
use crate::{Result, quantile};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

const PACED_RUNS: usize = 50;
const FLOOD_RUNS: usize = 8;
const KEPT_RUNS: usize = 100_000;
const STARTS: usize = 11;
const LOOKS: usize = 200;
/// Runs on the longest page a server gives.
const PAGE_RUNS_MAX: usize = 100;

/// Fifty runs with a reader each, which together say a thousand things a second.
pub fn pace(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let mut swarm = Swarm::new(server.addr)?;
    for _ in 0..PACED_RUNS {
        let run = http::start_run(server.addr, "bench events=400 size=64 rate=20 hold=500")?;
        swarm.open(&run, 1, Manners::Reads)?;
    }
    let before = server.usage()?;
    swarm.read_to_end(PATIENCE)?;
    let cpu_s = server.usage()?.cpu_s_since(&before);
    let delays_us = &swarm.tally.delays_us;
    Ok(Figures::from(vec![
        ("delta p50", quantile(delays_us, 0.5) / 1e3),
        ("delta p99", quantile(delays_us, 0.99) / 1e3),
        ("delta cpu", cpu_s * 1e6 / swarm.tally.deltas as f64),
    ]))
}

/// Eight runs at full speed, with a reader each.
pub fn flood(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let mut swarm = Swarm::new(server.addr)?;
    for _ in 0..FLOOD_RUNS {
        let run = http::start_run(server.addr, "bench events=100000 size=64 hold=1000")?;
        swarm.open(&run, 1, Manners::Reads)?;
    }
    let before = server.usage()?;
    swarm.read_to_end(PATIENCE)?;
    let began = swarm.tally.began.ok_or("nobody said anything")?;
    let (took_s, deltas) = (began.elapsed().as_secs_f64(), swarm.tally.deltas as f64);
    let used = server.usage()?;
    Ok(Figures::from(vec![
        ("flood", deltas / took_s),
        ("flood cpu", deltas / used.cpu_s_since(&before)),
        ("flood peak", used.peak),
    ]))
}

/// A run of a million deltas: read as it works, which a server may break off, and once more from
/// its beginning.
pub fn long(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let run = http::start_run(server.addr, "bench events=1000000 size=64 hold=500")?;
    let mut swarm = Swarm::new(server.addr)?;
    swarm.open(&run, 1, Manners::Reads)?;
    let deadline = Instant::now() + PATIENCE;
    let status = http::get(server.addr, &format!("/v1/runs/{run}"));
    while !http::ask(server.addr, &status)?.1.contains("\"completed\"") {
        if Instant::now() > deadline {
            return Err("the run does not end".into());
        }
        swarm.rest(Duration::from_millis(20))?;
    }
    swarm.rest(Duration::from_millis(500))?;
    let before = server.usage()?;
    let began = Instant::now();
    let mut late = Swarm::new(server.addr)?;
    late.open(&run, 1, Manners::Reads)?;
    late.read_to_end(PATIENCE)?;
    let took_s = began.elapsed().as_secs_f64();
    let used = server.usage()?;
    let deltas = late.tally.deltas as f64;
    Ok(Figures::from(vec![
        ("long peak", used.peak),
        ("late deltas", deltas),
        ("late speed", deltas / took_s),
        ("late cpu", deltas / used.cpu_s_since(&before)),
    ]))
}

/// A hundred thousand finished runs of five deltas, left behind by a server that was killed.
pub fn kept(command: &[String]) -> Result<Figures> {
    let folder = Rc::new(Folder::new()?);
    let file_bytes = fill(&Server::start_in(command, &folder)?, &folder)?;
    let mut starts_ms = Vec::new();
    for _ in 0..STARTS {
        starts_ms.push(Server::start_in(command, &folder)?.start_took.as_secs_f64() * 1e3);
    }
    let first_start_ms = starts_ms[0];
    starts_ms.sort_by(f64::total_cmp);
    let server = Server::start_in(command, &folder)?;
    thread::sleep(Duration::from_millis(200));
    let resident = server.usage()?.resident;
    let runs = all_runs(&server)?;
    if runs.len() < KEPT_RUNS {
        return Err(format!("only {} runs are listed", runs.len()).into());
    }
    let some = (0..LOOKS).map(|look| &runs[look * 7919 % runs.len()]);
    let (mut pages_us, mut replays_us) = (Vec::new(), Vec::new());
    for run in some {
        let path = format!("/v1/runs?limit=50&after={run}");
        pages_us.push(timed(|| http::ask(server.addr, &http::get(server.addr, &path)))?);
        replays_us.push(u64::try_from(http::first_event(server.addr, run)?.as_micros())?);
    }
    let newest = http::get(server.addr, "/v1/runs?limit=50");
    let newest_us = timed(|| http::ask(server.addr, &newest))?;
    Ok(Figures::from(vec![
        ("kept file", file_bytes / runs.len() as f64),
        ("kept start", starts_ms[STARTS / 2]),
        ("kept first start", first_start_ms),
        ("kept resident", resident),
        ("page newest", newest_us as f64 / 1e3),
        ("page p50", quantile(&pages_us, 0.5) / 1e3),
        ("page p99", quantile(&pages_us, 0.99) / 1e3),
        ("replay p50", quantile(&replays_us, 0.5) / 1e3),
        ("replay p99", quantile(&replays_us, 0.99) / 1e3),
    ]))
}

/// Has the server finish all those runs. Returns how many bytes its folder then has.
fn fill(server: &Server, folder: &Folder) -> Result<f64> {
    Posters::new(server, "bench events=5 size=64")?.run(KEPT_RUNS)?;
    for status in ["queued", "running"] {
        let path = format!("/v1/runs?status={status}&limit=1");
        let deadline = Instant::now() + PATIENCE;
        while run_ids(&http::ask(server.addr, &http::get(server.addr, &path))?.1).next().is_some() {
            if Instant::now() > deadline {
                return Err(format!("runs are {status} for ever").into());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    let files = std::fs::read_dir(folder.path())?;
    files.map(|file| Ok(file?.metadata()?.len() as f64)).sum()
}

/// The ids of all runs, page by page.
fn all_runs(server: &Server) -> Result<Vec<String>> {
    let mut runs: Vec<String> = Vec::new();
    loop {
        let after = runs.last().map_or(String::new(), |last| format!("&after={last}"));
        let path = format!("/v1/runs?limit={PAGE_RUNS_MAX}{after}");
        let (status, page) = http::ask(server.addr, &http::get(server.addr, &path))?;
        let before = runs.len();
        runs.extend(run_ids(&page).map(str::to_owned));
        if status != 200 || runs.len() == before {
            return Ok(runs);
        }
    }
}

fn run_ids(page: &str) -> impl Iterator<Item = &str> {
    let parts = page.split("\"run_id\":\"").skip(1);
    parts.filter_map(|part| part.split('"').next())
}

/// Microseconds until a request is answered with 200.
fn timed(ask: impl FnOnce() -> Result<(u16, String)>) -> Result<u64> {
    let began = Instant::now();
    match ask()? {
        (200, _) => Ok(u64::try_from(began.elapsed().as_micros())?),
        (status, body) => Err(format!("{status}: {body}").into()),
    }
}
