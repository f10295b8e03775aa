//! A conversation with a real llama.cpp server. `make test-model` starts one and runs this.
#![cfg(feature = "llm")]
use runwire::agent::model::openai::{OpenAi, OpenAiSettings, reason};
use runwire::agent::model::{Ask, Entry, Finish, Model, Piece, ToolSpec, Turn};
use runwire::agent::{Cancel, Cause, Ending};
use runwire::request::Content;
use serde_json::{Value, json};
use std::env;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// A small machine that is busy may take a minute to read a long prompt.
const TIMEOUT: Duration = Duration::from_secs(600);

fn model() -> OpenAi {
    let var = |name| {
        let missing = |_| panic!("{name} is not set: run `make test-model`");
        env::var(name).unwrap_or_else(missing)
    };
    let settings = OpenAiSettings::new(var("RUNWIRE_TEST_BASE_URL"), var("RUNWIRE_TEST_MODEL"));
    OpenAi::new(OpenAiSettings { timeout: TIMEOUT, ..settings }).unwrap()
}

fn user(text: &str) -> Entry {
    Entry::User(Content::Text(text.to_owned()))
}

/// One turn, and the pieces it came in.
fn ask(
    entries: &[Entry],
    tools: &[ToolSpec],
    options: Value,
) -> (Result<Turn, Ending>, Vec<String>) {
    let ask = Ask { model: None, entries, tools, options: options.as_object().unwrap() };
    let mut pieces = Vec::new();
    let turn = model().turn(&ask, &Cancel::new(), &mut |piece| {
        let (Piece::Text(piece) | Piece::Reasoning(piece)) = piece;
        pieces.push(piece.to_owned());
        Ok(())
    });
    (turn, pieces)
}

fn weather() -> ToolSpec {
    ToolSpec {
        name: "get_weather",
        description: "Get the weather of a city".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": { "city": { "type": "string" } },
            "required": ["city"],
        }),
    }
}

#[test]
#[ignore = "needs a model server: make test-model"]
fn it_answers_in_pieces_and_says_what_that_cost() {
    let options = json!({ "max_tokens": 24, "temperature": 0, "seed": 1 });
    let (turn, pieces) = ask(&[user("Say hello in five words.")], &[], options);
    let turn = turn.unwrap();
    println!("{:?} {:?}", turn.text, turn.usage);
    assert!(!turn.text.is_empty() && pieces.len() > 3, "{pieces:?}");
    assert_eq!(pieces.concat(), turn.text);
    assert!(turn.usage.input_tokens > 0 && turn.usage.output_tokens > 0, "{:?}", turn.usage);
    assert_eq!(turn.usage.total_tokens, turn.usage.input_tokens + turn.usage.output_tokens);
    assert!(matches!(turn.finish, Finish::Stop | Finish::Length));
}

#[test]
#[ignore = "needs a model server: make test-model"]
fn it_calls_a_tool_and_goes_on_with_the_result() {
    let required = json!({ "tool_choice": "required", "max_tokens": 96, "temperature": 0 });
    let mut entries = vec![user("What is the weather in Paris?")];
    let turn = ask(&entries, &[weather()], required).0.unwrap();
    println!("{:?}", turn.calls);
    assert_eq!(turn.finish, Finish::ToolCalls);
    let call = turn.calls[0].clone();
    assert_eq!(call.name, "get_weather");
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
    assert!(arguments["city"].is_string(), "{arguments}");
    entries.push(Entry::Assistant { text: turn.text, calls: turn.calls });
    entries.push(Entry::Tool { call_id: call.id, result: "21 degrees, sunny".to_owned() });
    let none = json!({ "tool_choice": "none", "max_tokens": 24, "temperature": 0 });
    let turn = ask(&entries, &[weather()], none).0.unwrap();
    println!("{:?}", turn.text);
    assert!(turn.calls.is_empty());
}

#[test]
#[ignore = "needs a model server: make test-model"]
fn a_conversation_beyond_its_context_is_refused_as_such() {
    let (turn, pieces) = ask(&[user(&"one two three ".repeat(10_000))], &[], json!({}));
    let Err(Ending::Failed { reason, message }) = turn else { panic!("{turn:?}") };
    println!("{message}");
    assert_eq!((reason, pieces.len()), (reason::CONTEXT_EXCEEDED, 0));
}

#[test]
#[ignore = "needs a model server: make test-model"]
fn it_can_be_stopped_in_the_middle_of_an_answer() {
    let (cancel, model) = (Cancel::new(), model());
    let (heard, hears) = channel();
    let worker = thread::spawn({
        let cancel = cancel.clone();
        move || {
            let entries = [user("Tell me a long story about a river.")];
            let options = json!({ "max_tokens": 400, "temperature": 0 });
            let options = options.as_object().unwrap();
            let ask = Ask { model: None, entries: &entries, tools: &[], options };
            let turn = model.turn(&ask, &cancel, &mut |_| heard.send(()).map_err(Into::into));
            (turn, Instant::now())
        }
    });
    hears.recv_timeout(TIMEOUT).expect("a first piece");
    let start = Instant::now();
    cancel.cancel(Cause::Stop);
    let (turn, ended) = worker.join().unwrap();
    println!("stopped in {:?}", ended - start);
    assert_eq!(turn, Err(Ending::Stopped));
    assert!(ended - start < Duration::from_millis(250));
}
