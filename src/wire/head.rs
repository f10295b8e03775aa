//! Request heads: bytes to `Head`, strictly by RFC 9110 and RFC 9112, by way of httparse.
//!
//! What two parsers could read differently is refused, never guessed: that is how requests are
//! smuggled. A scan over the raw bytes finds the end of the head and refuses on its way what
//! httparse would let pass (bare LF) and what can never become a head (a TLS hello), so that
//! nobody waits for a blank line that will not come. Each byte is judged by itself and its
//! predecessor, so the answer does not depend on how the bytes were cut.
mod fields;
mod target;

use super::Reject;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX, LEADING_LINES_MAX, REQUEST_LINE_BYTES_MAX};
use fields::{Field, Fields};
use std::borrow::Cow;
use target::Target;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// Any other; no path of this server has it.
    Other,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other => "OTHER",
        }
    }

    /// Methods are case-sensitive (RFC 9110 §9.1).
    fn parse(text: &str) -> Method {
        match text {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "PATCH" => Method::Patch,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
}

/// What of the connection after the head belongs to this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    /// That many bytes; `u64::MAX` also stands for any number that is greater.
    Sized(u64),
    Chunked,
}

/// A request without its body, as it lies in the buffer. Header values have no space around them
/// and are UTF-8; an empty header is `Some("")`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub method: Method,
    pub version: Version,
    /// Begins with `/`, or is `*` for OPTIONS. Not percent-decoded.
    pub path: &'a str,
    /// What follows the first `?`. Not percent-decoded.
    pub query: Option<&'a str>,
    /// Name and port as the client wrote them, valid by RFC 3986, never empty. Present in every
    /// HTTP/1.1 request. An absolute target's authority replaces the header (RFC 9112 §3.2.2).
    pub host: Option<&'a str>,
    pub framing: Framing,
    /// True if the client will send further requests on this connection.
    pub keep_alive: bool,
    /// True if the client holds its body back until it is told to continue.
    pub expects_continue: bool,
    pub authorization: Option<&'a str>,
    pub origin: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub last_event_id: Option<&'a str>,
    pub idempotency_key: Option<&'a str>,
    /// `X-Hermes-Session-Key`
    pub session_key: Option<&'a str>,
    /// `X-Hermes-Session-Id`
    pub session_id: Option<&'a str>,
    /// `Access-Control-Request-Method`: with it an OPTIONS is a browser's preflight.
    pub fetch_method: Option<&'a str>,
    /// True if `Accept` names `text/html`: somebody looks, with a browser.
    #[cfg(feature = "page")]
    pub accepts_html: bool,
    #[cfg(feature = "page")]
    pub if_none_match: Option<&'a str>,
}

/// Reads one head from the front of `bytes`; gives it and how many bytes it took.
///
/// `Ok(None)` means "not yet": call again with more bytes, and with `seen` = how many of them the
/// last call already had, so that a client sending byte by byte costs linear work.
///
/// # Errors
/// `UriTooLong` and `HeadersTooLarge` beyond the bounds of `limits`, else `Malformed` or
/// `HeaderTwice`; all of them as soon as no further byte can make it good.
pub fn parse(bytes: &[u8], seen: usize) -> Result<Option<(Head<'_>, usize)>, Reject> {
    let start = skip_empty_lines(bytes)?;
    match find_end(bytes, start, seen.max(start))? {
        None => Ok(None),
        Some(end) => Ok(Some((read(&bytes[start..end])?, end))),
    }
}

/// The value of `name` in a query, as it stands there.
pub fn query_value<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let mut pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// A piece of a target without its %-encoding (RFC 3986 §2.1); `None` if it is then no text.
pub fn decoded(piece: &str) -> Option<Cow<'_, str>> {
    if !piece.contains('%') {
        return Some(Cow::Borrowed(piece));
    }
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || (rest.next()? as char).to_digit(16);
        bytes.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Where the request line begins; what begins there must be able to begin a method.
fn skip_empty_lines(bytes: &[u8]) -> Result<usize, Reject> {
    let pairs = bytes.chunks_exact(2).take(LEADING_LINES_MAX);
    let lines = pairs.take_while(|pair| pair == b"\r\n").count();
    match bytes.get(lines * 2) {
        None => Ok(lines * 2),
        Some(b'\r') if lines < LEADING_LINES_MAX => Ok(lines * 2),
        Some(byte) if is_token_byte(*byte) => Ok(lines * 2),
        Some(_) => Err(Reject::Malformed("begin with a request line, such as GET / HTTP/1.1")),
    }
}

