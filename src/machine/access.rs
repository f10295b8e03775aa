//! Who may ask: the Host answered to, the Origins let in, the keys.
use super::keyring::Keyring;
use crate::config::Config;
use crate::time::Tick;
use crate::wire::Reject;
use crate::wire::head::Head;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use super::keyring::Who;

#[derive(Debug)]
pub struct Access {
    pub keys: Keyring,
    /// Bound to loopback, so only loopback names and allowed hosts are answered to: a web page
    /// whose own name was made to point here (DNS rebinding) is not.
    loopback_only: bool,
    allowed_hosts: Vec<String>,
    origins: Vec<String>,
}

impl Access {
    pub fn new(config: &Config, now: Tick) -> Access {
        let normal = |name: &String| name.trim().trim_end_matches('/').to_ascii_lowercase();
        Access {
            keys: Keyring::new(&config.all_keys(), now),
            loopback_only: config.addr.ip().is_loopback(),
            allowed_hosts: config.allowed_hosts.iter().map(normal).collect(),
            origins: config.cors_origins.iter().map(normal).collect(),
        }
    }

    pub fn needs_key(&self) -> bool {
        !self.keys.is_empty()
    }

    pub fn has_cors(&self) -> bool {
        !self.origins.is_empty()
    }

    pub fn check_host(&self, head: &Head<'_>) -> Result<(), Reject> {
        let Some(host) = head.host else { return Ok(()) };
        let open = !self.loopback_only && self.allowed_hosts.is_empty();
        if open || is_loopback(host) || self.allows_host(host) {
            return Ok(());
        }
        Err(Reject::HostNotAllowed(host.to_owned()))
    }

    /// What `Access-Control-Allow-Origin` says to this request, if anything.
    pub fn cors(&self, head: &Head<'_>) -> Option<Cors> {
        let origin = head.origin?;
        if self.origins.iter().any(|allowed| allowed == "*") {
            return Some(Cors::Any);
        }
        let listed = self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        listed.then(|| Cors::Origin(origin.into()))
    }

    pub fn check_origin(&self, head: &Head<'_>) -> Result<(), Reject> {
        let Some(origin) = head.origin else { return Ok(()) };
        if self.cors(head).is_some() || is_same_origin(origin, head.host) {
            return Ok(());
        }
        Err(Reject::OriginNotAllowed(origin.to_owned()))
    }

    /// Whose key the request shows.
    pub fn who(&self, head: &Head<'_>) -> Result<Who, Reject> {
        self.keys.who(shown(head).unwrap_or("")).ok_or(Reject::AuthFailed)
    }

    /// True if run tokens can be minted and shown.
    pub fn has_tokens(&self) -> bool {
        cfg!(feature = "tokens") && self.needs_key()
    }

    /// An entry without a port allows every port.
    fn allows_host(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let name = without_port(&host);
        self.allowed_hosts.iter().any(|allowed| *allowed == host || allowed == name)
    }
}

/// The origin a response is shown to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cors {
    Any,
    Origin(Box<str>),
}

impl Cors {
    pub fn as_str(&self) -> &str {
        match self {
            Cors::Any => "*",
            Cors::Origin(origin) => origin,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let name = without_port(host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
        || name.starts_with('[')
            && address
                .parse::<Ipv6Addr>()
                .is_ok_and(|ip| IpAddr::V6(ip).to_canonical().is_loopback())
}

/// `name:port`, `[v6]:port` or either without a port: the part before the port.
fn without_port(host: &str) -> &str {
    let bracket = host.rfind(']').unwrap_or(0);
    match host[bracket..].find(':') {
        Some(colon) => &host[..bracket + colon],
        None => host,
    }
}

/// A page this very server has given out: its origin is where it now asks.
fn is_same_origin(origin: &str, host: Option<&str>) -> bool {
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
}

/// What a request shows as its bearer.
pub fn shown<'a>(head: &Head<'a>) -> Option<&'a str> {
    head.authorization.and_then(bearer)
}

/// The token of `Bearer <token>`, the scheme in any case (RFC 6750 §2.1, RFC 9110 §11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}
