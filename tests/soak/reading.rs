//! Readers of one run, each in its own way, over lost lines and restarts.
use crate::client::{Client, connect_narrow};
use crate::fleet::Life;
use crate::good::Posted;
use crate::order::Order;
use crate::served::wire::{Conn, Frame, Stream, ask};
use serde_json::json;
use std::io;

const CHOICES: [&str; 3] = ["once", "session", "deny"];

/// How a run is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On one line, which only a restart breaks.
    Through,
    /// Dropping the line now and then, and resuming behind the last event.
    Dropping,
    /// Resuming further back than need be: from the middle of what was read.
    Rewinding,
    /// As an EventSource does: without headers of its own but `Last-Event-ID`, with a run token,
    /// and again after the end.
    EventSource,
    /// A small buffer, and a pause now and then.
    Slow,
}

pub const WAYS: [Way; 5] =
    [Way::Through, Way::Dropping, Way::Rewinding, Way::EventSource, Way::Slow];

/// Everything that a run says, read from its first event to the end of its stream; `None` if it was
/// so long ago that the run is no longer kept. With `order` the reader has a say in the run, too.
pub fn read(
    client: &mut Client<'_>,
    posted: &Posted,
    way: Way,
    order: Option<&Order>,
) -> Option<Vec<Frame>> {
    client.tally.count(match way {
        Way::Through => "readers, on one line",
        Way::Dropping => "readers that drop the line",
        Way::Rewinding => "readers that resume further back",
        Way::EventSource => "readers like an EventSource",
        Way::Slow => "readers, slow",
    });
    let mut reading = Reading { posted, way, order, frames: Vec::new(), is_whole: false };
    while !reading.is_whole {
        if client.insist(|client, life| reading.read_on(client, life)) == Kept::Gone {
            assert!(client.fleet.is_outdated(posted.number), "{} is gone", posted.run);
            client.tally.count("readers too late for retention");
            return None;
        }
    }
    Some(reading.frames)
}

#[derive(PartialEq, Eq)]
enum Kept {
    There,
    Gone,
}

struct Reading<'a> {
    posted: &'a Posted,
    way: Way,
    order: Option<&'a Order>,
    frames: Vec<Frame>,
    /// The terminal event and the end of its stream have come.
    is_whole: bool,
}

