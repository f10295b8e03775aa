//! What is decided at the head of a request, before any of its body is read.
use super::access::{Access, Cors, Who};
use super::route::Route;
use crate::time::Wall;
use crate::wire::Reject;
use crate::wire::head::{Framing, Head, Method, Version};
use crate::wire::redact::Redact;
use crate::wire::reply::Meta;

/// A request whose head was accepted: what is still needed of that head once the body has come.
#[derive(Debug)]
pub struct Admitted {
    pub who: Who,
    pub route: Route,
    /// What its stream leaves out.
    pub redact: Redact,
    pub method: Method,
    /// The body, if there is one, is JSON.
    pub is_json: bool,
    pub manner: Manner,
    pub query: Option<Box<str>>,
    pub cursor: Option<Box<str>>,
    pub idempotency_key: Option<Box<str>>,
    pub session_key: Option<Box<str>>,
    pub session_id: Option<Box<str>>,
    /// Bytes of all these texts.
    pub bytes: usize,
    #[cfg(feature = "page")]
    pub view: super::page::View,
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
    now: Wall,
) -> Result<Admitted, Reject> {
    access.check_host(head)?;
    access.check_origin(head)?;
    let route = Route::of(head.path);
    let open = head.method == Method::Options || route.as_ref().is_some_and(Route::is_open);
    let (who, redact) = if open {
        (access.keys.nobody(), Redact::NOTHING)
    } else {
        enter(head, access, route.as_ref(), now)?
    };
    let route = route.ok_or(Reject::NotFound)?;
    if let Some(scope) = route.scope(head.method).filter(|_| !open) {
        who.check(scope)?;
    }
    if !route.has(head.method) {
        return Err(Reject::MethodNotAllowed { allow: route.allow() });
    }
    // A body of unknown length ends with its connection where there are no chunks.
    let endless =
        matches!(route, Route::Events(_) | Route::Feed) && head.version == Version::Http10;
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
    let texts = [cursor, head.query, head.idempotency_key, head.session_key, head.session_id];
    let bytes = head.path.len() + texts.iter().flatten().map(|text| text.len()).sum::<usize>();
    Ok(Admitted {
        who,
        route,
        redact,
        method: head.method,
        is_json,
        manner,
        query: head.query.map(Box::from),
        cursor: cursor.map(Box::from),
        idempotency_key: head.idempotency_key.map(Box::from),
        session_key: head.session_key.map(Box::from),
        session_id: head.session_id.map(Box::from),
        bytes,
        #[cfg(feature = "page")]
        view: super::page::View::of(head),
    })
}

/// Who shows a key, or a token signed with one; and what is left out for it.
fn enter(
    head: &Head<'_>,
    access: &Access,
    route: Option<&Route>,
    now: Wall,
) -> Result<(Who, Redact), Reject> {
    let refused = match access.who(head) {
        Ok(who) => return Ok((who, Redact::NOTHING)),
        Err(refused) => refused,
    };
    #[cfg(feature = "tokens")]
    if let Some(token) = super::tokens::shown(head, route) {
        return super::tokens::redeem(token, access, route, head.method, now);
    }
    let _ = (route, now);
    Err(refused)
}

/// `application/json` or a type built on it, whatever its parameters (RFC 6839 §3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let Some((kind, subtype)) = essence.split_once('/') else { return false };
    let suffix = subtype.rsplit('+').next().unwrap_or(subtype);
    kind.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}
