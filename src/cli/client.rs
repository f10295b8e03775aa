//! The few requests the command line makes of a server.
use super::value::is_loopback;
use serde_json::{Value, json};
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

/// How long a server may take to take a connection or to begin its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Silence after which a stream is taken for dead; servers send a comment every 10 s.
const SILENCE: Duration = Duration::from_secs(45);
/// Bytes of a reply other than a stream that are read: a page of a session's messages is the longest.
const REPLY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A server, and the key that opens it.
pub struct Client {
    agent: Agent,
    url: String,
    authorization: String,
}

/// Why there is no answer, or not the one that was hoped for.
pub enum Refused {
    Unreachable(String),
    /// The server says that it is for now only.
    Busy(String),
    /// What was asked about is not there.
    NotThere(String),
    ByServer(String),
}

impl Refused {
    pub fn into_text(self) -> String {
        match self {
            Refused::Unreachable(text)
            | Refused::Busy(text)
            | Refused::NotThere(text)
            | Refused::ByServer(text) => text,
        }
    }
}

impl Client {
    /// `url` has no slash at its end. Nothing is sent yet.
    pub fn new(url: &str, key: &str) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A key belongs to the server it was meant for.
            .max_redirects(0)
            .timeout_connect(Some(PATIENCE))
            .timeout_resolve(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(PATIENCE));
        // What is on this machine is not asked for through a proxy.
        let config = if is_loopback(url) { config.proxy(None) } else { config };
        let agent = Agent::with_parts(config.build(), DefaultConnector::new(), Names);
        Client { agent, url: url.to_owned(), authorization: format!("Bearer {key}") }
    }

    /// Has the server begin a run, in a session if one is named. Returns its id.
    pub fn post_run(&self, text: &str, session_id: Option<&str>) -> Result<String, String> {
        let mut body = json!({ "input": text });
        if let Some(id) = session_id {
            body["session_id"] = id.into();
        }
        let reply = self.post("/v1/runs", &body).map_err(Refused::into_text)?;
        let run_id = reply["run_id"].as_str().filter(|id| is_plain(id)).map(str::to_owned);
        run_id.ok_or_else(|| format!("{} does not answer like a runs API.", self.url))
    }

    /// Returns what the server says of it.
    pub fn stop(&self, run_id: &str) -> Result<Value, String> {
        self.post(&format!("/v1/runs/{run_id}/stop"), &json!({})).map_err(Refused::into_text)
    }

    /// Says something to a run that works.
    pub fn steer(&self, run_id: &str, text: &str, interrupt: bool) -> Result<Value, String> {
        let body = json!({ "input": text, "interrupt": interrupt });
        self.post(&format!("/v1/runs/{run_id}/steer"), &body).map_err(Refused::into_text)
    }

    /// Decides what a run waits for: this request, or whichever there is.
    pub fn decide(
        &self,
        run_id: &str,
        request_id: Option<&str>,
        choice: &str,
    ) -> Result<Value, String> {
        let body = json!({ "choice": choice, "request_id": request_id });
        self.post(&format!("/v1/runs/{run_id}/approval"), &body).map_err(Refused::into_text)
    }

    /// What lies at `path`.
    pub fn get(&self, path: &str) -> Result<Value, Refused> {
        let request = self.agent.get(format!("{}{path}", self.url));
        let reply = request.header("Authorization", &self.authorization).call();
        self.json(reply)
    }

    pub fn delete(&self, path: &str) -> Result<Value, Refused> {
        let request = self.agent.delete(format!("{}{path}", self.url));
        let reply = request.header("Authorization", &self.authorization).call();
        self.json(reply)
    }

    /// The stream of a run's events after the one called `last_id`; `None` if there are none.
    pub fn events(
        &self,
        run_id: &str,
        last_id: Option<&str>,
    ) -> Result<Option<impl Read + use<>>, Refused> {
        let mut request = self.agent.get(format!("{}/v1/runs/{run_id}/events", self.url));
        request = request.header("Authorization", &self.authorization);
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let reply = request.call().map_err(|error| self.unreachable(&error))?;
        match reply.status().as_u16() {
            200 => Ok(Some(reply.into_body().into_reader())),
            204 => Ok(None),
            _ => Err(refusal(reply)),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, Refused> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.header("Authorization", &self.authorization);
        let request = request.content_type("application/json");
        self.json(request.send(body.to_string()))
    }

    fn json(&self, reply: Result<Response<Body>, ureq::Error>) -> Result<Value, Refused> {
        let reply = reply.map_err(|error| self.unreachable(&error))?;
        if reply.status().is_success() { Ok(json_of(reply)) } else { Err(refusal(reply)) }
    }

    fn unreachable(&self, error: &ureq::Error) -> Refused {
        let why = match error {
            ureq::Error::Io(error) => error.to_string(),
            other => other.to_string(),
        };
        Refused::Unreachable(format!(
            "{} cannot be reached: {why}. Is the server running there? `runwire serve` starts one.",
            self.url
        ))
    }
}

/// The status and the JSON at an address, within `patience`.
#[cfg(feature = "config")]
pub fn look_at(url: &str, key: Option<&str>, patience: Duration) -> Result<(u16, Value), String> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(patience));
    let config = if is_loopback(url) { config.proxy(None) } else { config };
    let agent = Agent::with_parts(config.build(), DefaultConnector::new(), Names);
    let mut request = agent.get(url);
    if let Some(key) = key {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let reply = request.call().map_err(|error| error.to_string())?;
    Ok((reply.status().as_u16(), json_within(reply, LIST_BYTES_MAX)))
}

/// Bytes of a list of models that are read; some providers have hundreds.
#[cfg(feature = "config")]
const LIST_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// What the server says of its refusal, with a word of our own where it helps.
fn refusal(reply: Response<Body>) -> Refused {
    let status = reply.status();
    let said = json_of(reply);
    let message = said["error"]["message"].as_str().unwrap_or("no reason given").to_owned();
    let advice = match status.as_u16() {
        401 => " The key comes from --key, RUNWIRE_KEY or the state directory (--state).",
        _ => "",
    };
    let text = format!("The server answered {}: {message}{advice}", status.as_u16());
    match status.as_u16() {
        404 => Refused::NotThere(text),
        429 | 500.. => Refused::Busy(text),
        _ => Refused::ByServer(text),
    }
}

/// The reply's JSON, or null if it is none.
fn json_of(reply: Response<Body>) -> Value {
    json_within(reply, REPLY_BYTES_MAX)
}

fn json_within(reply: Response<Body>, bytes_max: u64) -> Value {
    let mut text = Vec::new();
    let read = reply.into_body().into_reader().take(bytes_max).read_to_end(&mut text);
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Ids become part of an address.
pub fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// Looks names up as the model client does: the C library's way has no place in a static binary.
#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        let found = runwire::agent::model::openai::Dns::default().addresses(host, PATIENCE)?;
        let mut addrs = self.empty();
        for ip in found.into_iter().take(ADDRS_MAX) {
            addrs.push(SocketAddr::new(ip, port));
        }
        if addrs.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addrs) }
    }
}

/// Addresses of one host that are tried.
const ADDRS_MAX: usize = 8;
