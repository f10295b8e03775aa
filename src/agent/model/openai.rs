//! The client for models behind an OpenAI-compatible `/chat/completions`, over HTTP or HTTPS.
//!
//! Connections and TLS sessions are pooled and shared by all runs. Redirects are not followed: a
//! POST with a key belongs to the server it was meant for. A proxy named by `ALL_PROXY`,
//! `HTTPS_PROXY` or `HTTP_PROXY` is used unless `NO_PROXY` names the host or the host is this
//! machine.
//!
//! A turn is tried again only while nothing of it was handed out: after 429, after 5xx, and after
//! a close without an answer; all tries and pauses together within the model time-out.
use super::chat::{self, Answer, Complaint, Progress};
use super::fault::{Fault, Place, Retry};
use super::random;
use super::watch::Watch;
use super::{Ask, Model, Piece, Turn};
use crate::agent::{Cancel, Ending, Secrets};
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::http::{HeaderMap, Response, header};
use ureq::{Agent, Body};

pub use super::dns::Dns;
pub use super::fault::reason;
pub use super::settings::OpenAiSettings;

/// Bytes of an answer taken at once.
const READ_BYTES: usize = 4 * 1024;
/// Bytes of an error reply that are read, and how long they are waited for.
const COMPLAINT_BYTES_MAX: u64 = 64 * 1024;
const COMPLAINT_MS: u64 = 5_000;
/// How long usage and the end are waited for once the turn itself is complete.
const USAGE_MS: u64 = 5_000;
/// How long, and for how many bytes, the end of the body is waited for, so that its connection
/// may serve again.
const REST_MS: u64 = 50;
const REST_BYTES_MAX: u64 = 4 * 1024;
/// The first pause before another try. Each is twice the one before it.
const PAUSE_MS: u64 = 500;
const PAUSE_MS_MAX: u64 = 10_000;
/// Tries in all at a server that fails. One that asks for patience gets the whole time-out.
const FAILED_TRIES_MAX: u32 = 4;
/// A longer time-out is none, and could not be added to the time.
const TIMEOUT_MAX: Duration = Duration::from_hours(24 * 365);

