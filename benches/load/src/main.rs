//! Measures servers of runs side by side and prints a table: `make bench`.
//!
//! Figures, not tests: they say what things cost on this machine, in this minute. Compare within
//! one table only. The server has the first core and the load the second, so figures a CPU second
//! and in bytes mean the same on a machine that is busy; times do not. In each round each
//! measurement goes from server to server, and ratios are taken within the round.
mod frames;
mod http;
mod keeping;
mod machine;
mod measure;
mod options;
mod posters;
mod process;
mod record;
mod report;
mod rows;
mod swarm;
mod visitors;
mod working;

use options::Options;
use process::Server;
use report::{Figures, Sheet, Sheets};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

type Measure = fn(&[String]) -> Result<Figures>;

/// A server, and its column of the table.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    /// The program that does little but send.
    Limit,
    /// This server with its runs in memory.
    Memory,
    /// This server with its runs in a file.
    Durable,
    /// The other server.
    Axum,
}

use Side::{Axum, Durable, Limit, Memory};

const ALL: &[Side] = &[Limit, Memory, Durable, Axum];
/// Each with its name, and the servers it is of.
const MEASURES: &[(&str, Measure, &[Side])] = &[
    ("start", measure::start, ALL),
    ("idle", measure::idle, ALL),
    ("paced", measure::paced, ALL),
    ("fan_out", measure::fan_out, ALL),
    ("post", measure::post, ALL),
    ("runs", working::runs, ALL),
    ("runs_paced", working::runs_paced, ALL),
    ("never_readers", measure::never_readers, ALL),
    ("churn", working::churn, ALL),
    ("tools", working::tools, &[Memory, Durable]),
    ("small_host", measure::small_host, &[Memory]),
    ("pace", keeping::pace, &[Memory, Durable]),
    ("flood", keeping::flood, &[Memory, Durable]),
    ("long", keeping::long, &[Memory, Durable]),
    ("kept", keeping::kept, &[Durable]),
];

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    let options = Options::parse()?;
    process::raise_descriptor_limit()?;
    if let Some(path) = &options.check {
        return record::check(path, &options);
    }
    let sheets = measure_all(&options)?;
    println!("{}", report::table(&sheets));
    match &options.record {
        Some(path) => record::write(path, &options, &sheets),
        None => Ok(()),
    }
}

fn measure_all(options: &Options) -> Result<Sheets> {
    let mut sheets = [Sheet::default(), Sheet::default(), Sheet::default(), Sheet::default()];
    sheets[Memory as usize].add(0, "sizes", options.sizes()?.into());
    for round in 0..options.rounds {
        for (name, measure, sides) in MEASURES.iter().filter(|(name, ..)| options.wants(name)) {
            eprintln!("round {} of {}: {name}", round + 1, options.rounds);
            for side in *sides {
                let Some(command) = options.command(*side, name) else { continue };
                let sheet = &mut sheets[*side as usize];
                // A measurement that failed is told of in its row, and the others go on.
                match run(*measure, command, options) {
                    Ok(figures) => sheet.add(round, name, figures),
                    Err(error) => sheet.trouble(name, error.to_string()),
                }
            }
        }
    }
    let [limit, memory, durable, axum] = sheets;
    Ok(Sheets { limit, memory, durable, axum })
}

/// Starts the model beside, where the server's command names one.
fn run(measure: Measure, command: &[String], options: &Options) -> Result<Figures> {
    if !command.iter().any(|word| word.contains(options::MODEL_MARK)) {
        return measure(command);
    }
    let model = options.model.as_ref().ok_or("no --model is given")?;
    let model = Server::start_beside(std::slice::from_ref(model))?;
    let addr = model.addr.to_string();
    let words = command.iter().map(|word| word.replace(options::MODEL_MARK, &addr));
    measure(&words.collect::<Vec<String>>())
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
