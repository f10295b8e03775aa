//! Where a host is: an address as it stands, `/etc/hosts`, `localhost`, or the name servers.
//!
//! The C library's `getaddrinfo` is never called: it cannot be interrupted, and in a static binary
//! it loads whatever `nsswitch.conf` names into a process not made for it.
mod files;
mod message;

use super::transport::{connect_one, read, write};
use super::watch::{Stage, Watch};
use crate::agent::Cancel;
use files::Servers;
use message::{Kind, Reply, question, reply};
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Addresses of one host that are tried.
const ADDRS_MAX: usize = 16;
/// How long one name server may take.
const SERVER_MS: u64 = 2_000;
/// How long the second kind of address is waited for once there is one of the first.
const SECOND_KIND_MS: u64 = 250;
/// How often each name server is asked.
const ROUNDS: usize = 2;
/// A datagram over the 512 bytes of RFC 1035 is read too.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// Where names are looked up. `Dns::default()` is the system's own configuration.
#[derive(Clone, Debug)]
pub struct Dns {
    /// Like `/etc/hosts`.
    pub hosts: PathBuf,
    /// Like `/etc/resolv.conf`; read anew for each lookup, since networks change.
    pub resolv_conf: PathBuf,
    /// The name servers' port.
    pub port: u16,
}

impl Default for Dns {
    fn default() -> Dns {
        Dns { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }
}

/// `Dns` as ureq asks it.
#[derive(Debug)]
pub(in crate::agent::model) struct Lookup(pub Dns);

impl Resolver for Lookup {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let watch = Watch::on_duty();
        watch.set_stage(Stage::Naming);
        let authority = uri.authority().ok_or(Error::HostNotFound)?;
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = authority.port_u16().unwrap_or(default_port);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let found = self.0.lookup(host, &watch)?;
        if found.is_empty() {
            return Err(Error::HostNotFound);
        }
        watch.set_stage(Stage::Talking);
        let mut addrs = self.empty();
        for ip in found.into_iter().take(ADDRS_MAX) {
            addrs.push(SocketAddr::new(ip, port));
        }
        Ok(addrs)
    }
}

impl Dns {
    /// The host's addresses, IPv4 first; none if nobody knows it. Blocks for at most `timeout`.
    ///
    /// # Errors
    /// If no name server answers.
    pub fn addresses(&self, host: &str, timeout: Duration) -> io::Result<Vec<IpAddr>> {
        let watch = Watch::new(&Cancel::new(), Instant::now() + timeout)?;
        self.lookup(host, &watch)
    }

    /// The host's addresses, IPv4 first; none if nobody knows it.
    fn lookup(&self, host: &str, watch: &Watch) -> io::Result<Vec<IpAddr>> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![ip]);
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        let listed = files::hosts(&text(&self.hosts), name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        // RFC 6761 section 6.3.
        if name == "localhost" || name.ends_with(".localhost") {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let servers = Servers::parse(&text(&self.resolv_conf));
        for candidate in servers.candidates(host) {
            let found = self.ask_all(&candidate, &servers, watch)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// Asks one server after another until one knows. An error if none of them has answered.
    fn ask_all(&self, name: &str, servers: &Servers, watch: &Watch) -> io::Result<Vec<IpAddr>> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for server in servers.addrs.iter().cycle().take(servers.addrs.len() * ROUNDS) {
            match ask(name, SocketAddr::new(*server, self.port), watch) {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => last = io::Error::other("the name servers refuse to answer"),
                Err(error) => last = error,
            }
            watch.check()?;
        }
        Err(last)
    }
}

/// Both questions to one server at once. `None` if it will not answer.
fn ask(name: &str, server: SocketAddr, watch: &Watch) -> io::Result<Option<Vec<IpAddr>>> {
    let questions = [Kind::A, Kind::Aaaa].map(|kind| question(random_id(), name, kind));
    let [Some(a), Some(aaaa)] = &questions else {
        return Ok(Some(Vec::new()));
    };
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    socket.send(a)?;
    socket.send(aaaa)?;
    let mut replies = [None, None];
    let mut until = Instant::now() + Duration::from_millis(SERVER_MS);
    while replies.contains(&None) {
        match next_reply(&socket, [a, aaaa], server, until, watch) {
            Ok((which, reply)) => replies[which] = Some(reply),
            Err(_) if replies != [None, None] && watch.check().is_ok() => break,
            Err(error) => return Err(error),
        }
        until = until.min(Instant::now() + Duration::from_millis(SECOND_KIND_MS));
    }
    Ok(together(replies))
}

/// The next reply to one of `questions`, and to which.
fn next_reply(
    socket: &UdpSocket,
    questions: [&[u8]; 2],
    server: SocketAddr,
    until: Instant,
    watch: &Watch,
) -> io::Result<(usize, Reply)> {
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    loop {
        let got = match socket.recv(&mut datagram) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                watch.readable(socket, until)?;
                continue;
            }
            other => other?,
        };
        for (which, question) in questions.into_iter().enumerate() {
            match reply(&datagram[..got], question) {
                Some(Reply::Truncated) => {
                    return Ok((which, ask_at_length(question, server, watch)?));
                }
                Some(reply) => return Ok((which, reply)),
                None => {}
            }
        }
    }
}

/// Asks over TCP, where each message comes behind its length (RFC 1035 section 4.2.2).
fn ask_at_length(question: &[u8], server: SocketAddr, watch: &Watch) -> io::Result<Reply> {
    let stream = connect_one(watch, server, Instant::now() + Duration::from_millis(SERVER_MS))?;
    let length = (question.len() as u16).to_be_bytes();
    write(watch, &stream, &[&length, question].concat())?;
    let mut length = [0; 2];
    read_exact(watch, &stream, &mut length)?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    read_exact(watch, &stream, &mut message)?;
    reply(&message, question).ok_or(io::ErrorKind::InvalidData.into())
}

fn read_exact(watch: &Watch, stream: &std::net::TcpStream, mut into: &mut [u8]) -> io::Result<()> {
    while !into.is_empty() {
        match read(watch, stream, into)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => into = &mut into[got..],
        }
    }
    Ok(())
}

/// What both replies say together. `None` if neither says anything for certain.
fn together(replies: [Option<Reply>; 2]) -> Option<Vec<IpAddr>> {
    let mut found = None;
    for reply in replies.into_iter().flatten() {
        match reply {
            Reply::Addresses(addrs) => found.get_or_insert_with(Vec::new).extend(addrs),
            Reply::NoSuchName => found = found.or(Some(Vec::new())),
            Reply::Refused | Reply::Truncated => {}
        }
    }
    found
}

/// A file that cannot be read says nothing.
fn text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn random_id() -> u16 {
    super::random() as u16
}
