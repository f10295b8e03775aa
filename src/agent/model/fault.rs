//! What can go wrong between us and a model server, for programs and for people.
use super::chat::{Complaint, TURN_BYTES_MAX, Trouble};
use super::watch::{Stage, Watch};
use crate::agent::{Ending, Secrets};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

/// The reasons a turn of this model may fail with. The set is closed.
pub mod reason {
    /// Its host has no address, or nobody there takes a connection, or answers on it.
    pub const UNREACHABLE: &str = "model_unreachable";
    /// It was silent for longer than the model time-out.
    pub const TIMEOUT: &str = "model_timeout";
    /// It refuses the request: what is asked has to change.
    pub const REJECTED: &str = "model_rejected";
    /// It refuses the key, or wants one.
    pub const UNAUTHORIZED: &str = "model_unauthorized";
    /// It has too much to do, and still had when the model time-out was over.
    pub const OVERLOADED: &str = "model_overloaded";
    /// It reports a failure of its own.
    pub const FAILED: &str = "model_failed";
    /// Its answer broke off.
    pub const STREAM_BROKEN: &str = "model_stream_broken";
    /// Its answer is not the protocol, or out of all bounds.
    pub const GARBLED: &str = "model_garbled";
    /// The conversation is longer than it can read.
    pub const CONTEXT_EXCEEDED: &str = "context_exceeded";
}

/// One failed try.
#[derive(Debug)]
pub(super) struct Fault {
    pub retry: Retry,
    ending: Ending,
}

/// Whether another try may do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    /// The server closed the connection without a word: it may just have grown old.
    Closed,
    /// The server failed by itself.
    Failed,
    /// The server asks to come back later, and perhaps says how much later.
    Later(Option<Duration>),
}

impl Fault {
    pub fn new(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { retry: Retry::Never, ending: Ending::failed(reason, message) }
    }

    fn retry(self, retry: Retry) -> Fault {
        Fault { retry, ..self }
    }

    /// No key may show in a message, whoever wrote it.
    pub fn into_ending(self, tries: u32, secrets: &Secrets) -> Ending {
        match self.ending {
            Ending::Stopped => Ending::Stopped,
            Ending::Failed { reason, message } => {
                let tried =
                    if tries > 1 { format!(" Tried {tries} times.") } else { String::new() };
                Ending::failed(reason, secrets.mask(&format!("{message}{tried}")))
            }
        }
    }
}

/// What the messages speak of.
pub(super) struct Place<'a> {
    pub base_url: &'a str,
    pub timeout: Duration,
}

