//! The page at `/`: one file for people, and what their browser may do with it.
//!
//! Style and script stand in the page itself and the policy names them by their digests, so nothing
//! else in it can ever run. `make page` writes the digests, and the page packed, which is what the
//! program holds; `tests/page.rs` fails where they are not those of `index.html`. Rejected: a nonce (it needs chance, and a copy of the page for each answer),
//! digests taken by the compiler (right, but 13 s of every build) or at start (a hash to ship).

/// What is sent, as `packed::unpack` takes it.
pub const PACKED: &[u8] = include_bytes!("index.lz4");
/// The value of `Content-Security-Policy`.
pub const POLICY: &str = include_str!("policy.txt");
/// The value of `ETag`: another page has another.
pub const ETAG: &str = include_str!("etag.txt");

const PACKED_BYTES_MAX: usize = 28 * 1024;
const _: () = assert!(PACKED.len() <= PACKED_BYTES_MAX, "the page is too large");

/// True if `If-None-Match` names the page as it is (RFC 9110 §13.1.2; the weak comparison).
pub fn is_known(if_none_match: &str) -> bool {
    let names_it = |tag: &str| tag.trim().trim_start_matches("W/") == ETAG;
    if_none_match.trim() == "*" || if_none_match.split(',').any(names_it)
}
