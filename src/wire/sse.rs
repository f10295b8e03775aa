//! Server-sent events as this server writes them: one event, one frame.
use super::digits::{decimal, hex_32, padded};
use crate::event::{Event, Kind};
use crate::id::RunId;
use crate::time::Wall;

pub use super::sse_decoder::{Decoder, Message, TooLong, fuzz};

/// The first bytes of a stream, so that the client knows at once that it is open.
pub const OPEN: &[u8] = b": open\n\n";
/// Keeps proxies awake, means nothing to the client.
pub const KEEPALIVE: &[u8] = b": keepalive\n\n";
/// The last bytes of a stream that ended with its run.
pub const CLOSED: &[u8] = b": stream closed\n\n";

/// Appends one event as a frame: `id: <seq>`, `data: <JSON on one line>`, an empty line.
///
/// There is no `event:` line: a browser's `onmessage` must see every event.
pub fn frame(out: &mut Vec<u8>, run: RunId, event: &Event) {
    out.extend_from_slice(b"id: ");
    decimal(out, event.seq);
    out.push(b'\n');
    begin(out, event.kind.name(), run, event.at);
    out.extend_from_slice(b",\"seq\":");
    decimal(out, event.seq);
    let payload = out.len();
    write_payload(out, &event.kind).expect("text, numbers and JSON values are always JSON");
    // The payload is an object with at least one field; it goes on where the prefix ends.
    debug_assert_eq!(out[payload..payload + 2], *b"{\"");
    out[payload] = b',';
    out.extend_from_slice(b"\n\n");
}

/// Appends the frame of an event whose JSON is known.
pub fn frame_of_json(out: &mut Vec<u8>, seq: u64, json: &str) {
    out.extend_from_slice(b"id: ");
    decimal(out, seq);
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(json.as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// The JSON of an event's frame.
pub fn json_of(frame: &[u8]) -> &str {
    let data = frame.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let json = &frame[data + b"data: ".len()..frame.len() - b"\n\n".len()];
    std::str::from_utf8(json).expect("frames are made of text")
}

/// Appends the frame that tells a reader what it has missed for good.
///
/// It has neither `id:` nor `seq`, so it does not move the reader's cursor. `requested_seq` is the
/// first event the reader should have got, `oldest_retained_seq` the first it will get.
pub fn truncated(
    out: &mut Vec<u8>,
    run: RunId,
    at: Wall,
    oldest_retained_seq: u64,
    requested_seq: u64,
) {
    begin(out, "replay.truncated", run, at);
    out.extend_from_slice(b",\"oldest_retained_seq\":");
    decimal(out, oldest_retained_seq);
    out.extend_from_slice(b",\"requested_seq\":");
    decimal(out, requested_seq);
    out.extend_from_slice(b"}\n\n");
}

/// The keys all events begin with; `Wall`'s own `Display` would cost as much as all the rest.
fn begin(out: &mut Vec<u8>, name: &str, run: RunId, at: Wall) {
    out.extend_from_slice(b"data: {\"event\":\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\",\"run_id\":\"run_");
    hex_32(out, run.0);
    out.extend_from_slice(b"\",\"timestamp\":");
    decimal(out, at.seconds());
    out.push(b'.');
    padded(out, at.0 % 1_000_000, 6);
}

fn write_payload(out: &mut Vec<u8>, kind: &Kind) -> serde_json::Result<()> {
    match kind {
        Kind::MessageDelta(it) | Kind::ReasoningDelta(it) => serde_json::to_writer(out, it),
        Kind::MessageInterim(it) => serde_json::to_writer(out, it),
        Kind::ReasoningAvailable(it) => serde_json::to_writer(out, it),
        Kind::ToolStarted(it) => serde_json::to_writer(out, it),
        Kind::ToolCompleted(it) => serde_json::to_writer(out, it),
        Kind::SessionTruncated(it) => serde_json::to_writer(out, it),
        Kind::ApprovalRequest(it) => serde_json::to_writer(out, it),
        Kind::ApprovalResponded(it) => serde_json::to_writer(out, it),
        Kind::Steered(it) => serde_json::to_writer(out, it),
        Kind::Completed(it) => serde_json::to_writer(out, it),
        Kind::Failed(it) => serde_json::to_writer(out, it),
        Kind::Cancelled(it) => serde_json::to_writer(out, it),
        Kind::Interrupted(it) => serde_json::to_writer(out, it),
    }
}
