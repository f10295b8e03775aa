//! Run tokens: who gets one, what it opens, and what it does not, however it was come by.
#![cfg(feature = "tokens")]
mod common;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use common::{Reply, Shelf, Site, get, post, post_with};
use hmac::{Hmac, KeyInit, Mac};
use runwire::config::{Key, Scope};
use runwire::id::RunId;
use runwire::wire::token;
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const KEY: &str = "a-long-enough-key";
const DOC: &str = include_str!("../docs/tokens.md");
const UNKNOWN: &str = "run_00000000000000000000000000000000";

fn guarded() -> Site {
    Site::with(|config| config.key = Some(KEY.to_owned()))
}

fn bearer(secret: &str) -> String {
    format!("Authorization: Bearer {secret}\r\n")
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

/// Starts a run with this key.
fn start(site: &Site, key: &str, input: &str) -> String {
    let body = json!({ "input": input }).to_string();
    let reply = site.ask(post_with("/v1/runs", &bearer(key), &body));
    assert_eq!(reply.status, 202, "{reply:?}");
    reply.json()["run_id"].as_str().unwrap().to_owned()
}

fn ask_token(site: &Site, key: &str, run: &str, body: &str) -> Reply {
    site.ask(post_with(&format!("/v1/runs/{run}/token"), &bearer(key), body))
}

fn token(site: &Site, run: &str, wanted: Value) -> String {
    let reply = ask_token(site, KEY, run, &wanted.to_string());
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["token"].as_str().unwrap().to_owned()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token as anybody with the secret could make it, whatever it says.
fn forge(secret: &str, payload: &str) -> String {
    let signed = format!("rwt1.{}", BASE64.encode(payload));
    format!("{signed}.{}", BASE64.encode(tag(secret, &signed)))
}

fn tag(secret: &str, signed: &str) -> Vec<u8> {
    let mut tag = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    tag.update(signed.as_bytes());
    tag.finalize().into_bytes().to_vec()
}

fn claims(run: &str) -> Value {
    json!({"key": "default", "run": run, "exp": now() + 60, "verbs": ["watch"], "redact": []})
}

/// `claims`, changed in one field; `null` takes it out.
fn with(run: &str, field: &str, value: Value) -> String {
    let mut claims = claims(run);
    match value {
        Value::Null => claims.as_object_mut().unwrap().remove(field),
        value => claims.as_object_mut().unwrap().insert(field.to_owned(), value),
    };
    claims.to_string()
}

/// Status and code of the answer to this token as a bearer of the run's status, which says why.
fn shown(site: &Site, run: &str, token: &str) -> (u16, Value, String) {
    let reply = site.ask(request("GET", &format!("/v1/runs/{run}"), &bearer(token)));
    if reply.status == 200 {
        return (200, Value::Null, String::new());
    }
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    (reply.status, reply.code(), message)
}

fn assert_refused(site: &Site, run: &str, token: &str, why: &str) {
    let (status, code, message) = shown(site, run, token);
    assert_eq!((status, code), (401, json!("gateway_auth_failed")), "{token}: {message}");
    assert!(message.contains(why), "{message} does not say '{why}'");
    let path = format!("/v1/runs/{run}/events?token={token}");
    let reply = site.get(&path);
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn a_token_opens_its_run_as_far_as_its_verbs_go() {
    let site = guarded();
    for verbs in [&["watch"][..], &["steer"], &["stop"], &["approve"], &["watch", "stop"]] {
        let run = start(&site, KEY, "hold");
        let token = bearer(&token(&site, &run, json!({ "verbs": verbs })));
        let path = format!("/v1/runs/{run}");
        let steer = post_with(&format!("{path}/steer"), &token, "{\"text\":\"left\"}");
        let stop = post_with(&format!("{path}/stop"), &token, "");
        for (verb, ask) in [
            ("watch", request("GET", &path, &token)),
            ("watch", request("HEAD", &format!("{path}/events"), &token)),
            ("steer", steer),
            ("stop", stop),
            ("", request("DELETE", &path, &token)),
            ("", request("GET", "/v1/runs", &token)),
            ("", request("GET", "/v1/models", &token)),
            ("", request("GET", "/v1/capabilities", &token)),
            ("", request("GET", "/health/detailed", &token)),
            ("", request("GET", "/v1/sessions", &token)),
            ("", request("DELETE", &format!("/v1/sessions/{run}"), &token)),
            ("", post_with("/v1/runs", &token, "{\"input\":\"done\"}")),
            ("", post_with(&format!("{path}/token"), &token, "")),
        ] {
            let mut client = site.connect();
            client.send(&ask);
            let head = client.head();
            let allowed = verbs.contains(&verb);
            let wanted = if allowed { 200 } else { 403 };
            assert_eq!(head.status, wanted, "{verbs:?}: {}", ask.lines().next().unwrap());
        }
        let reply = site.ask(request("GET", "/v1/runs", &token));
        assert_eq!(reply.code(), "insufficient_scope");
    }
}

#[test]
fn a_token_decides_only_if_it_may_approve() {
    let site = guarded();
    let page = site.ask(request("GET", "/v1/capabilities", &bearer(KEY))).json();
    if page["features"]["run_approval_response"] != true {
        return;
    }
    let run = start(&site, KEY, "hold");
    let path = format!("/v1/runs/{run}/approval");
    for (verbs, status) in [(["watch", "approve"], 409), (["steer", "stop"], 403)] {
        let token = bearer(&token(&site, &run, json!({ "verbs": verbs })));
        let reply = site.ask(post_with(&path, &token, "{\"choice\":\"once\"}"));
        assert_eq!(reply.status, status, "{verbs:?}");
    }
}

#[test]
fn a_stream_opened_by_a_token_ends_with_its_key() {
    let site = Site::with(|config| {
        config.key = Some(KEY.to_owned());
        config.keys = vec![Key::new("web", "the-key-of-the-web")];
    });
    let run = start(&site, "the-key-of-the-web", "gate");
    let reply = ask_token(&site, "the-key-of-the-web", &run, "{}").json();
    let token = reply["token"].as_str().unwrap();
    let mut client = site.connect();
    client.send(get(&format!("/v1/runs/{run}/events?token={token}")));
    assert_eq!(client.head().status, 200);
    let rotated = Key::new("web", "the-next-key-of-the-web");
    site.handle.reload(vec![Key::first(KEY), rotated]).unwrap();
    client.await_hang_up();
    assert_refused(&site, &run, token, "not signed");
}

#[test]
fn the_query_opens_the_events_and_nothing_else() {
    let site = guarded();
    let run = start(&site, KEY, "say hello");
    let token = token(&site, &run, json!({"verbs": ["watch", "steer", "stop"]}));
    let full = site.ask(request("GET", &format!("/v1/runs/{run}/events"), &bearer(KEY))).body;
    let reply = site.get(&format!("/v1/runs/{run}/events?token={token}"));
    assert_eq!((reply.status, reply.body), (200, full));
    assert_eq!(reply_to_last(&site, &run, &token), 204, "a cursor goes with it");
    for path in [format!("/v1/runs/{run}"), "/v1/runs".to_owned()] {
        assert_eq!(site.get(&format!("{path}?token={token}")).status, 401, "{path}");
    }
    for act in ["stop", "steer"] {
        let path = format!("/v1/runs/{run}/{act}?token={token}");
        assert_eq!(site.ask(post(&path, "")).status, 401, "{act}");
    }
    for wrong in [KEY, "", "rwt1", "rwt1..", "rwt2.e30.e30"] {
        let path = format!("/v1/runs/{run}/events?token={wrong}");
        assert_eq!(site.get(&path).status, 401, "{wrong:?}: a key is never taken in a query");
    }
    let path = format!("/v1/runs/{run}/events?token={token}");
    let reply = site.ask(request("GET", &path, &bearer("some-other-bearer")));
    assert_eq!(reply.status, 401, "the header counts where there are both");
}

fn reply_to_last(site: &Site, run: &str, token: &str) -> u16 {
    let status = site.ask(request("GET", &format!("/v1/runs/{run}/events"), &bearer(KEY)));
    let last = common::parts_of_events(&status.body).len() - 1;
    site.get(&format!("/v1/runs/{run}/events?last_seq={last}&token={token}")).status
}

#[test]
fn what_is_asked_for_is_what_the_token_says() {
    let site = guarded();
    let run = start(&site, KEY, "done");
    let wanted = json!({"verbs": ["stop", "watch"], "lifetime": 60, "redact": ["reasoning"]});
    let before = now();
    let page = ask_token(&site, KEY, &run, &wanted.to_string()).json();
    assert_eq!(page["object"], "hermes.run.token");
    assert_eq!(page["run_id"], run);
    assert_eq!((&page["verbs"], &page["redact"]), (&wanted["verbs"], &wanted["redact"]));
    let ends = page["expires_at"].as_f64().unwrap();
    assert!((before + 60..=now() + 61).contains(&(ends as u64)));
    let text = page["token"].as_str().unwrap();
    let (signed, shown) = text.rsplit_once('.').unwrap();
    assert_eq!(BASE64.decode(shown).unwrap(), tag(KEY, signed));
    let payload = BASE64.decode(signed.strip_prefix("rwt1.").unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let said = json!({
        "key": "default", "run": run, "exp": ends as u64,
        "verbs": ["stop", "watch"], "redact": ["reasoning"],
    });
    assert_eq!(payload, said);
    for body in ["", "{}", "{\"verbs\":null,\"redact\":null,\"lifetime\":null}"] {
        let page = ask_token(&site, KEY, &run, body).json();
        assert_eq!((&page["verbs"], &page["redact"]), (&json!(["watch"]), &json!([])));
    }
}

#[test]
fn a_wrong_wish_is_refused_and_says_what_to_change() {
    let site = guarded();
    let run = start(&site, KEY, "done");
    for (body, param, says) in [
        ("{\"verbs\":[]}", json!("verbs"), "at least one"),
        ("{\"verbs\":\"watch\"}", json!("verbs"), "approve"),
        ("{\"verbs\":[\"watch\",\"delete\"]}", json!("verbs"), "steer"),
        ("{\"verbs\":[1]}", json!("verbs"), "list"),
        ("{\"lifetime\":0}", json!("lifetime"), "1 to 86400"),
        ("{\"lifetime\":86401}", json!("lifetime"), "1 to 86400"),
        ("{\"lifetime\":1.5}", json!("lifetime"), "whole"),
        ("{\"lifetime\":-1}", json!("lifetime"), "whole"),
        ("{\"lifetime\":\"60\"}", json!("lifetime"), "seconds"),
        ("{\"redact\":[\"tool\"]}", json!("redact"), "tools"),
        ("{\"redact\":{}}", json!("redact"), "reasoning"),
        ("{\"redacted\":[\"tools\"]}", Value::Null, "'redacted'"),
        ("[]", Value::Null, "object"),
        ("{", Value::Null, "JSON"),
    ] {
        let reply = ask_token(&site, KEY, &run, body);
        assert_eq!(reply.status, 400, "{body}");
        let error = &reply.json()["error"];
        assert_eq!(error["param"], param, "{body}");
        assert!(error["message"].as_str().unwrap().contains(says), "{body}: {error}");
    }
    let reply = ask_token(&site, KEY, UNKNOWN, "{}");
    assert_eq!((reply.status, reply.code()), (404, json!("run_not_found")));
    assert_eq!(site.get(&format!("/v1/runs/{run}/token")).status, 401);
    let reply = site.ask(request("GET", &format!("/v1/runs/{run}/token"), &bearer(KEY)));
    assert_eq!(reply.status, 405);
}

#[test]
fn a_token_altered_in_any_byte_opens_nothing() {
    let site = guarded();
    let run = start(&site, KEY, "done");
    let token = token(&site, &run, json!({}));
    assert_eq!(shown(&site, &run, &token).0, 200);
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(bytes).unwrap();
        assert_eq!(shown(&site, &run, &altered).0, 401, "byte {at}: {altered}");
        let shortened = format!("{}{}", &token[..at], &token[at + 1..]);
        assert_eq!(shown(&site, &run, &shortened).0, 401, "without byte {at}: {shortened}");
    }
    // Of its last letters not all bits are used, so several of them could be read as one.
    let (signed, _) = token.rsplit_once('.').unwrap();
    for at in [signed.len() - 1, token.len() - 1] {
        for letter in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']) {
            let altered = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
            let status = if altered == token { 200 } else { 401 };
            assert_eq!(shown(&site, &run, &altered).0, status, "{altered}");
        }
    }
    for altered in [format!("{token}A"), format!("{token}="), format!("{token}.")] {
        assert_eq!(shown(&site, &run, &altered).0, 401, "{altered}");
    }
    for shown_tag in ["", "A", &BASE64.encode([0; 32]), &BASE64.encode(&tag(KEY, signed)[..31])] {
        let altered = format!("{signed}.{shown_tag}");
        assert_eq!(shown(&site, &run, &altered).0, 401, "{altered}");
    }
}

#[test]
fn a_token_that_is_late_foreign_or_unheard_of_is_refused() {
    let site = guarded();
    let (run, other) = (start(&site, KEY, "done"), start(&site, KEY, "done"));
    assert_eq!(shown(&site, &run, &forge(KEY, &claims(&run).to_string())).0, 200);
    let least = format!(
        "{{\"verbs\":[\"watch\"],\"exp\":{}, \"run\":\"{run}\",\"key\":\"default\"}}",
        now() + 60
    );
    assert_eq!(shown(&site, &run, &forge(KEY, &least)).0, 200, "in any order, without redact");
    assert_refused(&site, &run, &forge(KEY, &with(&run, "exp", json!(now()))), "expired");
    assert_refused(&site, &run, &forge(KEY, &with(&run, "exp", json!(now() + 90_000))), "24 h");
    assert_refused(&site, &run, &forge(KEY, &claims(&other).to_string()), "another run");
    assert_refused(
        &site,
        &run,
        &forge("another-long-key", &claims(&run).to_string()),
        "not signed",
    );
    assert_refused(&site, &run, &forge(KEY, &with(&run, "key", json!("web"))), "not signed");
    for (field, value) in [
        ("verbs", json!(["watch", "delete"])),
        ("verbs", json!([])),
        ("verbs", json!("watch")),
        ("verbs", Value::Null),
        ("redact", json!(["tools", "output"])),
        ("redact", json!("tools")),
        ("exp", json!(1e18)),
        ("exp", json!((now() + 60).to_string())),
        ("exp", Value::Null),
        ("run", json!(run.replace("run_", "resp_"))),
        ("run", json!(run.to_uppercase())),
        ("run", Value::Null),
        ("nbf", json!(0)),
    ] {
        let token = forge(KEY, &with(&run, field, value.clone()));
        assert_refused(&site, &run, &token, "does not know");
    }
    for payload in ["", "[]", "{}x", "null", "{\"key\":\"default\",\"key\":\"default\"}"] {
        assert_refused(&site, &run, &forge(KEY, payload), "none of this version");
    }
    let long = with(&run, "verbs", json!(vec!["watch"; 500]));
    assert_refused(&site, &run, &forge(KEY, &long), "none of this version");
    let padded = forge(KEY, &claims(&run).to_string()) + "=";
    assert_refused(&site, &run, &padded, "none of this version");
    let second = forge(KEY, &claims(&run).to_string()).replacen("rwt1", "rwt2", 1);
    assert_eq!(shown(&site, &run, &second).0, 401);
}

#[test]
fn a_token_is_worth_no_more_than_the_key_that_signed_it() {
    let mut reader = Key::new("reader", "the-key-of-a-reader");
    reader.scopes = vec![Scope::RunsWrite, Scope::RunsRead];
    let site = Site::with(|config| {
        config.key = Some(KEY.to_owned());
        config.keys = vec![reader, Key::new("web", "the-key-of-the-web")];
    });
    let run = start(&site, "the-key-of-a-reader", "hold");
    let reply = ask_token(&site, "the-key-of-a-reader", &run, "{}");
    assert_eq!((reply.status, reply.code()), (403, json!("insufficient_scope")));
    let mut said = claims(&run);
    said["key"] = json!("reader");
    said["verbs"] = json!(["watch", "stop"]);
    let token = forge("the-key-of-a-reader", &said.to_string());
    assert_eq!(shown(&site, &run, &token).0, 200, "it may read, so may whoever it lets");
    let stop = site.ask(post_with(&format!("/v1/runs/{run}/stop"), &bearer(&token), ""));
    assert_eq!((stop.status, stop.code()), (403, json!("insufficient_scope")));
    for (name, secret) in [("web", "the-key-of-the-web"), ("default", KEY)] {
        said["key"] = json!(name);
        let (status, code, _) = shown(&site, &run, &forge(secret, &said.to_string()));
        assert_eq!((status, code), (404, json!("run_not_found")), "{name} has no such run");
        let reply = ask_token(&site, secret, &run, "{}");
        assert_eq!(reply.status, 404, "{name} mints none for it");
    }
    assert_refused(
        &site,
        &run,
        &forge("the-key-of-the-web", &with(&run, "key", json!("reader"))),
        "not signed",
    );
}

#[test]
fn a_server_with_another_secret_takes_no_token_from_before() {
    let shelf = Shelf::durable();
    let keyed = |key: &'static str| {
        Site::with_store(shelf.store(), move |config| config.key = Some(key.to_owned()))
    };
    let site = keyed(KEY);
    let run = start(&site, KEY, "done");
    let token = token(&site, &run, json!({}));
    assert_eq!(shown(&site, &run, &token).0, 200);
    site.end();
    let site = keyed(KEY);
    assert_eq!(shown(&site, &run, &token).0, 200, "nothing is kept of a token");
    site.end();
    assert_refused(&keyed("another-long-enough-key"), &run, &token, "not signed");
}

#[test]
fn a_stream_that_is_open_outlives_its_token() {
    let site = guarded();
    let run = start(&site, KEY, "gate");
    let token = token(&site, &run, json!({"lifetime": 1}));
    let path = format!("/v1/runs/{run}/events?token={token}");
    let mut client = site.connect();
    client.send(get(&path));
    assert_eq!(client.head().status, 200);
    common::wait_for("the token to expire", || (shown(&site, &run, &token).0 == 401).then_some(()));
    site.gate.open();
    let mut stream = Vec::new();
    while let Some(chunk) = client.chunk() {
        stream.extend_from_slice(&chunk);
    }
    assert_eq!(common::parts_of_events(&stream).last().unwrap()["event"], "run.completed");
}

#[test]
fn a_page_needs_its_origin_allowed_with_a_token_too() {
    let app = "https://app.example";
    let site = Site::with(|config| {
        config.key = Some(KEY.to_owned());
        config.cors_origins = vec![app.to_owned()];
    });
    let run = start(&site, KEY, "done");
    let path = format!("/v1/runs/{run}/events?token={}", token(&site, &run, json!({})));
    let reply = site.ask(request("GET", &path, &format!("Origin: {app}\r\n")));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("access-control-allow-origin"), Some(app));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    let reply = site.ask(request("GET", &path, "Origin: https://evil.example\r\n"));
    assert_eq!((reply.status, reply.code()), (403, json!("origin_not_allowed")));
    let path = format!("/v1/runs/{run}/events?token=rwt1.e30.e30");
    let reply = site.ask(request("GET", &path, &format!("Origin: {app}\r\n")));
    assert_eq!(reply.status, 401);
    assert_eq!(reply.header("access-control-allow-origin"), Some(app), "the page may read why");
}

