//! Agent threads: every working run has one, also where many begin at once and where threads of
//! earlier runs are at hand.
use runwire::{Agent, Config, Context, Ending, Server};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::time::Duration;

const BURST: usize = 32;
const BURSTS: usize = 20;
/// Shorter than an idle thread waits: one that was never called would else come by itself.
const DEADLINE: Duration = Duration::from_secs(5);

/// Ends only once as many runs as a burst has are at work.
struct Meeting {
    barrier: Barrier,
    met: Sender<()>,
}

impl Agent for Meeting {
    fn run(&self, _: &mut Context<'_>) -> Result<(), Ending> {
        self.barrier.wait();
        self.met.send(())?;
        Ok(())
    }
}

#[test]
fn runs_that_wait_for_each_other_all_have_a_thread() {
    let (addr, met) = serve();
    for _ in 0..BURSTS {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(&burst()).unwrap();
        for index in 0..BURST {
            met.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("only {index} runs met"));
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        assert_eq!(answers.matches("HTTP/1.1 202 ").count(), BURST);
    }
}

fn serve() -> (SocketAddr, Receiver<()>) {
    let (met, meetings) = channel();
    let mut config = Config::default();
    config.addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let agent = Arc::new(Meeting { barrier: Barrier::new(BURST), met });
    let server = Server::bind(config, agent).unwrap();
    let addr = server.local_addr().unwrap();
    std::thread::spawn(move || server.run());
    (addr, meetings)
}

/// So many submissions in one piece that they begin in one turn.
fn burst() -> Vec<u8> {
    let one = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 14\r\n\r\n{\"input\":\"go\"}";
    one.repeat(BURST).into_bytes()
}
