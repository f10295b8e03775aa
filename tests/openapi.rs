//! The description at `/openapi.json`: it has all that the server really does, and nothing else.
#![cfg(all(feature = "openapi", feature = "tokens"))]
mod common;
#[path = "openapi/document.rs"]
mod document;
#[path = "openapi/packing.rs"]
mod packing;

use common::{Reply, Site, parts_of_events};
use document::{Document, is_of, source};
use runwire::approval::Ask;
use runwire::config::Retain;
use runwire::config::{Key, Scope};
use runwire::event::*;
use runwire::id::{Key as Place, RunId, RunKey};
use runwire::record::{Answer, Batch, Fault, FaultKind, Pruned, Query, Recovered};
use runwire::store::{Hands, Memory, Store};
use runwire::time::Wall;
use runwire::wire::{Reject, sse};
use runwire::{Agent, Config, Context, Ending};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PACKED: &str = "src/openapi/openapi.lz4";

/// With `RUNWIRE_BLESS` (`make openapi`) it writes it instead.
#[test]
fn the_program_holds_what_is_written() {
    let text = minified(&source());
    let packed = packing::pack(text.as_bytes());
    assert_eq!(runwire::packed::unpack(&packed), text.as_bytes());
    if std::env::var_os("RUNWIRE_BLESS").is_some() {
        fs::write(PACKED, packed).unwrap();
    } else {
        let is_same = fs::read(PACKED).unwrap() == packed;
        assert!(is_same, "openapi.json has changed: `make openapi` writes {PACKED}");
    }
}

/// JSON without the space between its tokens.
fn minified(json: &str) -> String {
    let (mut in_text, mut escaped) = (false, false);
    let keeps = |c: &char| {
        let keep = in_text || !c.is_ascii_whitespace();
        in_text ^= *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        keep
    };
    json.chars().filter(keeps).collect()
}

#[test]
fn whatever_is_packed_comes_out_as_it_was() {
    for text in ["", "a", "abcd", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]
    {
        assert_eq!(runwire::packed::unpack(&packing::pack(text.as_bytes())), text.as_bytes());
    }
    let numbers: String = (0..40_000).map(|n: u32| (n * n % 7_919).to_string()).collect();
    assert_eq!(runwire::packed::unpack(&packing::pack(numbers.as_bytes())), numbers.as_bytes());
    let long = "x".repeat(1_000) + &"y".repeat(70_000) + &"x".repeat(1_000);
    assert_eq!(runwire::packed::unpack(&packing::pack(long.as_bytes())), long.as_bytes());
}

