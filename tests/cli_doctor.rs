//! `runwire doctor`, by the real binary: what is well, what is not, and how soon it says so.
#![cfg(all(feature = "cli", feature = "config"))]
mod cli_kit;

use cli_kit::{Done, Home};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What was found of one thing.
fn check(done: &Done, name: &str) -> Value {
    let report: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{}", done.err));
    let fails = report["checks"].as_array().unwrap().iter().any(|check| check["level"] == "fail");
    assert_eq!((done.code(), report["ok"] == true), (i32::from(fails), !fails), "{report}");
    report["checks"].as_array().unwrap().iter().find(|it| it["check"] == name).unwrap().clone()
}

fn doctor(home: &Home, args: &[&str]) -> Done {
    home.run(&[&["doctor", "--json", "--port", "0"], args].concat())
}

fn says(check: &Value, level: &str, said: &str) {
    let is_said = check["said"].as_str().unwrap().contains(said);
    assert!(check["level"] == level && is_said, "{check} is not {level}: {said}");
}

/// A server that gives one answer to everybody, and tells the heads of the requests.
fn model_server(status: &'static str, body: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, heads) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let length = body.len();
            let reply = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(reply.as_bytes());
            let _ = sender.send(head.join("\n"));
        }
    });
    (url, heads)
}

const MODELS: &str = r#"{"object":"list","data":[{"id":"small-1"},{"id":"large-1"}]}"#;

#[test]
fn an_untouched_home_is_well_and_stays_untouched() {
    let home = Home::new();
    let done = doctor(&home, &[]);
    for name in ["configuration", "key", "state", "store", "port", "model", "limits", "clock"] {
        says(&check(&done, name), "ok", "");
    }
    assert_eq!(fs::read_dir(&home.0).unwrap().count(), 0, "it has made something");
    let text = home.run(&["doctor", "--port", "0"]);
    assert!(text.out.starts_with("ok    configuration  "), "{}", text.out);
}

#[test]
fn a_model_is_found_in_the_list_of_its_server_which_is_asked_nothing_else() {
    let (url, heads) = model_server("200 OK", MODELS);
    let done = doctor(&Home::new(), &["--base-url", &url, "--model", "large-1"]);
    says(&check(&done, "model"), "ok", "has large-1");
    assert!(heads.recv().unwrap().starts_with("GET /v1/models HTTP"));
    assert!(heads.try_recv().is_err());
    let done = doctor(&Home::new(), &["--base-url", &url, "--model", "huge-1"]);
    says(&check(&done, "model"), "warn", "it has small-1, large-1");
}

#[test]
fn a_model_that_refuses_or_is_not_there_fails() {
    let (url, _heads) = model_server("401 Unauthorized", "{}");
    let done = doctor(&Home::new(), &["--base-url", &url, "--model", "m"]);
    says(&check(&done, "model"), "fail", "does not take the key");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/v1");
    let done = doctor(&Home::new(), &["--base-url", &url, "--model", "m"]);
    says(&check(&done, "model"), "fail", "cannot be reached");
}

#[test]
fn a_model_that_never_answers_does_not_keep_the_doctor() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", silent.local_addr().unwrap());
    let begun = Instant::now();
    let done = doctor(&Home::new(), &["--base-url", &url, "--model", "m"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_ne!(check(&done, "model")["level"], "ok");
    says(&check(&done, "clock"), "ok", "");
}

#[test]
fn a_runwire_on_the_port_is_known_and_a_stranger_is_not() {
    let home = Home::new();
    let server = home.serve(&[]);
    let port = server.addr().rsplit_once(':').unwrap().1;
    let done = home.run(&["doctor", "--json", "--port", port]);
    says(&check(&done, "port"), "ok", concat!("runwire ", env!("CARGO_PKG_VERSION")));
    says(&check(&done, "key"), "ok", "there, and private");
    if cfg!(feature = "sqlite") {
        says(&check(&done, "store"), "ok", "nothing is wrong; a server has it open");
        drop(server);
        says(&check(&doctor(&home, &[]), "store"), "ok", "wrong; no server has it open");
    }
    let (url, _heads) = model_server("200 OK", "{}");
    let port = url.trim_end_matches("/v1").rsplit_once(':').unwrap().1;
    let done = home.run(&["doctor", "--json", "--port", port]);
    says(&check(&done, "port"), "fail", "taken by another program");
}

#[test]
fn what_is_broken_is_told_of_beside_the_rest() {
    let home = Home::new();
    drop(home.serve(&["--store", "memory"]));
    fs::set_permissions(home.key_file(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(home.0.join("c.toml"), "prot = 1").unwrap();
    fs::write(home.0.join(".local/state/runwire/runs.db"), "no database at all").unwrap();
    let done = home.run(&["doctor", "--json", "--config", "c.toml"]);
    says(&check(&done, "configuration"), "fail", "c.toml:1: There is no setting \"prot\"");
    says(&check(&done, "key"), "warn", "other users may read");
    if cfg!(feature = "sqlite") {
        says(&check(&done, "store"), "fail", "");
    }
    fs::write(home.0.join("file"), "").unwrap();
    let done = doctor(&home, &["--state", "file"]);
    says(&check(&done, "state"), "fail", "is no directory");
}
