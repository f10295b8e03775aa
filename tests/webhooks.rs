//! Webhooks: the real server, and a real receiver that checks what it is sent.
#![cfg(all(feature = "webhooks", feature = "sqlite", target_os = "linux"))]
mod common;
mod hooked;

use common::{Gate, Shelf, Site, get, on_each_store, post, wait_for};
use hooked::{Postbox, Posted};
use runwire::approval::Ask;
use runwire::config::{Config, Webhook, Webhooks};
use runwire::{Agent, Context, Ending};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhooks() -> Webhooks {
    let mut webhooks = Webhooks::new(Vec::new());
    webhooks.secrets = runwire::wire::webhook::secrets(SECRET).unwrap();
    webhooks.allow_private = true;
    webhooks.retries = vec![Duration::from_millis(20); 3];
    webhooks
}

fn with_hooks(config: &mut Config) {
    config.webhooks = Some(webhooks());
}

fn hooked_site() -> Site {
    Site::with(with_hooks)
}

fn hooked_input(input: &str, url: &str) -> Value {
    json!({ "input": input, "webhook": { "url": url } })
}

fn tries(site: &Site, outcome: &str) -> String {
    let page = String::from_utf8(site.get("/metrics").body).unwrap();
    let name = format!("runwire_webhook_tries_total{{outcome=\"{outcome}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
}

fn await_tries(site: &Site, outcome: &str, count: &str) {
    wait_for(outcome, || (tries(site, outcome) == count).then_some(()));
}

/// The code of one language in docs/webhooks.md.
fn documented(language: &str) -> String {
    let text = include_str!("../docs/webhooks.md");
    let (_, code) = text.split_once(&format!("```{language}\n")).unwrap();
    code.split_once("```").unwrap().0.to_owned()
}

/// What the documented check of that language says of a delivery.
fn verified(program: &str, code: &str, posted: &Posted) -> Option<String> {
    let mut child = Command::new(program)
        .args([if program == "node" { "-e" } else { "-c" }, code])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let headers: serde_json::Map<String, Value> =
        posted.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let input = json!({ "secret": SECRET, "headers": headers, "body": posted.body }).to_string();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8(output.stdout).unwrap().trim().to_lowercase())
}

fn python(posted: &Posted) -> Option<String> {
    let call = "import json, sys\nit = json.load(sys.stdin)\n\
                print(verify(it['secret'], it['headers'], it['body'].encode()))\n";
    verified("python3", &(documented("python") + call), posted)
}

fn node(posted: &Posted) -> Option<String> {
    let call = "const it = JSON.parse(require('node:fs').readFileSync(0));\n\
                console.log(verify(it.secret, it.headers, it.body));\n";
    verified("node", &(documented("js") + call), posted)
}

#[test]
fn the_documented_checks_find_a_delivery_genuine_and_a_changed_one_not() {
    let (site, postbox) = (hooked_site(), Postbox::new());
    site.submit(hooked_input("say hello wörld", &postbox.url("/x?y=1")));
    let posted = postbox.next();
    let mut changed = posted.clone();
    changed.body = changed.body.replace("wörld", "world");
    let mut old = posted.clone();
    old.headers.iter_mut().filter(|(name, _)| name == "webhook-timestamp").for_each(
        |(_, value)| {
            *value = "1614265330".to_owned();
        },
    );
    assert!(python(&posted).is_some(), "python3 is needed for this test");
    for check in [python, node] {
        // Python is there wherever the tests are; the other one says the same.
        let Some(genuine) = check(&posted) else { continue };
        assert_eq!(genuine, "true", "{posted:?}");
        assert_eq!(check(&changed).unwrap(), "false");
        assert_eq!(check(&old).unwrap(), "false");
    }
}

#[test]
fn a_signature_is_what_other_implementations_make_of_it() {
    let secret = runwire::wire::webhook::secrets(SECRET).unwrap();
    let signature = runwire::wire::webhook::sign(
        &secret,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        "{\"test\": 2432232314}",
    );
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"] {
        assert!(runwire::wire::webhook::secrets(bad).is_none(), "{bad}");
        assert!(runwire::wire::webhook::secrets(&format!("{SECRET} {bad}x")).is_none(), "{bad}");
    }
    assert_eq!(runwire::wire::webhook::secrets(&[SECRET; 4].join(" ")).unwrap().len(), 4);
    assert!(runwire::wire::webhook::secrets(&[SECRET; 5].join(" ")).is_none());
}

