//! The only place with sockets. What it learns it tells the machine, what it does the machine told
//! it to do; it decides nothing and never blocks but in one poll.
mod clock;
mod doorbell;
mod event_loop;
mod ids;
mod listener;
mod notice;
mod sockets;
mod workers;

use crate::agent::Agent;
use crate::config::Config;
use crossbeam_channel::Sender;
use doorbell::Doorbell;
use event_loop::{EventLoop, News};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// A server that is bound to its address and has not begun to work.
pub struct Server {
    event_loop: EventLoop,
}

impl Server {
    /// Binds `config.addr`. `agent` will work on every run.
    ///
    /// Fails if the address cannot be had, if the key is an empty text, or if the system gives no randomness for ids.
    pub fn bind(config: Config, agent: impl Agent) -> io::Result<Server> {
        let event_loop = EventLoop::bind(config, Arc::new(agent))?;
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

    /// Serves until `Handle::drain` is called and the drain is over. One turn of the loop handles
    /// whatever is ready, on this thread.
    pub fn run(self) -> io::Result<()> {
        self.event_loop.run()
    }
}

/// Reaches a running server from another thread.
#[derive(Clone)]
pub struct Handle {
    news: Sender<News>,
    doorbell: Arc<Doorbell>,
}

impl Handle {
    /// Takes no new runs from now on, gives working ones `Config::drain` to end, tells every
    /// reader how it ended, and has `Server::run` return. A second call ends the grace.
    pub fn drain(&self) {
        // A loop that is gone has drained already.
        if self.news.send(News::Drain).is_ok() {
            self.doorbell.ring();
        }
    }
}
