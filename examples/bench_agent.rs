//! The server `make bench` measures: the library with an agent that does what its input says.
//!
//! `cargo run --release --example bench_agent -- --store sqlite:runs.db 8642`, then post an input
//! such as `bench events=1000 size=64 rate=0 hold=0 tail=0`: deltas, bytes of each, deltas a second
//! (0 = as fast as they go), milliseconds before the first and after the last. What is not named
//! is 0. Without `--store` runs are kept in memory.
use runwire::store::{Memory, Store};
use runwire::{Agent, Config, Context, Ending, Server};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// The longest pause an input may ask for, and the longest delta.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
const SIZE_MAX: usize = 16 * 1024;

struct Script;

impl Agent for Script {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        let input = run.request().input.to_text();
        let number = |name: &str| number(&input, name);
        let rate = number("rate");
        let text = "x".repeat((number("size") as usize).min(SIZE_MAX));
        pause(run, Duration::from_millis(number("hold")))?;
        let began = Instant::now();
        for index in 0..number("events") {
            if let Some(micros) = (index * 1_000_000).checked_div(rate) {
                let due = Duration::from_micros(micros);
                pause(run, due.saturating_sub(began.elapsed()))?;
            }
            run.delta(&text)?;
        }
        pause(run, Duration::from_millis(number("tail")))
    }
}

/// The value of `name=` among the words of `input`, or 0.
fn number(input: &str, name: &str) -> u64 {
    let mut values = input.split(' ').filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    values.next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Sleeps, but not through the word that the run is over.
fn pause(run: &Context<'_>, time: Duration) -> Result<(), Ending> {
    if time.is_zero() {
        return Ok(());
    }
    let (told, waiting) = sync_channel(1);
    let _hook = run.cancel().on_cancel(move || {
        // One word is enough.
        let _ = told.try_send(());
    });
    match waiting.recv_timeout(time.min(PAUSE_MAX)) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        _ => Err(Ending::Stopped),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).peekable();
    let store = match args.next_if(|arg| arg == "--store") {
        Some(_) => open(&args.next().ok_or("--store memory, or sqlite:FILE")?)?,
        None => Box::new(Memory::default()),
    };
    let port = args.next().or_else(|| std::env::var("RUNWIRE_PORT").ok());
    let port = port.map_or(Ok(8642), |port| port.parse())?;
    let mut config = Config::default();
    config.addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server::with_store(config, Script, store)?;
    println!("listening on http://{}", server.local_addr()?);
    Ok(server.run()?)
}

fn open(store: &str) -> Result<Box<dyn Store>, Box<dyn Error>> {
    #[cfg(feature = "sqlite")]
    if let Some(path) = store.strip_prefix("sqlite:") {
        return Ok(Box::new(runwire::store::Sqlite::open(path.as_ref())?));
    }
    match store {
        "memory" => Ok(Box::new(Memory::default())),
        _ => Err(format!("{store} is no store: name memory, or sqlite:FILE").into()),
    }
}
