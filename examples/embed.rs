//! An agent of your own behind the whole server: `cargo run --example embed`, then
//! `curl -d '{"input":"hello there"}' -H 'Content-Type: application/json' http://127.0.0.1:8642/v1/runs`.
//! `embed PORT FILE` listens elsewhere and keeps its runs in a file. Ctrl-C lets them finish.
use runwire::{Agent, Config, Context, Ending, Server};
use std::{env, thread, time::Duration};

struct Echo;

impl Agent for Echo {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        for word in run.request().input.to_text().split_inclusive(' ') {
            run.delta(word)?;
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

fn main() -> std::io::Result<()> {
    let mut config = Config::default();
    if let Some(port) = env::args().nth(1).and_then(|port| port.parse().ok()) {
        config.addr.set_port(port);
    }
    let server = bind(config)?;
    println!("listening on http://{}", server.local_addr()?);
    #[cfg(feature = "cli")]
    drain_at_signals(server.handle())?;
    server.run()
}

fn bind(config: Config) -> std::io::Result<Server> {
    #[cfg(feature = "sqlite")]
    if let Some(path) = env::args_os().nth(2) {
        let store = runwire::store::Sqlite::open(path.as_ref()).map_err(std::io::Error::other)?;
        return Server::with_store(config, Echo, Box::new(store));
    }
    Server::bind(config, Echo)
}

/// The first signal lets runs finish for `Config::drain`, the second ends that grace.
#[cfg(feature = "cli")]
fn drain_at_signals(handle: runwire::net::Handle) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || signals.forever().for_each(|_| handle.drain()));
    Ok(())
}
