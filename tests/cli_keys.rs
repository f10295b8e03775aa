//! `runwire key` and a server at work: keys made, listed, rotated and taken away, and what a server
//! makes of a file of keys that is not as it should be.
#![cfg(all(feature = "cli", feature = "sqlite"))]
mod cli_kit;

use cli_kit::{Home, Served, finish, http};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

const AGAIN: &str = "The keys were read again";
const AS_THEY_WERE: &str = "Warning: the keys stay as they were";

fn keys_file(home: &Home) -> PathBuf {
    home.0.join(".local/state/runwire/keys.json")
}

/// Writes a file of keys by hand.
fn write_keys(home: &Home, content: &str, mode: u32) {
    let path = keys_file(home);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// Makes a key, which must work, and gives its secret.
fn add(home: &Home, args: &[&str]) -> String {
    let done = home.run(&[&["key", "add"], args].concat());
    assert_eq!(done.code(), 0, "{}", done.err);
    done.out.trim().to_owned()
}

fn ask(server: &Served, method: &str, path: &str, key: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "\r\nContent-Type: application/json" };
    let head = format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {key}{kind}");
    http(server.addr(), &head, body)
}

fn status(server: &Served, path: &str, key: &str) -> u16 {
    status_of(&ask(server, "GET", path, key, ""))
}

