//! Measures servers of runs side by side and prints a table: `make bench`.
//!
//! Figures, not tests: they say what things cost on this machine, in this minute. Compare within
//! one table only. The server has the first core and the load the second, so figures a CPU second
//! and in bytes mean the same on a machine that is busy; times do not.
mod frames;
mod http;
mod measure;
mod process;
mod report;
mod swarm;

use report::{Figures, Sheet};
use std::time::{SystemTime, UNIX_EPOCH};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "runwire-load --agent SERVER [--axum SERVER] [--serve 'COMMAND ... --port'] \
    [--core BINARY] [--everything BINARY] [--rounds N] [--only NAME]\n\
    NAME: start idle fan_out paced never_readers post small_host";

type Measure = fn(&[String]) -> Result<Figures>;
/// Each with its name, and whether the other server is measured beside it.
const MEASURES: &[(&str, Measure, bool)] = &[
    ("start", measure::start, true),
    ("idle", measure::idle, true),
    ("fan_out", measure::fan_out, true),
    ("paced", measure::paced, true),
    ("never_readers", measure::never_readers, true),
    ("post", measure::post, true),
    ("small_host", measure::small_host, false),
];

#[derive(Default)]
struct Options {
    /// Takes a port as its last argument, as all servers here do.
    agent: Vec<String>,
    axum: Option<Vec<String>>,
    /// What is started for the figures of a start: the real command where there is one.
    serve: Option<Vec<String>>,
    core: Option<String>,
    everything: Option<String>,
    rounds: usize,
    only: Option<String>,
}

impl Options {
    fn parse() -> Result<Options> {
        let mut options = Options { rounds: 1, ..Options::default() };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or(USAGE)?;
            let words = || value.split(' ').map(str::to_owned).collect();
            match name.as_str() {
                "--agent" => options.agent = words(),
                "--axum" => options.axum = Some(words()),
                "--serve" => options.serve = Some(words()),
                "--core" => options.core = Some(value),
                "--everything" => options.everything = Some(value),
                "--rounds" => options.rounds = value.parse()?,
                "--only" => options.only = Some(value),
                _ => return Err(USAGE.into()),
            }
        }
        if options.agent.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    process::raise_descriptor_limit()?;
    let (mut own, mut other) = (Sheet::default(), Sheet::default());
    for (name, path) in [("size core", &options.core), ("size", &options.everything)] {
        if let Some(path) = path {
            own.add(vec![(name, std::fs::metadata(path)?.len() as f64)]);
        }
    }
    for round in 0..options.rounds {
        for (name, measure, has_peer) in MEASURES {
            if options.only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            eprintln!("round {} of {}: {name}", round + 1, options.rounds);
            let serve = options.serve.as_ref().filter(|_| *name == "start");
            note(&mut own, name, measure(serve.unwrap_or(&options.agent)));
            if let Some(axum) = options.axum.as_ref().filter(|_| *has_peer) {
                note(&mut other, name, measure(axum));
            }
        }
    }
    report::print(&own, &other);
    Ok(())
}

/// A measurement that failed is told of, and the others go on.
fn note(sheet: &mut Sheet, name: &str, figures: Result<Figures>) {
    match figures {
        Ok(figures) => sheet.add(figures),
        Err(error) => eprintln!("{name}: {error}"),
    }
}

/// Microseconds since 1970.
fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The value below which this share of `values` lies.
fn quantile(values: &[u64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |value| *value as f64)
}
