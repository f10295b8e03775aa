//! The examples of embedding as programs of their own, and the one the README shows.
#![cfg(all(feature = "cli", feature = "llm", feature = "sqlite"))]
mod served;

use serde_json::Value;
use served::model::{LAST_WORD, Model};
use served::{Place, wait_for, wire};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Builds an example, which is quick where `cargo test` has built it already.
fn built(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_runwire"));
    let folder = program.parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--offline", "--all-features", "--example", name]);
    build.arg("--target-dir").arg(folder.parent().unwrap());
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "{name} does not compile");
    folder.join("examples").join(name)
}

/// An example that listens. Dropping it kills it.
struct Example {
    child: Child,
    addr: SocketAddr,
}

impl Example {
    fn start(name: &str, place: &Place, args: &[&str], env: &[(&str, &str)]) -> Example {
        let mut command = Command::new(built(name));
        command.args(args).env_clear().envs(env.iter().copied()).env("TMPDIR", &place.0);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on http://");
        let addr = addr.unwrap_or_else(|| panic!("{name} says {line:?}")).parse().unwrap();
        Example { child, addr }
    }

    /// All events of a run with that input, which it must end.
    fn run(&self, input: &str) -> Vec<Value> {
        let body = serde_json::json!({ "input": input }).to_string();
        let reply = wire::ask(self.addr, "POST", "/v1/runs", "", &body).unwrap();
        assert_eq!(reply.status, 202, "{reply:?}");
        let run = reply.json()["run_id"].as_str().unwrap().to_owned();
        let frames = wire::Stream::open(self.addr, &run, None).unwrap().expect("a stream").rest();
        frames.unwrap().iter().map(wire::Frame::json).collect()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(events: &[Value]) -> String {
    let deltas = events.iter().filter(|event| event["event"] == "message.delta");
    deltas.map(|event| event["delta"].as_str().unwrap()).collect()
}

#[test]
fn embed_answers_keeps_its_runs_and_lets_them_finish() {
    let place = Place::new();
    let file = place.file();
    let args = ["0", file.to_str().unwrap()];
    let mut embed = Example::start("embed", &place, &args, &[]);
    let events = embed.run("hello there");
    assert_eq!(said(&events), "hello there");
    assert_eq!(events.last().unwrap()["event"], "run.completed");
    let run = events[0]["run_id"].as_str().unwrap().to_owned();

    Command::new("kill").args(["-TERM", &embed.child.id().to_string()]).status().unwrap();
    let status = wait_for("its end", || embed.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    let embed = Example::start("embed", &place, &args, &[]);
    let kept = wire::Stream::open(embed.addr, &run, None).unwrap().expect("a stream").rest();
    let kept: Vec<Value> = kept.unwrap().iter().map(wire::Frame::json).collect();
    assert_eq!(kept, events);
}

#[test]
fn a_model_calls_the_custom_tool_and_hears_what_tea_costs() {
    let (place, model) = (Place::new(), Model::start());
    let env = [("BASE_URL", model.base_url.as_str()), ("MODEL", "scripted")];
    let shop = Example::start("custom_tool", &place, &["0"], &env);
    let events = shop.run("call price {\"thing\":\"tea\"}");
    let done: Vec<_> = events.iter().filter(|it| it["event"] == "tool.completed").collect();
    assert_eq!(done.len(), 1, "{events:?}");
    assert_eq!(done[0]["tool"], "price");
    assert!(done[0].to_string().contains("2.50"), "{}", done[0]);
    assert!(said(&events).ends_with(LAST_WORD), "{events:?}");
    assert_eq!(events.last().unwrap()["event"], "run.completed");

    let events = shop.run("call price {\"thing\":\"coffee\"}");
    assert!(format!("{events:?}").contains("We have only tea and cake."), "{events:?}");
}

#[test]
fn the_readme_shows_the_program_that_the_documentation_compiles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let shown = readme.split("```rust\n").nth(1).expect("a program").split("```").next().unwrap();
    let library = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let compiled = library.split("//! ```no_run\n").nth(1).expect("a program");
    let compiled = compiled.split("//! ```").next().unwrap();
    let line = |line: &str| line.strip_prefix("//!").unwrap().trim_start_matches(' ').to_owned();
    let compiled: Vec<String> = compiled.lines().map(line).collect();
    let shown: Vec<&str> = shown.lines().map(|line| line.trim_start_matches(' ')).collect();
    assert_eq!(shown, compiled);
}