fn status_of(reply: &str) -> u16 {
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

fn run(server: &Served, key: &str) -> String {
    let reply = ask(server, "POST", "/v1/runs", key, "{\"input\":\"hello\"}");
    assert_eq!(status_of(&reply), 202, "{reply}");
    let at = reply.find("run_").unwrap();
    reply[at..at + 36].to_owned()
}

#[test]
fn a_key_is_printed_once_and_listed_without_its_secret() {
    let home = Home::new();
    let secret = add(&home, &["app", "--max-runs", "2", "--requests-per-minute", "30"]);
    let other = add(&home, &["ci", "--scope", "runs:read,admin"]);
    assert!(secret.len() == 64 && secret != other);
    let list = home.run(&["key", "list"]).out;
    assert_eq!(
        list,
        "default  admin\n\
         app      runs:write,runs:read,runs:control  runs 2  requests/min 30\n\
         ci       runs:read,admin\n"
    );
    let mode = fs::metadata(keys_file(&home)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_cannot_be_done_with_a_key_is_said_and_changes_nothing() {
    let home = Home::new();
    add(&home, &["app"]);
    let before = fs::read_to_string(keys_file(&home)).unwrap();
    for (args, code, says) in [
        (&["add", "app"][..], 1, "already"),
        (&["add", "default"], 2, "first key"),
        (&["add", "a b"], 2, "no name"),
        (&["add", ""], 2, "no name"),
        (&["add"], 2, "which key"),
        (&["add", "x", "--scope", "runs:all"], 2, "runs:write"),
        (&["add", "x", "--scope", ""], 2, "--scope"),
        (&["add", "x", "--max-runs", "0"], 2, "--max-runs"),
        (&["add", "x", "--requests-per-minute", "4294967296"], 2, "--requests-per-minute"),
        (&["add", "x", "y"], 2, "one word too many"),
        (&["revoke", "nobody"], 1, "no key `nobody`"),
        (&["revoke", "default"], 1, "rotate"),
        (&["revoke", "app", "--scope", "admin"], 2, "runwire key add"),
        (&["rotate", "nobody"], 1, "no key `nobody`"),
        (&["list", "app"], 2, "no name"),
        (&["revok", "app"], 2, "revoke"),
    ] {
        let done = home.run(&[&["key"], args].concat());
        assert_eq!(done.code(), code, "{args:?}: {}", done.err);
        assert!(done.err.contains(says), "{args:?}: {}", done.err);
        assert_eq!(done.out, "", "{args:?}");
    }
    assert_eq!(fs::read_to_string(keys_file(&home)).unwrap(), before);
}

#[test]
fn of_many_keys_made_at_once_none_is_lost() {
    let home = Home::new();
    let names: Vec<String> = (0..12).map(|number| format!("key{number}")).collect();
    let making = names.iter().map(|name| home.command(&["key", "add", name]).spawn().unwrap());
    let making: Vec<_> = making.collect();
    let secrets: Vec<String> = making.into_iter().map(|child| finish(child).out).collect();
    let file = fs::read_to_string(keys_file(&home)).unwrap();
    for (name, secret) in names.iter().zip(&secrets) {
        assert!(file.contains(&format!("\"{name}\"")), "{name} is missing");
        assert!(file.contains(secret.trim()), "{name} has another secret than was printed");
    }
    let left = fs::read_dir(keys_file(&home).parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "beside the keys and their lock: {left:?}");
}

#[test]
fn a_running_server_learns_of_each_change_and_runs_stay_their_keys() {
    let home = Home::new();
    let server = home.serve(&[]);
    let first = home.run(&["key"]).out.trim().to_owned();
    let app = add(&home, &["app"]);
    server.wait_for("The keys were read again: default, app.");
    let made = run(&server, &app);
    let path = format!("/v1/runs/{made}");
    assert_eq!(status(&server, &path, &app), 200);
    assert_eq!(status(&server, &path, &first), 404, "not even the first key sees it");

    let rotated = home.run(&["key", "rotate", "app"]).out.trim().to_owned();
    server.wait_for(AGAIN);
    assert_eq!(status(&server, &path, &app), 401);
    assert_eq!(status(&server, &path, &rotated), 200, "the run is the name's");

    let new_first = home.run(&["key", "rotate", "default"]).out.trim().to_owned();
    server.wait_for(AGAIN);
    assert_eq!(status(&server, "/v1/models", &first), 401);
    assert_eq!(status(&server, "/v1/models", &new_first), 200);
    assert_eq!(home.run(&["key"]).out.trim(), new_first);

    let revoked = home.run(&["key", "revoke", "app"]);
    assert!(revoked.err.contains(&format!("process {}", server.id())), "{}", revoked.err);
    server.wait_for("The keys were read again: default.");
    assert_eq!(status(&server, &path, &rotated), 401);
    let again = add(&home, &["app"]);
    server.wait_for(AGAIN);
    assert_eq!(status(&server, &path, &again), 200, "its runs had stayed");
}

#[test]
fn a_stream_of_a_revoked_key_is_cut_off_and_others_go_on() {
    let home = Home::new();
    let (app, ann) = (add(&home, &["app"]), add(&home, &["ann"]));
    let server = home.serve(&[]);
    let mut streams = [&app, &ann].map(|key| {
        let body = "{\"input\":\"run `sleep 30`\"}";
        let reply = ask(&server, "POST", "/v1/runs", key, body);
        let at = reply.find("run_").unwrap();
        let path = format!("/v1/runs/{}/events", &reply[at..at + 36]);
        let mut stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let host = server.addr();
        let auth = format!("Authorization: Bearer {key}");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n\r\n").unwrap();
        let mut seen = String::new();
        while !seen.contains("tool.started") {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "{seen}");
            seen.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        (path, stream)
    });
    assert_eq!(home.run(&["key", "revoke", "app"]).code(), 0);
    server.wait_for(AGAIN);
    let mut rest = String::new();
    streams[0].1.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("run.c"), "cut off, not ended: {rest}");

    let stop = streams[1].0.replace("/events", "/stop");
    assert_eq!(status_of(&ask(&server, "POST", &stop, &ann, "")), 200);
    let mut seen = String::new();
    while !seen.contains("run.cancelled") {
        let mut buffer = [0; 4096];
        let count = streams[1].1.read(&mut buffer).unwrap();
        assert!(count > 0, "the other key's stream was cut off too: {seen}");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}

/// Files that must not be taken, and what is said of each.
const UNFIT: &[(&str, &str)] = &[
    ("", "not JSON"),
    ("{\"keys\": [", "not JSON"),
    ("[]", "object"),
    ("{}", "\"keys\""),
    ("{\"keys\": {}}", "\"keys\""),
    ("{\"keys\": [], \"more\": 1}", "'more'"),
    ("{\"keys\": [3]}", "keys[0]"),
    (r#"{"keys": [{"secret": "0123456789abcdef", "scopes": ["admin"]}]}"#, "'name'"),
    (r#"{"keys": [{"name": "a", "scopes": ["admin"]}]}"#, "'secret'"),
    (r#"{"keys": [{"name": "a", "secret": "0123456789abcdef"}]}"#, "'scopes'"),
    (r#"{"keys": [{"name": "a", "secret": "", "scopes": ["admin"]}]}"#, "16 visible"),
    (r#"{"keys": [{"name": "a", "secret": "0123456789abcde", "scopes": ["admin"]}]}"#, "16"),
    (r#"{"keys": [{"name": "a b", "secret": "0123456789abcdef", "scopes": ["admin"]}]}"#, "a b"),
    (r#"{"keys": [{"name": "", "secret": "0123456789abcdef", "scopes": ["admin"]}]}"#, "no name"),
    (r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scopes": ["root"]}]}"#, "root"),
    (r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scopes": []}]}"#, "no scopes"),
    (
        r#"{"keys": [{"name": "default", "secret": "0123456789abcdef", "scopes": ["admin"]}]}"#,
        "first key",
    ),
    (r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scope": ["admin"]}]}"#, "'scope'"),
    (
        r#"{"keys": [{"name": "a", "name": "b", "secret": "0123456789abcdef", "scopes": ["admin"]}]}"#,
        "name",
    ),
    (
        r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scopes": ["admin"], "max_runs": 0}]}"#,
        "max_runs",
    ),
    (
        r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scopes": ["admin"], "max_runs": "2"}]}"#,
        "max_runs",
    ),
    (
        r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scopes": ["admin"]},
                     {"name": "a", "secret": "0123456789abcdeg", "scopes": ["runs:read"]}]}"#,
        "twice",
    ),
    (
        r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "scopes": ["admin"]},
                     {"name": "b", "secret": "0123456789abcdef", "scopes": ["runs:read"]}]}"#,
        "secret of another",
    ),
];

#[test]
fn no_server_starts_with_a_file_of_keys_that_is_unfit() {
    let home = Home::new();
    for (content, says) in UNFIT {
        write_keys(&home, content, 0o600);
        let done = home.run(&["serve", "--port", "0", "--store", "memory"]);
        assert_eq!(done.code(), 1, "{content}");
        assert!(done.err.contains("keys.json") && done.err.contains(says), "{says}: {}", done.err);
        assert!(!done.err.contains("0123456789abcde"), "a secret shows: {}", done.err);
    }
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let home = Home::new();
    add(&home, &["app"]);
    for mode in [0o644, 0o640, 0o620, 0o604, 0o601] {
        fs::set_permissions(keys_file(&home), Permissions::from_mode(mode)).unwrap();
        for args in [&["serve", "--port", "0"][..], &["key", "list"], &["key", "add", "x"]] {
            let done = home.run(args);
            assert_eq!(done.code(), 1, "{mode:o} {args:?}");
            assert!(done.err.contains("chmod 600"), "{}", done.err);
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_the_file_holds_nobody_up() {
    let home = Home::new();
    let server = home.serve(&["--store", "memory"]);
    let path = keys_file(&home);
    let made = std::process::Command::new("mkfifo").arg("-m600").arg(&path).status().unwrap();
    assert!(made.success());
    server.signal("HUP");
    server.wait_for(AS_THEY_WERE);
    assert_eq!(home.run(&["key", "list"]).code(), 1);
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let home = Home::new();
    let done = home.run(&["serve", "--port", "0", "--keys", "nowhere.json"]);
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("nowhere.json"), "{}", done.err);
}

#[test]
fn at_a_reload_that_fails_the_old_keys_stay_in_force() {
    let home = Home::new();
    let app = add(&home, &["app"]);
    let server = home.serve(&[]);
    let good = fs::read_to_string(keys_file(&home)).unwrap();
    for (content, _) in UNFIT {
        write_keys(&home, content, 0o600);
        server.signal("HUP");
        server.wait_for(AS_THEY_WERE);
        assert_eq!(status(&server, "/v1/models", &app), 200, "{content}");
        assert_eq!(status(&server, "/v1/models", "0123456789abcdef"), 401, "{content}");
    }
    write_keys(&home, &good, 0o644);
    server.signal("HUP");
    server.wait_for("chmod 600");
    assert_eq!(status(&server, "/v1/models", &app), 200);

    write_keys(&home, &good, 0o600);
    server.signal("HUP");
    server.wait_for(AGAIN);
    assert_eq!(status(&server, "/v1/models", &app), 200);
    server.signal("TERM");
    assert!(server.wait().success(), "signals that are no wish to end do not count as one");
}

#[test]
fn keys_in_a_file_elsewhere_open_the_server_and_no_tool_reads_them() {
    let home = Home::new();
    let file = home.0.join("elsewhere.json");
    let path = file.to_str().unwrap();
    let app = add(&home, &["app", "--keys", path]);
    let server = home.serve(&["--keys", path, "--store", "memory"]);
    assert_eq!(status(&server, "/v1/models", &app), 200);
    let body = serde_json::json!({ "input": format!("read {path}") }).to_string();
    let reply = ask(&server, "POST", "/v1/runs", &app, &body);
    let at = reply.find("run_").unwrap();
    let events = format!("/v1/runs/{}/events", &reply[at..at + 36]);
    let events = ask(&server, "GET", &events, &app, "");
    assert!(events.contains("tool.completed") && events.contains("\"error\":true"), "{events}");
    assert!(!events.contains(&app));
}

#[test]
fn a_secret_that_is_new_does_not_show_in_what_a_run_says() {
    let home = Home::new();
    let server = home.serve(&[]);
    let app = add(&home, &["app"]);
    server.wait_for(AGAIN);
    let body = serde_json::json!({ "input": format!("run `echo {app}`") }).to_string();
    let reply = ask(&server, "POST", "/v1/runs", &app, &body);
    let at = reply.find("run_").unwrap();
    let events = format!("/v1/runs/{}/events", &reply[at..at + 36]);
    let events = ask(&server, "GET", &events, &app, "");
    assert!(events.contains("[secret]"), "{events}");
    assert!(!events.contains(&app), "{events}");
}
