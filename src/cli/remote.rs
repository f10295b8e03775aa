//! A run on another server, followed to its end however often the
//! connection breaks.
use super::client::{Client, Refused};
use super::follow::{News, follow};
use super::signals;
use super::watch::Watch;
use runwire::approval::Choice;
use runwire::wire::sse::{Decoder, Message};
use std::io::Read;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes of one event: its output is at most 1 MiB of text, each byte up to six in JSON.
const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;
const READ_BYTES: usize = 16 * 1024;
/// News between the connection and a slow terminal; beyond it the connection waits.
const NEWS_WAITING_MAX: usize = 256;
/// The first pause before connecting again; each is twice the one before it.
const PAUSE_MS: u64 = 250;
const PAUSE_MS_MAX: u64 = 10_000;
/// Tries in a row that bring nothing new, after which the run is given up.
const VAIN_TRIES_MAX: u32 = 10;

/// Has the server at `url` work on `text`. Returns the exit code.
pub fn there(url: &str, key: &str, text: &str, mut watch: Watch) -> Result<u8, String> {
    let client = Arc::new(Client::new(url, key));
    let run_id = client.post_run(text, None)?;
    let (stopper, stopped_id) = (client.clone(), run_id.clone());
    signals::watch(1, move || stop_aside(stopper.clone(), stopped_id.clone()))
        .map_err(|error| format!("Could not watch for Ctrl-C: {error}."))?;
    watch_run(client, run_id, None, &mut watch)?;
    Ok(watch.exit_code())
}

/// Stops a run from a thread of its own, so that a second signal is heard while the server is not.
pub fn stop_aside(client: Arc<Client>, run_id: String) {
    thread::spawn(move || {
        if let Err(error) = client.stop(&run_id) {
            log::warn!("The run could not be stopped: {error}");
        }
    });
}

/// Shows a run from the event after the one called `last_id`, to its end or until nobody reads the
/// answer any more. The run goes on: it is the server's.
pub fn watch_run(
    client: Arc<Client>,
    run_id: String,
    last_id: Option<String>,
    watch: &mut Watch,
) -> Result<(), String> {
    // Where nobody can be asked here, somebody else may decide.
    if watch.can_ask() {
        let (decider, decided_id) = (client.clone(), run_id.clone());
        watch.answer_with(Box::new(move |request_id, choice| {
            decide(&decider, &decided_id, request_id, choice);
        }));
    }
    let events = Events::of(client, run_id, last_id)?;
    match follow(&events.news, watch, None, &mut || {}) {
        Ok(()) => events.end(),
        Err(_) => Ok(()),
    }
}

/// Tells a server what was decided at this terminal.
pub fn decide(client: &Client, run_id: &str, request_id: &str, choice: Choice) {
    if let Err(error) = client.decide(run_id, Some(request_id), choice.name()) {
        log::warn!("The answer did not count: {error}");
    }
}

/// A run's events as they come, read on a thread of their own.
pub struct Events {
    pub news: Receiver<News>,
    reader: JoinHandle<Result<(), String>>,
}

impl Events {
    pub fn of(
        client: Arc<Client>,
        run_id: String,
        last_id: Option<String>,
    ) -> Result<Events, String> {
        let (sender, news) = sync_channel(NEWS_WAITING_MAX);
        let mut reader = Reader { client, run_id, last_id, ended: false, news: sender };
        let thread = thread::Builder::new().name("events".to_owned());
        let reader = thread.spawn(move || reader.read_all());
        let reader = reader.map_err(|error| format!("Could not start a thread: {error}."))?;
        Ok(Events { news, reader })
    }

    /// After the last of the news: why there is no more, if the run has not ended.
    pub fn end(self) -> Result<(), String> {
        let crashed = |_| Err("The thread that read the events crashed.".to_owned());
        self.reader.join().unwrap_or_else(crashed)
    }
}

/// Reads a run's events, each once, over as many connections as it takes.
struct Reader {
    client: Arc<Client>,
    run_id: String,
    /// The id of the last event that was handed on: where the next connection begins.
    last_id: Option<String>,
    ended: bool,
    news: SyncSender<News>,
}

/// How one connection ended.
enum Break {
    /// Worth another try, for this reason.
    Dropped(String),
    /// Another try would bring the same.
    Final(String),
}

impl Reader {
    fn read_all(&mut self) -> Result<(), String> {
        let mut vain_tries = 0;
        loop {
            let before = self.last_id.clone();
            let why = match self.read_connection() {
                Ok(()) if self.ended => return Ok(()),
                Ok(()) => "the stream ended before its run".to_owned(),
                Err(Break::Dropped(why)) => why,
                Err(Break::Final(why)) => return Err(why),
            };
            vain_tries = if self.last_id == before { vain_tries + 1 } else { 0 };
            if vain_tries >= VAIN_TRIES_MAX {
                return Err(format!(
                    "The connection was lost for good: {why}. The run may go on there: {}.",
                    self.run_id
                ));
            }
            self.tell(News::Note(format!("connection lost ({why}), trying again")));
            let pause = PAUSE_MS << vain_tries.min(16);
            thread::sleep(Duration::from_millis(pause.min(PAUSE_MS_MAX)));
        }
    }

    /// Reads one connection to its end.
    fn read_connection(&mut self) -> Result<(), Break> {
        let body = match self.client.events(&self.run_id, self.last_id.as_deref()) {
            Ok(Some(body)) => body,
            // Nothing after the last event: it was the terminal one.
            Ok(None) => {
                self.ended = true;
                return Ok(());
            }
            Err(Refused::Unreachable(why)) => return Err(Break::Dropped(why)),
            Err(Refused::Busy(why)) => return Err(Break::Dropped(why)),
            Err(Refused::ByServer(why) | Refused::NotThere(why)) => return Err(Break::Final(why)),
        };
        let mut decoder = Decoder::new(EVENT_BYTES_MAX);
        let mut body = body;
        let mut bytes = vec![0; READ_BYTES];
        while !self.ended {
            let got = body.read(&mut bytes).map_err(|error| Break::Dropped(error.to_string()))?;
            if got == 0 {
                return Ok(());
            }
            let fed = decoder.feed(&bytes[..got], &mut |message| self.take(&message));
            fed.map_err(|error| Break::Final(format!("The server sent too much: {error}.")))?;
        }
        Ok(())
    }

    fn take(&mut self, message: &Message<'_>) {
        self.last_id = message.id.map(str::to_owned);
        let data = message.data.to_owned();
        self.ended |= super::step::is_terminal(&data);
        self.tell(News::Event(data));
    }

    fn tell(&self, news: News) {
        // Whoever watched has gone, and with it, soon, the process.
        let _ = self.news.send(news);
    }
}