type Say<'a> = &'a mut dyn FnMut(Piece<'_>) -> Result<(), Ending>;

/// A model behind an OpenAI-compatible API.
pub struct OpenAi {
    agent: Agent,
    base_url: String,
    model: String,
    authorization: Option<String>,
    secrets: Secrets,
    timeout: Duration,
}

impl OpenAi {
    /// Checks the settings; does not call the server. An error says what to change.
    pub fn new(settings: OpenAiSettings) -> Result<OpenAi, String> {
        let base_url = settings.checked_url()?;
        let key = settings.api_key.as_deref().map(|key| key.trim().to_owned());
        Ok(OpenAi {
            agent: settings.agent(&base_url)?,
            base_url,
            authorization: settings.authorization()?,
            secrets: Secrets::new(key),
            model: settings.model,
            timeout: settings.timeout.min(TIMEOUT_MAX),
        })
    }
}

impl Model for OpenAi {
    fn provider(&self) -> &str {
        "openai"
    }

    fn name(&self) -> &str {
        &self.model
    }

    fn turn(&self, ask: &Ask<'_>, cancel: &Cancel, say: Say<'_>) -> Result<Turn, Ending> {
        let watch = Watch::new(cancel, Instant::now() + self.timeout).map_err(|error| {
            let advice = "allow the server more open files";
            Ending::failed(reason::UNREACHABLE, format!("No call can be made ({error}): {advice}."))
        })?;
        let model = ask.model.unwrap_or(&self.model);
        let body = chat::body(ask, model);
        let turn = watch.during(|| self.tries(model, &body, &watch, say));
        // Whatever else a stop has broken.
        if cancel.is_cancelled() { Err(Ending::Stopped) } else { turn }
    }
}

impl OpenAi {
    fn tries(&self, model: &str, body: &[u8], watch: &Watch, say: Say<'_>) -> Result<Turn, Ending> {
        let mut tries = 0;
        loop {
            let fault = match self.try_once(model, body, watch, say) {
                Ok(turn) => return Ok(turn),
                Err(fault) => fault,
            };
            tries += 1;
            let again =
                pause(fault.retry, tries).and_then(|pause| Instant::now().checked_add(pause));
            let again = again.filter(|again| *again < watch.due());
            if again.is_none_or(|again| watch.pause(again).is_err()) {
                return Err(fault.into_ending(tries, &self.secrets));
            }
        }
    }

    fn try_once(
        &self,
        model: &str,
        body: &[u8],
        watch: &Watch,
        say: Say<'_>,
    ) -> Result<Turn, Fault> {
        let mut request = self.agent.post(format!("{}/chat/completions", self.base_url));
        request = request.content_type("application/json").header(header::ACCEPT, ACCEPT);
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let reply = request.send(body).map_err(|error| self.place().no_reply(error, watch))?;
        match reply.status().as_u16() {
            200..300 => self.listen(reply, Answer::new(model), watch, say),
            status => Err(self.refused(status, reply, watch)),
        }
    }

    /// Reads the answer to its end. A complete turn stays complete whatever happens after it.
    fn listen(
        &self,
        reply: Response<Body>,
        mut answer: Answer,
        watch: &Watch,
        say: Say<'_>,
    ) -> Result<Turn, Fault> {
        let mut body = reply.into_body().into_reader();
        let mut bytes = vec![0; READ_BYTES];
        while answer.progress() < Progress::Done {
            let got = match body.read(&mut bytes) {
                Ok(0) => break,
                Ok(got) => got,
                Err(_) if answer.progress() == Progress::Finished => break,
                Err(error) if answer.is_blank() => return Err(self.no_byte(&error)),
                Err(error) => return Err(self.place().broken(&error)),
            };
            let messages = answer.messages();
            let fed = answer.feed(&bytes[..got], say);
            fed.map_err(|trouble| self.trouble(trouble, &answer))?;
            if answer.messages() > messages {
                watch.set_due(Instant::now() + self.patience(answer.progress()));
            }
        }
        if answer.is_blank() {
            return Err(self.place().closed("its answer is empty"));
        }
        read_rest(body);
        let answered = answer.progress() > Progress::Nothing;
        answer.end(&mut random, say).map_err(|trouble| self.place().trouble(trouble, answered))
    }

    fn patience(&self, progress: Progress) -> Duration {
        match progress {
            Progress::Nothing | Progress::Begun => self.timeout,
            Progress::Finished => self.timeout.min(Duration::from_millis(USAGE_MS)),
            Progress::Done => Duration::from_millis(REST_MS),
        }
    }

    fn no_byte(&self, error: &std::io::Error) -> Fault {
        match error.kind() {
            std::io::ErrorKind::TimedOut => self.place().silent(),
            _ => self.place().closed(&error.to_string()),
        }
    }

    fn trouble(&self, trouble: chat::Trouble, answer: &Answer) -> Fault {
        self.place().trouble(trouble, answer.progress() > Progress::Nothing)
    }

    fn refused(&self, status: u16, reply: Response<Body>, watch: &Watch) -> Fault {
        let (head, body) = reply.into_parts();
        if let (300..400, Some(to)) = (status, text(&head.headers, header::LOCATION)) {
            return self.place().moved(status, to);
        }
        let after = text(&head.headers, header::RETRY_AFTER);
        let after = after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let due = watch.due();
        watch.set_due(due.min(Instant::now() + Duration::from_millis(COMPLAINT_MS)));
        let mut bytes = Vec::new();
        // What has come until it broke off says enough.
        let _ = body.into_reader().take(COMPLAINT_BYTES_MAX).read_to_end(&mut bytes);
        watch.set_due(due);
        self.place().complaint(&Complaint::read(status, &bytes), after)
    }

    fn place(&self) -> Place<'_> {
        Place { base_url: &self.base_url, timeout: self.timeout }
    }
}

const ACCEPT: &str = "text/event-stream, application/json";

/// Reads what is left of a body that is over in all but framing: only then can its connection
/// serve again. An error costs no more than that connection.
fn read_rest(body: impl Read) {
    let _ = std::io::copy(&mut body.take(REST_BYTES_MAX), &mut std::io::sink());
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// How long to wait before the next try, if there is to be one.
fn pause(retry: Retry, tries: u32) -> Option<Duration> {
    let doubled = PAUSE_MS << (tries - 1).min(16);
    // Somewhat less than that, so that not all who were refused come back at once.
    let backoff = doubled.min(PAUSE_MS_MAX) * (192 + random() % 64) / 256;
    let backoff = Duration::from_millis(backoff);
    match retry {
        Retry::Never => None,
        Retry::Closed | Retry::Failed if tries >= FAILED_TRIES_MAX => None,
        Retry::Closed if tries == 1 => Some(Duration::ZERO),
        Retry::Closed | Retry::Failed => Some(backoff),
        Retry::Later(after) => Some(after.unwrap_or(backoff)),
    }
}
