//! The page at `/`: one file for people, and what their browser may do with it.
//!
//! Style and script stand in the page itself and the policy names them by their digests, so nothing
//! else in it can ever run. `make page` writes the digests; `tests/page.rs` fails where they are not
//! those of the page. Rejected: a nonce (it needs chance, and a copy of the page for each answer),
//! digests taken by the compiler (right, but 13 s of every build) or at start (a hash to ship).

/// What is sent.
pub const HTML: &str = include_str!("index.html");
/// The value of `Content-Security-Policy`.
pub const POLICY: &str = include_str!("policy.txt");
/// The value of `ETag`: another page has another.
pub const ETAG: &str = include_str!("etag.txt");

const HTML_BYTES_MAX: usize = 60 * 1024;
const _: () = assert!(HTML.len() <= HTML_BYTES_MAX, "the page is too large");

/// True if `If-None-Match` names the page as it is (RFC 9110 §13.1.2; the weak comparison).
pub fn is_known(if_none_match: &str) -> bool {
    let names_it = |tag: &str| tag.trim().trim_start_matches("W/") == ETAG;
    if_none_match.trim() == "*" || if_none_match.split(',').any(names_it)
}
