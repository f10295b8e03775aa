//! The chat completions protocol as bytes: a request body out, a turn in. No I/O.
mod answer;
mod ask;
mod calls;
mod complaint;

pub use answer::{Answer, Progress, TURN_BYTES_MAX, Trouble};
pub use ask::body;
pub use complaint::Complaint;
