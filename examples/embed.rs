//! An agent of your own behind the whole server: `cargo run --example embed`, then
//! `curl -d '{"input":"hello there"}' -H 'Content-Type: application/json' http://127.0.0.1:8642/v1/runs`.
use runwire::{Agent, Config, Context, Ending, Server};
use std::{thread, time::Duration};

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
    let server = Server::bind(Config::default(), Echo)?;
    println!("listening on http://{}", server.local_addr()?);
    server.run()
}
