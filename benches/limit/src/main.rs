//! What no server of runs can be faster than: one thread that does little but send.
//!
//! It speaks just enough of the runs API for the load to take it for a server: no JSON is read, no
//! header but the request line, nothing is refused, forgotten or kept alive. A run is one log of
//! bytes, a reader an offset in it. `limit PORT each` sends each event to each reader by itself, as
//! a live event must be; `limit PORT batch` first appends all that is due and then sends it at once.
mod run;

use run::Run;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Instant;

const BACKLOG: i32 = 4096;
const READY_MAX: usize = 512;
const REQUEST_BYTES_MAX: usize = 64 * 1024;
const NO_RUN: u32 = u32::MAX;
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nConnection: close\r\n\r\n";

/// A connection, and of a reader how far it has come: all that it costs while it is idle.
struct Conn {
    /// `None` where this number is not in use.
    stream: Option<TcpStream>,
    run: u32,
    /// Its place among the run's readers.
    place: u32,
    sent: u32,
    waits_for_room: bool,
}

struct Limit {
    epoll: OwnedFd,
    listener: TcpListener,
    /// By descriptor.
    conns: Vec<Conn>,
    /// By number; none is ever forgotten.
    runs: Vec<Run>,
    due: BinaryHeap<Reverse<(u64, u32)>>,
    began: Instant,
    text: Vec<u8>,
    batches: bool,
    /// The answer that is being written.
    answer: String,
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let batches = args.iter().any(|arg| arg == "batch");
    let port = args.iter().find_map(|arg| arg.parse().ok());
    let port = port.ok_or_else(|| io::Error::other("usage: limit [each|batch] PORT"))?;
    Limit::new(port, batches)?.serve()
}

impl Limit {
    fn new(port: u16, batches: bool) -> io::Result<Limit> {
        let listener = listen(port)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let data = EventData::new_u64(listener.as_raw_fd() as u64);
        epoll::add(&epoll, &listener, data, EventFlags::IN)?;
        Ok(Limit {
            epoll,
            listener,
            conns: Vec::new(),
            runs: Vec::new(),
            due: BinaryHeap::new(),
            began: Instant::now(),
            text: run::text(),
            batches,
            answer: String::new(),
        })
    }