#[test]
fn where_everyone_is_let_in_there_are_no_tokens() {
    let site = Site::start();
    let run = site.run("done");
    let reply = site.ask(post(&format!("/v1/runs/{run}/token"), "{}"));
    assert_eq!((reply.status, reply.code()), (404, json!("not_found")));
    let page = site.get("/v1/capabilities").json();
    assert_eq!(page["features"]["run_tokens"], false);
    assert_eq!(page["endpoints"]["run_token"], Value::Null);
    let page = guarded();
    let page = page.ask(request("GET", "/v1/capabilities", &bearer(KEY))).json();
    assert_eq!(page["features"]["run_tokens"], true);
    let endpoint = json!({"method": "POST", "path": "/v1/runs/{run_id}/token"});
    assert_eq!(page["endpoints"]["run_token"], endpoint);
}

/// A line of the test vector.
fn vector(name: &str) -> &'static str {
    let lines = DOC[DOC.find("## Test vector").unwrap()..].lines();
    lines.filter_map(|line| line.strip_prefix(name)).next().unwrap().trim_start()
}

#[test]
fn the_documented_vector_is_a_token() {
    let (secret, payload, text) = (vector("secret "), vector("payload "), vector("token "));
    assert_eq!(forge(secret, payload), text);
    let claims = token::open(text, |name| (name == "web").then_some(secret.as_bytes())).unwrap();
    let payload: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(claims.key, "web");
    assert_eq!(Some(claims.run), RunId::parse(payload["run"].as_str().unwrap()));
    assert_eq!(claims.exp, payload["exp"]);
    assert_eq!(json!(claims.verb_names()), payload["verbs"]);
    assert_eq!(json!(claims.redact.names()), payload["redact"]);
    let minted = token::mint(secret.as_bytes(), &claims);
    assert_eq!(token::open(&minted, |_| Some(secret.as_bytes())), Ok(claims));
}

