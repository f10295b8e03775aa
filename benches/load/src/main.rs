//! Measures servers of runs side by side and prints a table: `make bench`.
//!
//! Figures, not tests: they say what things cost on this machine, in this minute. Compare within
//! one table only. The server has the first core and the load the second, so figures a CPU second
//! and in bytes mean the same on a machine that is busy; times do not.
mod frames;
mod http;
mod keeping;
mod measure;
mod posters;
mod process;
mod report;
mod swarm;

use report::{Figures, Sheet};
use std::time::{SystemTime, UNIX_EPOCH};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const USAGE: &str = "runwire-load --agent SERVER [--durable SERVER] [--axum SERVER] \
    [--serve 'COMMAND ... --port'] [--serve-durable 'COMMAND ... --port'] [--core BINARY] \
    [--everything BINARY] [--rounds N] [--only NAME[,NAME]]\n\
    In a SERVER's command {folder} stands for the folder it keeps its runs in.\n\
    NAME: start idle fan_out paced never_readers post small_host pace flood long kept";

type Measure = fn(&[String]) -> Result<Figures>;
/// Each with its name, and the servers it is of.
const MEASURES: &[(&str, Measure, &[Side])] = &[
    ("start", measure::start, &[Side::Memory, Side::Durable, Side::Axum]),
    ("idle", measure::idle, &[Side::Memory, Side::Durable, Side::Axum]),
    ("fan_out", measure::fan_out, &[Side::Memory, Side::Durable, Side::Axum]),
    ("paced", measure::paced, &[Side::Memory, Side::Durable, Side::Axum]),
    ("never_readers", measure::never_readers, &[Side::Memory, Side::Durable, Side::Axum]),
    ("post", measure::post, &[Side::Memory, Side::Durable, Side::Axum]),
    ("small_host", measure::small_host, &[Side::Memory]),
    ("pace", keeping::pace, &[Side::Memory, Side::Durable]),
    ("flood", keeping::flood, &[Side::Memory, Side::Durable]),
    ("long", keeping::long, &[Side::Memory, Side::Durable]),
    ("kept", keeping::kept, &[Side::Durable]),
];

#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// This server with its runs in memory.
    Memory,
    /// This server with its runs in a file.
    Durable,
    /// The other server.
    Axum,
}

#[derive(Default)]
struct Options {
    /// Servers take a port as their last argument.
    agent: Vec<String>,
    durable: Option<Vec<String>>,
    axum: Option<Vec<String>>,
    /// What is started for the figures of a start: the real command where there is one.
    serve: Option<Vec<String>>,
    serve_durable: Option<Vec<String>>,
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
                "--durable" => options.durable = Some(words()),
                "--axum" => options.axum = Some(words()),
                "--serve" => options.serve = Some(words()),
                "--serve-durable" => options.serve_durable = Some(words()),
                "--core" => options.core = Some(value),
                "--everything" => options.everything = Some(value),
                "--rounds" => options.rounds = value.parse()?,
                "--only" => options.only = Some(value),
                _ => return Err(USAGE.into()),
            }
        }
        if options.agent.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }

    fn wants(&self, measure: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|name| name == measure))
    }

    /// What is started of this side for this measurement, if there is such a server.
    fn command(&self, side: Side, measure: &str) -> Option<&Vec<String>> {
        let is_start = measure == "start";
        match side {
            Side::Memory => self.serve.as_ref().filter(|_| is_start).or(Some(&self.agent)),
            Side::Durable => {
                self.serve_durable.as_ref().filter(|_| is_start).or(self.durable.as_ref())
            }
            Side::Axum => self.axum.as_ref(),
        }
    }
}

fn main() -> Result<()> {
    let options = Options::parse()?;
    process::raise_descriptor_limit()?;
    let mut sheets = [Sheet::default(), Sheet::default(), Sheet::default()];
    for (name, path) in [("size core", &options.core), ("size", &options.everything)] {
        if let Some(path) = path {
            sheets[Side::Memory as usize].add(vec![(name, std::fs::metadata(path)?.len() as f64)]);
        }
    }
    for round in 0..options.rounds {
        for (name, measure, sides) in MEASURES.iter().filter(|(name, ..)| options.wants(name)) {
            eprintln!("round {} of {}: {name}", round + 1, options.rounds);
            for side in *sides {
                if let Some(command) = options.command(*side, name) {
                    note(&mut sheets[*side as usize], name, measure(command));
                }
            }
        }
    }
    let [memory, durable, axum] = &sheets;
    report::print(memory, durable, axum);
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