#[test]
fn a_run_tells_its_webhook_how_it_ended_with_the_event_as_readers_see_it() {
    on_each_store(|shelf| {
        let site = Site::with_store(shelf.store(), with_hooks);
        let postbox = Postbox::new();
        let reply = site.submit(hooked_input("say hello", &postbox.url("/hook?token=1")));
        let run = reply["run_id"].as_str().unwrap();
        let posted = postbox.next();
        assert_eq!(posted.path, "/hook?token=1");
        assert_eq!(posted.header("content-type"), "application/json");
        assert!(posted.id().starts_with("msg_"));
        let told = posted.json();
        assert_eq!(
            (&told["type"], &told["data"]["status"]),
            (&json!("run.completed"), &json!("completed"))
        );
        assert!(told["timestamp"].as_str().unwrap().ends_with('Z'));
        let data = &told["data"];
        assert_eq!((&data["run_id"], &data["output"]), (&json!(run), &json!("hello")));
        assert_eq!(data["session_id"], run);
        let stream = String::from_utf8(site.stream(run)).unwrap();
        let last = stream.lines().rfind(|line| line.starts_with("data: ")).unwrap();
        assert!(posted.body.contains(&last["data: ".len()..]), "{}", posted.body);
        await_tries(&site, "delivered", "1");
        assert!(postbox.rest().is_empty());
    });
}

/// Asks for leave, once.
struct Timid;

impl Agent for Timid {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        run.approve(&Ask {
            tool: "terminal".to_owned(),
            arguments: "{}".to_owned(),
            command: "rm -r x".to_owned(),
            description: "It deletes files.".to_owned(),
        })?;
        Ok(())
    }
}

#[test]
fn a_request_for_leave_is_told_and_can_be_decided_by_what_is_told() {
    on_each_store(|shelf| {
        let postbox = Postbox::new();
        let site = Site::with_agent(Timid, Gate::default(), shelf.store(), with_hooks);
        site.submit(hooked_input("go", &postbox.url("/")));
        let told = postbox.next().json();
        assert_eq!(told["type"], "approval.request");
        let data = &told["data"];
        assert_eq!(
            (&data["status"], &data["approval"]["command"]),
            (&json!("waiting_for_approval"), &json!("rm -r x"))
        );
        let choice = json!({ "choice": "once", "request_id": data["approval"]["request_id"] });
        let path = format!("/v1/runs/{}/approval", data["run_id"].as_str().unwrap());
        assert_eq!(site.ask(post(&path, &choice.to_string())).status, 200);
        assert_eq!(postbox.next().json()["type"], "run.completed");
    });
}

#[test]
fn a_long_output_is_shortened_and_said_to_be() {
    let (site, postbox) = (hooked_site(), Postbox::new());
    site.submit(hooked_input("emit 40 10000", &postbox.url("/")));
    let posted = postbox.next();
    assert!(posted.body.len() < 64 * 1024);
    let data = &posted.json()["data"];
    assert_eq!(data["shortened"], json!(["output"]));
    assert!(data["output"].as_str().unwrap().contains("bytes left out"));
    assert_eq!(data["event"]["output"], data["output"]);
}

#[test]
fn a_server_tells_of_all_runs_and_a_run_of_the_events_it_names() {
    let (all, own) = (Postbox::new(), Postbox::new());
    let site = Site::with(|config| {
        let mut webhooks = webhooks();
        webhooks.all_runs = Some(Webhook::new(&all.url("/all")).unwrap());
        config.webhooks = Some(webhooks);
    });
    site.submit(
        json!({ "input": "done", "webhook": { "url": own.url("/"), "events": ["run.failed"] } }),
    );
    assert_eq!(all.next().json()["type"], "run.completed");
    site.submit(
        json!({ "input": "fail", "webhook": { "url": own.url("/"), "events": ["run.failed"] } }),
    );
    assert_eq!(own.next().json()["type"], "run.failed");
    assert_eq!(all.next().json()["type"], "run.failed");
    // The same address is told once.
    site.submit(hooked_input("done", &all.url("/all")));
    all.next();
    await_tries(&site, "delivered", "4");
    assert!(all.rest().is_empty() && own.rest().is_empty());
}

#[test]
fn a_failed_try_is_repeated_with_the_same_id_until_it_is_taken() {
    on_each_store(|shelf| {
        let postbox =
            Postbox::answering(&["500 No", "302 Found\r\nLocation: /elsewhere", "429 Later"]);
        let site = Site::with_store(shelf.store(), with_hooks);
        site.submit(hooked_input("done", &postbox.url("/here")));
        let tries: Vec<Posted> = (0..4).map(|_| postbox.next()).collect();
        assert!(tries.iter().all(|it| it.id() == tries[0].id() && it.body == tries[0].body));
        assert!(tries.iter().all(|it| it.path == "/here"), "a redirect was followed");
        await_tries(&site, "delivered", "1");
        assert!(postbox.rest().is_empty());
    });
}

#[test]
fn a_delivery_that_always_fails_is_given_up() {
    let postbox = Postbox::answering(&["500 No"; 8]);
    let site = hooked_site();
    site.submit(hooked_input("done", &postbox.url("/")));
    await_tries(&site, "given_up", "1");
    assert_eq!(postbox.rest().len(), 4);
}

#[test]
fn whoever_says_gone_is_left_alone() {
    let postbox = Postbox::answering(&["410 Gone"]);
    let site = hooked_site();
    site.submit(hooked_input("done", &postbox.url("/")));
    await_tries(&site, "gone", "1");
    assert_eq!(postbox.rest().len(), 1);
}

