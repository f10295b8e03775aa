//! Budgets as clients meet them: a real server with limits, requests that set their own.
#![cfg(all(feature = "cli", feature = "llm", feature = "sqlite", target_os = "linux"))]
mod cli_kit;
#[path = "model/server.rs"]
mod server;

use cli_kit::{Home, Served, http};
use serde_json::{Value, json};
use server::{CHUNKED, Server, chunk, text};
use std::io::Write;
use std::sync::mpsc::channel;
use std::time::Duration;

const KEY: &str = "0123456789abcdef";
/// Three turns of the model `builtin`, two calls, some hundred tokens each.
const WORK: &str = "run seq 50 then run seq 50";

fn serve(home: &Home, args: &[&str]) -> Served {
    home.serve(&[&["--key", KEY, "--workspace", "."], args].concat())
}

fn ask(served: &Served, head: &str, body: &str) -> (u16, Value) {
    let head =
        format!("{head} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json");
    let reply = http(served.addr(), &head, body);
    let status = reply[9..12].parse().unwrap();
    let body = reply.split_once("\r\n\r\n").unwrap().1;
    (status, serde_json::from_str(body).unwrap_or_else(|_| body.into()))
}

fn post(served: &Served, body: &Value) -> String {
    let (status, reply) = ask(served, "POST /v1/runs", &body.to_string());
    assert_eq!(status, 202, "{reply}");
    reply["run_id"].as_str().unwrap().to_owned()
}

