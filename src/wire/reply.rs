//! Replies: whole small ones, and the head of a stream.
//!
//! Appended to a buffer piece by piece, without the machinery of `format!`: at 40,000 replies a
//! second it would be the largest cost.
use super::digits::{decimal, padded};
use super::head::Version;
use super::{Reject, TokenFlaw};
use crate::time::{Wall, civil};

/// Tells a client that its body is wanted (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What every reply needs to know about its request and its moment.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// Of the request.
    pub version: Version,
    /// True if the connection ends after this reply.
    pub close: bool,
    /// As `http_date` writes it.
    pub date: &'a str,
    /// The origin that may read this reply, or `*`; `None` for all requests but an allowed
    /// page's.
    pub cors: Option<&'a str>,
    /// True for HEAD: the same head, and no body.
    pub head_only: bool,
}

/// Headers of all replies but the page, and what a browser may do with them.
const FIXED: &[u8] = b"\r\nVary: Origin\
\r\nX-Content-Type-Options: nosniff\
\r\nX-Frame-Options: DENY\
\r\nReferrer-Policy: no-referrer\
\r\nContent-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
/// The same for the page, which brings a policy of its own.
#[cfg(feature = "page")]
const FIXED_OF_PAGE: &[u8] = b"\r\nVary: Accept, Origin\
\r\nX-Content-Type-Options: nosniff\
\r\nX-Frame-Options: DENY\
\r\nReferrer-Policy: no-referrer\
\r\nCross-Origin-Opener-Policy: same-origin\
\r\nCross-Origin-Resource-Policy: same-origin\r\n";
const NO_STORE: &[u8] = b"Cache-Control: no-store\r\n";
/// What the head of a reply takes unless it says something special: room for it is made at once.
const HEAD_BYTES: usize = 440;

/// A reply with a JSON body.
pub fn json(out: &mut Vec<u8>, meta: &Meta<'_>, status: u16, extra: &[(&str, &str)], body: &[u8]) {
    whole(out, meta, status, "application/json", extra, body);
}

