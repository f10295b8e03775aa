//! What the black-box tests share: a server on a loopback socket, agents that do as they are told,
//! and a client that knows HTTP only as bytes.
// Every test binary uses its own part of this.
#![allow(dead_code, unused_imports)]
mod agents;
mod child;
mod client;
mod parrot;
mod stores;

pub use agents::{Gate, Puppet};
pub use child::Child;
pub use client::{Client, Reply, parts_of_events};
pub use parrot::Parrot;
pub use stores::{Folder, Shelf, on_each_store};

use runwire::store::{Memory, Store};
use runwire::{Agent, Config, Handle, Server};
use serde_json::Value;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Nothing a test waits for takes nearly as long, on however slow a machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// A server at work on a thread of its own. Dropping it lets it drain unobserved.
pub struct Site {
    pub addr: SocketAddr,
    pub handle: Handle,
    /// Opens for agents that were told to wait for it.
    pub gate: Gate,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Site {
    pub fn start() -> Site {
        Site::with(|_| {})
    }

    /// A server whose settings `change` has changed, on a free port.
    pub fn with(change: impl FnOnce(&mut Config)) -> Site {
        Site::with_store(Box::new(Memory::default()), change)
    }

    pub fn with_store(store: Box<dyn Store>, change: impl FnOnce(&mut Config)) -> Site {
        let gate = Gate::default();
        Site::with_agent(Puppet { gate: gate.clone() }, gate, store, change)
    }

    /// A server whose `agent` may wait for `gate`.
    pub fn with_agent(
        agent: impl Agent,
        gate: Gate,
        store: Box<dyn Store>,
        change: impl FnOnce(&mut Config),
    ) -> Site {
        let mut config = Config::default();
        config.addr = SocketAddr::from(([127, 0, 0, 1], 0));
        config.drain = Duration::from_millis(50);
        change(&mut config);
        let server = Server::with_store(config, agent, store).unwrap();
        let (addr, handle) = (server.local_addr().unwrap(), server.handle());
        let thread = Some(thread::spawn(move || server.run()));
        Site { addr, handle, gate, thread }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect();
        client.send(request);
        client.reply()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.ask(get(path))
    }

    /// Posts a body to `/v1/runs`, and gives the reply's.
    pub fn submit(&self, body: Value) -> Value {
        let reply = self.ask(post("/v1/runs", &body.to_string()));
        assert_eq!(reply.status, 202, "{body}: {reply:?}");
        reply.json()
    }

    /// The same, and gives the run's id once the run has ended.
    pub fn finish(&self, body: Value) -> String {
        let reply = self.submit(body);
        let run = reply["run_id"].as_str().unwrap().to_owned();
        self.await_end(&run);
        run
    }

    /// Posts an input the `Puppet` understands, and gives the run's id.
    pub fn run(&self, input: &str) -> String {
        let reply = self.ask(post_input(input));
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()["run_id"].as_str().unwrap().to_owned()
    }

    pub fn stop(&self, run: &str) -> Reply {
        self.ask(post(&format!("/v1/runs/{run}/stop"), ""))
    }

    pub fn steer(&self, run: &str, body: Value) -> Reply {
        self.ask(post(&format!("/v1/runs/{run}/steer"), &body.to_string()))
    }

    pub fn status(&self, run: &str) -> Value {
        self.get(&format!("/v1/runs/{run}")).json()
    }

    /// The whole event stream of a run, which must come to its end.
    pub fn stream(&self, run: &str) -> Vec<u8> {
        self.get(&format!("/v1/runs/{run}/events")).body
    }

    /// Waits until a run has this status, and gives its status page.
    pub fn await_status(&self, run: &str, status: &str) -> Value {
        wait_for(&format!("{run} to be {status}"), || {
            let page = self.status(run);
            (page["status"] == status).then_some(page)
        })
    }

    /// Waits until a run has ended, and gives its status page.
    pub fn await_end(&self, run: &str) -> Value {
        wait_for(&format!("{run} to end"), || {
            let page = self.status(run);
            page["last_event"].as_str().is_some_and(is_last).then_some(page)
        })
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.ask(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    pub fn counts(&self) -> Value {
        self.get("/health/detailed").json()
    }

    /// Has the server end as it should, and waits for that.
    pub fn end(self) {
        self.handle.drain();
        self.join();
    }

    /// Waits for `Server::run` to return, which it does once a drain is over.
    pub fn join(mut self) {
        let thread = self.thread.take().unwrap();
        wait_for("Server::run to return", || thread.is_finished().then_some(()));
        thread.join().unwrap().unwrap();
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.gate.open();
        self.handle.drain();
    }
}

fn is_last(event: &str) -> bool {
    ["run.completed", "run.failed", "run.cancelled", "run.interrupted"].contains(&event)
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// An empty body has no type.
pub fn post(path: &str, body: &str) -> String {
    post_with(path, "", body)
}

/// `headers` is whole lines.
pub fn post_with(path: &str, headers: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

pub fn post_input(input: &str) -> String {
    post("/v1/runs", &serde_json::json!({ "input": input }).to_string())
}

/// Asks again and again, with a pause that does not decide anything, until the answer is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
