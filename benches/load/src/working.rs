//! Runs that are posted and read to their end, readers that come and go, and runs that use tools.
use crate::process::{KEY, Server};
use crate::report::Figures;
use crate::visitors::{Errand, Visitors};
use crate::{Result, http, quantile};
use std::thread;
use std::time::{Duration, Instant};

const RUNS_AT_ONCE: usize = 200;
const RUNS: usize = 4_000;
const RUNS_PACED: usize = 400;
const CHURN_AT_ONCE: usize = 50;
const CHURN: usize = 5_000;
const CHURN_DELTAS: usize = 3;
/// How long a server gets to let go of what readers have left behind.
const SETTLE: Duration = Duration::from_secs(1);
const TOOL_RUNS_WARM: usize = 10;
const TOOL_RUNS: usize = 100;

/// Runs of a hundred events as fast as they go, each posted and read on a connection of its own.
pub fn runs(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let before = server.usage()?;
    let began = Instant::now();
    let input = "bench events=100 size=64".to_owned();
    let tally = Visitors::new(server.addr, "", Errand::Run { input })?.run(RUNS, RUNS_AT_ONCE)?;
    let took_s = began.elapsed().as_secs_f64();
    let used = server.usage()?;
    let done = tally.done as f64;
    let figures = Figures::from(vec![
        ("runs", done / used.cpu_s_since(&before)),
        ("runs a second", done / took_s),
        ("runs peak", used.peak),
    ]);
    Ok(figures.but(tally.trouble()))
}

/// Two hundred runs at once that say fifty things a second each.
pub fn runs_paced(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let before = server.usage()?;
    let input = "bench events=50 size=64 rate=50".to_owned();
    let visitors = Visitors::new(server.addr, "", Errand::Run { input })?;
    let tally = visitors.run(RUNS_PACED, RUNS_AT_ONCE)?;
    let cpu_s = server.usage()?.cpu_s_since(&before);
    let figures = Figures::from(vec![
        ("event cpu", cpu_s * 1e6 / tally.deltas as f64),
        ("event p99", quantile(&tally.delays_us, 0.99) / 1e3),
    ]);
    Ok(figures.but(tally.trouble()))
}

/// Readers that come, read three events of a run that goes on, and leave.
pub fn churn(command: &[String]) -> Result<Figures> {
    let server = Server::start(command)?;
    let run = http::start_run(server.addr, "bench events=10 size=64 tail=600000")?;
    let look = |count| {
        let errand = Errand::Look { run: run.clone(), deltas: CHURN_DELTAS };
        let tally = Visitors::new(server.addr, "", errand)?.run(count, CHURN_AT_ONCE)?;
        Result::Ok((server.usage()?, tally))
    };
    look(CHURN_AT_ONCE * 4)?;
    thread::sleep(SETTLE);
    let (before, descriptors) = (server.usage()?, server.descriptors()?);
    let (after, tally) = look(CHURN)?;
    thread::sleep(SETTLE);
    let between = server.usage()?;
    let (_, second) = look(CHURN)?;
    thread::sleep(SETTLE);
    let figures = Figures::from(vec![
        ("churn cpu", after.cpu_s_since(&before) * 1e6 / tally.done as f64),
        ("churn fds", server.descriptors()? - descriptors),
        ("churn memory", server.usage()?.resident - between.resident),
    ]);
    Ok(figures.but(tally.trouble().or(second.trouble())))
}

/// Runs whose model first has a file read, or a command run, and then says 200 deltas.
pub fn tools(command: &[String]) -> Result<Figures> {
    let read = through_tools(command, "bench")?;
    let run = through_tools(command, "bench command")?;
    let figures = Figures::from(vec![
        ("tools cpu", read.cpu_ms),
        ("tools took", read.took_ms),
        ("tools peak", read.peak),
        ("command cpu", run.cpu_ms),
        ("command children", run.children_ms),
        ("command took", run.took_ms),
        ("command peak", run.peak),
    ]);
    Ok(figures.but(read.trouble.or(run.trouble)))
}

struct ThroughTools {
    /// CPU of a run, and of that the share of commands' processes.
    cpu_ms: f64,
    children_ms: f64,
    /// Of all at once.
    took_ms: f64,
    peak: f64,
    trouble: Option<String>,
}

/// One run after the other, and a hundred at once on a fresh server.
fn through_tools(command: &[String], input: &str) -> Result<ThroughTools> {
    let errand = || Errand::Run { input: input.to_owned() };
    let server = Server::start(command)?;
    Visitors::new(server.addr, KEY, errand())?.run(TOOL_RUNS_WARM, 1)?;
    let before = server.usage()?;
    let alone = Visitors::new(server.addr, KEY, errand())?.run(TOOL_RUNS, 1)?;
    let used = server.usage()?;
    drop(server);
    let server = Server::start(command)?;
    let began = Instant::now();
    let together = Visitors::new(server.addr, KEY, errand())?.run(TOOL_RUNS, TOOL_RUNS)?;
    let heard = alone.deltas.min(together.deltas);
    let silent = (heard == 0).then(|| "no run said anything".to_owned());
    Ok(ThroughTools {
        cpu_ms: used.cpu_s_since(&before) * 1e3 / alone.done as f64,
        children_ms: used.children_s_since(&before) * 1e3 / alone.done as f64,
        took_ms: began.elapsed().as_secs_f64() * 1e3,
        peak: server.usage()?.peak,
        trouble: alone.trouble().or(together.trouble()).or(silent),
    })
}