/// A character of a method or a header name (RFC 9110 §5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The end of the head that begins at `start`, looking at no byte before `from` twice.
fn find_end(bytes: &[u8], start: usize, from: usize) -> Result<Option<usize>, Reject> {
    let line_feed_max = start + REQUEST_LINE_BYTES_MAX + 1;
    let in_request_line = |at: usize| at <= line_feed_max && !bytes[start..at].contains(&b'\n');
    let mut before = if from > start { bytes[from - 1] } else { b'\n' };
    for at in from..bytes.len().min(HEAD_BYTES_MAX) {
        let byte = bytes[at];
        if at == line_feed_max && byte != b'\n' && in_request_line(at) {
            return Err(Reject::UriTooLong);
        }
        if let Some(flaw) = flaw(before, byte) {
            return Err(Reject::Malformed(flaw));
        }
        if byte == b'\n' {
            if at - start >= 3 && bytes[at - 3..at] == *b"\r\n\r" {
                return Ok(Some(at + 1));
            }
            if in_request_line(at) {
                check_request_line(&bytes[start..=at])?;
            }
        }
        before = byte;
    }
    if bytes.len() >= HEAD_BYTES_MAX { Err(Reject::HeadersTooLarge) } else { Ok(None) }
}

/// What is wrong with `byte` after `before`, wherever in a head they stand (RFC 9112 §2.2, §5.2).
#[inline]
fn flaw(before: u8, byte: u8) -> Option<&'static str> {
    if before >= b' ' && byte >= b' ' && byte != 0x7f {
        return None;
    }
    match (before, byte) {
        (b'\r', b'\n') => None,
        (b'\r', _) => Some("a CR without LF; end each line with CR LF"),
        (_, b'\n') => Some("an LF without CR; end each line with CR LF"),
        (b'\n', b' ' | b'\t') => Some("a line begins with space; put each header on one line"),
        (_, b'\t' | b'\r') => None,
        (_, 0..=0x1f | 0x7f) => Some("a control character in the head; remove it"),
        _ => None,
    }
}

fn check_request_line(line: &[u8]) -> Result<(), Reject> {
    match httparse::Request::new(&mut []).parse(line) {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(error)),
    }
}

fn explain(error: httparse::Error) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => Reject::HeadersTooLarge,
        httparse::Error::Version => Reject::Malformed("unknown version; use HTTP/1.1"),
        httparse::Error::HeaderName => {
            Reject::Malformed("a header name is no token; write `Name: value`, no space before `:`")
        }
        httparse::Error::HeaderValue => Reject::Malformed("a header value has a bad character"),
        _ => Reject::Malformed("the request line must be METHOD SP TARGET SP HTTP/1.1"),
    }
}

/// Takes a head apart that is known to be whole.
fn read(bytes: &[u8]) -> Result<Head<'_>, Reject> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(bytes).map_err(explain)?;
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(Reject::Malformed("the head is incomplete"));
    };
    let method = Method::parse(method);
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let target = Target::parse(method, target)?;
    let fields = Fields::gather(request.headers)?;
    let framing = fields.framing(version)?;
    Ok(Head {
        method,
        version,
        path: target.path,
        query: target.query,
        host: target.authority.or(fields.host(version)?),
        framing,
        keep_alive: !fields.close && (version == Version::Http11 || fields.keep_alive),
        // RFC 9110 §10.1.1: HTTP/1.0 knows no 100, and without a body there is nothing to wait for.
        expects_continue: fields.expects_continue
            && version == Version::Http11
            && !matches!(framing, Framing::None | Framing::Sized(0)),
        authorization: fields.get(Field::Authorization),
        origin: fields.get(Field::Origin),
        content_type: fields.get(Field::ContentType),
        last_event_id: fields.get(Field::LastEventId),
        idempotency_key: fields.get(Field::IdempotencyKey),
        session_key: fields.get(Field::SessionKey),
        session_id: fields.get(Field::SessionId),
        fetch_method: fields.get(Field::FetchMethod),
        #[cfg(feature = "page")]
        accepts_html: fields.accepts_html,
        #[cfg(feature = "page")]
        if_none_match: fields.if_none_match,
    })
}

/// The answer does not depend on the cuts, which follow from the first byte; bounds hold.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let at_once = parse(bytes, 0);
    let mut cut = Ok(None);
    let mut seen = 0;
    for piece in super::cuts::pieces(bytes, *seed) {
        let have = seen + piece.len();
        cut = parse(&bytes[..have], seen);
        if !matches!(cut, Ok(None)) {
            break;
        }
        assert!(have < HEAD_BYTES_MAX, "still waiting after {have} bytes");
        seen = have;
    }
    assert_eq!(at_once, cut);
    if let Ok(Some((head, used))) = at_once {
        assert!(used <= HEAD_BYTES_MAX && bytes[..used].ends_with(b"\r\n\r\n"));
        assert!(head.path.starts_with('/') || head.path == "*");
        assert!(head.version == Version::Http10 || head.host.is_some_and(target::is_host));
        assert!(head.version == Version::Http11 || head.framing != Framing::Chunked);
    }
}
