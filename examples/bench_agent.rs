//! The server `make bench` measures: the library with the agent of benchmarks.
//!
//! `cargo run --release --example bench_agent -- --store sqlite:runs.db 8642`, then post an input
//! such as `bench events=1000 size=64 rate=0 hold=0 tail=0`: deltas, bytes of each, deltas a second
//! (0 = as fast as they go), milliseconds before the first and after the last. What is not named
//! is 0. Without `--store` runs are kept in memory. A run has a thread of its own: up to 256 work at
//! once.
use runwire::agent::Script;
use runwire::store::{Memory, Store};
use runwire::{Config, Server};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};

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
    config.max_runs = 256;
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