/// The documented program in this language.
fn example(language: &str) -> &'static str {
    let from = DOC.split(&format!("```{language}\n")).nth(1).unwrap();
    from.split("```").next().unwrap()
}

/// What a program prints, which is given the key and the run; `None` if it is not there.
fn printed(program: &str, flag: &str, code: &str, run: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.args([flag, code]).env("RUNWIRE_KEY", KEY);
    // A shell takes the word behind its script for its own name.
    command.args((program == "sh").then_some("sh")).arg(run);
    let done = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        done => done.unwrap(),
    };
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
    Some(String::from_utf8(done.stdout).unwrap().trim_end().to_owned())
}

#[test]
fn the_documented_programs_mint_tokens() {
    let site = guarded();
    let run = start(&site, KEY, "blab nothing");
    let has_openssl = Command::new("openssl").arg("version").output().is_ok();
    for (program, flag, language) in
        [("python3", "-c", "python"), ("node", "-e", "js"), ("sh", "-c", "sh")]
    {
        if program == "sh" && !has_openssl {
            continue;
        }
        // Node takes no word for its own name where code is given by a flag.
        let code = example(language).replace("process.argv[2]", "process.argv[1]");
        let Some(token) = printed(program, flag, &code, &run) else {
            assert_ne!(program, "python3", "python3 is needed for this test");
            continue;
        };
        assert_eq!(shown(&site, &run, &token).0, 200, "{program}: {token}");
        let stream = site.get(&format!("/v1/runs/{run}/events?token={token}")).body;
        let events = common::parts_of_events(&stream);
        let kinds: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["run.failed"], "{program}");
        let stop = site.ask(post_with(&format!("/v1/runs/{run}/stop"), &bearer(&token), ""));
        assert_eq!(stop.status, 403, "{program}");
    }
}

