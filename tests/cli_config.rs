//! The configuration file and `runwire config`, by the real binary in a home of its own.
#![cfg(all(feature = "cli", feature = "config"))]
mod cli_kit;

use cli_kit::{Done, Home, finish};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A home whose usual configuration file is this.
fn home_with(text: &str) -> Home {
    let home = Home::new();
    let dir = home.0.join(".config/runwire");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), text).unwrap();
    home
}

/// Value, source and place of a setting.
fn setting(done: &Done, name: &str) -> [String; 3] {
    assert_eq!(done.code(), 0, "{}", done.err);
    let shown: Value = serde_json::from_str(&done.out).unwrap();
    let rows = shown["settings"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == name).unwrap();
    ["value", "source", "from"].map(|field| row[field].as_str().unwrap().to_owned())
}

#[test]
fn a_flag_goes_before_a_variable_that_before_the_file_and_that_before_the_default() {
    let home = home_with("# ours\nmax-runs = 7\nport = 9_001\nmax_queue = 5\n");
    let mut command = home.command(&["config", "--json", "--max-runs", "3"]);
    command.env("RUNWIRE_MAX_RUNS", "4").env("API_SERVER_PORT", "9002");
    let done = finish(command.spawn().unwrap());
    assert_eq!(setting(&done, "max-runs"), ["3", "flag", "--max-runs"]);
    assert_eq!(setting(&done, "port"), ["9002", "variable", "API_SERVER_PORT"]);
    let [value, source, place] = setting(&done, "max-queue");
    assert_eq!([value.as_str(), source.as_str()], ["5", "file"]);
    assert!(place.ends_with("/.config/runwire/config.toml:4"), "{place}");
    assert_eq!(setting(&done, "host"), ["127.0.0.1", "default", "default"]);
}

#[test]
fn a_server_does_what_the_file_says() {
    let home = home_with("allowed-hosts = [\"a.example\", \"b.example\"]\nworkspace = \"work\"\n");
    fs::create_dir(home.0.join(".config/runwire/work")).unwrap();
    let server = home.serve(&[]);
    assert!(server.greeting.contains("/.config/runwire/work\n"), "{}", server.greeting);
    let reply = |host: &str| {
        let mut stream = std::net::TcpStream::connect(server.addr()).unwrap();
        let head = format!("GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(reply("b.example").starts_with("HTTP/1.1 200"));
    assert!(!reply("c.example").starts_with("HTTP/1.1 200"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_line_and_ends_with_2() {
    for (text, line, said) in [
        ("\nmax-run = 8\n", 2, "Did you mean max-runs?"),
        ("banana = 8\n", 1, "`runwire config --example` lists them"),
        ("port = true\n", 1, "port: expected a port"),
        ("port = 1.5\n", 1, "whole number"),
        ("port = -1\n", 1, "whole number"),
        ("port = [1, 2]\n", 1, "got a list"),
        ("port = 1\n\nport = 2\n", 3, "port is set on line 1 already"),
        ("max-runs = 1\nmax_runs = 2\n", 2, "max-runs is set on line 1 already"),
        ("port = \n", 1, ""),
        ("model = \"gpt\n", 1, ""),
        ("[server]\nport = 1\n", 1, "not in tables"),
        ("server.port = 1\n", 1, "no dots"),
        ("host = { a = 1 }\n", 1, "not in tables"),
        ("cors-origins = [[\"*\"]]\n", 1, "a list holds strings"),
        ("config = \"other.toml\"\n", 1, "cannot name another"),
        ("key = \"short-secret\"\n", 1, "got 12 characters"),
    ] {
        let home = home_with(text);
        for command in [&["config"][..], &["serve"], &["run", "list files"]] {
            let done = home.run(command);
            assert_eq!(done.code(), 2, "{text:?} {command:?}: {}", done.err);
            let place = format!("config.toml:{line}: ");
            assert!(done.err.contains(&place) && done.err.contains(said), "{text:?}: {}", done.err);
            assert!(!done.err.contains("short-secret"), "{}", done.err);
        }
    }
}

#[test]
fn a_file_that_is_named_must_be_there_and_be_a_file() {
    let home = Home::new();
    for path in ["nowhere.toml", "."] {
        let done = home.run(&["config", "--config", path]);
        assert_eq!(done.code(), 2, "{path}");
        assert!(done.err.contains(&format!("configuration {path}")), "{}", done.err);
    }
    assert_eq!(home.run(&["config"]).code(), 0, "none is needed");
    fs::write(home.0.join("bytes.toml"), b"\xff").unwrap();
    assert!(home.run(&["config", "--config", "bytes.toml"]).err.contains("not UTF-8"));
}

#[test]
fn a_key_in_the_file_is_not_shown_and_others_who_may_read_it_are_warned_of() {
    let home = home_with("key = \"0123456789abcdef-secret\"\n");
    let file = home.0.join(".config/runwire/config.toml");
    for (mode, is_warned) in [(0o644, true), (0o600, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let done = home.run(&["config", "--json"]);
        assert_eq!(setting(&done, "key")[..2], ["(set)", "file"]);
        assert!(!(done.out.clone() + &done.err).contains("abcdef-secret"));
        assert_eq!(done.err.contains("chmod 600"), is_warned, "{mode:o}: {}", done.err);
    }
}

#[test]
fn the_example_sets_nothing_as_it_is() {
    let home = Home::new();
    let example = home.run(&["config", "--example"]).out;
    let home = home_with(&example);
    let done = home.run(&["config"]);
    assert_eq!(done.code(), 0, "{}", done.err);
    assert!(done.out.lines().all(|line| line.ends_with("  default")), "{}", done.out);
}

#[test]
fn the_document_has_a_row_for_every_setting_and_no_other() {
    let text = include_str!("../docs/configuration.md");
    let done = Home::new().run(&["config", "--json"]);
    let shown: Value = serde_json::from_str(&done.out).unwrap();
    let mut rows = text.lines().filter(|line| line.starts_with("| `"));
    for row in shown["settings"].as_array().unwrap() {
        let (name, value) = (row["name"].as_str().unwrap(), row["value"].as_str().unwrap());
        let start = format!("| `{name}` | `{}` | ", value.trim_matches(['(', ')']));
        let line = rows.next().unwrap_or_else(|| panic!("no row for {name}"));
        assert!(line.starts_with(&start), "{line} is not {start}");
    }
    assert_eq!(rows.next(), None);
}
