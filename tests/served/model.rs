//! A model that does what the input says and outlives the servers that ask it.
//!
//! An input is words with a number behind each: `words 20 tools 2 pace 100 think 3` has it think
//! in three pieces, call two tools in as many turns, and answer in twenty words, a tenth of a
//! millisecond apart. What is not named is 0. `sleep 5` makes its tools commands that take five
//! milliseconds, `linger 5` has it take as long between its last word and its end, `size 9` makes
//! each word so much longer, `wait 1` has it fall silent until it is told to go on, and `ask 1` has
//! its tools be a command that needs somebody's leave. `call NAME ARGUMENTS`, with nothing behind
//! it, has it call one tool of that name.
use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The last word of every answer.
pub const LAST_WORD: &str = "that-was-all";

pub struct Model {
    pub base_url: String,
    /// Connections in which it has fallen silent.
    silent: Arc<Mutex<Vec<TcpStream>>>,
}

impl Model {
    pub fn start() -> Model {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let silent = Arc::default();
        let held: Arc<Mutex<Vec<TcpStream>>> = Arc::clone(&silent);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let held = Arc::clone(&held);
                // A server that was killed in the middle is not this one's trouble.
                thread::spawn(move || drop(answer(stream, &held)));
            }
        });
        Model { base_url, silent }
    }

    /// The flags that have a server ask it.
    pub fn flags(&self) -> [&str; 4] {
        ["--base-url", &self.base_url, "--model", "scripted"]
    }

    /// Goes on wherever it has fallen silent.
    pub fn go_on(&self) {
        for mut stream in self.silent.lock().unwrap().drain(..) {
            let _ = say(&mut stream, json!({ "content": LAST_WORD }));
            let _ = end(&mut stream, "stop");
        }
    }
}

fn answer(mut stream: TcpStream, silent: &Mutex<Vec<TcpStream>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let asked = read_request(&mut stream)?;
    let messages = asked["messages"].as_array().cloned().unwrap_or_default();
    let last = messages.iter().rposition(|it| it["role"] == "user").unwrap_or(0);
    let input = messages[last]["content"].as_str().unwrap_or("").to_owned();
    let called = messages[last..].iter().filter(|it| it["role"] == "tool").count() as u64;
    let pace = Duration::from_micros(number(&input, "pace"));
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
    )?;
    for index in 0..number(&input, "think") {
        say(&mut stream, json!({ "reasoning_content": format!("hm-{index} ") }))?;
    }
    if called == 0
        && let Some((name, arguments)) = named_call(&input)
    {
        let function = json!({ "name": name, "arguments": arguments });
        let call = json!({ "index": 0, "id": "call-0", "function": function });
        say(&mut stream, json!({ "tool_calls": [call] }))?;
        return end(&mut stream, "tool_calls");
    }
    if called < number(&input, "tools") {
        say(&mut stream, json!({ "content": "I look. " }))?;
        let function = match number(&input, "sleep") {
            _ if number(&input, "ask") > 0 => {
                json!({ "name": "terminal", "arguments": "{\"command\":\"sudo -n true\"}" })
            }
            0 => json!({ "name": "list_files", "arguments": "{\"path\":\".\"}" }),
            ms => {
                let arguments = json!({ "command": format!("sleep {}", ms as f64 / 1000.0) });
                json!({ "name": "terminal", "arguments": arguments.to_string() })
            }
        };
        let call = json!({ "index": 0, "id": format!("call-{called}"), "function": function });
        say(&mut stream, json!({ "tool_calls": [call] }))?;
        return end(&mut stream, "tool_calls");
    }
    let size = number(&input, "size") as usize;
    for index in 0..number(&input, "words") {
        let filler = "x".repeat(size);
        say(&mut stream, json!({ "content": format!("word-{index}{filler} ") }))?;
        thread::sleep(pace);
    }
    if number(&input, "wait") > 0 {
        say(&mut stream, json!({ "content": "now I wait " }))?;
        silent.lock().unwrap().push(stream);
        return Ok(());
    }
    say(&mut stream, json!({ "content": LAST_WORD }))?;
    thread::sleep(Duration::from_millis(number(&input, "linger")));
    end(&mut stream, "stop")
}

fn named_call(input: &str) -> Option<(&str, &str)> {
    input.strip_prefix("call ")?.split_once(' ')
}

/// The value behind the word `name`, or 0.
fn number(input: &str, name: &str) -> u64 {
    let mut words = input.split(' ').skip_while(|word| *word != name).skip(1);
    words.next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn say(stream: &mut TcpStream, delta: Value) -> io::Result<()> {
    write(stream, &json!({ "choices": [{ "index": 0, "delta": delta }] }))
}

fn end(stream: &mut TcpStream, reason: &str) -> io::Result<()> {
    write(stream, &json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": reason }] }))?;
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 });
    write(stream, &json!({ "choices": [], "usage": usage }))?;
    stream.write_all(b"data: [DONE]\n\n")
}

fn write(stream: &mut TcpStream, data: &Value) -> io::Result<()> {
    stream.write_all(format!("data: {data}\n\n").as_bytes())
}

fn read_request(stream: &mut TcpStream) -> io::Result<Value> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..count]);
        let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..at]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|it| it.lines().next());
        let length: usize = length.and_then(|it| it.parse().ok()).unwrap_or(0);
        if bytes.len() >= at + 4 + length {
            return Ok(serde_json::from_slice(&bytes[at + 4..]).unwrap());
        }
    }
}