#[test]
fn python_finds_the_same_tag() {
    let code = "import hmac, sys\n\
        signed, _, tag = sys.argv[1].rpartition('.')\n\
        import base64, hashlib\n\
        want = hmac.new(sys.argv[2].encode(), signed.encode(), hashlib.sha256).digest()\n\
        print(base64.urlsafe_b64encode(want).decode().rstrip('=') == tag)";
    let minted = token::open(vector("token "), |_| Some(vector("secret ").as_bytes())).unwrap();
    for secret in ["k", KEY, &"a key longer than a block of SHA-256 is ".repeat(4)] {
        let token = token::mint(secret.as_bytes(), &minted);
        let done = Command::new("python3").args(["-c", code, &token, secret]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&done.stdout), "True\n", "{done:?}");
    }
}

#[test]
fn no_event_status_or_list_names_a_token() {
    let shelf = Shelf::durable();
    let site = Site::with_store(shelf.store(), |config| config.key = Some(KEY.to_owned()));
    let run = start(&site, KEY, "say hello");
    let token = token(&site, &run, json!({"verbs": ["watch", "steer"]}));
    let tag = token.rsplit_once('.').unwrap().1;
    site.get(&format!("/v1/runs/{run}/events?token={token}"));
    site.ask(post_with(&format!("/v1/runs/{run}/steer"), &bearer(&token), "{\"text\":\"left\"}"));
    for path in [format!("/v1/runs/{run}/events"), format!("/v1/runs/{run}"), "/v1/runs".to_owned()]
    {
        let reply = site.ask(request("GET", &path, &bearer(KEY)));
        assert!(reply.status == 200 && !reply.text().contains(tag), "{path}");
    }
    // A refusal does not say back what was shown.
    for wrong in [format!("{token}x"), format!("rwt1.{tag}")] {
        let reply = site.get(&format!("/v1/runs/{run}/events?token={wrong}"));
        assert!(reply.status == 401 && !reply.text().contains(tag));
    }
    site.end();
    for ending in ["", "-wal"] {
        let Ok(file) = std::fs::read(format!("{}{ending}", shelf.file().display())) else {
            continue;
        };
        assert!(!file.windows(tag.len()).any(|window| window == tag.as_bytes()));
    }
}
