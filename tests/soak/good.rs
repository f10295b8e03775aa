//! Good clients: each posts a run and has it read by several at once, each in its own way, until all
//! have every event exactly once, byte for byte as the history has it afterwards.
use crate::client::Client;
use crate::fleet::{Entry, get};
use crate::order::Order;
use crate::reading::{WAYS, Way, read};
use crate::served::wire::{Conn, Frame, Stream, ask};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

/// A run that the server has taken.
pub struct Posted {
    pub run: String,
    pub number: u64,
}

/// Goes on until the soak is over.
pub fn work(mut client: Client<'_>) {
    let mut count = 0;
    while !client.fleet.is_closing() && !client.tally.has_failed() {
        let name = format!("{}-{count}", client.name.replace(' ', "-"));
        let act = client.fork(&format!("act {count}"));
        act.attempt(|client| one(client, &name));
        count += 1;
    }
}

fn one(client: &mut Client<'_>, name: &str) {
    let mut order = Order::draw(&mut client.chance, name);
    if client.chance.one_in(4) {
        order.session = Some(format!("talk-{}", &name[..name.rfind('-').unwrap_or(0)]));
    }
    if client.chance.one_in(10) {
        order.key = Some(format!("key-{name}-{}", client.fleet.posts()));
    }
    let Some(posted) = post(client, &order) else { return };
    client.tally.count(order.kind);
    let others = client.chance.below(3);
    let readers: Vec<Client<'_>> =
        (0..others).map(|at| client.fork(&format!("reader {at}"))).collect();
    let (own, others) = std::thread::scope(|scope| {
        let posted = &posted;
        let others: Vec<_> = readers
            .into_iter()
            .map(|reader| {
                scope.spawn(move || {
                    reader.attempt(|reader| {
                        let way = WAYS[reader.chance.below(WAYS.len() as u64) as usize];
                        read(reader, posted, way, None)
                    })
                })
            })
            .collect();
        let way = WAYS[client.chance.below(WAYS.len() as u64) as usize];
        let own = read(client, posted, way, Some(&order));
        (
            own,
            others
                .into_iter()
                .map(|it| it.join().expect("its panic was caught"))
                .collect::<Vec<_>>(),
        )
    });
    let Some(whole) = read_whole(client, &posted) else { return };
    order.check(&whole);
    for frames in others.into_iter().flatten().chain([own]).flatten() {
        compare(&posted.run, &frames, &whole);
    }
    read_from_the_middle(client, &posted, &whole);
    client.tally.add("events of good clients' runs", whole.len() as u64);
    after(client, &order, posted, &whole);
}

/// Runs and sessions are deleted now and then; runs with an Idempotency-Key always, since they are
/// kept for a day whatever else is to be retained.
fn after(client: &mut Client<'_>, order: &Order, posted: Posted, whole: &[Frame]) {
    let is_unwanted = order.key.is_some() || client.chance.one_in(10);
    let is_outdated = client.fleet.is_outdated(posted.number);
    let path = format!("/v1/runs/{}", posted.run);
    client.fleet.remember(Entry {
        digest: digest(whole),
        events: whole.len(),
        posted: posted.number,
        run: posted.run.clone(),
        session: order.session.clone(),
    });
    if is_unwanted {
        client.fleet.forget(|entry| entry.run == posted.run);
        delete(client, &path, is_outdated);
        client.tally.count("runs deleted");
    }
    if let Some(session) = &order.session
        && client.chance.one_in(8)
    {
        client.fleet.forget(|entry| entry.session.as_ref() == Some(session));
        delete(client, &format!("/v1/sessions/{session}"), is_outdated || is_unwanted);
        client.tally.count("sessions deleted");
    }
}

fn delete(client: &mut Client<'_>, path: &str, mut may_be_gone: bool) {
    client.insist(|client, life| {
        let reply = ask(life.addr, "DELETE", path, "", "");
        client.step(|| format!("DELETE {path}: {:?}", reply.as_ref().map(|reply| reply.status)));
        // Asked again after a restart it may be gone.
        let is_known = !std::mem::replace(&mut may_be_gone, true);
        let reply = reply?;
        if reply.status == 503 && client.fleet.is_over(life) {
            return Err(io::Error::other("it is draining"));
        }
        // A run of the session, posted by a request whose answer was lost, may be at work.
        let is_busy = reply.status == 409 && path.contains("/sessions/");
        let is_gone = reply.status == 404 && !is_known;
        assert!(reply.status == 200 || is_busy || is_gone, "{path}: {reply:?}");
        Ok(())
    });
}

