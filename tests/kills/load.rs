//! Clients at work until their server is killed, at a moment of chance or at the sight of something.
use crate::book::{Book, Posted};
use crate::served::Server;
use crate::served::chance::Chance;
use crate::served::model::LAST_WORD;
use crate::served::wire::{Frame, Stream, ask};
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

const CLIENTS: u64 = 5;
/// Runs a client leaves unread before it only posts what it reads.
const UNREAD_MAX: u32 = 2;

/// When a server is killed: when a client sees this, or before it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Chance,
    /// A request was sent and not answered.
    Asked,
    Created,
    Delta,
    ToolStarted,
    ToolCompleted,
    LastWord,
    Ended,
}

const MOMENTS: [Moment; 8] = [
    Moment::Chance,
    Moment::Asked,
    Moment::Created,
    Moment::Delta,
    Moment::ToolStarted,
    Moment::ToolCompleted,
    Moment::LastWord,
    Moment::Ended,
];

impl Moment {
    pub fn draw(chance: &mut Chance) -> Moment {
        match chance.below(3) {
            0 => Moment::Chance,
            _ => MOMENTS[chance.below(MOMENTS.len() as u64) as usize],
        }
    }

    fn of(frame: &Frame) -> Moment {
        match frame.event().as_str() {
            _ if frame.text.contains(LAST_WORD) && !frame.is_terminal() => Moment::LastWord,
            "tool.started" => Moment::ToolStarted,
            "tool.completed" => Moment::ToolCompleted,
            _ if frame.is_terminal() => Moment::Ended,
            _ => Moment::Delta,
        }
    }
}

/// Has clients work with `server` and kills it.
pub fn until_killed(server: &mut Server, book: &Mutex<Book>, chance: &mut Chance, cycle: u32) {
    let (told, seen) = channel();
    let moment = Moment::draw(chance);
    let addr = server.addr;
    thread::scope(|scope| {
        for index in 0..CLIENTS {
            let chance = Chance(chance.next());
            let told = told.clone();
            let name = format!("{cycle}-{index}");
            let client = Client { addr, book, chance, moment, told, name, unread: 0 };
            scope.spawn(|| client.work());
        }
        // Not the first time the thing is seen, but some time or other.
        let patience = Duration::from_micros(10_000 + chance.below(120_000));
        for _ in 0..=chance.below(4) {
            if seen.recv_timeout(patience).is_err() {
                break;
            }
        }
        server.kill();
    });
}

struct Client<'a> {
    addr: SocketAddr,
    book: &'a Mutex<Book>,
    chance: Chance,
    moment: Moment,
    told: Sender<()>,
    name: String,
    unread: u32,
}

impl Client<'_> {
    /// Posts and reads until the connection breaks.
    fn work(mut self) {
        let mut count = 0;
        while self.post_and_read(count).is_ok() {
            count += 1;
        }
    }

    fn note(&self, moment: Moment) {
        if moment == self.moment {
            // Once the server has been killed nobody listens.
            let _ = self.told.send(());
        }
    }

    fn post_and_read(&mut self, count: u32) -> io::Result<()> {
        let chance = &mut self.chance;
        // Seldom one so long that a clean-up deletes it in several steps.
        let (words, size) = if chance.one_in(60) { (260, 4_000) } else { (chance.below(60), 0) };
        // Nothing in these names and numbers repeats: each input tells one run.
        let input = format!(
            "words {} size {} tools {} sleep {} think {} pace {} linger {} run {}-{count}",
            words,
            size,
            chance.below(3),
            chance.below(3) * 4,
            chance.below(3),
            chance.below(4) * 150,
            chance.below(2) * 5,
            self.name,
        );
        let session = chance.one_in(3).then(|| format!("talk-{}-{}", self.cycle() / 4, count % 3));
        let key = self.chance.one_in(5).then(|| format!("key-{}-{count}", self.name));
        let mut body = json!({ "input": input });
        if let Some(session) = &session {
            body["session_id"] = json!(session);
        }
        let id = self.post(&body.to_string(), key.as_deref())?;
        self.book.lock().unwrap().promise(&id, &input, session.as_deref(), key.is_some());
        self.note(Moment::Created);
        if self.unread < UNREAD_MAX && self.chance.one_in(4) {
            self.unread += 1;
            return Ok(());
        }
        self.read(&id)?;
        if key.is_none() && self.chance.one_in(12) {
            self.delete(&id)?;
        }
        Ok(())
    }

    fn delete(&self, id: &str) -> io::Result<()> {
        self.book.lock().unwrap().doom(id);
        let reply = ask(self.addr, "DELETE", &format!("/v1/runs/{id}"), "", "")?;
        assert_eq!(reply.status, 200, "{reply:?}");
        self.book.lock().unwrap().deleted(id);
        Ok(())
    }

    fn cycle(&self) -> u32 {
        self.name.split('-').next().unwrap().parse().unwrap()
    }

    fn post(&self, body: &str, key: Option<&str>) -> io::Result<String> {
        let headers = key.map_or(String::new(), |key| format!("Idempotency-Key: {key}\r\n"));
        if let Some(key) = key {
            let posted = Posted { body: body.to_owned(), run: None, is_confirmed: false };
            self.book.lock().unwrap().keys.insert(key.to_owned(), posted);
        }
        self.note(Moment::Asked);
        let reply = ask(self.addr, "POST", "/v1/runs", &headers, body)?;
        assert_eq!(reply.status, 202, "{reply:?}");
        let id = reply.json()["run_id"].as_str().unwrap().to_owned();
        if let Some(key) = key {
            let mut book = self.book.lock().unwrap();
            book.keys.get_mut(key).expect("it was just put there").run = Some(id.clone());
        }
        Ok(id)
    }

    fn read(&self, id: &str) -> io::Result<()> {
        let mut frames = Vec::new();
        let read = self.read_into(id, &mut frames);
        self.book.lock().unwrap().see(id, frames);
        read
    }

    fn read_into(&self, id: &str, frames: &mut Vec<Frame>) -> io::Result<()> {
        let mut stream = Stream::open(self.addr, id, None)?.expect("nothing was read of it");
        while let Some(frame) = stream.next()? {
            assert_eq!(frame.seq, frames.len() as u64, "{id}: a gap, or something twice");
            let moment = Moment::of(&frame);
            frames.push(frame);
            self.note(moment);
        }
        let has_ended = frames.last().is_some_and(Frame::is_terminal);
        assert!(has_ended, "the stream of {id} ended without a terminal event");
        Ok(())
    }
}