/// A reply with a body of this content type.
pub fn whole(
    out: &mut Vec<u8>,
    meta: &Meta<'_>,
    status: u16,
    content_type: &'static str,
    extra: &[(&str, &str)],
    body: &[u8],
) {
    out.reserve(HEAD_BYTES + body.len());
    start(out, meta, status);
    out.extend_from_slice(NO_STORE);
    out.extend_from_slice(b"Content-Type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(b"\r\n");
    content_length(out, body.len());
    finish(out, meta, extra);
    if !meta.head_only {
        out.extend_from_slice(body);
    }
}

/// A reply without a body. A 204 has no length either (RFC 9110 §8.6).
pub fn empty(out: &mut Vec<u8>, meta: &Meta<'_>, status: u16, extra: &[(&str, &str)]) {
    start(out, meta, status);
    out.extend_from_slice(NO_STORE);
    if status != 204 {
        content_length(out, 0);
    }
    finish(out, meta, extra);
}

/// A page of HTML under its `policy`, or word that the client's own copy of it is good (304). It is
/// kept by the client and asked after each time, so that a new program shows its new page.
#[cfg(feature = "page")]
pub fn page(out: &mut Vec<u8>, meta: &Meta<'_>, policy: &str, etag: &str, html: Option<&[u8]>) {
    line(out, meta, if html.is_some() { 200 } else { 304 });
    out.extend_from_slice(FIXED_OF_PAGE);
    field(out, ("Content-Security-Policy", policy));
    field(out, ("Cache-Control", "no-cache"));
    field(out, ("ETag", etag));
    if let Some(html) = html {
        field(out, ("Content-Type", "text/html; charset=utf-8"));
        content_length(out, html.len());
    }
    finish(out, meta, &[]);
    if !meta.head_only {
        out.extend_from_slice(html.unwrap_or_default());
    }
}

/// A refusal, with the headers its status asks for; the connection closes if it must.
pub fn reject(out: &mut Vec<u8>, meta: &Meta<'_>, reject: &Reject) {
    let meta = Meta { close: meta.close || reject.closes(), ..*meta };
    let mut seconds = String::new();
    let extra = match reject {
        Reject::AuthFailed | Reject::RunToken(TokenFlaw::Refused(_)) => {
            Some(("WWW-Authenticate", "Bearer"))
        }
        Reject::MethodNotAllowed { allow } => Some(("Allow", *allow)),
        _ => reject.retry_after_s().map(|wait| {
            seconds = wait.to_string();
            ("Retry-After", seconds.as_str())
        }),
    };
    json(out, &meta, reject.status(), extra.as_slice(), &reject.body());
}

/// The answer to OPTIONS: to a client that wants to know the methods of a path, `allow`
/// (RFC 9110 §9.3.7), and to a browser that asks before it sends (Fetch, CORS preflight).
pub fn options(out: &mut Vec<u8>, meta: &Meta<'_>, allow: &str) {
    let extra = &[
        ("Allow", allow),
        ("Access-Control-Allow-Methods", "GET, POST, PATCH, DELETE, OPTIONS"),
        (
            "Access-Control-Allow-Headers",
            "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, \
             X-Hermes-Session-Key, X-Hermes-Session-Id",
        ),
        ("Access-Control-Max-Age", "600"),
    ];
    empty(out, meta, 200, extra);
}

/// The head of an event stream. On HTTP/1.1 its body is chunked; on HTTP/1.0 it ends with the
/// connection.
pub fn stream_head(out: &mut Vec<u8>, meta: &Meta<'_>) {
    let old = meta.version == Version::Http10;
    let meta = Meta { close: meta.close || old, ..*meta };
    start(out, &meta, 200);
    field(out, ("Content-Type", "text/event-stream"));
    field(out, ("Cache-Control", "no-cache"));
    field(out, ("X-Accel-Buffering", "no"));
    if !old {
        field(out, ("Transfer-Encoding", "chunked"));
    }
    finish(out, &meta, &[]);
}

fn start(out: &mut Vec<u8>, meta: &Meta<'_>, status: u16) {
    line(out, meta, status);
    out.extend_from_slice(FIXED);
}

/// The status line and the date, without its end.
fn line(out: &mut Vec<u8>, meta: &Meta<'_>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(meta.date.as_bytes());
}

fn finish(out: &mut Vec<u8>, meta: &Meta<'_>, extra: &[(&str, &str)]) {
    for pair in extra {
        field(out, *pair);
    }
    if let Some(origin) = meta.cors {
        field(out, ("Access-Control-Allow-Origin", origin));
        field(
            out,
            ("Access-Control-Expose-Headers", "Location, Idempotency-Replayed, Retry-After"),
        );
    }
    if meta.close {
        field(out, ("Connection", "close"));
    } else if meta.version == Version::Http10 {
        field(out, ("Connection", "keep-alive"));
    }
    out.extend_from_slice(b"\r\n");
}

/// A value may come from a client, so a control character in it becomes a space: it cannot end
/// the line and begin another.
fn field(out: &mut Vec<u8>, (name, value): (&str, &str)) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let from = out.len();
    out.extend_from_slice(value.as_bytes());
    out[from..].iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b' ');
    out.extend_from_slice(b"\r\n");
}

fn content_length(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(b"Content-Length: ");
    decimal(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        #[cfg(feature = "page")]
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        507 => "Insufficient Storage",
        // A reason phrase may be empty (RFC 9112 §4).
        _ => "",
    }
}

/// Replaces `out` by the moment as headers have it: `Sun, 06 Nov 1994 08:49:37 GMT`
/// (RFC 9110 §5.6.7).
pub fn http_date(at: Wall, out: &mut String) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (days, second) = (at.seconds() / 86_400, at.seconds() % 86_400);
    let (year, month, day) = civil(days);
    let mut text = std::mem::take(out).into_bytes();
    text.clear();
    text.extend_from_slice(DAYS[(days % 7) as usize].as_bytes());
    text.extend_from_slice(b", ");
    padded(&mut text, day, 2);
    text.push(b' ');
    text.extend_from_slice(MONTHS[(month - 1) as usize].as_bytes());
    for (mark, number, width) in [
        (b' ', year, 4),
        (b' ', second / 3600, 2),
        (b':', second / 60 % 60, 2),
        (b':', second % 60, 2),
    ] {
        text.push(mark);
        padded(&mut text, number, width);
    }
    text.extend_from_slice(b" GMT");
    *out = String::from_utf8(text).expect("names and digits are ASCII");
}
