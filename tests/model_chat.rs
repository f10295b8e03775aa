//! The chat completions protocol without a network: what servers send, odd things included.
#[path = "model/hear.rs"]
mod hear;

use hear::{hear, hear_cut};
use runwire::agent::Ending;
use runwire::agent::model::chat::{Answer, Progress, TURN_BYTES_MAX, Trouble};
use runwire::agent::model::{Finish, Piece, Turn};
use runwire::event::Usage;
use serde_json::{Value, json};

fn stream(messages: &[&str]) -> Vec<u8> {
    messages.iter().flat_map(|data| format!("data: {data}\n\n").into_bytes()).collect()
}

fn turn_of(messages: &[&str]) -> Turn {
    hear_cut(&stream(messages)).turn.expect("a whole turn")
}

fn trouble_of(messages: &[&str]) -> Trouble {
    hear_cut(&stream(messages)).turn.expect_err("not a turn")
}

fn delta(delta: Value) -> String {
    json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }).to_string()
}

fn finish(reason: &str) -> String {
    json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }).to_string()
}

fn call(index: Option<u64>, id: Option<&str>, name: Option<&str>, arguments: Value) -> String {
    let mut fragment = json!({ "function": { "arguments": arguments } });
    if let Some(index) = index {
        fragment["index"] = index.into();
    }
    if let Some(id) = id {
        fragment["id"] = id.into();
    }
    if let Some(name) = name {
        fragment["function"]["name"] = name.into();
    }
    delta(json!({ "tool_calls": [fragment] }))
}

fn calls_of(fragments: &[String]) -> Vec<(String, String, String)> {
    let last = finish("tool_calls");
    let messages: Vec<&str> =
        fragments.iter().map(String::as_str).chain([last.as_str(), "[DONE]"]).collect();
    let calls = turn_of(&messages).calls.into_iter();
    calls.map(|call| (call.id, call.name, call.arguments)).collect()
}

fn triple(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

#[test]
fn fragments_of_interleaved_calls_find_their_call_by_index() {
    let calls = calls_of(&[
        call(Some(0), Some("a"), Some("read"), json!("{\"p\"")),
        call(Some(1), Some("b"), Some("list"), json!("")),
        call(Some(0), None, None, json!(":1}")),
        call(Some(1), None, None, json!("{}")),
    ]);
    assert_eq!(calls, [triple("a", "read", "{\"p\":1}"), triple("b", "list", "{}")]);
}

#[test]
fn calls_with_the_same_index_and_other_ids_are_two_calls() {
    let calls = calls_of(&[
        call(Some(0), Some("a"), Some("read"), json!("{}")),
        call(Some(0), Some("b"), Some("read"), json!("{\"x\"")),
        call(Some(0), None, None, json!(":2}")),
    ]);
    assert_eq!(calls, [triple("a", "read", "{}"), triple("b", "read", "{\"x\":2}")]);
}

#[test]
fn ids_and_names_may_come_late_or_again_and_again() {
    let calls = calls_of(&[
        call(Some(0), None, None, json!(null)),
        call(Some(0), None, Some("read"), json!(null)),
        call(Some(0), Some("a"), Some("read"), json!("{")),
        call(Some(0), Some("a"), Some("read"), json!("}")),
    ]);
    assert_eq!(calls, [triple("a", "read", "{}")]);
}

#[test]
fn a_name_may_come_in_pieces() {
    let calls = calls_of(&[
        call(Some(0), Some("a"), Some("read_"), json!("")),
        call(Some(0), None, Some("file"), json!("{}")),
    ]);
    assert_eq!(calls, [triple("a", "read_file", "{}")]);
}

#[test]
fn missing_and_doubled_ids_are_made_up() {
    let calls = calls_of(&[
        call(Some(0), None, Some("one"), json!("{}")),
        call(Some(1), Some(""), Some("two"), json!("{}")),
        call(Some(2), Some("a"), Some("three"), json!("{}")),
        call(Some(3), Some("a"), Some("four"), json!("{}")),
    ]);
    let ids: Vec<&str> = calls.iter().map(|call| call.0.as_str()).collect();
    assert_eq!(ids[2], "a");
    assert!(ids.iter().all(|id| !id.is_empty()));
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), 4, "{ids:?}");
}

#[test]
fn without_an_index_a_name_begins_a_call() {
    let calls = calls_of(&[
        call(None, Some("a"), Some("read"), json!("{")),
        call(None, None, None, json!("}")),
        call(None, None, Some("list"), json!({ "path": "/tmp" })),
    ]);
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0], triple("a", "read", "{}"));
    assert_eq!(calls[1].2, r#"{"path":"/tmp"}"#, "arguments may be an object");
}

#[test]
fn a_call_cut_by_the_token_limit_is_kept_and_told_apart() {
    let fragment = call(Some(0), Some("a"), Some("read"), json!("{\"pa"));
    let turn = turn_of(&[&fragment, &finish("length"), "[DONE]"]);
    assert_eq!(turn.finish, Finish::Length);
    assert_eq!(turn.calls[0].arguments, "{\"pa");
}

