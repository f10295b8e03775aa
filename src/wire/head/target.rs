//! Request targets and hosts (RFC 9112 §3.2).
use super::super::Reject;
use super::Method;
use std::net::Ipv6Addr;

/// What the request line asks for.
pub(super) struct Target<'a> {
    pub path: &'a str,
    pub query: Option<&'a str>,
    /// The host an absolute target names.
    pub authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub fn parse(method: Method, text: &'a str) -> Result<Target<'a>, Reject> {
        if !text.is_ascii() || text.contains('#') {
            return Err(Reject::Malformed("the target has a character that must be %-encoded"));
        }
        if text.starts_with('/') || (text == "*" && method == Method::Options) {
            return Ok(Target::of(text, None));
        }
        let Some(rest) = strip_scheme(text) else {
            return Err(Reject::Malformed("the target must be a path or an http address"));
        };
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_host(authority) {
            return Err(Reject::Malformed("the target's host must be NAME or NAME:PORT"));
        }
        Ok(Target::of(rest, Some(authority)))
    }

    fn of(text: &'a str, authority: Option<&'a str>) -> Target<'a> {
        let (path, query) = text.split_once('?').map_or((text, None), |(p, q)| (p, Some(q)));
        Target { path: if path.is_empty() { "/" } else { path }, query, authority }
    }
}

fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    known.then_some(rest)
}

/// `uri-host [":" port]` of RFC 3986 §3.2, with no user in it and no %-encoding.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, port)| {
            address.parse::<Ipv6Addr>().is_ok()
                && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
        });
    }
    let (name, port) = text.split_once(':').unwrap_or((text, ""));
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&b);
    !name.is_empty() && name.bytes().all(is_name_byte) && is_port(port)
}

/// A port may be left empty (RFC 3986 §3.2.3).
fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}