impl Reading<'_> {
    /// One line: opened behind what is there, and read until it ends or is dropped.
    fn read_on(&mut self, client: &mut Client<'_>, life: Life) -> io::Result<Kept> {
        let mut known = self.frames.len();
        if self.way == Way::Rewinding && known > 0 {
            known -= client.chance.below(known as u64) as usize;
        }
        let last = known.checked_sub(1).map(|at| at as u64);
        let conn = self.open(client, life, last)?;
        let opened = Stream::of(conn)?;
        client.step(|| {
            format!(
                "{:?} of {} after {last:?}: {:?}",
                self.way,
                self.posted.run,
                opened.as_ref().err()
            )
        });
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(404) => return Ok(Kept::Gone),
            Err(204) => {
                assert!(self.has_end() && known == self.frames.len(), "204 before the end");
                self.is_whole = true;
                return Ok(Kept::There);
            }
            Err(503) if client.fleet.is_over(life) => {
                return Err(io::Error::other("it is draining"));
            }
            Err(status) => panic!("no stream of {} after {last:?}: {status}", self.posted.run),
        };
        let drops = matches!(self.way, Way::Dropping | Way::Rewinding | Way::EventSource);
        let patience = if drops { 1 + client.chance.below(400) } else { u64::MAX };
        let mut taken = 0;
        while taken < patience {
            let Some(frame) = stream.next()? else {
                return self.end(client, life);
            };
            taken += 1;
            self.take(client, life, known, frame);
            known += 1;
            if self.way == Way::Slow && client.chance.one_in(50) {
                client.dawdle(20);
            }
        }
        client.tally.count("lines dropped and resumed");
        Ok(Kept::There)
    }

    fn open(&self, client: &mut Client<'_>, life: Life, last: Option<u64>) -> io::Result<Conn> {
        let path = format!("/v1/runs/{}/events", self.posted.run);
        let cursor = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
        if self.way == Way::EventSource {
            let body = json!({ "verbs": ["watch"], "lifetime": 600 }).to_string();
            let asked = format!("/v1/runs/{}/token", self.posted.run);
            let reply = ask(life.addr, "POST", &asked, "", &body)?;
            if reply.status == 200 {
                let token = reply.json()["token"].as_str().expect("a token").to_owned();
                let mut conn = Conn::open(life.addr)?;
                let request =
                    format!("GET {path}?token={token} HTTP/1.1\r\nHost: localhost\r\n{cursor}\r\n");
                conn.write(request.as_bytes())?;
                return Ok(conn);
            }
            assert!(
                reply.status == 404 || self.may_refuse(client, life, reply.status),
                "{reply:?}"
            );
        }
        let is_narrow = self.way == Way::Slow;
        let mut conn = if is_narrow { connect_narrow(life.addr)? } else { Conn::open(life.addr)? };
        match (last, client.chance.one_in(2)) {
            (Some(last), true) => conn.send("GET", &format!("{path}?last_seq={last}"), "", "")?,
            _ => conn.send("GET", &path, &cursor, "")?,
        }
        Ok(conn)
    }

    fn may_refuse(&self, client: &Client<'_>, life: Life, status: u16) -> bool {
        status == 503 && client.fleet.is_over(life)
    }

    /// What comes again must be the same; what is new must come next.
    fn take(&mut self, client: &mut Client<'_>, life: Life, at: usize, frame: Frame) {
        assert_eq!(frame.seq, at as u64, "a gap, or something twice");
        if let Some(before) = self.frames.get(at) {
            assert_eq!(&frame, before, "other bytes than before");
            return;
        }
        assert!(!self.has_end(), "something after the end: {frame:?}");
        if let Some(order) = self.order {
            interfere(client, life, self.posted, order, &frame);
        }
        self.frames.push(frame);
    }

    /// The server has ended the stream, as it does behind the terminal event.
    fn end(&mut self, client: &Client<'_>, life: Life) -> io::Result<Kept> {
        if !self.has_end() {
            return Err(io::Error::other("the stream ended before its run"));
        }
        let wants_204 = self.way == Way::EventSource;
        self.is_whole = !wants_204 || client.fleet.is_over(life);
        Ok(Kept::There)
    }

    fn has_end(&self) -> bool {
        self.frames.last().is_some_and(Frame::is_terminal)
    }
}

/// Stops, steers and decides, at the moments that were drawn.
fn interfere(client: &mut Client<'_>, life: Life, posted: &Posted, order: &Order, frame: &Frame) {
    let path = |act: &str| format!("/v1/runs/{}/{act}", posted.run);
    if order.stop_at == Some(frame.seq)
        && let Some(reply) = client.try_post(life, &path("stop"), "")
    {
        client.expect(life, &reply, &[200]);
        client.tally.count("stops");
    }
    if order.steer_at == Some(frame.seq) {
        let body = json!({ "text": "words 3", "interrupt": client.chance.one_in(2) }).to_string();
        if let Some(reply) = client.try_post(life, &path("steer"), &body) {
            client.expect(life, &reply, &[200, 409, 429]);
            client.tally.count(if reply.status == 200 { "steers" } else { "steers too late" });
        }
    }
    if frame.text.contains("\"event\":\"approval.request\"") {
        let choice = CHOICES[client.chance.below(CHOICES.len() as u64) as usize];
        let body = json!({ "choice": choice }).to_string();
        if let Some(reply) = client.try_post(life, &path("approval"), &body) {
            client.expect(life, &reply, &[200, 409]);
            client.tally.count("decisions");
        }
    }
}
