//! Posts deliveries to webhooks. It lives beside the model's client, whose way to the network it
//! shares: each wait hears the word to stop, and names are looked up without the C library.
//!
//! An address is judged where it is connected to: what the name servers say for a try is all that
//! this try can reach, so a name cannot mean one address to be judged and another to be used. No
//! proxy is used, which would look the name up again; no redirect is followed; no connection is
//! kept.
use super::dns::{Dns, Lookup};
use super::settings::roots;
use super::transport::Tcp;
use super::watch::Watch;
use crate::agent::Cancel;
use crate::config::{Webhooks, is_public};
use crate::limits::HOOK_TRY_MS;
use crate::record::{Delivered, Delivery};
use crate::wire::webhook::sign;
use std::fmt;
use std::io::{self, Read};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use ureq::config::Config;
use ureq::http::{HeaderMap, Uri, header};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout, RustlsConnector};
use ureq::{Agent, Error};

/// Bytes buffered for each connection, once for TCP and once more for TLS.
const BUFFER_BYTES: usize = 8 * 1024;
/// Bytes of an answer's body that are read, and thrown away.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

/// How webhooks are reached.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Where host names are looked up.
    pub dns: Dns,
    /// Certificates of authorities to trust instead of the public ones, in PEM.
    pub authorities: Option<Vec<u8>>,
    /// How long a try may take; `None` means 15 s.
    pub timeout: Option<Duration>,
}

/// Posts deliveries; one value serves all threads.
#[derive(Clone)]
pub struct Courier {
    agent: Agent,
    secrets: Vec<Vec<u8>>,
    timeout: Duration,
}

impl Courier {
    /// # Errors
    /// If the authorities are no certificates.
    pub fn new(webhooks: &Webhooks, ways: Ways) -> Result<Courier, String> {
        let config = Agent::config_builder()
            .user_agent(concat!("runwire/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_response_header_size(BUFFER_BYTES)
            .max_idle_connections(0)
            .proxy(None)
            .https_only(!webhooks.allow_private)
            .tls_config(
                TlsConfig::builder().root_certs(roots(ways.authorities.as_deref())?).build(),
            )
            .build();
        let connector = ().chain(Tcp).chain(RustlsConnector::default());
        let lookup = Guarded { lookup: Lookup(ways.dns), allow_private: webhooks.allow_private };
        Ok(Courier {
            agent: Agent::with_parts(config, connector, lookup),
            secrets: webhooks.secrets.clone(),
            timeout: ways.timeout.unwrap_or(Duration::from_millis(HOOK_TRY_MS)),
        })
    }

    /// Tries once. Blocks for as long as a try may take, or until `cancel`.
    pub fn deliver(&self, delivery: &Delivery, cancel: &Cancel) -> Delivered {
        let due = Instant::now() + self.timeout;
        match Watch::new(cancel, due) {
            Ok(watch) => watch.during(|| self.post(delivery)),
            Err(error) => failed(&format!("no call can be made ({error})"), None),
        }
    }

    fn post(&self, delivery: &Delivery) -> Delivered {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let id = delivery.id.to_string();
        let request = self.agent.post(&*delivery.url).content_type("application/json");
        let request =
            request.header("webhook-id", &id).header("webhook-timestamp", now.to_string());
        let signature = sign(&self.secrets, &id, now, &delivery.body);
        match request.header("webhook-signature", signature).send(delivery.body.as_bytes()) {
            Ok(reply) => {
                let (head, body) = reply.into_parts();
                // So that the other side need not find its answer unread; an error costs nothing.
                let mut rest = body.into_reader().take(ANSWER_BYTES_MAX);
                let _ = io::copy(&mut rest, &mut io::sink());
                answered(head.status.as_u16(), &head.headers)
            }
            Err(error) if is_refused(&error) => Delivered::Refused,
            Err(error) => failed(&reason(&error), None),
        }
    }
}

fn answered(status: u16, headers: &HeaderMap) -> Delivered {
    match status {
        200..300 => Delivered::Done,
        410 => Delivered::Gone,
        _ => {
            let after = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|seconds| seconds.trim().parse().ok());
            failed(&status.to_string(), after.map(Duration::from_secs))
        }
    }
}

fn failed(why: &str, retry_after: Option<Duration>) -> Delivered {
    Delivered::Failed { why: why.into(), retry_after }
}

/// For the log: nothing of the address is in it.
fn reason(error: &Error) -> String {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => "timeout".to_owned(),
        Error::Io(error) => error.to_string(),
        Error::HostNotFound => "the host has no address".to_owned(),
        Error::BadUri(_) | Error::Http(_) | Error::RequireHttpsOnly(_) => {
            "the address cannot be used".to_owned()
        }
        error => error.to_string(),
    }
}

/// What a lookup says where all it finds is private.
#[derive(Debug)]
struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a public address")
    }
}

impl std::error::Error for NotPublic {}

fn is_refused(error: &Error) -> bool {
    let Error::Io(error) = error else { return false };
    error.get_ref().is_some_and(|inner| inner.is::<NotPublic>())
}

/// Lookups whose answers hold what may be connected to, and nothing else.
#[derive(Debug)]
struct Guarded {
    lookup: Lookup,
    allow_private: bool,
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.lookup.resolve(uri, config, timeout)?;
        if self.allow_private {
            return Ok(found);
        }
        let mut public = self.empty();
        for addr in found.iter().filter(|addr| is_public(addr.ip())) {
            public.push(*addr);
        }
        if public.is_empty() { Err(io::Error::other(NotPublic).into()) } else { Ok(public) }
    }
}