#[test]
fn anyone_may_read_the_description() {
    let site = Site::with(|config| config.key = Some("a-long-enough-key".to_owned()));
    let reply = site.get("/openapi.json");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.json(), Document::read().0);
    assert_eq!(reply.json()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// The paths `Route::of` knows, read from its source.
fn routes() -> BTreeSet<String> {
    let text = fs::read_to_string("src/machine/route.rs").unwrap();
    let arms = text.split("pub fn of(").nth(1).unwrap().split("_ => return None").next().unwrap();
    let mut paths = BTreeSet::new();
    for arm in arms.split("\n            (").skip(1) {
        let pattern = arm.split(" if ").next().unwrap().split("=>").next().unwrap();
        for both in pattern.trim().trim_end_matches(')').split(") | (") {
            let (first, rest) = both.split_once(", ").unwrap();
            let segment = |part: &str| match part.trim().strip_prefix("Some(") {
                Some(name) if name.starts_with('"') => {
                    Some(name.trim_matches(['"', ')']).to_owned())
                }
                Some(name) => Some(format!("{{{}}}", name.trim_end_matches(')'))),
                None => None,
            };
            let rest: Vec<String> = rest.split(", ").map_while(segment).collect();
            for start in first.split(" | ") {
                let start = start.trim_matches(['"', '(']).to_owned();
                let path: Vec<String> = std::iter::once(start).chain(rest.clone()).collect();
                paths.insert(format!("/{}", path.join("/")));
            }
        }
    }
    paths
}

#[test]
fn every_path_of_the_router_is_described_and_no_other() {
    let document = Document::read();
    let described = document.0["paths"].as_object().unwrap();
    let routes = routes();
    assert!(routes.len() > 20 && routes.contains("/api/sessions"), "{routes:?}");
    for route in &routes {
        assert!(described.keys().any(|path| is_of(route, path)), "{route} is not described");
    }
    for path in described.keys() {
        assert!(routes.iter().any(|route| is_of(path, route)), "{path} is not there");
    }
}

#[test]
fn every_method_is_described_and_no_other() {
    let (site, document) = (Site::start(), Document::read());
    for (path, item) in document.0["paths"].as_object().unwrap() {
        let reply = site.ask(format!("OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        let allowed: BTreeSet<String> =
            reply.header("allow").unwrap().split(", ").map(str::to_ascii_lowercase).collect();
        let implied = |name: &&String| !["head", "options"].contains(&name.as_str());
        let allowed: BTreeSet<&String> = allowed.iter().filter(implied).collect();
        let described: BTreeSet<&String> = item.as_object().unwrap().keys().collect();
        assert_eq!(allowed, described, "{path}");
    }
}

#[test]
fn every_endpoint_that_is_announced_is_described_under_its_name() {
    let site = Site::with(|config| config.key = Some(KEY.to_owned()));
    let document = Document::read();
    let page = site.ask(with_key("GET", "/v1/capabilities", "", "")).json();
    for (name, endpoint) in page["endpoints"].as_object().unwrap() {
        let text = |field: &str| endpoint[field].as_str().unwrap();
        let found = document.operation(text("method"), text("path"));
        let id = found.unwrap_or_else(|| panic!("{name} is not described"))["operationId"].clone();
        let camel: String = name
            .split('_')
            .enumerate()
            .map(|(i, w)| if i == 0 { w.to_owned() } else { w[..1].to_uppercase() + &w[1..] })
            .collect();
        assert_eq!(id, camel);
    }
}

/// What each operation says of its scope is what a key needs for it.
#[test]
fn each_operation_names_the_scope_its_key_needs() {
    let document = Document::read();
    for scope in Scope::ALL {
        let site = Site::with(|config| {
            let mut key = Key::new("one", KEY);
            key.scopes = vec![scope];
            config.keys = vec![key];
        });
        for (method, path, operation) in document.operations() {
            let reply = site.ask(with_key(&method, path, "", ""));
            let needs = operation["security"][0]["key"][0].as_str();
            let opens = scope == Scope::Admin || needs.is_none_or(|needs| needs == scope.name());
            assert_eq!(reply.status != 403, opens, "{scope:?} at {method} {path}: {reply:?}");
            let bare = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let is_open = operation["security"] == json!([]);
            assert_eq!(site.ask(bare).status != 401, is_open, "{method} {path}");
        }
    }
}

/// The string literals of a file between two places.
fn literals(file: &str, from: &str, to: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let part = text.split(from).nth(1).unwrap().split(to).next().unwrap();
    part.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_code_of_a_refusal_is_described_and_no_other() {
    let mut known = literals("src/wire/reject.rs", "pub fn code(", "pub fn kind(");
    known.extend(literals("src/wire/token_flaw.rs", "pub fn code(", "pub(super) fn"));
    let document = Document::read();
    let responses = document.0["components"]["responses"].as_object().unwrap();
    let codes = responses.values().flat_map(|it| it["x-codes"].as_array().unwrap());
    let described = codes.filter_map(|code| code.as_str().map(str::to_owned)).collect();
    assert_eq!(known, described);
    let kinds = literals("src/wire/reject.rs", "pub fn kind(", "/// The field of the body");
    let described = &document.schema("Error")["properties"]["error"]["properties"]["type"]["enum"];
    let described: BTreeSet<String> = serde_json::from_value(described.clone()).unwrap();
    assert_eq!(kinds, described);
}

#[test]
fn every_event_has_a_schema_and_is_what_it_says() {
    let document = Document::read();
    let named = &document.schema("EventName")["enum"];
    assert_eq!(*named, json!(Kind::NAMES));
    let mapping = document.schema("Event")["discriminator"]["mapping"].as_object().unwrap();
    assert_eq!(mapping.len(), Kind::NAMES.len() + 1);
    let mut seen = BTreeSet::new();
    for kind in kinds() {
        let mut frame = Vec::new();
        let event =
            Event { run: RunKey(Place { slot: 0, generation: 0 }), seq: 7, at: Wall(1), kind };
        sse::frame(&mut frame, RunId(1), &event);
        let json: Value = serde_json::from_str(sse::json_of(&frame)).unwrap();
        assert_eq!(event_flaw(&document, &json), None);
        seen.insert(event.kind.name());
    }
    assert_eq!(seen, Kind::NAMES.into_iter().collect());
    let mut frame = Vec::new();
    sse::truncated(&mut frame, RunId(1), Wall(1), 5, 2);
    let text = String::from_utf8(frame).unwrap();
    let json = serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(event_flaw(&document, &json), None);
}

#[test]
fn a_webhook_can_be_told_of_the_events_that_are_described() {
    let document = Document::read();
    let events = &document.schema("Webhook")["properties"]["events"];
    assert_eq!(events["items"]["enum"], json!(runwire::config::HOOK_EVENTS));
    let url = &document.schema("Webhook")["properties"]["url"];
    assert_eq!(url["maxLength"], json!(runwire::config::HOOK_URL_BYTES_MAX));
}

/// Checked against the schema its name leads to, and against all of them together.
fn event_flaw(document: &Document, event: &Value) -> Option<String> {
    let name = event["event"].as_str().unwrap();
    let leads = &document.schema("Event")["discriminator"]["mapping"][name];
    let one = json!({ "$ref": leads });
    document.flaw(event, &one).or_else(|| document.flaw(event, document.schema("Event")))
}

/// Each kind, with all that it may have and with no more than it must.
fn kinds() -> Vec<Kind> {
    let text = || "text".to_owned();
    let (usage, runtime) = (Usage::default(), Runtime::default());
    let mut kinds = vec![
        Kind::MessageDelta(Delta { delta: text() }),
        Kind::MessageInterim(Interim { text: text(), already_streamed: true }),
        Kind::ReasoningDelta(Delta { delta: text() }),
        Kind::ReasoningAvailable(Reasoning { text: text() }),
        Kind::SessionTruncated(Truncated { dropped_messages: 3 }),
        Kind::Steered(Box::new(Steered { accepted: true, text: text(), interrupt: true })),
    ];
    for is_whole in [false, true] {
        let maybe = || is_whole.then(text);
        let args = if is_whole { json!({ "a": [1, null] }) } else { json!("cut") };
        kinds.extend([
            Kind::ToolStarted(Box::new(ToolStarted {
                tool: text(),
                preview: text(),
                tool_call_id: text(),
                args,
            })),
            Kind::ToolCompleted(Box::new(ToolCompleted {
                tool: text(),
                duration: 0.25,
                error: is_whole,
                preview: text(),
                tool_call_id: text(),
                result: text(),
            })),
            Kind::ApprovalRequest(Box::new(ApprovalRequest {
                request_id: format!("approval_{:032x}_1", 1),
                approval_id: format!("approval_{:032x}_1", 1),
                tool: text(),
                command: text(),
                description: text(),
                choices: &["once", "deny"],
                allow_permanent: is_whole,
                arguments: text(),
            })),
            Kind::ApprovalResponded(Box::new(ApprovalResponded {
                choice: "deny",
                request_id: format!("approval_{:032x}_1", 1),
                resolved: 1,
                expired: is_whole,
            })),
            Kind::Completed(Box::new(Completed {
                output: text(),
                usage,
                runtime: runtime.clone(),
                pending_steer: maybe(),
            })),
            Kind::Failed(Box::new(Failed {
                error: text(),
                reason: "budget_exceeded",
                budget: is_whole.then_some("turns"),
                usage,
                output: maybe(),
                pending_steer: maybe(),
            })),
            Kind::Cancelled(Box::new(Cancelled { usage, output: maybe(), pending_steer: maybe() })),
            Kind::Interrupted(Box::new(Interrupted { error: text(), pending_steer: maybe() })),
        ]);
    }
    kinds
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = Document::read();
    let mut count = 0;
    each_object(&document.0, &mut |object| {
        let single = object.get("example").map(std::slice::from_ref);
        let several = object.get("examples").and_then(Value::as_array).map(Vec::as_slice);
        for example in single.or(several).unwrap_or_default() {
            let schema = object.get("schema").unwrap_or(object);
            assert_eq!(document.flaw(example, schema), None, "{example}");
            count += 1;
        }
    });
    assert!(count > 40, "{count}");
}

fn each_object(value: &Value, visit: &mut impl FnMut(&Value)) {
    match value {
        Value::Object(fields) => {
            visit(value);
            fields.values().for_each(|value| each_object(value, visit));
        }
        Value::Array(items) => items.iter().for_each(|value| each_object(value, visit)),
        _ => {}
    }
}

const KEY: &str = "only-for-the-tests-of-openapi";

fn with_key(method: &str, path: &str, headers: &str, body: &str) -> String {
    let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n{kind}{headers}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Sends requests and holds every answer against the description.
struct Auditor<'a> {
    site: &'a Site,
    document: &'a Document,
    /// Operation and status of all that was answered.
    seen: BTreeSet<(String, u16)>,
}

impl Auditor<'_> {
    fn ask(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.ask_with(method, path, "", body)
    }

    fn ask_with(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        self.send(method, path, with_key(method, path, headers, body))
    }

    fn send(&mut self, method: &str, path: &str, request: String) -> Reply {
        let mut client = self.site.connect();
        client.try_send(request);
        let reply = if method == "HEAD" { client.head() } else { client.reply() };
        self.check(method, path, &reply);
        reply
    }

    fn check(&mut self, method: &str, path: &str, reply: &Reply) {
        let context = format!("{method} {path}: {reply:?}");
        let document = self.document;
        let general = &document.0["components"]["responses"];
        let status = reply.status.to_string();
        let response = match document.operation(method, path) {
            Some(operation) => {
                let id = operation["operationId"].as_str().unwrap().to_owned();
                self.seen.insert((id, reply.status));
                &operation["responses"][&status]
            }
            // No such path, or no such method.
            None => &general[&status],
        };
        assert!(response.is_object(), "no such status is described: {context}");
        let response = document.resolve(response);
        for line in reply.head.lines().skip(1).take_while(|line| !line.is_empty()) {
            let name = line.split_once(": ").unwrap().0;
            let header = &response["headers"][name];
            let is_common = document.0["x-common-headers"].get(name).is_some();
            assert!(is_common || header.is_object(), "{name} is not described: {context}");
        }
        for (name, _) in response["headers"].as_object().into_iter().flatten() {
            let is_sometimes =
                ["Idempotency-Replayed", "X-Hermes-Session-Key", "ETag"].contains(&name.as_str());
            assert!(is_sometimes || reply.header(name).is_some(), "no {name}: {context}");
        }
        let Some(kind) = reply.header("content-type") else {
            return assert!(response["content"].is_null(), "no body: {context}");
        };
        let content = &response["content"][kind];
        assert!(content.is_object(), "{kind} is not described: {context}");
        if kind == "application/json" && method != "HEAD" {
            let flaw = document.flaw(&reply.json(), &content["schema"]);
            assert_eq!(flaw, None, "{context}");
        }
        if let Some(codes) = response["x-codes"].as_array().filter(|_| method != "HEAD") {
            assert!(codes.contains(&reply.code()), "this code is not described: {context}");
        }
        if kind == "text/event-stream" {
            for event in parts_of_events(&reply.body) {
                let frame = json!({ "data": event.to_string() });
                assert_eq!(document.flaw(&frame, &content["schema"]), None);
            }
        }
    }

    fn run(&mut self, body: Value) -> String {
        let reply = self.ask("POST", "/v1/runs", &body.to_string());
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()["run_id"].as_str().unwrap().to_owned()
    }

    fn await_status(&mut self, run: &str, status: &str) {
        let path = format!("/v1/runs/{run}");
        common::wait_for(status, || {
            (self.ask("GET", &path, "").json()["status"] == status).then_some(())
        });
    }
}

/// Does all an agent can: `all` says one of each event, `ask` waits for leave, `hold` until it is
/// stopped, `fail` fails.
struct Actor;

impl Agent for Actor {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        match run.request().input.to_text().as_str() {
            "all" => {
                run.reasoning_delta("I think")?;
                run.reasoning("I think")?;
                run.delta("I look")?;
                run.end_turn()?;
                run.tool_started("call-1", "terminal", "ls", "{\"command\":\"ls\"}")?;
                run.tool_completed("call-1", "terminal", Duration::from_millis(5), true, "no")?;
                run.truncated(2)?;
                run.begin_turn()?;
                run.delta("done")
            }
            "ask" => {
                let ask = Ask {
                    tool: "terminal".to_owned(),
                    arguments: "{}".to_owned(),
                    command: "touch x".to_owned(),
                    description: "It writes.".to_owned(),
                };
                run.approve(&ask).map(|_| ())
            }
            "hold" => loop {
                run.next_steer()?;
                run.check()?;
                std::thread::sleep(Duration::from_millis(1));
            },
            "fail" => Err(Ending::failed("test_failure", "as asked")),
            _ => Ok(()),
        }
    }
}

fn serve(change: impl FnOnce(&mut Config)) -> Site {
    Site::with_agent(Actor, common::Gate::default(), Box::new(Memory::default()), |config| {
        config.key = Some(KEY.to_owned());
        change(config);
    })
}

#[test]
fn what_the_server_answers_is_described() {
    let document = Document::read();
    let site = serve(|config| config.cors_origins = vec!["https://app.example".to_owned()]);
    let mut auditor = Auditor { site: &site, document: &document, seen: BTreeSet::new() };
    pages(&mut auditor);
    runs(&mut auditor);
    feed(&mut auditor);
    control(&mut auditor);
    approvals(&mut auditor);
    sessions(&mut auditor);
    mistakes(&mut auditor);
    let seen = &auditor.seen;
    for (method, path, operation) in document.operations() {
        let id = operation["operationId"].as_str().unwrap();
        let good = seen.iter().any(|(seen, status)| seen == id && *status < 300);
        assert!(good, "{method} {path} has not been answered well");
        for status in operation["responses"].as_object().unwrap().keys() {
            let status: u16 = status.parse().unwrap();
            // What only a store that fails, a full memory or a slow network brings about, and what
            // comes before the path is looked at, is tested elsewhere.
            let is_rare = [408, 429, 500, 503, 507].contains(&status)
                || [400, 403, 413, 414, 415, 421, 431].contains(&status);
            let is_seen = seen.contains(&(id.to_owned(), status));
            assert!(is_rare || is_seen, "{method} {path} never answers {status}");
        }
    }
}

fn pages(auditor: &mut Auditor<'_>) {
    for path in [
        "/",
        "/openapi.json",
        "/health",
        "/v1/health",
        "/health/detailed",
        "/v1/health/detailed",
        "/metrics",
        "/v1/capabilities",
        "/v1/models",
        "/v1/toolsets",
        "/v1/skills",
        "/v1/approvals",
        "/v1/approvals/grants",
    ] {
        assert_eq!(auditor.ask("GET", path, "").status, 200, "{path}");
        assert_eq!(auditor.ask("HEAD", path, "").status, 200, "{path}");
        let origin = "Origin: https://app.example\r\n";
        assert_eq!(auditor.ask_with("GET", path, origin, "").status, 200, "{path}");
        assert_eq!(auditor.ask("PATCH", path, "").status, 405, "{path}");
    }
    if cfg!(feature = "page") {
        let html = "Accept: text/html\r\n";
        let reply = auditor.ask_with("GET", "/", html, "");
        let again = format!("{html}If-None-Match: {}\r\n", reply.header("etag").unwrap());
        assert_eq!(auditor.ask_with("GET", "/", &again, "").status, 304);
    } else {
        auditor.seen.insert(("index".to_owned(), 304));
    }
}

fn runs(auditor: &mut Auditor<'_>) {
    let run = auditor.run(json!({ "input": "all", "session_id": "s" }));
    let events = format!("/v1/runs/{run}/events");
    auditor.ask("GET", &events, "");
    auditor.ask("HEAD", &events, "");
    auditor.await_status(&run, "completed");
    let last = auditor.ask("GET", &events, "");
    let last = parts_of_events(&last.body).last().unwrap()["seq"].clone();
    assert_eq!(auditor.ask("GET", &format!("{events}?last_seq={last}"), "").status, 204);
    assert_eq!(auditor.ask("GET", &format!("{events}?last_seq=x"), "").status, 400);
    let failed = auditor.run(json!({ "input": "fail" }));
    auditor.await_status(&failed, "failed");
    auditor.ask("GET", &format!("/v1/runs/{failed}/events"), "");
    let headers = "Idempotency-Key: k\r\nX-Hermes-Session-Key: s\r\n";
    for _ in 0..2 {
        auditor.ask_with("POST", "/v1/runs", headers, "{\"input\":\"x\"}");
    }
    let reply = auditor.ask_with("POST", "/v1/runs", headers, "{\"input\":\"y\"}");
    assert_eq!(reply.status, 409);
    for query in ["", "?limit=1", "?status=completed", "?session_id=s", &format!("?after={run}")] {
        assert_eq!(auditor.ask("GET", &format!("/v1/runs{query}"), "").status, 200, "{query}");
    }
    for query in ["?limit=0", "?status=x", "?after=x"] {
        assert_eq!(auditor.ask("GET", &format!("/v1/runs{query}"), "").status, 400, "{query}");
    }
    assert_eq!(auditor.ask("DELETE", &format!("/v1/runs/{failed}"), "").status, 200);
}

/// Many runs on one stream: one that has ended and is deleted, and one that begins and fails.
fn feed(auditor: &mut Auditor<'_>) {
    let old = auditor.run(json!({ "input": "all" }));
    auditor.await_status(&old, "completed");
    let path = format!("/v1/events?runs={old}:1&watch=runs");
    assert_eq!(auditor.ask("HEAD", &path, "").status, 200);
    let mut client = auditor.site.connect();
    client.send(with_key("GET", &path, "", ""));
    let mut reply = client.head();
    let mut read_to = |mark: &str| {
        while !(reply.text().contains(mark) && reply.text().ends_with("\n\n")) {
            reply.body.extend(client.frame().into_bytes());
        }
        reply.clone()
    };
    read_to("run.completed");
    assert_eq!(auditor.ask("DELETE", &format!("/v1/runs/{old}"), "").status, 200);
    read_to("\"status\":\"deleted\"");
    auditor.run(json!({ "input": "fail" }));
    let reply = read_to("\"status\":\"failed\"");
    auditor.check("GET", &path, &reply);
    for (query, status) in
        [("", 400), ("?watch=x", 400), ("?runs=run_0", 404), (&format!("?runs={old}"), 404)]
    {
        assert_eq!(auditor.ask("GET", &format!("/v1/events{query}"), "").status, status, "{query}");
    }
}

fn control(auditor: &mut Auditor<'_>) {
    let run = auditor.run(json!({ "input": "hold" }));
    let path = format!("/v1/runs/{run}");
    auditor.await_status(&run, "running");
    assert_eq!(auditor.ask("DELETE", &path, "").status, 409);
    assert_eq!(auditor.ask("POST", &format!("{path}/steer"), "{\"text\":\"on\"}").status, 200);
    assert_eq!(auditor.ask("POST", &format!("{path}/steer"), "{}").status, 400);
    let whole = "{\"verbs\":[\"watch\",\"stop\"],\"redact\":[\"tools\"],\"lifetime\":60}";
    for (body, status) in [("", 200), (whole, 200), ("{\"verb\":1}", 400)] {
        assert_eq!(auditor.ask("POST", &format!("{path}/token"), body).status, status, "{body}");
    }
    assert_eq!(auditor.ask("POST", &format!("{path}/stop"), "").status, 200);
    auditor.ask("GET", &format!("{path}/events"), "");
    auditor.await_status(&run, "cancelled");
    assert_eq!(auditor.ask("POST", &format!("{path}/stop"), "").status, 200);
    assert_eq!(auditor.ask("POST", &format!("{path}/steer"), "{\"text\":\"on\"}").status, 409);
}

fn approvals(auditor: &mut Auditor<'_>) {
    let run = auditor.run(json!({ "input": "ask" }));
    let path = format!("/v1/runs/{run}/approval");
    auditor.await_status(&run, "waiting_for_approval");
    let waiting = auditor.ask("GET", "/v1/approvals", "").json();
    assert_eq!(waiting["data"][0]["run_id"], run);
    assert_eq!(auditor.ask("POST", &path, "{\"choice\":\"perhaps\"}").status, 400);
    assert_eq!(auditor.ask("POST", &path, "{\"choice\":\"always\"}").status, 200);
    auditor.await_status(&run, "completed");
    auditor.ask("GET", &format!("/v1/runs/{run}/events"), "");
    assert_eq!(auditor.ask("POST", &path, "{\"choice\":\"once\"}").status, 409);
    let grants = auditor.ask("GET", "/v1/approvals/grants", "").json();
    let grant = format!("/v1/approvals/grants/{}", grants["data"][0]["id"].as_str().unwrap());
    assert_eq!(auditor.ask("DELETE", &grant, "").status, 200);
    assert_eq!(auditor.ask("DELETE", &grant, "").status, 404);
}

fn sessions(auditor: &mut Auditor<'_>) {
    for base in ["/v1/sessions", "/api/sessions"] {
        auditor.ask("GET", base, "");
        assert_eq!(auditor.ask("GET", &format!("{base}?limit=0"), "").status, 400);
        let history = json!([
            {"role": "user", "content": [{"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://a.example/a.png"}}]},
            {"role": "assistant", "content": null,
                "tool_calls": [{"id": "c", "type": "function",
                    "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "b"}
        ]);
        let body = json!({"input": "hold", "session_id": "t", "conversation_history": history});
        let run = auditor.run(body);
        auditor.await_status(&run, "running");
        assert_eq!(auditor.ask("DELETE", &format!("{base}/t"), "").status, 409);
        auditor.ask("POST", &format!("/v1/runs/{run}/stop"), "");
        auditor.await_status(&run, "cancelled");
        for path in ["/t", "/t/messages", "/t/messages?order=oldest&limit=2&offset=0"] {
            assert_eq!(auditor.ask("GET", &format!("{base}{path}"), "").status, 200, "{path}");
        }
        assert_eq!(auditor.ask("GET", &format!("{base}/t/messages?order=x"), "").status, 400);
        assert_eq!(auditor.ask("DELETE", &format!("{base}/t"), "").status, 200);
    }
}

/// Every operation is asked for everything that can be wrong with any request.
fn mistakes(auditor: &mut Auditor<'_>) {
    let document = auditor.document;
    for (method, path, operation) in document.operations() {
        let method = method.as_str();
        let is_open = operation["security"] == json!([]);
        let json = "Content-Type: application/json\r\n";
        let line = |host: &str, headers: &str| {
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
        };
        let key = format!("Authorization: Bearer {KEY}\r\n");
        let long = format!("{method} {path}?{} HTTP/1.1\r\n", "x".repeat(9_000));
        for (request, status) in [
            (line("a b", ""), 400),
            (line("evil.example", ""), 421),
            (line("localhost", "Origin: https://evil.example\r\n"), 403),
            (line("localhost", &format!("X: {}\r\n", "x".repeat(20_000))), 431),
            (line("localhost", &format!("{key}Content-Length: 9\r\n")), 415),
            (line("localhost", &format!("{key}{json}Content-Length: 99999999\r\n")), 413),
            (long, 414),
        ] {
            let reply = auditor.send(method, path, request);
            assert_eq!(reply.status, status, "{method} {path}");
        }
        if !is_open {
            assert_eq!(auditor.send(method, path, line("localhost", "")).status, 401);
        }
        for body in ["{", "[]", "{\"input\":7}", "{\"choice\":[]}", ""] {
            if !path.contains("{") && body.is_empty() && method != "POST" {
                continue;
            }
            auditor.ask(method, path, body);
        }
    }
    for body in [
        json!({"input": "x", "previous_response_id": "run_0"}),
        json!({"input": "x", "provider": "none"}),
        json!({"input": "x", "budget": {"turn": 1}}),
        json!({"input": [{"role": "user"}]}),
        json!({"input": "x", "session_id": "\u{1}"}),
        json!({"input": "x", "webhook": {"url": "https://a.example/"}}),
    ] {
        let reply = auditor.ask("POST", "/v1/runs", &body.to_string());
        assert!([400, 404].contains(&reply.status), "{body}");
    }
    assert_eq!(auditor.ask("GET", "/nowhere", "").status, 404);
}

#[test]
fn refusals_for_want_of_room_are_described() {
    let document = Document::read();
    let site = serve(|config| (config.max_runs, config.max_queue) = (1, 0));
    let mut auditor = Auditor { site: &site, document: &document, seen: BTreeSet::new() };
    let run = auditor.run(json!({ "input": "hold" }));
    auditor.await_status(&run, "running");
    assert_eq!(auditor.ask("POST", "/v1/runs", "{\"input\":\"x\"}").status, 429);
    auditor.ask("POST", &format!("/v1/runs/{run}/stop"), "");
    let slow = serve(|config| config.head_timeout = Duration::from_millis(20));
    let mut auditor = Auditor { site: &slow, document: &document, seen: BTreeSet::new() };
    let request = "GET /health HTTP/1.1\r\n".to_owned();
    assert_eq!(auditor.send("GET", "/health", request).status, 408);
}

/// A store that can be made to fail.
#[derive(Default)]
struct Frail {
    memory: Memory,
    is_broken: Arc<AtomicBool>,
}

impl Frail {
    fn look(&self) -> Result<(), Fault> {
        let message = "as asked".to_owned();
        let is_broken = self.is_broken.load(Ordering::SeqCst);
        if is_broken { Err(Fault { kind: FaultKind::Full, message }) } else { Ok(()) }
    }
}

impl Store for Frail {
    fn name(&self) -> &'static str {
        "frail"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn recover(&mut self) -> Result<Recovered, Fault> {
        self.memory.recover()
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.look()?;
        self.memory.commit(batch)
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, Fault> {
        self.look()?;
        self.memory.answer(query)
    }

    fn prune(&mut self, retain: &Retain, now: Wall) -> Result<Pruned, Fault> {
        self.memory.prune(retain, now)
    }

    fn hands(&self) -> Result<Option<Hands>, Fault> {
        Ok(None)
    }
}

#[test]
fn what_a_server_whose_store_fails_and_one_that_ends_answer_is_described() {
    let document = Document::read();
    let store = Frail::default();
    let is_broken = store.is_broken.clone();
    let site = Site::with_agent(Actor, common::Gate::default(), Box::new(store), |config| {
        config.key = Some(KEY.to_owned());
    });
    let mut auditor = Auditor { site: &site, document: &document, seen: BTreeSet::new() };
    let held = auditor.run(json!({ "input": "hold" }));
    auditor.await_status(&held, "running");
    is_broken.store(true, Ordering::SeqCst);
    let unknown = RunId(1);
    for path in [
        "/v1/runs".to_owned(),
        format!("/v1/runs/{unknown}"),
        format!("/v1/runs/{unknown}/events"),
        format!("/v1/events?runs={unknown}"),
        "/v1/sessions".to_owned(),
        "/v1/sessions/s".to_owned(),
        "/v1/sessions/s/messages".to_owned(),
    ] {
        assert_eq!(auditor.ask("GET", &path, "").status, 500, "{path}");
    }
    for (method, path) in
        [("DELETE", ""), ("POST", "/stop"), ("POST", "/steer"), ("POST", "/approval")]
    {
        let path = format!("/v1/runs/{unknown}{path}");
        let body = if method == "POST" { r#"{"text":"x","choice":"deny"}"# } else { "" };
        assert_eq!(auditor.ask(method, &path, body).status, 500, "{method} {path}");
    }
    let full = auditor.ask("POST", "/v1/runs", r#"{"input":"x"}"#);
    assert_eq!((full.status, full.code()), (507, json!("store_unavailable")));
    is_broken.store(false, Ordering::SeqCst);
    common::wait_for("the store to be tried again", || {
        (auditor.ask("POST", "/v1/runs", r#"{"input":"hold"}"#).status == 202).then_some(())
    });
    site.handle.drain();
    common::wait_for("the drain to begin", || {
        let reply = auditor.ask("POST", "/v1/runs", r#"{"input":"x"}"#);
        (reply.status == 503).then_some(())
    });
}

#[test]
fn what_only_a_failing_store_or_a_full_memory_answers_is_described() {
    let document = Document::read();
    for reject in [
        Reject::StoreUnreadable,
        Reject::StoreUnavailable,
        Reject::Draining { retry_after_s: 1 },
        Reject::MemoryExhausted { retry_after_s: 1 },
        Reject::KeyRequests { key: "k".to_owned(), per_minute: 1, retry_after_s: 1 },
        Reject::TooManySteers { retry_after_s: 1 },
    ] {
        let response = &document.0["components"]["responses"][reject.status().to_string()];
        assert!(response["x-codes"].as_array().unwrap().contains(&json!(reject.code())));
        let body = serde_json::from_slice(&reject.body()).unwrap();
        assert_eq!(document.flaw(&body, &response["content"]["application/json"]["schema"]), None);
        let waits = response["headers"]["Retry-After"].is_object();
        assert_eq!(reject.retry_after_s().is_some(), waits, "{reject:?}");
    }
}
