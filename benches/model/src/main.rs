//! A model that costs next to nothing, for what a run costs through the tool loop: `model PORT`.
//!
//! It speaks OpenAI's chat completions, streaming. A request whose last message is the user's is
//! answered with a call of a tool: of `terminal` where it says `bench command`, else of `read_file`.
//! One whose last message is a tool's is answered with 200 deltas of 64 bytes. All answers are
//! rendered once, and each is sent in one write.
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

const DELTAS: usize = 200;
const DELTA_BYTES: usize = 64;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
const ROLE: &str = r#"{"role":"assistant","content":""}"#;
/// A file that cargo has put into the workspace of the benchmark, `target`.
const READ: &str = r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"read_file","arguments":"{\"path\":\"CACHEDIR.TAG\"}"}}]}"#;
const COMMAND: &str = r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"terminal","arguments":"{\"command\":\"echo bench\"}"}}]}"#;

struct Answers {
    read: Vec<u8>,
    command: Vec<u8>,
    text: Vec<u8>,
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.ok_or_else(|| io::Error::other("usage: model PORT"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let said = format!(r#"{{"content":"{}"}}"#, "x".repeat(DELTA_BYTES));
    let answers = Arc::new(Answers {
        read: answer(&[READ], "tool_calls"),
        command: answer(&[COMMAND], "tool_calls"),
        text: answer(&vec![said.as_str(); DELTAS], "stop"),
    });
    for stream in listener.incoming() {
        let (stream, answers) = (stream?, answers.clone());
        // A connection that breaks off has nobody left to tell.
        std::thread::spawn(move || serve(&stream, &answers));
    }
    Ok(())
}

fn answer(deltas: &[&str], reason: &str) -> Vec<u8> {
    let mut text = HEAD.to_owned();
    for delta in [ROLE].iter().chain(deltas) {
        chunk(&mut text, &format!(r#"[{{"index":0,"delta":{delta},"finish_reason":null}}]"#), "");
    }
    chunk(&mut text, &format!(r#"[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]"#), "");
    let count = deltas.len();
    let usage = format!(
        r#","usage":{{"prompt_tokens":10,"completion_tokens":{count},"total_tokens":{}}}"#,
        count + 10
    );
    chunk(&mut text, "[]", &usage);
    text += "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n";
    text.into_bytes()
}

fn chunk(text: &mut String, choices: &str, usage: &str) {
    let event = format!(
        "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\
         \"model\":\"bench\",\"choices\":{choices}{usage}}}\n\n"
    );
    *text += &format!("{:x}\r\n{event}\r\n", event.len());
}

/// Answers one request after the other.
fn serve(stream: &TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut body) = (String::new(), Vec::new());
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_get = line.starts_with("GET ");
        let mut length = 0;
        while !line.trim_end().is_empty() {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0).min(BODY_BYTES_MAX);
            }
        }
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
        let answer = match () {
            () if is_get => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".as_slice(),
            () if is_after_tool(&body) => &answers.text,
            () if is_of_a_command(&body) => &answers.command,
            () => &answers.read,
        };
        (&mut &*stream).write_all(answer)?;
    }
}

/// Whether the user has asked for `bench command`.
fn is_of_a_command(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("bench command")
}

/// Whether the last message is a tool's.
fn is_after_tool(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let last = text.rsplit("\"role\"").next().unwrap_or_default();
    last.trim_start_matches([':', ' ']).starts_with("\"tool\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_called_until_it_has_answered() {
        assert!(!is_after_tool(br#"{"messages":[{"role":"user","content":"x"}]}"#));
        assert!(is_after_tool(br#"{"messages":[{"role":"user"},{"role": "tool","content":"x"}]}"#));
        assert!(!is_after_tool(br#"{"messages":[{"role":"tool"},{"role":"user"}]}"#));
    }

    #[test]
    fn chunks_have_the_sizes_they_say() {
        let text = String::from_utf8(answer(&[READ], "tool_calls")).expect("text");
        let mut rest = text.strip_prefix(HEAD).expect("a head");
        let mut events = 0;
        loop {
            let (size, behind) = rest.split_once("\r\n").expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a number");
            assert!(behind[size..].starts_with("\r\n"), "{rest}");
            if size == 0 {
                break;
            }
            assert!(behind[..size].starts_with("data: ") && behind[..size].ends_with("\n\n"));
            events += 1;
            rest = &behind[size + 2..];
        }
        assert_eq!(events, 5);
    }
}
