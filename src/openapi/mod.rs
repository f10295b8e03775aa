//! The description of the API at `/openapi.json`, in OpenAPI 3.1.
//!
//! `openapi.json` is written by hand, for people. What is sent is the same without the space between
//! its tokens, and what the program holds is that, packed: `make openapi` writes it. `tests/openapi.rs`
//! fails where the two differ, and where the server answers what is not described.

/// What is sent, as `packed::unpack` takes it.
pub const PACKED: &[u8] = include_bytes!("openapi.lz4");

const PACKED_BYTES_MAX: usize = 16 * 1024;
const _: () = assert!(PACKED.len() <= PACKED_BYTES_MAX, "the description is too large");
