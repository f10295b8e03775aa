//! What is decided at the head of a request, before any of its body is read.
use super::access::{Access, Cors};
use super::route::Route;
use crate::wire::Reject;
use crate::wire::head::{Framing, Head, Method, Version};
use crate::wire::reply::Meta;

/// A request whose head was accepted: what is still needed of that head once the body has come.
#[derive(Debug)]
pub struct Admitted {
    pub route: Route,
    pub method: Method,
    /// The body, if there is one, is JSON.
    pub is_json: bool,
    pub manner: Manner,
    pub query: Option<Box<str>>,
    pub cursor: Option<Box<str>>,
    pub idempotency_key: Option<Box<str>>,
    pub session_key: Option<Box<str>>,
    pub session_id: Option<Box<str>>,
}

/// How a request wants to be answered.
#[derive(Clone, Debug)]
pub struct Manner {
    pub version: Version,
    /// The connection closes after the answer.
    pub close: bool,
    pub cors: Option<Cors>,
    /// The answer to HEAD has no body.
    pub head_only: bool,
}

impl Manner {
    /// For a peer whose head could not be understood.
    pub fn unknown() -> Manner {
        Manner { version: Version::Http11, close: true, cors: None, head_only: false }
    }

    pub fn of(head: &Head<'_>, access: &Access) -> Manner {
        Manner {
            version: head.version,
            close: !head.keep_alive,
            cors: access.cors(head),
            head_only: head.method == Method::Head,
        }
    }

    pub fn meta<'a>(&'a self, date: &'a str) -> Meta<'a> {
        Meta {
            version: self.version,
            close: self.close,
            date,
            cors: self.cors.as_ref().map(Cors::as_str),
            head_only: self.head_only,
        }
    }
}

/// The checks of the wire contract, section 1, in its order, as far as the head can tell.
pub fn admit(
    head: &Head<'_>,
    access: &Access,
    body_bytes_max: usize,
    manner: Manner,
) -> Result<Admitted, Reject> {
    access.check_host(head)?;
    access.check_origin(head)?;
    let route = Route::of(head.path);
    let open = head.method == Method::Options || route.as_ref().is_some_and(Route::is_open);
    if !open {
        access.check_key(head)?;
    }
    let route = route.ok_or(Reject::NotFound)?;
    if !route.has(head.method) {
        return Err(Reject::MethodNotAllowed { allow: route.allow() });
    }
    // A body of unknown length ends with its connection where there are no chunks.
    let endless = matches!(route, Route::Events(_)) && head.version == Version::Http10;
    let manner = Manner { close: manner.close || endless, ..manner };
    let is_json = head.content_type.is_some_and(is_json);
    if let Framing::Sized(size) = head.framing {
        if size > 0 && !is_json {
            return Err(Reject::UnsupportedMediaType);
        }
        if size > body_bytes_max as u64 {
            return Err(Reject::BodyTooLarge { max: body_bytes_max });
        }
    }
    let cursor = head.last_event_id.filter(|id| !id.is_empty());
    let cursor = cursor.or_else(|| crate::wire::head::query_value(head.query, "last_seq"));
    Ok(Admitted {
        route,
        method: head.method,
        is_json,
        manner,
        query: head.query.map(Box::from),
        cursor: cursor.map(Box::from),
        idempotency_key: head.idempotency_key.map(Box::from),
        session_key: head.session_key.map(Box::from),
        session_id: head.session_id.map(Box::from),
    })
}

/// `application/json` or a type built on it, whatever its parameters (RFC 6839 §3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit('+').next().unwrap_or(subtype);
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}