#[test]
fn a_turn_with_calls_ends_in_calls_whatever_the_server_names_it() {
    let fragment = call(Some(0), Some("a"), Some("read"), json!("{}"));
    assert_eq!(turn_of(&[&fragment, &finish("stop")]).finish, Finish::ToolCalls);
    assert_eq!(turn_of(&[&fragment, "[DONE]"]).finish, Finish::ToolCalls);
    let text = delta(json!({ "content": "x" }));
    assert_eq!(turn_of(&[&text, &finish("tool_calls")]).finish, Finish::Stop);
    assert_eq!(turn_of(&[&text, &finish("content_filter")]).finish, Finish::Filtered);
}

#[test]
fn text_and_reasoning_are_told_apart_in_all_their_shapes() {
    let turn = turn_of(&[
        &delta(json!({ "role": "assistant", "content": null })),
        &delta(json!({ "reasoning": "a", "content": "" })),
        &delta(json!({ "reasoning_content": "b", "reasoning": "b" })),
        &delta(json!({ "content": [{ "type": "text", "text": "c" }] })),
        &delta(json!({ "content": "d\u{1F600}" })),
        &delta(json!({ "refusal": "e" })),
        &finish("stop"),
        "[DONE]",
    ]);
    assert_eq!((turn.reasoning.as_str(), turn.text.as_str()), ("ab", "cd\u{1F600}e"));
    assert_eq!(turn.model, "asked-for");
}

#[test]
fn usage_behind_the_finish_counts_and_missing_usage_is_zero() {
    let text = delta(json!({ "content": "x" }));
    assert_eq!(turn_of(&[&text, &finish("stop")]).usage, Usage::default());
    let usage = json!({
        "model": "real-name",
        "choices": [],
        "usage": {
            "prompt_tokens": 5, "completion_tokens": 7,
            "prompt_tokens_details": { "cached_tokens": 3, "cache_write_tokens": 2 },
        },
    });
    let turn = turn_of(&[&text, &finish("stop"), &usage.to_string(), "[DONE]"]);
    let expected = Usage {
        input_tokens: 5,
        output_tokens: 7,
        total_tokens: 12,
        cache_read_tokens: 3,
        cache_write_tokens: 2,
    };
    assert_eq!((turn.usage, turn.model.as_str()), (expected, "real-name"));
}

#[test]
fn absurd_token_counts_cannot_overflow_a_sum() {
    let usage = json!({ "choices": [], "usage": {
        "prompt_tokens": u64::MAX, "completion_tokens": u64::MAX, "total_tokens": -1,
    } });
    let turn = turn_of(&[&finish("stop"), &usage.to_string()]);
    let mut sum = turn.usage;
    sum += turn.usage;
    assert!(sum.total_tokens >= sum.input_tokens);
}

#[test]
fn the_finish_or_done_completes_a_turn_and_nothing_else_does() {
    let text = delta(json!({ "content": "x" }));
    assert_eq!(turn_of(&[&text, &finish("stop")]).text, "x");
    assert_eq!(turn_of(&[&text, "[DONE]"]).text, "x");
    assert_eq!(trouble_of(&[&text]), Trouble::Unfinished);
    assert_eq!(trouble_of(&[&text, &finish("error")]), Trouble::Unfinished);
    assert_eq!(hear([]).turn, Err(Trouble::Unfinished));
}

#[test]
fn nothing_after_done_is_heard() {
    let text = delta(json!({ "content": "x" }));
    assert_eq!(turn_of(&[&text, &finish("stop"), "[DONE]", &text, "garbage"]).text, "x");
}

#[test]
fn progress_tells_what_is_known() {
    let mut say = |_: Piece<'_>| Ok(());
    let mut answer = Answer::new("m");
    let mut feed = |message: &str| {
        answer.feed(&stream(&[message]), &mut say).unwrap();
        answer.progress()
    };
    assert_eq!(feed(&delta(json!({ "role": "assistant", "content": null }))), Progress::Nothing);
    assert_eq!(feed(&delta(json!({ "content": "x" }))), Progress::Begun);
    assert_eq!(feed(&finish("stop")), Progress::Finished);
    assert_eq!(feed("[DONE]"), Progress::Done);
}

#[test]
fn other_choices_than_the_first_are_not_heard() {
    let both = json!({ "choices": [
        { "index": 1, "delta": { "content": "no" }, "finish_reason": "stop" },
        { "index": 0, "delta": { "content": "yes" } },
    ] });
    let other = json!({ "choices": [{ "index": 1, "delta": { "content": "no" } }] });
    let turn = turn_of(&[&both.to_string(), &other.to_string(), &finish("length")]);
    assert_eq!((turn.text.as_str(), turn.finish), ("yes", Finish::Length));
}

