//! Bytes in, values out; values in, bytes out. No sockets, no clock, no memory of the past.
//!
//! Every parser gives one of three answers: `Ok(Some)`, `Ok(None)` for "not yet", `Err(reason)`;
//! and the same answer however the bytes are cut.
pub mod approval;
pub mod body;
pub mod budget;
mod cuts;
mod digits;
pub mod exposition;
pub mod head;
pub mod json;
pub mod message;
pub mod redact;
mod reject;
mod reject_text;
pub mod reply;
pub mod sse;
mod sse_decoder;
pub mod steer;
pub mod submit;
#[cfg(feature = "tokens")]
pub mod token;
mod token_flaw;
pub mod webhook;

pub use reject::{Lacks, Reject};
pub use token_flaw::TokenFlaw;
