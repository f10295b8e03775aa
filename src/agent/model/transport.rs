//! TCP for ureq, every wait of which hears the word to stop.
use super::watch::{Stage, Watch};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
};

/// The longest wait for one address to take a connection.
const CONNECT_MS: u64 = 10_000;

/// Opens connections, unless one has been opened before it in the chain.
#[derive(Debug)]
pub(super) struct Tcp;

impl<In: Transport> Connector<In> for Tcp {
    type Out = Either<In, Line>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        if let Some(opened) = chained {
            return Ok(Some(Either::A(opened)));
        }
        let watch = Watch::on_duty();
        watch.set_stage(Stage::Connecting);
        let stream = connect_any(&watch, &details.addrs)?;
        watch.set_stage(Stage::Talking);
        let config = details.config;
        let (input, output) = (config.input_buffer_size(), config.output_buffer_size());
        let buffers = LazyBuffers::new(input, output);
        Ok(Some(Either::B(Line { stream, buffers, deaf: false })))
    }
}

/// Connects to the first address that lets us. Each has its share of the time that is left.
fn connect_any(watch: &Watch, addrs: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for (tried, &addr) in addrs.iter().enumerate() {
        let left = watch.due().saturating_duration_since(Instant::now());
        let share = left / (addrs.len() - tried) as u32;
        let until = Instant::now() + share.min(Duration::from_millis(CONNECT_MS));
        match connect_one(watch, addr, until) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
        if watch.check().is_err() {
            break;
        }
    }
    Err(last)
}

/// A connected, non-blocking stream. The watch's bell, or `until`, ends the attempt.
pub(super) fn connect_one(
    watch: &Watch,
    addr: SocketAddr,
    until: Instant,
) -> io::Result<TcpStream> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &addr) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    watch.writable(&socket, until)?;
    sockopt::socket_error(&socket)??;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads some bytes; 0 is the end of the stream.
pub(super) fn read(watch: &Watch, mut stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                watch.readable(stream, watch.due())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Writes all of `bytes`.
pub(super) fn write(watch: &Watch, mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                watch.writable(stream, watch.due())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One connection. ureq's own time-outs are not used: the watch on duty knows the time.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    buffers: LazyBuffers,
    /// The server has closed while we were writing. What it said before that can still be read.
    deaf: bool,
}

impl Transport for Line {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        if self.deaf {
            return Ok(());
        }
        let watch = Watch::on_duty();
        watch.check()?;
        let output = &self.buffers.output()[..amount];
        match write(&watch, &self.stream, output) {
            // A server may refuse a large request before it has read all of it.
            Err(error) if is_hang_up(&error) => self.deaf = true,
            other => other?,
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        let watch = Watch::on_duty();
        watch.check()?;
        let room = self.buffers.input_append_buf();
        if room.is_empty() {
            return Err(io::Error::other("the head of the reply is too long").into());
        }
        // ureq takes a reset for the end of a body that has no length: give it another name.
        let got = read(&watch, &self.stream, room).map_err(|error| match is_hang_up(&error) {
            true => io::Error::other("connection reset"),
            false => error,
        })?;
        self.buffers.input_appended(got);
        Ok(got > 0)
    }

    /// A connection at rest is open if there is nothing to read, not even its end.
    fn is_open(&mut self) -> bool {
        let nothing = self.stream.read(&mut [0]);
        !self.deaf && nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset)
}
