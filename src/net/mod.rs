//! The only place with sockets. What it learns it tells the machine, what it does the machine told
//! it to do; it decides nothing and never blocks but in one poll.
mod clock;
#[cfg(feature = "webhooks")]
mod couriers;
mod depot;
mod doorbell;
mod event_loop;
mod ids;
mod listener;
mod measures;
mod notice;
mod sockets;
mod workers;

pub use measures::LOG_LINES_DROPPED;

use crate::agent::Agent;
use crate::config::{Config, Key, check_keys};
use crate::shares::Shares;
use crate::store::{Memory, Store};
use crossbeam_channel::Sender;
use doorbell::Doorbell;
use event_loop::EventLoop;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A server that is bound to its address and has not begun to work.
pub struct Server {
    event_loop: EventLoop,
}

impl Server {
    /// Binds `config.addr`. `agent` will work on every run. Runs are kept in memory only.
    ///
    /// Fails if the address cannot be had, if `config::check_keys` finds something wrong with the
    /// keys, if `config.memory` is too small, or if the system gives no randomness for ids.
    pub fn bind(config: Config, agent: impl Agent) -> io::Result<Server> {
        let said = Shares::of(config.memory, config.max_runs, config.max_body).said;
        Server::with_store(config, agent, Box::new(Memory::within(said)))
    }

    /// Like `bind`, with the runs kept in `store`.
    ///
    /// Fails also if the store does, with a `record::Fault` in the error, or if the system has no
    /// threads for it.
    pub fn with_store(
        config: Config,
        agent: impl Agent,
        store: Box<dyn Store>,
    ) -> io::Result<Server> {
        let event_loop = EventLoop::bind(config, Arc::new(agent), store)?;
        Ok(Server { event_loop })
    }

    /// Where it listens: the real port, if port 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.event_loop.local_addr()
    }

    /// Tells the server to end, from any thread.
    pub fn handle(&self) -> Handle {
        self.event_loop.handle()
    }

    /// Serves until `Handle::drain` is called, the drain is over, and the store has all it was
    /// given; that is waited for `limits::STORE_EXIT_MS` at most. One turn of the loop handles
    /// whatever is ready, on this thread.
    ///
    /// Fails if the system does not let it wait for its sockets, or, with a `record::Fault` in the
    /// error, if at the end something is missing from the store.
    pub fn run(self) -> io::Result<()> {
        self.event_loop.run()
    }
}

/// Reaches a running server from another thread.
#[derive(Clone)]
pub struct Handle {
    orders: Sender<Order>,
    /// The server was started with a key.
    has_keys: bool,
    doorbell: Arc<Doorbell>,
}

/// What a handle asks of the loop.
enum Order {
    Drain,
    Keys(Vec<Key>),
}

impl Handle {
    /// Takes no new runs from now on, gives working ones `Config::drain` to end, tells every
    /// reader how it ended, and has `Server::run` return. A second call ends the grace.
    pub fn drain(&self) {
        self.order(Order::Drain);
    }

    /// From now on these keys open the server, and no others: `Config::key` too is one of them, by
    /// the name `default`, or it opens no more. Who came with a secret that is no longer in force,
    /// or whose key may do less now, is sent away, its streams included; runs stay.
    ///
    /// Fails with what is wrong with the keys (`config::check_keys`, or there is none), or if the
    /// server was started without any; then everything stays as it is.
    pub fn reload(&self, keys: Vec<Key>) -> Result<(), String> {
        if keys.is_empty() {
            return Err("without any key everyone would be let in".to_owned());
        }
        if !self.has_keys {
            return Err("the server was started without keys, so it needs none".to_owned());
        }
        check_keys(&keys)?;
        self.order(Order::Keys(keys));
        Ok(())
    }

    fn order(&self, order: Order) {
        // A loop that is gone has drained already.
        if self.orders.send(order).is_ok() {
            self.doorbell.ring();
        }
    }
}