impl Place<'_> {
    /// A request for which no reply has come.
    pub fn no_reply(&self, error: ureq::Error, watch: &Watch) -> Fault {
        let url = self.base_url;
        let why = why(&error);
        match watch.stage() {
            Stage::Naming => Fault::new(
                reason::UNREACHABLE,
                format!(
                    "The host of the model server {url} was not found ({why}): \
                     is --base-url right?"
                ),
            ),
            Stage::Connecting => self.no_connection(&error),
            Stage::Talking if is_time_out(&error) => self.silent(),
            Stage::Talking => match error {
                ureq::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
                    self.closed(&why)
                }
                ureq::Error::Io(_) | ureq::Error::Rustls(_) => Fault::new(
                    reason::UNREACHABLE,
                    format!(
                        "There is no secure connection to the model server at {url} ({why}): \
                         is its certificate good, and is it https?"
                    ),
                ),
                ureq::Error::Protocol(_) | ureq::Error::Http(_) => self.garbled(&why),
                _ => Fault::new(
                    reason::UNREACHABLE,
                    format!("The model server at {url} cannot be spoken to: {why}."),
                ),
            },
        }
    }

    fn no_connection(&self, error: &ureq::Error) -> Fault {
        let url = self.base_url;
        let what = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                "refused the connection: is it running?".to_owned()
            }
            error if is_time_out(error) => {
                "does not take a connection: is --base-url right, and no firewall in between?"
                    .to_owned()
            }
            error => format!("cannot be connected to ({}): is --base-url right?", why(error)),
        };
        Fault::new(reason::UNREACHABLE, format!("The model server at {url} {what}"))
    }

    /// A connection closed before the first byte of an answer.
    pub fn closed(&self, why: &str) -> Fault {
        let url = self.base_url;
        let message = format!(
            "The model server at {url} closed the connection without an answer ({why}): \
             its log may say why."
        );
        Fault::new(reason::UNREACHABLE, message).retry(Retry::Closed)
    }

    pub fn silent(&self) -> Fault {
        let (url, seconds) = (self.base_url, self.timeout.as_secs_f64());
        let message = format!(
            "The model server at {url} sent nothing for {seconds} s: \
             raise --model-timeout if it needs longer."
        );
        Fault::new(reason::TIMEOUT, message)
    }

    /// An answer that broke off after it had begun.
    pub fn broken(&self, error: &io::Error) -> Fault {
        if error.kind() == io::ErrorKind::TimedOut {
            return self.silent();
        }
        self.unfinished(&error.to_string())
    }

    fn unfinished(&self, why: &str) -> Fault {
        let url = self.base_url;
        let message = format!(
            "The model server at {url} broke off in the middle of its answer ({why}): try again."
        );
        Fault::new(reason::STREAM_BROKEN, message)
    }

    fn garbled(&self, came: &str) -> Fault {
        let url = self.base_url;
        let message = format!(
            "The server at {url} does not speak the chat completions protocol: \
             is --base-url right? It sent: {came}"
        );
        Fault::new(reason::GARBLED, message)
    }

    pub fn moved(&self, status: u16, to: &str) -> Fault {
        let url = self.base_url;
        let message = format!(
            "The model server at {url} answered with a redirect ({status}) to {to}: \
             set --base-url to where it really is."
        );
        Fault::new(reason::REJECTED, message)
    }

    /// `answered` is whether anything of the turn was handed out, so that a second try would
    /// double it.
    pub fn trouble(&self, trouble: Trouble, answered: bool) -> Fault {
        match trouble {
            Trouble::Ended(ending) => Fault { retry: Retry::Never, ending },
            Trouble::Unfinished => self.unfinished("the end is missing"),
            Trouble::Garbled(came) => self.garbled(&came),
            Trouble::TooLong => Fault::new(
                reason::GARBLED,
                format!(
                    "The model's answer is longer than {} MiB and was cut off: limit it by \
                     `max_tokens` in the request's `model_options`.",
                    TURN_BYTES_MAX >> 20
                ),
            ),
            Trouble::Complaint(complaint) => {
                let fault = self.complaint(&complaint, None);
                if answered { fault.retry(Retry::Never) } else { fault }
            }
        }
    }

    /// An error the server reports. `after` is how long it asks us to wait.
    pub fn complaint(&self, complaint: &Complaint, after: Option<Duration>) -> Fault {
        let url = self.base_url;
        let said = said(complaint);
        if complaint.is_context_exceeded() || complaint.status == Some(413) {
            let advice = "start a new conversation, shorten it, or give the model more context";
            let message =
                format!("The conversation is longer than the model can read: {advice}.{said}");
            return Fault::new(reason::CONTEXT_EXCEEDED, message);
        }
        match complaint.status {
            Some(401 | 403) => Fault::new(
                reason::UNAUTHORIZED,
                format!(
                    "The model server at {url} refuses the key: \
                     check the variable named by --api-key-env.{said}"
                ),
            ),
            Some(404) => Fault::new(
                reason::REJECTED,
                format!(
                    "The model server at {url} does not know the model or the path: \
                     check --model, and --base-url, which ends in /v1.{said}"
                ),
            ),
            Some(429) if complaint.is_out_of_quota() => Fault::new(
                reason::REJECTED,
                format!("The account at {url} has nothing left to spend.{said}"),
            ),
            Some(429 | 503 | 529) => Fault::new(
                reason::OVERLOADED,
                format!(
                    "The model server at {url} has too much to do or is not ready: \
                     try again later.{said}"
                ),
            )
            .retry(Retry::Later(after)),
            Some(400..500) => Fault::new(
                reason::REJECTED,
                format!("The model server at {url} refuses the request.{said}"),
            ),
            status => {
                let retry = if status.is_some() { Retry::Failed } else { Retry::Never };
                Fault::new(
                    reason::FAILED,
                    format!("The model server at {url} failed: its log may say why.{said}"),
                )
                .retry(retry)
            }
        }
    }
}

/// The server's own words, if it has any.
fn said(complaint: &Complaint) -> String {
    let status = complaint.status.map(|status| format!(" ({status})")).unwrap_or_default();
    match complaint.message.as_str() {
        "" => format!(" It gave no reason{status}."),
        message => format!(" It said{status}: {message}"),
    }
}

/// Without the `io: ` that ureq puts before an error that is not its own.
fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(own) => own.to_string(),
        other => other.to_string(),
    }
}

fn is_time_out(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => error.kind() == io::ErrorKind::TimedOut,
        _ => false,
    }
}
