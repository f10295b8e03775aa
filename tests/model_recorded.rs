//! Every recorded answer of a real server, at every kind of cut.
#[path = "model/hear.rs"]
mod hear;
#[path = "model/recorded.rs"]
mod recorded;

use hear::{hear, hear_cut};
use recorded::{recorded, take_apart};
use runwire::agent::model::chat::Trouble;
use runwire::agent::model::{Finish, ToolCall, Turn};
use runwire::event::Usage;
use serde_json::Value;

/// The simplest thing that could be right: a recorded answer read line by line.
fn plainly(body: &str) -> Turn {
    let mut turn = Turn {
        text: String::new(),
        reasoning: String::new(),
        calls: Vec::new(),
        finish: Finish::Stop,
        usage: Usage::default(),
        model: String::new(),
    };
    let lines = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut messages: Vec<&str> = lines.filter(|data| *data != "[DONE]").collect();
    if messages.is_empty() {
        messages.push(body);
    }
    for data in messages {
        let value: Value = serde_json::from_str(data).unwrap();
        turn.model = value["model"].as_str().unwrap().to_owned();
        let usage = &value["usage"];
        if usage.is_object() {
            turn.usage.input_tokens = usage["prompt_tokens"].as_u64().unwrap();
            turn.usage.output_tokens = usage["completion_tokens"].as_u64().unwrap();
            turn.usage.total_tokens = usage["total_tokens"].as_u64().unwrap();
            turn.usage.cache_read_tokens =
                usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
        }
        let choice = &value["choices"][0];
        for said in [&choice["delta"], &choice["message"]] {
            turn.text += said["content"].as_str().unwrap_or_default();
            turn.reasoning += said["reasoning_content"].as_str().unwrap_or_default();
            for call in said["tool_calls"].as_array().into_iter().flatten() {
                if let Some(id) = call["id"].as_str() {
                    let name = call["function"]["name"].as_str().unwrap().to_owned();
                    let (id, arguments) = (id.to_owned(), String::new());
                    turn.calls.push(ToolCall { id, name, arguments });
                }
                let arguments = call["function"]["arguments"].as_str().unwrap();
                turn.calls.last_mut().unwrap().arguments += arguments;
            }
        }
        match choice["finish_reason"].as_str() {
            Some("length") => turn.finish = Finish::Length,
            Some("tool_calls") => turn.finish = Finish::ToolCalls,
            _ => {}
        }
    }
    turn
}

#[test]
fn every_recorded_answer_gives_its_turn_however_it_is_cut() {
    let mut seen = 0;
    for (name, reply) in recorded() {
        let (_, body) = take_apart(&reply);
        let text = String::from_utf8(body.clone()).unwrap();
        if !text.contains("chat.completion") {
            continue;
        }
        let heard = hear_cut(&body);
        let turn = heard.turn.unwrap_or_else(|trouble| panic!("{name}: {trouble:?}"));
        assert_eq!(turn, plainly(&text), "{name}");
        assert_eq!((heard.text, heard.reasoning), (turn.text, turn.reasoning), "{name}");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn a_recorded_stream_that_breaks_off_is_unfinished_wherever_it_breaks() {
    let mut seen = 0;
    for (name, reply) in recorded() {
        let (_, body) = take_apart(&reply);
        let text = String::from_utf8(body.clone()).unwrap();
        let Some(finished) = text.find(r#""finish_reason":"length""#) else { continue };
        if !text.starts_with("data: ") {
            continue;
        }
        let last = text[..finished].rfind("data: ").unwrap();
        let message_end = last + text[last..].find("\n\n").unwrap();
        for end in 1..message_end {
            let heard = hear([&body[..end]]);
            let first_line = text.find('\n').unwrap();
            let expected = matches!(heard.turn, Err(Trouble::Unfinished))
                || end < first_line && matches!(heard.turn, Err(Trouble::Garbled(_)));
            assert!(expected, "{name} cut at {end}: {:?}", heard.turn);
        }
        assert!(
            hear([&body[..message_end]]).turn.is_ok(),
            "{name}: complete without an empty line"
        );
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} streams");
}

#[test]
fn the_errors_recorded_from_a_server_are_its_complaints() {
    let mut seen = 0;
    for (name, reply) in recorded() {
        let (head, body) = take_apart(&reply);
        if head.starts_with("HTTP/1.1 200") {
            continue;
        }
        let status: u16 = head[9..12].parse().unwrap();
        let error: Value = serde_json::from_slice(&body).unwrap();
        match hear_cut(&body).turn {
            Err(Trouble::Complaint(complaint)) => {
                assert_eq!(complaint.status, Some(status), "{name}");
                assert_eq!(complaint.message, error["error"]["message"].as_str().unwrap());
                assert_eq!(complaint.is_context_exceeded(), name.contains("context"), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 8);
}