    fn serve(&mut self) -> io::Result<()> {
        let none = Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let (mut ready, mut buffer) = ([none; READY_MAX], vec![0; REQUEST_BYTES_MAX]);
        loop {
            let wait = self.due.peek().map(|Reverse((due, _))| {
                let left = due.saturating_sub(self.now());
                Timespec {
                    tv_sec: (left / 1_000_000_000) as i64,
                    tv_nsec: (left % 1_000_000_000) as i64,
                }
            });
            let count = match epoll::wait(&self.epoll, &mut ready[..], wait.as_ref()) {
                Err(Errno::INTR) => 0,
                other => other?,
            };
            for event in &ready[..count] {
                let (token, flags) = (event.data.u64() as usize, event.flags);
                if token == self.listener.as_raw_fd() as usize {
                    self.accept()?;
                } else {
                    self.turn(token, flags, &mut buffer)?;
                }
            }
            self.say_what_is_due()?;
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let stream = match net::accept_with(&self.listener, flags) {
                Ok(stream) => TcpStream::from(stream),
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let token = stream.as_raw_fd() as usize;
            epoll::add(&self.epoll, &stream, EventData::new_u64(token as u64), EventFlags::IN)?;
            while self.conns.len() <= token {
                self.conns.push(Conn::new(None));
            }
            self.conns[token] = Conn::new(Some(stream));
        }
    }

    /// What a socket is ready for.
    fn turn(&mut self, token: usize, flags: EventFlags, buffer: &mut [u8]) -> io::Result<()> {
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            self.close(token);
            return Ok(());
        }
        if flags.contains(EventFlags::OUT) && self.conns[token].waits_for_room {
            self.send(token)?;
        }
        let Some(mut stream) = self.conns[token].stream.as_ref() else { return Ok(()) };
        if !flags.contains(EventFlags::IN) {
            return Ok(());
        }
        match stream.read(buffer) {
            Ok(0) => self.close(token),
            Ok(count) if buffer[0] == b'P' => self.post(token, &buffer[..count])?,
            Ok(count) => self.get(token, &buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(token),
        }
        Ok(())
    }

    fn post(&mut self, token: usize, request: &[u8]) -> io::Result<()> {
        let number = self.runs.len() as u32;
        let run = Run::new(request, self.now());
        self.due.push(Reverse((run.due, number)));
        self.runs.push(run);
        let body = "{\"run_id\":\"run_00000000\",\"status\":\"started\"}".len();
        self.answer.clear();
        let written = write!(
            self.answer,
            "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: {body}\r\n\
             \r\n{{\"run_id\":\"run_{number:08x}\",\"status\":\"started\"}}"
        );
        written.expect("a string takes all text");
        self.conns[token].write(self.answer.as_bytes());
        Ok(())
    }

    /// A stream of events, or else whatever is asked for.
    fn get(&mut self, token: usize, request: &[u8]) -> io::Result<()> {
        let number = request.strip_prefix(b"GET /v1/runs/run_").and_then(|rest| rest.get(..8));
        let number = number.and_then(|digits| std::str::from_utf8(digits).ok());
        let number = number.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let conn = &mut self.conns[token];
        let Some(run) = number.and_then(|number| self.runs.get_mut(number as usize)) else {
            conn.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            return Ok(());
        };
        let parts = [IoSlice::new(STREAM), IoSlice::new(&run.log)];
        let written =
            conn.stream.as_ref().map_or(Ok(0), |mut stream| stream.write_vectored(&parts));
        conn.sent = written.unwrap_or(0).saturating_sub(STREAM.len()) as u32;
        conn.run = number.unwrap_or(NO_RUN);
        conn.place = run.readers.len() as u32;
        run.readers.push(token as u32);
        self.send(token)?;
        Ok(())
    }

    fn say_what_is_due(&mut self) -> io::Result<()> {
        let now = self.now();
        while let Some(&Reverse((due, number))) = self.due.peek()
            && due <= now
        {
            self.due.pop();
            loop {
                let run = &mut self.runs[number as usize];
                run.say(number, &self.text);
                let goes_on = !run.is_over && run.due <= now;
                if !self.batches || !goes_on {
                    self.send_all(number as usize)?;
                }
                if !goes_on {
                    break;
                }
            }
            let run = &self.runs[number as usize];
            if !run.is_over {
                self.due.push(Reverse((run.due, number)));
            }
        }
        Ok(())
    }

    fn send_all(&mut self, run: usize) -> io::Result<()> {
        let mut place = 0;
        while let Some(&token) = self.runs[run].readers.get(place) {
            // One without room is told by the kernel when it has some.
            let stays = self.conns[token as usize].waits_for_room || self.send(token as usize)?;
            // Where it has left, another has its place.
            place += usize::from(stays);
        }
        Ok(())
    }

    /// Sends a reader what it has not been sent. `false` if it is gone then.
    fn send(&mut self, token: usize) -> io::Result<bool> {
        let conn = &mut self.conns[token];
        let run = &self.runs[conn.run as usize];
        let Some(mut stream) = conn.stream.as_ref() else { return Ok(false) };
        let mut has_room = true;
        while has_room && (conn.sent as usize) < run.log.len() {
            match stream.write(&run.log[conn.sent as usize..]) {
                Ok(count) => conn.sent += count as u32,
                Err(error) if error.kind() == ErrorKind::WouldBlock => has_room = false,
                Err(_) => {
                    self.close(token);
                    return Ok(false);
                }
            }
        }
        if has_room && run.is_over {
            self.close(token);
            return Ok(false);
        }
        if conn.waits_for_room == has_room {
            conn.waits_for_room = !has_room;
            let out = if has_room { EventFlags::empty() } else { EventFlags::OUT };
            let data = EventData::new_u64(token as u64);
            epoll::modify(&self.epoll, stream, data, EventFlags::IN | out)?;
        }
        Ok(true)
    }

    fn close(&mut self, token: usize) {
        let conn = std::mem::replace(&mut self.conns[token], Conn::new(None));
        if conn.run == NO_RUN {
            return;
        }
        let readers = &mut self.runs[conn.run as usize].readers;
        readers.swap_remove(conn.place as usize);
        if let Some(&moved) = readers.get(conn.place as usize) {
            self.conns[moved as usize].place = conn.place;
        }
    }
}

/// Whose connections inherit that nothing is held back.
fn listen(port: u16) -> io::Result<TcpListener> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

impl Conn {
    fn new(stream: Option<TcpStream>) -> Conn {
        Conn { stream, run: NO_RUN, place: 0, sent: 0, waits_for_room: false }
    }

    /// Sends a short answer, for which a socket has always had room. That its peer has gone the
    /// kernel tells again.
    fn write(&self, bytes: &[u8]) {
        if let Some(mut stream) = self.stream.as_ref() {
            let _ = stream.write(bytes);
        }
    }
}
