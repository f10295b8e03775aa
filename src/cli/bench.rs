//! `runwire bench`: what this program costs on this machine.
//!
//! It starts itself, as a process of its own, so that memory, CPU and start are a server's alone, and
//! it asks that server as any client would. Every event is counted and must be the next one: a
//! figure that was reached by leaving something out is none.
mod child;
mod figures;
mod measure;
mod percentiles;
mod posts;
mod streams;
mod wire;

use super::args::Bench as Asked;
use super::{print, serve, signals};
use child::Leash;
use figures::Figures;
use measure::{Bench, QUICK, WHOLE};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

pub use child::Benched;

/// All of it takes no longer.
const TIME_MAX: Duration = Duration::from_secs(30);
/// Exit code after Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Measures, and prints what was found. Returns the exit code.
pub fn bench(asked: &Asked) -> Result<u8, String> {
    let began = Instant::now();
    let leash = Leash::default();
    let cutting = leash.clone();
    signals::watch(1, move || cutting.cut())
        .map_err(|error| format!("Could not watch for Ctrl-C: {error}."))?;
    if io::stderr().is_terminal() {
        // Where nobody listens there is nobody to tell.
        let _ = writeln!(io::stderr(), "Measuring for some seconds ...");
    }
    let sizes = if asked.quick { &QUICK } else { &WHOLE };
    let mut figures = Figures::default();
    figures.put(&[("cores", cores()), ("binary_bytes", own_bytes())]);
    let (store, until) = (asked.settings.store, began + TIME_MAX);
    let files_max = serve::raise_descriptors();
    let mut bench =
        Bench { store, leash: &leash, sizes, until, files_max, figures: &mut figures, checked: 0 };
    let measured = bench.all();
    if leash.is_cut() {
        return Ok(INTERRUPTED);
    }
    measured?;
    let took = began.elapsed();
    figures.put(&[("took_ms", Some(posts::micros(took) / 1000))]);
    let (version, store) = (env!("CARGO_PKG_VERSION"), store.name());
    Ok(print(&match asked.json {
        true => figures.json(&[("version", version), ("store", store)]),
        false => format!(
            "runwire {version}, store {store}\n{}{}.{} s of 30. On a machine with \
             other work times mean little; bytes stay what they are.\n",
            figures.table(),
            took.as_secs(),
            took.subsec_millis() / 100
        ),
    }))
}

fn own_bytes() -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    Some(program.metadata().ok()?.len())
}

fn cores() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    // The first line is of all together.
    let lines = stat.lines().filter(|line| line.starts_with("cpu")).count();
    lines.checked_sub(1).map(|cores| cores as u64)
}
