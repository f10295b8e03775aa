//! Clients that vanish and clients that mean harm. Whatever becomes of them, the server stays as it
//! is for all others; where an answer is due, it is the right one.
use crate::client::{Client, narrow};
use crate::fleet::Life;
use crate::served::KEY;
use crate::served::wire::{Conn, Reply, ask};
use crate::tally::Tally;
use serde_json::json;
use socket2::SockRef;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Connections of a burst, where the limits of this process and the server allow it.
const BURST: u64 = 2_000;
/// Connections that send a head by and by.
const DRIPS: usize = 40;

type Act = fn(&mut Client<'_>, Life) -> io::Result<()>;

/// Every way to vanish.
pub const VANISHING: &[(&str, Act)] = &[
    ("vanished within a head", |client, life| vanish(client, life, "GET /v1/ru", false)),
    ("vanished within a body", |client, life| vanish(client, life, &half_a_body(), false)),
    ("vanished within a chunk", |client, life| vanish(client, life, &half_a_chunk(), false)),
    ("vanished before the answer", |client, life| vanish(client, life, &submission(), true)),
    ("vanished within a stream", vanish_within_a_stream),
    ("never read a stream", never_read),
    ("half-closed behind a request", half_close),
];

/// Every way to do harm.
pub const HOSTILE: &[(&str, Act)] = &[
    ("malformed bytes", malformed),
    ("heads too large", |_, life| refused(life, &large_head(), &[431])),
    ("request lines too long", |_, life| refused(life, &long_line(), &[414])),
    ("wrong keys", wrong_keys),
    ("bodies too large", |_, life| refused(life, &large_body(), &[413])),
    ("chunks that are none", |_, life| refused(life, &bad_chunk(), &[400])),
    ("bodies that are no submission", bad_bodies),
    ("pipelined junk", pipelined_junk),
    ("paths, methods and ids that are none", nowhere),
    ("bursts of connections", burst),
];

/// What takes its time.
pub const SLOW: &[(&str, Act)] = &[("heads dripped for ever", drip)];

/// How often each of these was done.
pub fn times(tally: &Tally) -> Vec<u64> {
    [VANISHING, HOSTILE, SLOW].concat().iter().map(|(name, _)| tally.get(name)).collect()
}

pub fn work(mut client: Client<'_>, acts: &'static [(&'static str, Act)]) {
    // Each way once, and then by chance.
    let mut first = acts.iter();
    while !client.fleet.is_closing() && !client.tally.has_failed() {
        let drawn = &acts[client.chance.below(acts.len() as u64) as usize];
        let (name, act) = first.next().unwrap_or(drawn);
        client.fork(name).attempt(|client| {
            let life = client.fleet.await_life();
            match act(client, life) {
                Ok(()) => client.tally.count(name),
                // Who does harm is hung up on at any time.
                Err(error) => client.step(|| error.to_string()),
            }
        });
        client.dawdle(30);
    }
}

/// Leaves `text` or a part of it behind, with a FIN or a RST.
fn vanish(client: &mut Client<'_>, life: Life, text: &str, is_all: bool) -> io::Result<()> {
    let stream = TcpStream::connect(life.addr)?;
    let count =
        if is_all { text.len() } else { 1 + client.chance.below(text.len() as u64) as usize };
    if is_all {
        client.fleet.count_post();
    }
    (&stream).write_all(&text.as_bytes()[..count])?;
    client.dawdle(10);
    leave(client, stream)
}

fn leave(client: &mut Client<'_>, stream: TcpStream) -> io::Result<()> {
    match client.chance.below(3) {
        0 => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
        1 => stream.shutdown(Shutdown::Write),
        _ => Ok(()),
    }
}

/// Starts a run and leaves its stream somewhere.
fn vanish_within_a_stream(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let mut stream = open_stream(client, life, "words 300", 64 * 1024)?;
    let wanted = client.chance.below(40_000) as usize;
    let (mut taken, mut buffer) = (0, [0; 4096]);
    while taken < wanted {
        match stream.read(&mut buffer)? {
            0 => break,
            count => taken += count,
        }
    }
    leave(client, stream)
}

/// Has more to be told than the kernel holds, and takes nothing for a while.
fn never_read(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let stream = open_stream(client, life, "words 60 size 4000", 4096)?;
    client.dawdle(3_000);
    leave(client, stream)
}

fn open_stream(
    client: &mut Client<'_>,
    life: Life,
    input: &str,
    buffer: usize,
) -> io::Result<TcpStream> {
    client.fleet.count_post();
    let reply = ask(life.addr, "POST", "/v1/runs", "", &json!({ "input": input }).to_string())?;
    client.expect(life, &reply, &[202, 429]);
    let run = reply.json()["run_id"].as_str().unwrap_or("run_none").to_owned();
    let mut stream = narrow(life.addr, buffer)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request("GET", &format!("/v1/runs/{run}/events"), "").as_bytes())?;
    Ok(stream)
}

/// FIN behind a whole request: the answer is still due.
fn half_close(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let mut stream = TcpStream::connect(life.addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request("GET", "/v1/runs?limit=5", "").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let is_right = answer.starts_with("HTTP/1.1 200 ");
    assert!(is_right || client.fleet.is_over(life), "{answer:?}");
    Ok(())
}

fn malformed(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let mut bytes: Vec<u8> = (0..200).map(|_| client.chance.next() as u8).collect();
    // So that it is refused at once, and not after the time a head may take.
    bytes.extend_from_slice(b"\0\r\n\r\n");
    let mut conn = Conn::open(life.addr)?;
    conn.write(&bytes)?;
    let reply = conn.reply()?;
    assert!([400, 414, 431].contains(&reply.status), "{bytes:?}: {reply:?}");
    Ok(())
}

fn refused(life: Life, bytes: &str, statuses: &[u16]) -> io::Result<()> {
    let mut conn = Conn::open(life.addr)?;
    conn.write(bytes.as_bytes())?;
    let reply = conn.reply()?;
    assert!(statuses.contains(&reply.status), "{reply:?}");
    Ok(())
}

fn wrong_keys(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    for key in ["", "x", &KEY[1..], &format!("{KEY}x")] {
        let path =
            ["/v1/runs", "/metrics", "/v1/events?watch=runs"][client.chance.below(3) as usize];
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        refused(life, &head, &[401])?;
    }
    Ok(())
}

fn bad_bodies(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let bodies =
        ["{", "[]", "{\"input\":", "{\"input\":[]}", "{\"input\":{}}", "{}", "nul", "\u{0}"];
    let body = bodies[client.chance.below(bodies.len() as u64) as usize];
    let reply = ask(life.addr, "POST", "/v1/runs", "", body)?;
    client.expect(life, &reply, &[400]);
    Ok(())
}

/// What is in order before the junk is answered, and the junk is not.
fn pipelined_junk(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let count = 1 + client.chance.below(50);
    let health = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(count as usize);
    let mut conn = Conn::open(life.addr)?;
    conn.write(format!("{health}\u{1}\u{2} junk\r\n\r\n").as_bytes())?;
    for _ in 0..count {
        let reply = conn.reply()?;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let reply = conn.reply()?;
    assert_eq!(reply.status, 400, "{reply:?}");
    Ok(())
}

fn nowhere(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let none = "run_00000000000000000000000000000000";
    let asks = [
        ("GET", "/nowhere".to_owned(), 404),
        ("PUT", "/v1/runs".to_owned(), 405),
        ("GET", format!("/v1/runs/{none}"), 404),
        ("GET", format!("/v1/runs/{none}/events"), 404),
        ("DELETE", format!("/v1/runs/{none}"), 404),
        ("POST", format!("/v1/runs/{none}/stop"), 404),
        ("GET", format!("/v1/events?runs={none}"), 404),
        ("GET", "/v1/events".to_owned(), 400),
    ];
    for (method, path, status) in asks {
        let reply: Reply = ask(life.addr, method, &path, "", "")?;
        client.expect(life, &reply, &[status]);
    }
    Ok(())
}

/// Byte after byte, until each of them is cut off.
fn drip(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let connect = |_| {
        let stream = TcpStream::connect(life.addr)?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut streams: Vec<TcpStream> = (0..DRIPS).map(connect).collect::<io::Result<_>>()?;
    let mut head = request("GET", "/v1/runs", "").into_bytes();
    head.truncate(head.len() - 2);
    head.extend_from_slice("X-Slow: ".repeat(200).as_bytes());
    for byte in head {
        if streams.is_empty() || client.fleet.is_closing() {
            break;
        }
        streams.retain_mut(|stream| {
            stream.write_all(&[byte]).is_ok()
                && !stream.read(&mut [0; 1024]).is_ok_and(|it| it == 0)
        });
        client.dawdle(200);
    }
    Ok(())
}

/// Many at once: some only come, some ask, and all of those are answered.
fn burst(client: &mut Client<'_>, life: Life) -> io::Result<()> {
    let count = client.chance.below(BURST.min(crate::rest::files_max() / 4));
    let streams: Vec<TcpStream> =
        (0..count).map(|_| TcpStream::connect(life.addr)).collect::<io::Result<_>>()?;
    let mut asking = Vec::new();
    for stream in &streams {
        if client.chance.one_in(3) {
            let mut conn = Conn::over(stream.try_clone()?)?;
            conn.write(request("GET", "/health", "").as_bytes())?;
            asking.push(conn);
        }
    }
    for mut conn in asking {
        let reply = conn.reply()?;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    client.tally.add("connections of bursts", count);
    Ok(())
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n{headers}\r\n"
    )
}

fn submission() -> String {
    let body = json!({ "input": "words 5 run of nobody" }).to_string();
    let length = body.len();
    let headers = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    request("POST", "/v1/runs", &headers) + &body
}

fn half_a_body() -> String {
    let headers = "Content-Type: application/json\r\nContent-Length: 4000\r\n";
    request("POST", "/v1/runs", headers) + &"{\"input\": \"a".repeat(300)
}

fn half_a_chunk() -> String {
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    request("POST", "/v1/runs", headers) + "10\r\n{\"input\": \"01234\r\n20\r\nhalf"
}

fn bad_chunk() -> String {
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    request("POST", "/v1/runs", headers) + "10\r\n{\"input\": \"01234\r\nzz\r\n"
}

fn large_body() -> String {
    let headers = "Content-Type: application/json\r\nContent-Length: 20000000\r\n";
    request("POST", "/v1/runs", headers)
}

fn large_head() -> String {
    request("GET", "/v1/runs", &format!("X-Large: {}\r\n", "x".repeat(20_000)))
}

fn long_line() -> String {
    request("GET", &format!("/v1/runs?{}", "x".repeat(9_000)), "")
}
