//! The model client against servers that answer well, badly, late or not at all.
#![cfg(feature = "llm")]
#[path = "model/recorded.rs"]
mod recorded;
#[path = "model/server.rs"]
mod server;

use recorded::{recorded, take_apart};
use runwire::agent::Cancel;
use runwire::agent::model::chat::Answer;
use runwire::agent::model::openai::{OpenAi, OpenAiSettings, reason};
use runwire::agent::model::{Ask, Finish, Model};
use serde_json::{Map, json};
use server::*;
use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

#[test]
fn every_recorded_answer_comes_through_a_real_socket() {
    let mut seen = 0;
    for (name, bytes) in recorded() {
        let (_, body) = take_apart(&bytes);
        if !String::from_utf8_lossy(&body).contains("chat.completion") {
            continue;
        }
        let said = say(&Server::new(vec![reply(bytes)]).model());
        let mut answer = Answer::new("test-model");
        answer.feed(&body, &mut |_| Ok(())).unwrap();
        let expected = answer.end(&mut || 0, &mut |_| Ok(())).unwrap();
        assert_eq!(said.turn.as_ref().unwrap(), &expected, "{name}");
        assert_eq!(said.pieces.concat(), expected.reasoning + &expected.text, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[test]
fn every_recorded_error_fails_at_once_and_says_why() {
    let mut seen = 0;
    for (name, bytes) in recorded() {
        let (head, body) = take_apart(&bytes);
        if head.starts_with("HTTP/1.1 200") {
            continue;
        }
        let server = Server::new(vec![reply(bytes), stream(&[&text("a second try"), DONE])]);
        let (why, message) = say(&server.model()).failure();
        let expected =
            if name.contains("context") { reason::CONTEXT_EXCEEDED } else { reason::REJECTED };
        assert_eq!(why, expected, "{name}");
        let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let said = error["error"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{name}: {message}");
        assert_eq!(server.requests_seen(), 1, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn other_recorded_replies_are_garbled_answers() {
    for (name, bytes) in recorded() {
        if name == "health" || name == "models" {
            let (why, message) = say(&Server::new(vec![reply(bytes)]).model()).failure();
            assert_eq!(why, reason::GARBLED, "{name}: {message}");
        }
    }
}

#[test]
fn a_request_says_who_asks_and_for_what() {
    let server = Server::new(vec![stream(&[&text("hi"), STOP, DONE])]);
    let settings = OpenAiSettings {
        api_key: Some("sk-0123456789abcdef\n".to_owned()),
        base_url: format!("{}/", server.base_url),
        ..server.settings()
    };
    let model = OpenAi::new(settings).unwrap();
    let options = json!({ "temperature": 1 });
    let options = options.as_object().unwrap();
    let ask = Ask { model: Some("other"), entries: &[], tools: &[], options };
    let turn = model.turn(&ask, &Cancel::new(), &mut |_| Ok(())).unwrap();
    assert_eq!((turn.text.as_str(), turn.model.as_str()), ("hi", "other"));
    let (head, body) = server.next_request();
    assert!(head.starts_with("post /v1/chat/completions http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nauthorization: bearer sk-0123456789abcdef\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"), "{head}");
    assert_eq!(head.matches("\r\nhost: ").count(), 1);
    assert_eq!((&body["model"], &body["temperature"]), (&json!("other"), &json!(1)));
    assert_eq!((model.provider(), model.name()), ("openai", "test-model"));
}

#[test]
fn a_close_before_the_first_byte_is_tried_again() {
    let answer = || stream(&[&text("hi"), STOP, DONE]);
    let after_head: Script = Box::new(|stream| stream.write_all(CHUNKED.as_bytes()).unwrap());
    let firsts: Vec<(&str, Script)> = vec![
        ("closed", Box::new(|_| {})),
        ("reset", Box::new(|stream| reset(stream))),
        ("closed after the head", after_head),
    ];
    for (name, first) in firsts {
        let server = Server::new(vec![first, answer()]);
        let said = say(&server.model());
        assert_eq!(said.turn.expect(name).text, "hi");
        assert_eq!(said.pieces, ["hi"], "{name}");
        assert_eq!(server.requests_seen(), 2, "{name}");
    }
}

#[test]
fn retry_after_is_kept_to() {
    let busy = error("429 Too Many Requests", "Retry-After: 1\r\n", "{}");
    let server = Server::new(vec![busy, stream(&[&text("hi"), STOP, DONE])]);
    let start = Instant::now();
    assert_eq!(say(&server.model()).turn.unwrap().text, "hi");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.requests_seen(), 2);
}

#[test]
fn a_retry_after_beyond_the_time_out_fails_at_once() {
    let said = r#"{"error":{"message":"slow down"}}"#;
    for seconds in ["3600", "18446744073709551615"] {
        let after = format!("Retry-After: {seconds}\r\n");
        let server = Server::new(vec![error("429 Too Many Requests", &after, said)]);
        let start = Instant::now();
        let (why, message) = say(&server.model()).failure();
        assert_eq!(why, reason::OVERLOADED);
        assert!(message.contains("slow down") && message.contains("429"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn a_time_out_without_end_is_none() {
    let server = Server::new(vec![stream(&[&text("hi"), STOP, DONE])]);
    let settings = OpenAiSettings { timeout: Duration::MAX, ..server.settings() };
    assert_eq!(say(&OpenAi::new(settings).unwrap()).turn.unwrap().text, "hi");
}

#[test]
fn a_server_that_fails_three_times_is_asked_a_fourth() {
    let fail = || error("500 Internal Server Error", "", "oops");
    let answer = stream(&[&text("hi"), STOP, DONE]);
    let server = Server::new(vec![fail(), fail(), fail(), answer]);
    assert_eq!(say(&server.model()).turn.unwrap().text, "hi");
    assert_eq!(server.requests_seen(), 4);
}

#[test]
fn a_server_that_goes_on_failing_fails_the_turn() {
    let fail = || error("500 Internal Server Error", "", "oops");
    let server = Server::new(vec![fail(), fail(), fail(), fail(), fail()]);
    let (why, message) = say(&server.model()).failure();
    assert_eq!(why, reason::FAILED);
    assert!(message.contains("oops") && message.contains("Tried 4 times"), "{message}");
    assert_eq!(server.requests_seen(), 4);
}

#[test]
fn an_overloaded_server_is_asked_until_the_time_is_over() {
    let busy = || error("503 Service Unavailable", "", r#"{"error":"loading"}"#);
    let server = Server::new((0..20).map(|_| busy()).collect());
    let settings = OpenAiSettings { timeout: Duration::from_millis(1200), ..server.settings() };
    let start = Instant::now();
    let (why, message) = say(&OpenAi::new(settings).unwrap()).failure();
    assert_eq!(why, reason::OVERLOADED);
    assert!(message.contains("loading"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(4));
    assert!(server.requests_seen() >= 2);
}

#[test]
fn refusals_are_never_tried_again() {
    for (status, expected) in [
        ("400 Bad Request", reason::REJECTED),
        ("401 Unauthorized", reason::UNAUTHORIZED),
        ("403 Forbidden", reason::UNAUTHORIZED),
        ("404 Not Found", reason::REJECTED),
        ("422 Unprocessable", reason::REJECTED),
    ] {
        let server = Server::new(vec![error(status, "", "no"), stream(&[&text("hi"), STOP])]);
        let (why, message) = say(&server.model()).failure();
        assert_eq!(why, expected, "{status}");
        assert!(message.contains("no") && !message.contains("Tried"), "{message}");
        assert_eq!(server.requests_seen(), 1, "{status}");
    }
    let spent = r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#;
    let server = Server::new(vec![error("429 Too Many Requests", "", spent)]);
    assert_eq!(say(&server.model()).failure().0, reason::REJECTED);
}

#[test]
fn a_redirect_is_not_followed() {
    let moved = error("307 Temporary Redirect", "Location: https://elsewhere/v1\r\n", "");
    let server = Server::new(vec![moved, stream(&[&text("hi"), STOP])]);
    let (why, message) = say(&server.model()).failure();
    assert_eq!(why, reason::REJECTED);
    assert!(message.contains("https://elsewhere/v1"), "{message}");
    assert_eq!(server.requests_seen(), 1);
}

#[test]
fn the_key_never_shows_in_a_message() {
    let key = "sk-0123456789abcdef";
    let echo = format!(r#"{{"error":{{"message":"Incorrect API key: {key}"}}}}"#);
    let in_stream = format!(r#"{{"error":{{"message":"bad key {key}"}}}}"#);
    for script in [error("401 Unauthorized", "", &echo), stream(&[&in_stream]), reply(key)] {
        let server = Server::new(vec![script]);
        let settings = OpenAiSettings { api_key: Some(key.to_owned()), ..server.settings() };
        let (_, message) = say(&OpenAi::new(settings).unwrap()).failure();
        assert!(!message.contains(key), "{message}");
    }
}

#[test]
fn a_stream_that_is_cut_fails_and_its_text_is_not_doubled() {
    let cut = |head: &'static str, body: String, rst: bool| -> Script {
        Box::new(move |stream| {
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            if rst {
                reset_once_read(stream);
            }
        })
    };
    let hi = text("hi");
    let event = format!("data: {hi}\n\n");
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n";
    for (name, script) in [
        ("chunked, closed", cut(CHUNKED, chunk(&hi), false)),
        ("chunked, reset", cut(CHUNKED, chunk(&hi), true)),
        ("chunked and ended", cut(CHUNKED, chunk(&hi) + "0\r\n\r\n", false)),
        ("chunked, cut in a message", cut(CHUNKED, chunk(&hi) + "100\r\ndata: {\"choi", false)),
        ("close-delimited, closed", cut(UNTIL_CLOSE, event.clone(), false)),
        ("close-delimited, reset", cut(UNTIL_CLOSE, event.clone(), true)),
        ("with a length, closed", cut(length, event.clone(), false)),
        ("with a length, reset", cut(length, event.clone(), true)),
    ] {
        let server = Server::new(vec![script, stream(&[&hi, STOP, DONE])]);
        let said = say(&server.model());
        let (why, message) = said.failure();
        assert_eq!((why, said.pieces), (reason::STREAM_BROKEN, vec!["hi".to_owned()]), "{name}");
        assert!(message.contains("try again"), "{message}");
        assert_eq!(message.contains("connection reset"), name.contains("reset"), "{message}");
        assert_eq!(server.requests_seen(), 1, "{name}");
    }
}

#[test]
fn a_finished_turn_is_whole_whatever_happens_after_it() {
    let finished = chunk(&text("hi")) + &chunk(STOP);
    let endings: Vec<(&str, Script)> = vec![
        ("closed", Box::new(|_| {})),
        ("reset", Box::new(reset_once_read)),
        ("silent", Box::new(until_closed)),
    ];
    for (name, ending) in endings {
        let bytes = format!("{CHUNKED}{finished}");
        let server = Server::new(vec![Box::new(move |stream| {
            stream.write_all(bytes.as_bytes()).unwrap();
            ending(stream);
        })]);
        let settings = OpenAiSettings { timeout: Duration::from_secs(1), ..server.settings() };
        let said = say(&OpenAi::new(settings).unwrap());
        let turn = said.turn.expect(name);
        assert_eq!((turn.text.as_str(), turn.finish), ("hi", Finish::Stop), "{name}");
    }
}

#[test]
fn garbage_in_the_middle_fails_with_what_came() {
    let server = Server::new(vec![stream(&[&text("hi"), "{\"choices\":[{]", STOP, DONE])]);
    let said = say(&server.model());
    let (why, message) = said.failure();
    assert_eq!((why, said.pieces), (reason::GARBLED, vec!["hi".to_owned()]));
    assert!(message.contains(r#"{"choices":[{]"#), "{message}");
}

#[test]
fn what_does_not_speak_http_is_named_too() {
    for garbage in ["SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 200 OK\r\n\r\n<html>hello</html>"] {
        let (why, message) = say(&Server::new(vec![reply(garbage)]).model()).failure();
        assert_eq!(why, reason::GARBLED, "{message}");
    }
}

#[test]
fn a_huge_delta_comes_through_whole() {
    let huge = "\u{e9}\n".repeat(1024 * 1024);
    let server = Server::new(vec![stream(&[&text(&huge), STOP, DONE])]);
    assert_eq!(say(&server.model()).turn.unwrap().text, huge);
}

#[test]
fn an_error_inside_a_stream_is_tried_again_only_before_the_first_piece() {
    let busy = r#"{"error":{"code":429,"message":"busy"}}"#;
    let answer = || stream(&[&text("hi"), STOP, DONE]);
    let server = Server::new(vec![stream(&[busy]), answer()]);
    assert_eq!(say(&server.model()).pieces, ["hi"]);
    let server = Server::new(vec![stream(&[&text("o"), busy]), answer()]);
    let said = say(&server.model());
    assert_eq!((said.failure().0, server.requests_seen()), (reason::OVERLOADED, 1));
}

#[test]
fn silence_before_the_first_token_and_after_it_times_out() {
    for said_first in ["", CHUNKED, &format!("{CHUNKED}{}", chunk(&text("hi")))] {
        let bytes = said_first.to_owned();
        let server = Server::new(vec![Box::new(move |stream| {
            stream.write_all(bytes.as_bytes()).unwrap();
            until_closed(stream);
        })]);
        let settings = OpenAiSettings { timeout: Duration::from_millis(300), ..server.settings() };
        let start = Instant::now();
        let (why, message) = say(&OpenAi::new(settings).unwrap()).failure();
        assert_eq!(why, reason::TIMEOUT, "{message}");
        assert!(message.contains("0.3 s") && message.contains("--model-timeout"), "{message}");
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(start.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn comments_do_not_count_as_tokens() {
    let server = Server::new(vec![Box::new(|stream| {
        stream.write_all(UNTIL_CLOSE.as_bytes()).unwrap();
        // As often as the socket takes it, until the client gives up.
        while stream.write_all(b": still waiting\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    })]);
    let settings = OpenAiSettings { timeout: Duration::from_millis(300), ..server.settings() };
    let start = Instant::now();
    assert_eq!(say(&OpenAi::new(settings).unwrap()).failure().0, reason::TIMEOUT);
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_slow_but_steady_answer_may_take_longer_than_the_time_out() {
    let server = Server::new(vec![Box::new(|stream| {
        stream.write_all(CHUNKED.as_bytes()).unwrap();
        for _ in 0..6 {
            stream.write_all(chunk(&text("x")).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(150));
        }
        stream.write_all(chunk(DONE).as_bytes()).unwrap();
    })]);
    let settings = OpenAiSettings { timeout: Duration::from_millis(700), ..server.settings() };
    let said = say(&OpenAi::new(settings).unwrap());
    assert_eq!(said.turn.unwrap().text, "xxxxxx");
}

#[test]
fn a_server_that_does_not_run_is_told_at_once() {
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let model = OpenAi::new(OpenAiSettings::new(format!("http://{addr}/v1"), "m")).unwrap();
    let start = Instant::now();
    let (why, message) = say(&model).failure();
    assert_eq!(why, reason::UNREACHABLE);
    assert!(message.contains(&addr.to_string()) && message.contains("is it running?"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn turns_share_a_connection_until_the_server_closes_it() {
    let answer = stream_bytes(&[&text("hi"), STOP, DONE]);
    let chunked = format!("{CHUNKED}{}{}0\r\n\r\n", chunk(&text("hi")), chunk(DONE));
    let server = Server::new(vec![
        Box::new(move |stream| {
            for bytes in [chunked, answer] {
                stream.write_all(bytes.as_bytes()).unwrap();
                if bytes.contains("chunked") {
                    read_request(stream).expect("a second request on the same connection");
                }
            }
        }),
        stream(&[&text("hi"), STOP, DONE]),
    ]);
    let model = server.model();
    for _ in 0..3 {
        assert_eq!(say(&model).turn.unwrap().text, "hi");
    }
    assert_eq!(server.requests_seen(), 2, "the server saw two connections");
}

#[test]
fn a_large_request_refused_before_it_is_read_is_understood() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let refuse = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let body = r#"{"error":{"message":"too large"}}"#;
        let length = body.len();
        let head = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n";
        write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
        // Dropped with the request unread: a reset.
    });
    let model = OpenAi::new(OpenAiSettings::new(base_url, "m")).unwrap();
    let said = say_until(&model, &"x".repeat(16 << 20), &Cancel::new(), None);
    refuse.join().unwrap();
    let (why, message) = said.failure();
    assert_eq!(why, reason::CONTEXT_EXCEEDED, "{message}");
    assert!(message.contains("too large"));
}

#[test]
fn settings_that_cannot_work_are_refused_with_advice() {
    for (url, advice) in [
        ("", "is not a URL"),
        ("localhost:8080", "http://"),
        ("ftp://host/v1", "http://"),
        ("http://host:8080", "/v1"),
        ("http://host/v1/chat/completions", "before /chat/completions"),
        ("http://host/v1?key=1", "without a query"),
        ("http://user:secret@host/v1", "--api-key-env"),
    ] {
        let error = OpenAi::new(OpenAiSettings::new(url, "m")).err().expect(url);
        assert!(error.contains(advice), "{url}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let with_key = |key: &str| {
        let settings = OpenAiSettings::new("http://host/v1", "m");
        OpenAi::new(OpenAiSettings { api_key: Some(key.to_owned()), ..settings })
    };
    assert!(with_key("two words").is_err_and(|error| !error.contains("two words")));
    assert!(with_key("  \n").is_ok(), "an empty key is none");
    let settings = OpenAiSettings::new("https://host/v1/", "m");
    let authorities = Some(b"nothing".to_vec());
    assert!(OpenAi::new(OpenAiSettings { authorities, ..settings }).is_err());
}

#[test]
fn options_are_sent_and_do_not_change_the_stream() {
    let server = Server::new(vec![stream(&[&text("hi"), STOP, DONE])]);
    let mut options = Map::new();
    options.insert("stream".to_owned(), json!(false));
    let ask = Ask { model: None, entries: &[], tools: &[], options: &options };
    server.model().turn(&ask, &Cancel::new(), &mut |_| Ok(())).unwrap();
    assert_eq!(server.next_request().1["stream"], true);
}