/// Posts a run. `None` if the server has no place for it.
pub fn post(client: &mut Client<'_>, order: &Order) -> Option<Posted> {
    let body = order.body();
    let headers =
        order.key.as_ref().map_or(String::new(), |key| format!("Idempotency-Key: {key}\r\n"));
    let number = client.fleet.count_post();
    let mut run = None;
    // With a key it is posted again although it was answered: the answer must be the same run.
    for _ in 0..1 + u32::from(order.key.is_some()) {
        let reply = client.insist(|client, life| {
            let reply = ask(life.addr, "POST", "/v1/runs", &headers, &body)?;
            client.step(|| format!("POST {body}: {} {}", reply.status, reply.body));
            if reply.status == 503 {
                assert!(client.fleet.is_over(life), "{reply:?}");
                return Err(io::Error::other("it is draining"));
            }
            Ok(reply)
        });
        if reply.status == 429 {
            client.tally.count("runs refused (429)");
            return None;
        }
        assert_eq!(reply.status, 202, "{reply:?}");
        let id = reply.json()["run_id"].as_str().expect("an id").to_owned();
        assert!(run.is_none() || run.as_ref() == Some(&id), "{run:?} was posted again as {id}");
        run = Some(id);
    }
    run.map(|run| Posted { run, number })
}

/// One who comes late, and from the middle: at the very end there is nothing more.
fn read_from_the_middle(client: &mut Client<'_>, posted: &Posted, whole: &[Frame]) {
    let last = client.chance.below(whole.len() as u64);
    let cursor = format!("Last-Event-ID: {last}\r\n");
    let path = format!("/v1/runs/{}/events", posted.run);
    let found = client.insist(|client, life| {
        client.step(|| format!("GET {path} after {last}"));
        let mut conn = Conn::open(life.addr)?;
        conn.send("GET", &path, &cursor, "")?;
        match Stream::of(conn)? {
            Ok(mut stream) => {
                let frames = stream.rest()?;
                let is_whole = frames.last().is_some_and(Frame::is_terminal);
                if is_whole { Ok(Ok(frames)) } else { Err(io::Error::other("it ended early")) }
            }
            Err(503) if client.fleet.is_over(life) => Err(io::Error::other("it is draining")),
            Err(status) => Ok(Err(status)),
        }
    });
    client.tally.count("readers from the middle");
    match found {
        Ok(frames) => assert_eq!(frames, whole[last as usize + 1..], "{} after {last}", posted.run),
        Err(204) => assert_eq!(last as usize + 1, whole.len(), "{}: 204 too early", posted.run),
        Err(status) => {
            let is_gone = status == 404 && client.fleet.is_outdated(posted.number);
            assert!(is_gone, "{} after {last}: {status}", posted.run);
        }
    }
}

/// The history, as one sees it who comes late.
pub fn read_whole(client: &mut Client<'_>, posted: &Posted) -> Option<Vec<Frame>> {
    read(client, posted, Way::Through, None)
}

fn compare(run: &str, frames: &[Frame], whole: &[Frame]) {
    let other = frames.iter().zip(whole).position(|(read, kept)| read != kept);
    if let Some(at) = other {
        panic!("{run}: read {:?}, and the history has {:?}", frames[at], whole[at]);
    }
    assert_eq!(frames.len(), whole.len(), "{run}: events read, and events of the history");
}

pub fn digest(frames: &[Frame]) -> u64 {
    let mut hasher = DefaultHasher::new();
    frames.iter().for_each(|frame| frame.text.hash(&mut hasher));
    hasher.finish()
}

/// At the end: what is still kept of what good clients have read is what they have read.
pub fn compare_entries(client: &mut Client<'_>) {
    for entry in client.fleet.entries() {
        let whole = client.insist(|client, life| {
            client.step(|| format!("the history of {}", entry.run));
            if get(life, &format!("/v1/runs/{}", entry.run))?.status == 404 {
                return Ok(None);
            }
            let stream = Stream::open(life.addr, &entry.run, None)?;
            stream.expect("it was read from its beginning").rest().map(Some)
        });
        match whole {
            None => assert!(client.fleet.is_outdated(entry.posted), "{} is gone", entry.run),
            Some(whole) => {
                let is_same = (whole.len(), digest(&whole)) == (entry.events, entry.digest);
                assert!(is_same, "{} has become another at the end", entry.run);
                client.tally.count("histories compared again at the end");
            }
        }
    }
}
