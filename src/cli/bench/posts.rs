//! Runs posted over many connections, each of which waits for its answer before it asks again.
use super::child::Child;
use super::percentiles::Times;
use super::wire::{await_any, connect, is_ready, lost, post_request, reply_len, send};
use rustix::event::{PollFd, PollFlags};
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long a connection leaves a server alone that has too much to do.
const REST: Duration = Duration::from_millis(20);
/// After so long without an answer there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of it.
#[derive(Default)]
pub struct Posted {
    pub accepted: u64,
    /// Told to come again.
    pub refused: u64,
    /// From each request to its 202.
    pub times: Times,
}

/// What a connection does.
enum Does {
    /// Waits for its answer.
    Waits {
        sent_at: Instant,
    },
    Rests {
        until: Instant,
    },
    Nothing,
}

/// Posts runs that end at once, for `time` and until each has its answer.
pub fn post_for(child: &Child, connections: usize, time: Duration) -> Result<Posted, String> {
    let request = post_request(child, "bench");
    let opened: Result<Vec<TcpStream>, String> = (0..connections).map(|_| connect(child)).collect();
    let sockets = opened?;
    let polled = |socket| PollFd::new(socket, PollFlags::IN);
    let mut fds: Vec<PollFd<'_>> = sockets.iter().map(polled).collect();
    let (began, mut news_at) = (Instant::now(), Instant::now());
    let mut does: Vec<Does> = sockets.iter().map(|_| Does::Rests { until: began }).collect();
    let mut replies = vec![Vec::new(); connections];
    let mut posted = Posted::default();
    loop {
        let now = Instant::now();
        let is_over = now.duration_since(began) >= time;
        for (does, socket) in does.iter_mut().zip(&sockets) {
            if matches!(does, Does::Rests { until } if is_over || *until <= now) {
                *does = if is_over { Does::Nothing } else { ask(socket, &request)? };
            }
        }
        if does.iter().all(|does| matches!(does, Does::Nothing)) {
            return Ok(posted);
        }
        await_any(&mut fds, now + REST)?;
        for at in (0..connections).filter(|at| is_ready(&fds[*at])) {
            news_at = now;
            if let Does::Waits { sent_at } = does[at]
                && let Some(rests) = answer(&sockets[at], &mut replies[at], sent_at, &mut posted)?
            {
                does[at] = if is_over { Does::Nothing } else { Does::Rests { until: now + rests } };
            }
        }
        if news_at.elapsed() > PATIENCE {
            return Err("The server does not answer a post.".to_owned());
        }
    }
}

fn ask(socket: &TcpStream, request: &str) -> Result<Does, String> {
    let sent_at = Instant::now();
    send(socket, request)?;
    Ok(Does::Waits { sent_at })
}

/// Reads what is there. Once that is the whole answer, tells how long to leave the server alone.
fn answer(
    mut socket: &TcpStream,
    reply: &mut Vec<u8>,
    sent_at: Instant,
    posted: &mut Posted,
) -> Result<Option<Duration>, String> {
    let mut piece = [0; 4096];
    let read = socket.read(&mut piece).map_err(|error| lost(&error))?;
    if read == 0 {
        return Err(lost(&"the server has closed it"));
    }
    reply.extend_from_slice(&piece[..read]);
    let Some(_) = reply_len(reply) else { return Ok(None) };
    let rests = match reply.get(9..12) {
        Some(b"202") => {
            posted.accepted += 1;
            posted.times.push(micros(sent_at.elapsed()));
            Duration::ZERO
        }
        Some(b"429" | b"503") => {
            posted.refused += 1;
            REST
        }
        _ => return Err(format!("A post was answered {}", String::from_utf8_lossy(reply))),
    };
    reply.clear();
    Ok(Some(rests))
}

pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
