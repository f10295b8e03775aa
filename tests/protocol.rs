//! `docs/protocol.md`: each of its commands works, in the order in which they stand there.
#![cfg(all(feature = "cli", feature = "sqlite", feature = "tokens", feature = "openapi"))]
mod served;

use served::{KEY, Place};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Refusals, and answers that do not come, end the script.
const CURL: &str =
    "curl() { command curl --no-progress-meter --fail-with-body --max-time 20 \"$@\"; }";

/// The blocks of a Markdown text that are in `sh`.
fn commands(text: &str) -> Vec<&str> {
    let blocks = text.split("\n```sh\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap()).collect()
}

#[test]
fn each_command_of_the_protocol_works() {
    let text = fs::read_to_string("docs/protocol.md").unwrap();
    let commands = commands(&text);
    assert!(commands.len() > 12, "{}", commands.len());
    let place = Place::new();
    let server = place.start(&["--approve", "risky"]);
    let mut script = format!("set -eu\n{CURL}\n");
    for (number, command) in commands.iter().enumerate() {
        let command = command.replace("127.0.0.1:8642", &server.addr.to_string());
        script += &format!("{command}\necho; echo === {number} ===\n");
    }
    let program = Path::new(env!("CARGO_BIN_EXE_runwire")).parent().unwrap();
    let path = std::env::join_paths(
        [program.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env("PATH", path.unwrap()).env("RUNWIRE_KEY", KEY);
    let done = shell.current_dir(&place.0).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let mut rest = &*said;
    for (number, command) in commands.iter().enumerate() {
        let Some((part, after)) = rest.split_once(&format!("=== {number} ===\n")) else {
            let errors = String::from_utf8_lossy(&done.stderr);
            panic!("this does not work: {command}\n{rest}\n{errors}");
        };
        assert!(!part.trim().is_empty(), "this says nothing: {command}");
        rest = after;
    }
    assert!(done.status.success());
    for sign in ["\"replayed\":true", ": stream closed", "run.cancelled", "approval_response"] {
        assert!(said.contains(sign), "{sign} was not seen: {said}");
    }
}

/// Every event and every code a client can meet is told of.
#[test]
fn the_protocol_tells_of_every_event_code_and_path() {
    let text = fs::read_to_string("docs/protocol.md").unwrap();
    let described = fs::read_to_string("src/openapi/openapi.json").unwrap();
    let described: serde_json::Value = serde_json::from_str(&described).unwrap();
    for name in runwire::event::Kind::NAMES {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
    for response in described["components"]["responses"].as_object().unwrap().values() {
        for code in response["x-codes"].as_array().unwrap().iter().filter_map(|it| it.as_str()) {
            assert!(text.contains(&format!("`{code}`")), "{code}");
        }
    }
    for path in described["paths"].as_object().unwrap().keys().filter(|path| *path != "/") {
        let fixed = path.split("/{").next().unwrap();
        assert!(text.contains(fixed), "{path}");
        let last = path.rsplit('/').next().unwrap();
        assert!(last.starts_with('{') || text.contains(&format!("/{last}")), "{path}");
    }
}
