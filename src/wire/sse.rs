//! Server-sent events as this server writes them: one event, one frame.
use super::digits::{decimal, hex_32, padded};
use crate::event::{Completed, Event, Kind};
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

/// As serde would, at half the cost: each run ends with one.
fn write_completed(out: &mut Vec<u8>, it: &Completed) -> serde_json::Result<()> {
    let Completed { output, usage, runtime, pending_steer } = it;
    out.extend_from_slice(b"{\"output\":");
    serde_json::to_writer(&mut *out, output)?;
    let counts = [
        (",\"usage\":{\"input_tokens\":", usage.input_tokens),
        (",\"output_tokens\":", usage.output_tokens),
        (",\"total_tokens\":", usage.total_tokens),
        (",\"cache_read_tokens\":", usage.cache_read_tokens),
        (",\"cache_write_tokens\":", usage.cache_write_tokens),
    ];
    for (name, count) in counts {
        out.extend_from_slice(name.as_bytes());
        decimal(out, count);
    }
    out.extend_from_slice(b"},\"runtime\":{\"provider\":");
    serde_json::to_writer(&mut *out, &runtime.provider)?;
    out.extend_from_slice(b",\"model\":");
    serde_json::to_writer(&mut *out, &runtime.model)?;
    out.push(b'}');
    if let Some(text) = pending_steer {
        out.extend_from_slice(b",\"pending_steer\":");
        serde_json::to_writer(&mut *out, text)?;
    }
    out.push(b'}');
    Ok(())
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
        Kind::Completed(it) => write_completed(out, it),
        Kind::Failed(it) => serde_json::to_writer(out, it),
        Kind::Cancelled(it) => serde_json::to_writer(out, it),
        Kind::Interrupted(it) => serde_json::to_writer(out, it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Runtime, Usage};

    #[test]
    fn a_completed_event_is_written_as_serde_would() {
        let usage = Usage {
            input_tokens: 1,
            output_tokens: 20,
            total_tokens: u64::MAX,
            cache_read_tokens: 0,
            cache_write_tokens: 5,
        };
        let runtime = Runtime { provider: "a\"b".to_owned(), model: "m\n\u{e4}".to_owned() };
        for pending_steer in [None, Some("wait \\ stop".to_owned())] {
            let (output, runtime) = ("\t\u{1f}x".to_owned(), runtime.clone());
            let it = Completed { output, usage, runtime, pending_steer };
            let mut out = Vec::new();
            write_completed(&mut out, &it).expect("text is always JSON");
            assert_eq!(out, serde_json::to_vec(&it).expect("text is always JSON"));
        }
    }
}
