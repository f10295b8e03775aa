//! The headers this server reads, and what they say about the body.
use super::super::Reject;
use super::target::is_host;
use super::{Framing, Version};

/// A header that this server reads and that may appear once; the order is that of `NAMES`.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Host,
    ContentLength,
    TransferEncoding,
    Authorization,
    Origin,
    ContentType,
    LastEventId,
    IdempotencyKey,
    SessionKey,
    SessionId,
    FetchMethod,
}

const NAMES: [&str; Field::FetchMethod as usize + 1] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Authorization",
    "Origin",
    "Content-Type",
    "Last-Event-ID",
    "Idempotency-Key",
    "X-Hermes-Session-Key",
    "X-Hermes-Session-Id",
    "Access-Control-Request-Method",
];

/// The headers this server reads.
#[derive(Default)]
pub(super) struct Fields<'a> {
    single: [Option<&'a str>; NAMES.len()],
    pub close: bool,
    pub keep_alive: bool,
    pub expects_continue: bool,
    /// `Accept` names `text/html`.
    #[cfg(feature = "page")]
    pub accepts_html: bool,
    /// The last one, if there are several: then the answer is only longer than it need be.
    #[cfg(feature = "page")]
    pub if_none_match: Option<&'a str>,
}

impl<'a> Fields<'a> {
    pub fn gather(headers: &[httparse::Header<'a>]) -> Result<Fields<'a>, Reject> {
        let mut fields = Fields::default();
        for header in headers {
            if let Some(index) = NAMES.iter().position(|n| header.name.eq_ignore_ascii_case(n)) {
                let value = std::str::from_utf8(header.value)
                    .map_err(|_| Reject::Malformed("a header value is not UTF-8"))?;
                if fields.single[index].replace(value).is_some() {
                    return Err(Reject::HeaderTwice(NAMES[index]));
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                fields.close |= has_token(header.value, "close");
                fields.keep_alive |= has_token(header.value, "keep-alive");
            } else if header.name.eq_ignore_ascii_case("expect") {
                // Other expectations are overlooked: RFC 9110 §10.1.1 only lets a server answer
                // 417, and no client of this API was ever told so.
                fields.expects_continue |= has_token(header.value, "100-continue");
            } else {
                #[cfg(feature = "page")]
                fields.gather_for_page(header);
            }
        }
        Ok(fields)
    }

    /// A header that only the page asks for; what cannot be read of it is as good as not there.
    #[cfg(feature = "page")]
    fn gather_for_page(&mut self, header: &httparse::Header<'a>) {
        let Ok(value) = std::str::from_utf8(header.value) else { return };
        if header.name.eq_ignore_ascii_case("accept") {
            self.accepts_html |= value.split(',').any(is_html);
        } else if header.name.eq_ignore_ascii_case("if-none-match") {
            self.if_none_match = Some(value);
        }
    }

    pub fn get(&self, field: Field) -> Option<&'a str> {
        self.single[field as usize]
    }

    /// RFC 9112 §3.2: without exactly one valid Host, HTTP/1.1 is refused.
    pub fn host(&self, version: Version) -> Result<Option<&'a str>, Reject> {
        match self.get(Field::Host) {
            None if version == Version::Http11 => Err(Reject::Malformed("add a Host header")),
            Some(host) if !is_host(host) => {
                Err(Reject::Malformed("the Host header must be NAME or NAME:PORT"))
            }
            host => Ok(host),
        }
    }

    /// Two lengths, or a length beside chunking, are how requests get smuggled (RFC 9112 §6.3).
    pub fn framing(&self, version: Version) -> Result<Framing, Reject> {
        match (self.get(Field::ContentLength), self.get(Field::TransferEncoding)) {
            (None, None) => Ok(Framing::None),
            (Some(length), None) => sized(length),
            (None, Some(coding))
                if version == Version::Http11 && coding.eq_ignore_ascii_case("chunked") =>
            {
                Ok(Framing::Chunked)
            }
            (None, Some(_)) => Err(Reject::Malformed(
                "the only Transfer-Encoding is `chunked`, and only in HTTP/1.1",
            )),
            (Some(_), Some(_)) => {
                Err(Reject::Malformed("send Content-Length or Transfer-Encoding, not both"))
            }
        }
    }
}

fn sized(length: &str) -> Result<Framing, Reject> {
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Reject::Malformed("Content-Length must be one number in digits"));
    }
    Ok(Framing::Sized(length.parse().unwrap_or(u64::MAX)))
}

/// True if `token` is in a list separated by commas.
fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|b| *b == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// True for a range of `Accept` that is `text/html` by name, and is wanted: a client that takes
/// anything takes JSON (RFC 9110 §12.5.1).
#[cfg(feature = "page")]
fn is_html(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
    let unwanted = |part: &str| {
        let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
        weight.is_some_and(|weight| weight.bytes().all(|byte| matches!(byte, b'0' | b'.')))
    };
    is_named && !parts.any(unwanted)
}