#[test]
fn a_server_that_does_not_stream_is_understood() {
    let whole = json!({
        "model": "m", "usage": { "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3 },
        "choices": [{ "finish_reason": "stop", "message": {
            "content": "hi", "reasoning": "hm",
            "tool_calls": [
                { "function": { "name": "read", "arguments": "{}" } },
                { "id": "b", "function": { "name": "read", "arguments": "{}" } },
            ],
        } }],
    });
    let turn = hear_cut(format!("\n {whole}").as_bytes()).turn.unwrap();
    assert_eq!((turn.text.as_str(), turn.reasoning.as_str()), ("hi", "hm"));
    assert_eq!((turn.finish, turn.calls.len()), (Finish::ToolCalls, 2));
    assert_eq!(turn.usage.total_tokens, 3);
    let text = whole.to_string();
    assert_eq!(hear_cut(&text.as_bytes()[..text.len() / 2]).turn, Err(Trouble::Unfinished));
}

#[test]
fn garbage_is_named_and_shortened() {
    for came in ["<html>\n<body>Welcome</body>", "ssh-2.0 hello", "data: {\"a\":\n\n", "{nope"] {
        match hear_cut(came.as_bytes()).turn {
            Err(Trouble::Garbled(shown)) => {
                let start: String = came.chars().skip(6).take_while(|c| *c != '\n').collect();
                assert!(shown.contains(&start), "{came:?}: {shown:?}");
                assert!(!shown.contains('\n'));
            }
            other => panic!("{came:?}: {other:?}"),
        }
    }
    let long = format!("data: {}\n\n", "x".repeat(100_000));
    let Err(Trouble::Garbled(shown)) = hear([long.as_bytes()]).turn else { panic!("not garbled") };
    assert!(shown.chars().count() <= 200);
}

#[test]
fn json_that_is_not_the_protocol_is_garbled() {
    for data in ["[1,2]", "17", "\"text\"", "null", r#"{"hello":"world"}"#] {
        let got = trouble_of(&[data]);
        assert!(matches!(&got, Trouble::Garbled(shown) if shown.contains(data)), "{data}: {got:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(trouble_of(&[&format!("{{\"choices\":{deep}}}")]), Trouble::Garbled(_)));
}

#[test]
fn comments_and_unknown_fields_are_no_messages() {
    let text = delta(json!({ "content": "x" }));
    let bytes = format!(
        ": waiting\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\nretry: 10\n\
         id: 3\nevent: message\ndata: {text}\r\n\r\ndata:{}\n\n",
        finish("stop")
    );
    assert_eq!(hear_cut(bytes.as_bytes()).turn.unwrap().text, "x");
}

#[test]
fn errors_inside_a_stream_are_complaints_in_all_their_shapes() {
    let text = delta(json!({ "content": "x" }));
    for (error, status, message) in [
        (json!({ "error": { "message": "busy", "code": 429 } }), Some(429), "busy"),
        (json!({ "error": { "message": "busy", "code": "503" } }), Some(503), "busy"),
        (json!({ "error": { "message": "bad", "code": "bad_thing" } }), None, "bad"),
        (json!({ "error": "bad" }), None, "bad"),
        (json!({ "object": "error", "message": "bad", "code": 400 }), Some(400), "bad"),
        (json!({ "error": { "weird": 1 } }), None, r#"{"weird":1}"#),
    ] {
        let heard = hear_cut(&stream(&[&text, &error.to_string()]));
        match heard.turn {
            Err(Trouble::Complaint(complaint)) => {
                assert_eq!((complaint.status, complaint.message.as_str()), (status, message));
                assert_eq!(heard.text, "x", "what came before is kept");
            }
            other => panic!("{error}: {other:?}"),
        }
    }
}

#[test]
fn an_error_of_null_is_none() {
    let message = json!({ "error": null, "choices": [{ "delta": { "content": "x" } }] });
    assert_eq!(turn_of(&[&message.to_string(), &finish("stop")]).text, "x");
}

#[test]
fn a_turn_without_bounds_is_cut_off() {
    let text = delta(json!({ "content": "x".repeat(TURN_BYTES_MAX / 4) }));
    let four = stream(&[&text, &text, &text, &text]);
    assert_eq!(hear([&four[..]]).turn, Err(Trouble::Unfinished), "just within");
    let more = stream(&[&delta(json!({ "reasoning": "y" }))]);
    assert_eq!(hear([&four[..], &more]).turn, Err(Trouble::TooLong));
    let calls: Vec<String> =
        (0..200).map(|n| call(Some(n), None, Some("f"), json!("{}"))).collect();
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    assert_eq!(hear([&stream(&calls)[..]]).turn, Err(Trouble::TooLong));
    let endless = vec![b'x'; 9 * 1024 * 1024];
    assert_eq!(hear([&b"data: "[..], &endless]).turn, Err(Trouble::TooLong));
    assert_eq!(hear([&b"{"[..], &endless]).turn, Err(Trouble::TooLong));
}

#[test]
fn a_listener_that_wants_no_more_ends_the_answer() {
    let mut answer = Answer::new("m");
    let message = delta(json!({ "content": "x" }));
    let fed = answer.feed(&stream(&[&message]), &mut |_| Err(Ending::Stopped));
    assert_eq!(fed, Err(Trouble::Ended(Ending::Stopped)));
}