#[test]
fn whoever_asks_for_patience_is_given_it() {
    let postbox = Postbox::answering(&["503 Busy\r\nRetry-After: 3600"]);
    // Without what is asked for, the next try would come at once, before any of the others.
    let at_once = Webhooks { retries: vec![Duration::ZERO; 3], ..webhooks() };
    let site = Site::with(|config| config.webhooks = Some(at_once));
    site.submit(hooked_input("done", &postbox.url("/")));
    postbox.next();
    await_tries(&site, "retried", "1");
    let other = Postbox::new();
    for _ in 0..20 {
        site.submit(hooked_input("done", &other.url("/")));
        other.next();
    }
    assert!(postbox.rest().is_empty());
}

#[test]
fn a_slow_endpoint_holds_up_nobody_else() {
    let slow = Postbox::answering(&[""; 100]);
    let site = hooked_site();
    for _ in 0..8 {
        site.submit(hooked_input("done", &slow.url("/")));
    }
    slow.next();
    let good = Postbox::new();
    for _ in 0..8 {
        site.submit(hooked_input("done", &good.url("/")));
    }
    (0..8).for_each(|_| drop(good.next()));
    assert!(slow.rest().is_empty(), "two at a time");
}

#[test]
fn more_than_memory_holds_waits_in_the_store() {
    let shelf = Shelf::durable();
    let slow = Postbox::answering(&[""]);
    let site = Site::with_store(shelf.store(), with_hooks);
    site.submit(hooked_input("done", &slow.url("/slow")));
    slow.next();
    for _ in 0..300 {
        site.submit(hooked_input("done", &slow.url("/slow")));
    }
    wait_for("the runs to end", || (site.counts()["runs"]["working"] == 0).then_some(()));
    let good = Postbox::new();
    site.submit(hooked_input("done", &good.url("/")));
    good.next();
    slow.let_go();
    let mut told = BTreeSet::new();
    while told.len() < 301 {
        told.insert(slow.next().id().to_owned());
    }
    drop(site);
}

#[test]
fn a_deleted_run_is_told_of_no_more() {
    on_each_store(|shelf| {
        let postbox = Postbox::answering(&["503 Busy\r\nRetry-After: 3600"]);
        let site = Site::with_store(shelf.store(), with_hooks);
        let run = site.submit(hooked_input("done", &postbox.url("/")));
        let run = run["run_id"].as_str().unwrap();
        postbox.next();
        await_tries(&site, "retried", "1");
        site.await_end(run);
        assert_eq!(site.delete(&format!("/v1/runs/{run}")).status, 200);
        let page = String::from_utf8(site.get("/metrics").body).unwrap();
        assert!(page.contains("\nrunwire_webhooks_waiting 0\n"), "{page}");
    });
}

#[test]
fn secrets_are_masked_in_what_is_told() {
    let (site, postbox) = (
        Site::with(|config| {
            with_hooks(config);
            config.secrets.push("hunter2hunter2".to_owned());
        }),
        Postbox::new(),
    );
    site.submit(hooked_input("blab hunter2hunter2", &postbox.url("/")));
    let posted = postbox.next();
    assert!(posted.body.contains("[secret]") && !posted.body.contains("hunter2"), "{posted:?}");
}

#[test]
fn a_webhook_that_cannot_be_is_refused_with_what_to_change() {
    let site = Site::with(|config| {
        let mut webhooks = webhooks();
        webhooks.allow_private = false;
        config.webhooks = Some(webhooks);
    });
    for (webhook, part) in [
        (json!("https://a.example"), "an object"),
        (json!({}), "an object"),
        (json!({ "url": "https://a.example", "secret": "x" }), "an object"),
        (json!({ "url": "ftp://a.example" }), "https://"),
        (json!({ "url": "http://a.example" }), "https://"),
        (json!({ "url": "https://127.0.0.1/" }), "public"),
        (json!({ "url": "https://[::ffff:10.0.0.1]/" }), "public"),
        (json!({ "url": "https://u:p@a.example/" }), "user name"),
        (json!({ "url": format!("https://a.example/{}", "x".repeat(3000)) }), "2048"),
        (json!({ "url": "https://a.example", "events": [] }), "events"),
        (json!({ "url": "https://a.example", "events": ["message.delta"] }), "events"),
        (json!({ "url": "https://a.example", "events": "run.failed" }), "events"),
    ] {
        let body = json!({ "input": "done", "webhook": webhook }).to_string();
        let reply = site.ask(post("/v1/runs", &body));
        assert_eq!((reply.status, reply.code()), (400, "invalid_webhook".into()), "{body}");
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(site.get("/v1/capabilities").json()["features"]["webhooks"], true);
}

#[test]
fn a_server_without_webhooks_says_so() {
    let site = Site::start();
    let reply = site.ask(post("/v1/runs", &hooked_input("done", "https://a.example").to_string()));
    assert_eq!((reply.status, reply.code()), (400, "invalid_webhook".into()));
    assert!(String::from_utf8(reply.body).unwrap().contains("--webhook-secret"));
    assert_eq!(site.ask(get("/v1/capabilities")).json()["features"]["webhooks"], false);
}