/// The events of a run to its end.
fn events(served: &Served, run: &str) -> Vec<Value> {
    let (_, stream) = ask(served, &format!("GET /v1/runs/{run}/events"), "");
    let lines = stream.as_str().unwrap().lines();
    let data = lines.filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// The last event of a run with this budget.
fn last(served: &Served, input: &str, budget: Value) -> Value {
    let run = post(served, &json!({ "input": input, "budget": budget }));
    events(served, &run).pop().unwrap()
}

fn is_exceeded(last: &Value, limit: &str, how: &str) {
    assert_eq!(last["event"], "run.failed", "{last}");
    assert_eq!((&last["reason"], &last["budget"]), (&json!("budget_exceeded"), &json!(limit)));
    assert!(last["error"].as_str().unwrap().contains(how), "{last}");
    assert!(last["usage"].is_object(), "{last}");
}

/// Without a budget, or with a wider one, the server's limit ends the run; a tighter one holds
/// instead; and one that is enough lets it complete.
fn holds(flag: [&str; 2], limit: &str, wide: Value, [tight, value]: [Value; 2], input: &str) {
    let home = Home::new();
    let served = serve(&home, &flag);
    is_exceeded(&last(&served, input, json!(null)), limit, flag[0]);
    is_exceeded(&last(&served, input, json!({ limit: wide })), limit, flag[0]);
    let own = last(&served, input, json!({ limit: tight }));
    is_exceeded(&own, limit, &format!("budget.{limit} in the request"));
    assert!(own["error"].as_str().unwrap().contains(value.as_str().unwrap()), "{own}");
    let home = Home::new();
    let free = serve(&home, &[]);
    is_exceeded(&last(&free, input, json!({ limit: tight })), limit, "in the request");
}

#[test]
fn turns_have_a_limit() {
    holds(["--max-turns", "2"], "turns", json!(50), [json!(1), json!("1 turn,")], WORK);
}

#[test]
fn tool_calls_have_a_limit() {
    let tight = [json!(0), json!("0 tool calls,")];
    holds(["--max-tool-calls", "1"], "tool_calls", json!(9), tight, WORK);
}

#[test]
fn tokens_have_a_limit() {
    let tight = [json!(10), json!("10 tokens,")];
    holds(["--max-tokens", "20"], "tokens", json!(1_000_000), tight, WORK);
}

#[test]
fn output_has_a_limit() {
    let tight = [json!(5), json!("5 bytes,")];
    holds(["--max-output", "1K"], "output_bytes", json!(u64::MAX), tight, "run seq 1000");
}

#[test]
fn time_has_a_limit() {
    let tight = [json!(0.1), json!("0.1 s,")];
    holds(["--run-timeout", "300ms"], "wall_seconds", json!(1e300), tight, "run sleep 60");
}

#[test]
fn a_run_within_all_its_limits_completes_and_what_it_said_fits_exactly() {
    let home = Home::new();
    let served = serve(&home, &["--max-output", "1M", "--max-tool-calls", "2", "--max-turns", "3"]);
    let run = post(&served, &json!({ "input": WORK }));
    let whole = events(&served, &run);
    assert_eq!(whole.last().unwrap()["event"], "run.completed");
    let size = |event: &Value| event["delta"].as_str().map_or(0, str::len);
    let bytes: usize = whole.iter().map(size).sum();
    let usage = &whole.last().unwrap()["usage"]["total_tokens"];
    let just = json!({
        "wall_seconds": 19, "turns": 3, "tool_calls": 2, "output_bytes": bytes, "tokens": usage,
    });
    assert_eq!(last(&served, WORK, just)["event"], "run.completed");
    let run = post(&served, &json!({ "input": WORK, "budget": { "output_bytes": bytes - 1 } }));
    let cut = events(&served, &run);
    assert_eq!(cut.iter().map(size).sum::<usize>(), bytes - 1);
    let output = cut.last().unwrap()["output"].as_str().unwrap();
    assert!(whole.last().unwrap()["output"].as_str().unwrap().starts_with(output));
    let (_, page) = ask(&served, &format!("GET /v1/runs/{run}"), "");
    assert_eq!((&page["status"], &page["output"]), (&json!("failed"), &json!(output)));
}

#[test]
fn a_model_that_does_not_end_is_cut_off_where_the_budget_ends() {
    for (budget, said) in [(json!({"output_bytes": 100}), 100), (json!({"tokens": 100}), 800)] {
        let (gone, hear) = channel();
        let model = Server::new(vec![Box::new(move |stream| {
            stream.write_all(CHUNKED.as_bytes()).unwrap();
            // Until nobody listens any more.
            while stream.write_all(chunk(&text("on and on ")).as_bytes()).is_ok() {}
            gone.send(()).unwrap();
        })]);
        let home = Home::new();
        let served = serve(&home, &["--base-url", &model.base_url, "--model", "m"]);
        let last = last(&served, "go", budget.clone());
        let (limit, _) = budget.as_object().unwrap().iter().next().unwrap();
        is_exceeded(&last, limit, "in the request");
        let output = last["output"].as_str().unwrap().len();
        assert!((said..said + 10).contains(&output), "{output} bytes");
        hear.recv_timeout(Duration::from_secs(20)).expect("the model's connection is closed");
    }
}

#[test]
fn a_budget_that_cannot_be_kept_is_refused_and_named() {
    let home = Home::new();
    let served = serve(&home, &[]);
    for (budget, param) in [
        (json!({ "turns": 0 }), "budget.turns"),
        (json!({ "wall_seconds": "5" }), "budget.wall_seconds"),
        (json!({ "turn": 5 }), "budget"),
        (json!(5), "budget"),
    ] {
        let body = json!({ "input": "help", "budget": budget }).to_string();
        let (status, reply) = ask(&served, "POST /v1/runs", &body);
        assert_eq!((status, &reply["error"]["param"]), (400, &json!(param)), "{reply}");
    }
    let (_, page) = ask(&served, "GET /v1/capabilities", "");
    assert_eq!(page["limits"]["budget"], json!({ "turns": 50 }));
}

#[test]
fn a_run_that_waits_keeps_its_budget_while_its_server_dies_and_the_next_one_has_its_own() {
    let home = Home::new();
    let served = serve(&home, &["--max-runs", "1"]);
    post(&served, &json!({ "input": "run sleep 60" }));
    let tight = post(&served, &json!({ "input": WORK, "budget": { "turns": 1 } }));
    let free = post(&served, &json!({ "input": WORK, "budget": { "turns": 40 } }));
    // Dropping it kills it.
    drop(served);
    let served = serve(&home, &["--max-turns", "2"]);
    let last = |run: &str| events(&served, run).pop().unwrap();
    is_exceeded(&last(&tight), "turns", "budget.turns");
    is_exceeded(&last(&free), "turns", "--max-turns");
}
