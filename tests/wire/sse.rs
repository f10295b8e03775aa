//! Frames, byte for byte, and the decoder at every cut.
use runwire::event::*;
use runwire::id::{Key, RunId, RunKey};
use runwire::time::Wall;
use runwire::wire::body::Dechunker;
use runwire::wire::sse::{CLOSED, Decoder, KEEPALIVE, Message, OPEN, TooLong, frame, truncated};
use serde_json::{Value, json};
use std::path::Path;

const RUN: RunId = RunId(0xab);
const RUN_TEXT: &str = "run_000000000000000000000000000000ab";

fn event(seq: u64, kind: Kind) -> Event {
    let run = RunKey(Key { slot: 0, generation: 0 });
    Event { run, seq, at: Wall(1_795_348_624_056_093), kind }
}

fn framed(seq: u64, kind: Kind) -> String {
    let mut out = Vec::new();
    frame(&mut out, RUN, &event(seq, kind));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_frame_is_these_bytes() {
    let delta = Kind::MessageDelta(Delta { delta: "a\n\r\"\u{2028}\u{1f980}\0".to_owned() });
    let expected = format!(
        "id: 70\ndata: {{\"event\":\"message.delta\",\"run_id\":\"{RUN_TEXT}\",\
         \"timestamp\":1795348624.056093,\"seq\":70,\
         \"delta\":\"a\\n\\r\\\"\u{2028}\u{1f980}\\u0000\"}}\n\n"
    );
    assert_eq!(framed(70, delta), expected);
}

#[test]
fn every_kind_of_event_has_its_fields_in_order() {
    let usage = Usage { input_tokens: 1, total_tokens: 1, ..Usage::default() };
    let usage_text = r#""usage":{"input_tokens":1,"output_tokens":0,"total_tokens":1,"cache_read_tokens":0,"cache_write_tokens":0}"#;
    let text = || "t".to_owned();
    for (kind, fields) in [
        (Kind::MessageDelta(Delta { delta: text() }), r#""delta":"t""#.to_owned()),
        (Kind::ReasoningDelta(Delta { delta: text() }), r#""delta":"t""#.to_owned()),
        (
            Kind::MessageInterim(Interim { text: text(), already_streamed: true }),
            r#""text":"t","already_streamed":true"#.to_owned(),
        ),
        (Kind::ReasoningAvailable(Reasoning { text: text() }), r#""text":"t""#.to_owned()),
        (
            Kind::ToolStarted(Box::new(ToolStarted {
                tool: text(),
                preview: text(),
                tool_call_id: text(),
                args: json!({"a": [1, null]}),
            })),
            r#""tool":"t","preview":"t","tool_call_id":"t","args":{"a":[1,null]}"#.to_owned(),
        ),
        (
            Kind::ToolCompleted(Box::new(ToolCompleted {
                tool: text(),
                duration: 0.611,
                error: false,
                preview: text(),
                tool_call_id: text(),
                result: text(),
            })),
            r#""tool":"t","duration":0.611,"error":false,"preview":"t","tool_call_id":"t","result":"t""#
                .to_owned(),
        ),
        (
            Kind::SessionTruncated(Truncated { dropped_messages: 3 }),
            r#""dropped_messages":3"#.to_owned(),
        ),
        (
            Kind::Completed(Box::new(Completed {
                output: text(),
                usage,
                runtime: Runtime { provider: text(), model: text() },
                pending_steer: Some(text()),
            })),
            format!(
                r#""output":"t",{usage_text},"runtime":{{"provider":"t","model":"t"}},"pending_steer":"t""#
            ),
        ),
        (
            Kind::Failed(Box::new(Failed {
                error: text(),
                reason: "r",
                budget: Some("turns"),
                usage,
                output: Some(text()),
                pending_steer: Some(text()),
            })),
            format!(r#""error":"t","reason":"r","budget":"turns",{usage_text},"output":"t","pending_steer":"t""#),
        ),
        (
            Kind::Cancelled(Box::new(Cancelled { usage, output: None, pending_steer: None })),
            usage_text.to_owned(),
        ),
        (
            Kind::Interrupted(Box::new(Interrupted { error: text(), pending_steer: None })),
            r#""error":"t""#.to_owned(),
        ),
        (
            Kind::Steered(Box::new(Steered { accepted: true, text: text(), interrupt: false })),
            r#""accepted":true,"text":"t","interrupt":false"#.to_owned(),
        ),
    ] {
        let name = kind.name();
        let expected = format!(
            "id: 0\ndata: {{\"event\":\"{name}\",\"run_id\":\"{RUN_TEXT}\",\
             \"timestamp\":1795348624.056093,\"seq\":0,{fields}}}\n\n"
        );
        assert_eq!(framed(0, kind), expected);
    }
}

#[test]
fn the_prefix_is_that_of_the_types_own_display() {
    for at in [0, 1, 999_999, 1_000_000, u64::MAX] {
        for seq in [0, 9, u64::MAX] {
            let mut out = Vec::new();
            let kind = Kind::SessionTruncated(Truncated { dropped_messages: 1 });
            frame(&mut out, RunId(u128::MAX), &Event { at: Wall(at), ..event(seq, kind) });
            let (run, at) = (RunId(u128::MAX), Wall(at));
            let expected = format!(
                "id: {seq}\ndata: {{\"event\":\"session.truncated\",\"run_id\":\"{run}\",\
                 \"timestamp\":{at},\"seq\":{seq},\"dropped_messages\":1}}\n\n"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

#[test]
fn the_frame_about_lost_history_moves_no_cursor() {
    let mut out = Vec::new();
    truncated(&mut out, RUN, Wall(1_500_000), 40, 7);
    let expected = format!(
        "data: {{\"event\":\"replay.truncated\",\"run_id\":\"{RUN_TEXT}\",\"timestamp\":1.500000,\
         \"oldest_retained_seq\":40,\"requested_seq\":7}}\n\n"
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

/// Event, data, id.
type Found = (String, String, Option<String>);

fn feed<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Found>, TooLong> {
    let mut found = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut |message: Message<'_>| {
            let id = message.id.map(str::to_owned);
            found.push((message.event.to_owned(), message.data.to_owned(), id));
        })?;
    }
    Ok(found)
}

/// What `bytes` decode to, the same at every cut, and whether something is left half-received.
fn decode(bytes: &[u8]) -> (Vec<Found>, bool) {
    let mut decoder = Decoder::new(usize::MAX);
    let at_once = feed(&mut decoder, [bytes]).unwrap();
    for cut in 0..=bytes.len() {
        let pieces = [&bytes[..cut], &bytes[cut..]];
        assert_eq!(feed(&mut Decoder::new(usize::MAX), pieces).unwrap(), at_once, "cut at {cut}");
    }
    assert_eq!(feed(&mut Decoder::new(usize::MAX), bytes.chunks(1)).unwrap(), at_once);
    (at_once, !decoder.is_empty())
}

#[test]
fn the_decoder_reads_what_the_standard_says() {
    let message = |data: &str| ("message".to_owned(), data.to_owned(), None);
    for (bytes, expected) in [
        (&b"data: a\n\n"[..], vec![message("a")]),
        (b"data:a\r\rdata:  b\r\n\r\n", vec![message("a"), message(" b")]),
        (b"data: a\r\n\ndata: b\n\r\n", vec![message("a"), message("b")]),
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", vec![message("YHOO\n+2\n10")]),
        (b"data\n\ndata\ndata\n\n", vec![message(""), message("\n")]),
        (b"data:test\n\ndata: test\n\n", vec![message("test"), message("test")]),
        (b": comment\n\n:\n\nretry: 5\nother\n\n\n", vec![]),
        (b"event: x\n\ndata: a\n\n", vec![message("a")]),
        (b"Data: a\n data: b\ndata : c\n\n", vec![]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", vec![message("a")]),
        (
            b"data: \xff\xe2\x82\ndata: \xf0\x9f\xa6\x80\n\n",
            vec![message("\u{fffd}\u{fffd}\n\u{1f980}")],
        ),
    ] {
        assert_eq!(decode(bytes), (expected, false), "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_id_stays_until_it_is_changed_and_a_name_does_not() {
    let bytes =
        b"id: 1\nevent: x\ndata: a\n\ndata: b\n\nid: 2\n\nid: 3\0\ndata: c\n\nid\ndata: d\n\n";
    let found = |event: &str, data: &str, id: Option<&str>| {
        (event.to_owned(), data.to_owned(), id.map(str::to_owned))
    };
    let expected = vec![
        found("x", "a", Some("1")),
        found("message", "b", Some("1")),
        found("message", "c", Some("2")),
        found("message", "d", None),
    ];
    assert_eq!(decode(bytes), (expected, false));
}

#[test]
fn a_stream_that_was_cut_is_known_by_what_is_left() {
    for bytes in
        [&b"d"[..], b"data: a", b"data: a\n", b"data: a\r\n", b"event: x\n", b"data: a\n\n:"]
    {
        assert!(decode(bytes).1, "{}", bytes.escape_ascii());
    }
    for bytes in [&b""[..], b"\n", b"data: a\n\n", b"data: a\r\r", b"id: 1\n", b": x\n"] {
        assert!(!decode(bytes).1, "{}", bytes.escape_ascii());
    }
}

#[test]
fn an_event_over_the_bound_is_an_error_and_one_at_the_bound_is_not() {
    let stream = |len: usize| format!("data: ok\n\ndata: {}\n\n", "x".repeat(len)).into_bytes();
    for chunk in [1, 7, 1000] {
        let mut decoder = Decoder::new(106);
        assert_eq!(feed(&mut decoder, stream(100).chunks(chunk)).unwrap().len(), 2);
        let mut decoder = Decoder::new(106);
        let mut heard = 0;
        let answer = stream(101)
            .chunks(chunk)
            .try_for_each(|piece| decoder.feed(piece, &mut |_| heard += 1));
        assert_eq!((answer, heard), (Err(TooLong { max: 106 }), 1));
    }
    let mut many_lines = Decoder::new(100);
    assert!(feed(&mut many_lines, [&b"data: x\n".repeat(60)[..]]).is_err());
    let mut endless = Decoder::new(100);
    assert!(feed(&mut endless, std::iter::repeat_n(&b"y"[..], 101)).is_err());
}

#[test]
fn our_own_stream_is_read_back() {
    let mut wire = OPEN.to_vec();
    let mut expected = Vec::new();
    for seq in 0..20 {
        let delta = format!("line\n{seq}\r\n\ndata: trap\u{1f980}");
        wire.extend(framed(seq, Kind::MessageDelta(Delta { delta: delta.clone() })).bytes());
        wire.extend_from_slice(KEEPALIVE);
        expected.push((seq.to_string(), delta));
    }
    wire.extend_from_slice(CLOSED);
    let (found, left) = decode(&wire);
    let read = |(_, data, id): Found| {
        let value: Value = serde_json::from_str(&data).unwrap();
        (id.unwrap(), value["delta"].as_str().unwrap().to_owned())
    };
    assert_eq!(found.into_iter().map(read).collect::<Vec<_>>(), expected);
    assert!(!left);
}

/// The events of a recorded exchange, whatever the size of the pieces it comes in.
fn recorded(name: &str, piece: usize) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/runs").join(name);
    let bytes = std::fs::read(path).unwrap();
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let (mut dechunker, mut decoder) = (Dechunker::default(), Decoder::new(1 << 20));
    let mut events = Vec::new();
    for piece in bytes[head..].chunks(piece) {
        let mut out = Vec::new();
        assert_eq!(dechunker.feed(piece, &mut out, usize::MAX), Ok(piece.len()));
        for (_, data, _) in feed(&mut decoder, [&out[..]]).unwrap() {
            events.push(serde_json::from_str(&data).unwrap());
        }
    }
    assert!(dechunker.is_done() && decoder.is_empty());
    events
}

#[test]
fn recorded_streams_are_read_to_their_end() {
    for (name, count, last) in [
        ("run_events_tool.resp.txt", 9, "run.completed"),
        ("run_events_reasoning.resp.txt", 5, "run.completed"),
        ("run_events_stopped.resp.txt", 78, "run.cancelled"),
        ("run_events_upstream_cut.resp.txt", 232, "run.completed"),
    ] {
        let events = recorded(name, usize::MAX);
        assert_eq!(
            (events.len(), &events[events.len() - 1]["event"]),
            (count, &json!(last)),
            "{name}"
        );
        for piece in [1, 2, 3, 17, 1000] {
            assert_eq!(recorded(name, piece), events);
        }
    }
}
