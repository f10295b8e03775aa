//! What is refused, by which status and code, in what order, and that the client can read why.
mod common;
use common::{Reply, Site, get, post, post_input, post_with};
use serde_json::{Value, json};

const KEY: &str = "a-long-enough-key";
const JSON: &str = "Content-Type: application/json\r\n";

/// Asserts all that the contract says of a refusal.
fn assert_refusal(reply: &Reply, status: u16, code: Value) {
    assert_eq!((reply.status, reply.code()), (status, code), "{reply:?}");
    let error = &reply.json()["error"];
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "message", "param", "type"]);
    let kind = match status {
        401 => "gateway_auth_error",
        429 => "rate_limit_error",
        507 => "server_error",
        _ => "invalid_request_error",
    };
    assert_eq!(error["type"], kind);
    assert!(error["param"].is_null() || error["param"].is_string());
    assert!(error["message"].as_str().is_some_and(|text| text.len() > 10));
    assert_common_headers(reply);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

fn assert_common_headers(reply: &Reply) {
    assert!(reply.header("date").is_some_and(|date| date.len() == 29 && date.ends_with(" GMT")));
    assert_eq!(reply.header("vary"), Some("Origin"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    let policy = reply.header("content-security-policy").unwrap();
    assert!(policy.contains("frame-ancestors 'none'"));
}

#[test]
fn every_reply_carries_the_common_headers() {
    let site = Site::start();
    let run = site.run("done");
    site.await_status(&run, "completed");
    let events = format!("/v1/runs/{run}/events");
    let cursor = format!("{events}?last_seq=0");
    for request in [get("/health"), get(&events), get(&cursor), post_input("done"), get("/no")] {
        assert_common_headers(&site.ask(request));
    }
    assert_common_headers(&site.ask(get("/v1/runs").replace("GET", "OPTIONS")));
    assert_eq!(site.get(&events).header("cache-control"), Some("no-cache"));
    assert_eq!(site.get("/health").header("cache-control"), Some("no-store"));
    assert_eq!(site.get(&cursor).header("cache-control"), Some("no-store"));
}

#[test]
fn what_is_not_http_is_refused_and_the_connection_closes() {
    let site = Site::start();
    let host = "Host: localhost\r\n";
    let chunked =
        format!("POST /v1/runs HTTP/1.1\r\n{host}{JSON}Transfer-Encoding: chunked\r\n\r\n");
    let with = |header: &str| format!("GET /health HTTP/1.1\r\n{host}{header}\r\n\r\n");
    let line = |line: &str| format!("{line}\r\n{host}\r\n");
    for request in [
        line("GET  /health HTTP/1.1"),
        line("GET /health"),
        line("GET /health HTTP/2.0"),
        line("GET /health HTTP/1.1 "),
        line("GET /hea lth HTTP/1.1"),
        line("GET health HTTP/1.1"),
        line("GET ftp://localhost/ HTTP/1.1"),
        line("GET http://user@localhost/health HTTP/1.1"),
        line("GET /health#top HTTP/1.1"),
        line("GET * HTTP/1.1"),
        line("CONNECT localhost:1 HTTP/1.1"),
        line("G\u{e9}T /health HTTP/1.1"),
        line("\r\n\r\n\r\n\r\n\r\nGET /health HTTP/1.1"),
        " GET /health HTTP/1.1\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}".to_owned(),
        "GET /health HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /health HTTP/1.1\r\n{host}{host}\r\n"),
        "GET /health HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: localhost:99999\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: user@localhost\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\nHost: localhost\n\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: local\rhost\r\n\r\n".to_owned(),
        with("X: a\r\n folded"),
        with(" X: a"),
        with("X : a"),
        with(": a"),
        with("X"),
        with("X(: a"),
        with("X: a\0b"),
        with("X: a\u{7f}b"),
        with("X: a\u{1b}b"),
        with("Content-Length: 1\r\nContent-Length: 1"),
        with("Content-Length: 1, 1"),
        with("Content-Length: +1"),
        with("Content-Length: -1"),
        with("Content-Length: 0x1"),
        with("Content-Length:"),
        with("Content-Length: 1 1"),
        with("Content-Length: 1\r\nTransfer-Encoding: chunked"),
        with("Transfer-Encoding: gzip, chunked"),
        with("Transfer-Encoding: chunked, identity"),
        with("Transfer-Encoding: identity"),
        with("Transfer-Encoding:"),
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        with("Authorization: Bearer a\r\nAuthorization: Bearer a"),
        with("Origin: http://a\r\nOrigin: http://a"),
        "POST /v1/runs HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        chunked.clone() + "g\r\n",
        chunked.clone() + "-1\r\n",
        chunked.clone() + "\r\n",
        chunked.clone() + " 1\r\n",
        chunked.clone() + "1\n",
        chunked.clone() + "1\r\nab",
        chunked.clone() + "1\r\n{\n",
        chunked.clone() + "1;a\nb\r\n",
        chunked.clone() + "0\r\nno colon\r\n",
        chunked.clone() + "0\r\n folded: x\r\n",
        chunked.clone() + "0\r\nX: " + &"x".repeat(10_000),
        chunked.clone() + "1;" + &"x".repeat(20_000),
        chunked.clone() + &"1;xxxxxxxxxxxxxx\r\nx\r\n".repeat(5_000),
    ] {
        let mut client = site.connect();
        client.try_send(&request);
        let reply = client.reply();
        assert_eq!(reply.status, 400, "{request:?}");
        assert_refusal(&reply, 400, json!("bad_request"));
        assert_eq!(reply.header("connection"), Some("close"), "{request:?}");
        assert!(client.rest().is_empty(), "{request:?}");
    }
    assert_eq!(site.get("/health").status, 200);
}

#[test]
fn what_is_too_long_is_refused() {
    let site = Site::start();
    let with = |headers: &str| format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    for (request, status, code) in [
        (get(&format!("/{}", "x".repeat(8_192))), 414, "uri_too_long"),
        (format!("GET /{}", "x".repeat(100_000)), 414, "uri_too_long"),
        (with(&format!("X: {}\r\n", "x".repeat(16_384))), 431, "headers_too_large"),
        (with(&"X: y\r\n".repeat(64)), 431, "headers_too_large"),
        (with(&format!("X: {}\r\n", "x".repeat(200_000))), 431, "headers_too_large"),
    ] {
        let mut client = site.connect();
        client.try_send(request);
        let reply = client.reply();
        assert_refusal(&reply, status, json!(code));
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(client.rest().is_empty());
    }
    assert_eq!(site.get(&format!("/{}", "x".repeat(8_000))).status, 404);
    assert_eq!(site.ask(with(&"X: y\r\n".repeat(63))).status, 200);
}

#[test]
fn a_head_that_is_cut_is_refused() {
    let site = Site::start();
    for request in ["GET /health HTT", "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\n"] {
        let mut client = site.connect();
        client.send(request);
        client.half_close();
        assert_refusal(&client.reply(), 400, json!("bad_request"));
    }
    let mut client = site.connect();
    let request = post_input("done");
    client.send(&request[..request.len() - 1]);
    client.half_close();
    assert_refusal(&client.reply(), 400, json!("bad_request"));
    assert!(client.rest().is_empty());
}

#[test]
fn a_refusal_can_be_read_by_a_client_that_sends_all_of_a_large_body_first() {
    let site = Site::with(|config| {
        config.key = Some(KEY.to_owned());
        config.max_body = 1_000;
    });
    let key = format!("Authorization: Bearer {KEY}\r\n");
    for (headers, path, status) in [
        (JSON.to_owned(), "/v1/runs", 401),
        (format!("{key}{JSON}"), "/v1/runs", 413),
        (format!("{key}Content-Type: text/plain\r\n"), "/v1/runs", 415),
        (format!("{key}{JSON}"), "/nowhere", 404),
        (format!("{key}{JSON}"), "/v1/models", 405),
    ] {
        let body = vec![b' '; 20_000_000];
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let mut client = site.connect();
        client.send(head);
        client.send(&body);
        assert_eq!(client.reply().status, status);
        assert!(client.rest().is_empty());
    }
    let mut client = site.connect();
    client.send(format!(
        "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\n{key}{JSON}Transfer-Encoding: chunked\r\n\r\n"
    ));
    (0..100).for_each(|_| client.send(format!("64\r\n{}\r\n", "x".repeat(100))));
    assert_refusal(&client.reply(), 413, json!("body_too_large"));
}

#[test]
fn a_refusal_is_the_row_of_the_contract() {
    let site = Site::with(|config| {
        config.key = Some(KEY.to_owned());
        config.allowed_hosts = vec!["box.example".to_owned()];
    });
    let key = format!("Authorization: Bearer {KEY}\r\n");
    let ask = |method: &str, path: &str, headers: &str, body: &str| {
        let length = body.len();
        site.ask(format!(
            "{method} {path} HTTP/1.1\r\nHost: box.example\r\n{key}{headers}Content-Length: {length}\r\n\r\n{body}"
        ))
    };
    let submit = |body: &str| ask("POST", "/v1/runs", JSON, body);

    assert_refusal(&submit(""), 400, Value::Null);
    assert!(submit("{").json()["error"]["message"].as_str().unwrap().starts_with("Invalid JSON"));
    for body in ["[]", "\"input\"", "1", "null"] {
        assert_refusal(&submit(body), 400, json!("invalid_body"));
    }
    for body in ["{}", r#"{"input":null}"#, r#"{"input":""}"#, r#"{"input":[]}"#] {
        let reply = submit(body);
        assert_refusal(&reply, 400, Value::Null);
        assert!(reply.text().contains("Missing 'input' field"), "{body}");
    }
    for body in [
        r#"{"input":"  "}"#,
        r#"{"input":5}"#,
        r#"{"input":["hello"]}"#,
        r#"{"input":[{"role":"user"}]}"#,
        r#"{"input":[{"content":"x"}]}"#,
        r#"{"input":[{"role":"assistant","content":"x"}]}"#,
        r#"{"input":[{"role":"user","content":[{"type":"sound"}]}]}"#,
        r#"{"input":[{"role":"user","content":[{"type":"image_url","image_url":"file:///etc"}]}]}"#,
        r#"{"input":[7,{"role":"user","content":"x"}]}"#,
    ] {
        let reply = submit(body);
        assert_refusal(&reply, 400, Value::Null);
        assert!(reply.text().contains("input"), "{body}");
    }
    for (history, names) in [
        ("{}", "must be a list"),
        ("\"x\"", "must be a list"),
        (r#"[{"role":"user","content":"x"},{"role":"user"}]"#, "conversation_history[1]"),
        (r#"[{"content":"x"}]"#, "conversation_history[0]"),
        (r#"[{"role":"user","content":"x"},3]"#, "conversation_history[1]"),
    ] {
        let reply = submit(&format!(r#"{{"input":"done","conversation_history":{history}}}"#));
        assert_refusal(&reply, 400, Value::Null);
        assert!(reply.text().contains(names), "{reply:?}");
    }
    let reply = submit(r#"{"input":"done","provider":"acme"}"#);
    assert_refusal(&reply, 400, json!("unknown_provider"));
    let reply = submit(r#"{"input":"done","previous_response_id":"resp_1"}"#);
    assert_refusal(&reply, 404, json!("previous_response_not_found"));
    for idempotency_key in ["", "a b", "\u{e9}", &"x".repeat(256)] {
        let headers = format!("{JSON}Idempotency-Key: {idempotency_key}\r\n");
        let reply = ask("POST", "/v1/runs", &headers, r#"{"input":"done"}"#);
        assert_refusal(&reply, 400, json!("invalid_idempotency_key"));
    }
    for (name, value) in [
        ("X-Hermes-Session-Key", "x".repeat(257)),
        ("X-Hermes-Session-Id", "x".repeat(257)),
        ("X-Hermes-Session-Key", "a\tb".to_owned()),
    ] {
        let reply =
            ask("POST", "/v1/runs", &format!("{JSON}{name}: {value}\r\n"), "{\"input\":\"x\"}");
        assert_refusal(&reply, 400, json!("invalid_session_key"));
        assert!(reply.text().contains(name));
    }
    assert_eq!(site.counts()["error"]["code"], "gateway_auth_failed");
    let counts = ask("GET", "/health/detailed", "", "").json();
    assert_eq!(counts["runs"]["finished"], 0, "a refused request made a run");

    let unknown = "run_00000000000000000000000000000000";
    for (method, path) in [
        ("GET", format!("/v1/runs/{unknown}")),
        ("GET", format!("/v1/runs/{unknown}/events")),
        ("POST", format!("/v1/runs/{unknown}/stop")),
        ("POST", format!("/v1/runs/{unknown}/steer")),
    ] {
        let reply = ask(method, &path, "", "");
        assert_refusal(&reply, 404, json!("run_not_found"));
        assert_eq!(reply.json()["error"]["message"], format!("Run not found: {unknown}"));
    }
    for path in [
        "/index.html",
        "/v1/runs/",
        "/v1/runs/x/y",
        "/v1/runs/x/steer/y",
        "/api/session",
        "//health",
    ] {
        assert_refusal(&ask("POST", path, "", ""), 404, json!("not_found"));
    }
    for (method, path, allow) in [
        ("PUT", "/v1/runs", "GET, HEAD, POST, OPTIONS"),
        ("PATCH", "/v1/runs/x", "GET, HEAD, DELETE, OPTIONS"),
        ("GET", "/v1/runs/x/stop", "POST, OPTIONS"),
        ("GET", "/v1/runs/x/steer", "POST, OPTIONS"),
        ("POST", "/v1/runs/x/events", "GET, HEAD, OPTIONS"),
        ("PATCH", "/health", "GET, HEAD, OPTIONS"),
        ("get", "/health", "GET, HEAD, OPTIONS"),
    ] {
        let reply = ask(method, path, "", "");
        assert_refusal(&reply, 405, json!("method_not_allowed"));
        assert_eq!(reply.header("allow"), Some(allow));
    }
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: application/jsonx\r\n"] {
        let reply = ask("POST", "/v1/runs", headers, r#"{"input":"x"}"#);
        assert_refusal(&reply, 415, json!("unsupported_media_type"));
    }
    let reply = site.ask(post("/v1/runs", "{}").replace("localhost", "evil.example"));
    assert_refusal(&reply, 421, json!("host_not_allowed"));
    let reply = site.ask(post_input("done"));
    assert_refusal(&reply, 401, json!("gateway_auth_failed"));
    assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
}

#[test]
fn a_type_is_json_in_any_case_and_with_any_parameter() {
    let site = Site::start();
    for kind in ["APPLICATION/JSON", "application/json; charset=utf-8", "application/x+json"] {
        let request = post_input("done").replace("application/json", kind);
        assert_eq!(site.ask(request).status, 202, "{kind}");
    }
}

/// Each request makes all the mistakes that come after its own.
#[test]
fn the_first_mistake_in_the_order_of_the_contract_is_the_one_named() {
    let site = Site::with(|config| config.key = Some(KEY.to_owned()));
    let request = |host: &str, origin: &str, key: &str, method: &str, path: &str, kind: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{origin}{key}{kind}Content-Length: 99999999\r\n\r\n"
        )
    };
    let (bad, foreign) = ("evil.example", "Origin: http://evil.example\r\n");
    let wrong = "Authorization: Bearer guess\r\n";
    let right = format!("Authorization: Bearer {KEY}\r\n");
    for (request, status) in [
        (request("a b", foreign, wrong, "PUT", "/no", ""), 400),
        (request(bad, "Origin: http://x\r\n", wrong, "PUT", "/no", ""), 421),
        (request("localhost", foreign, wrong, "PUT", "/no", ""), 403),
        (request("localhost", foreign, wrong, "OPTIONS", "/no", ""), 403),
        (request("localhost", "", wrong, "PUT", "/no", ""), 401),
        (request("localhost", "", &right, "PUT", "/no", ""), 404),
        (request("localhost", "", &right, "PUT", "/v1/runs", ""), 405),
        (request("localhost", "", &right, "POST", "/v1/runs", ""), 415),
        (request("localhost", "", &right, "POST", "/v1/runs", JSON), 413),
    ] {
        assert_eq!(site.ask(&request).status, status, "{request}");
    }
}

#[test]
fn bad_json_is_refused_and_never_a_crash() {
    let site = Site::start();
    let deep = |open: &str, close: &str, count| {
        format!(r#"{{"input":"done","x":{}1{}}}"#, open.repeat(count), close.repeat(count))
    };
    let mut invalid = br#"{"input":"done","x":"?"}"#.to_vec();
    let at = invalid.iter().position(|byte| *byte == b'?').unwrap();
    invalid[at] = 0xff;
    for body in [
        br#"{"input":"\ud800"}"#.to_vec(),
        br#"{"input":"\udc00\ud800"}"#.to_vec(),
        br#"{"input":"done","x":"\ud800x"}"#.to_vec(),
        invalid,
        deep("[", "]", 200).into_bytes(),
        deep("[", "]", 100_000).into_bytes(),
        deep("{\"a\":", "}", 100_000).into_bytes(),
        br#"{"input":"done","x":1e999}"#.to_vec(),
        br#"{"input":"done","input":"done"}"#.to_vec(),
        br#"{"input":"done","x":{"a":1,"a":2}}"#.to_vec(),
        br#"{"input":"done"} x"#.to_vec(),
        br#"{"input":"done",}"#.to_vec(),
        br#"{"input":'done'}"#.to_vec(),
        br#"{"input":"done","x":NaN}"#.to_vec(),
        br#"{"input":"done","x":01}"#.to_vec(),
        b"{\"input\":\"a\nb\"}".to_vec(),
        b"\xef\xbb\xbf{\"input\":\"done\"}".to_vec(),
        format!(r#"{{"input":"done","x":[{}1]}}"#, "1,".repeat(300_000)).into_bytes(),
    ] {
        let head = post_with("/v1/runs", JSON, "")
            .replace("Content-Length: 0", &format!("Content-Length: {}", body.len()));
        let mut client = site.connect();
        client.send([head.into_bytes(), body.clone()].concat());
        let reply = client.reply();
        assert_refusal(&reply, 400, Value::Null);
        let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("Invalid JSON"), "{message}");
        client.send(get("/health"));
        assert_eq!(client.reply().status, 200, "bad JSON is no reason to hang up");
    }
}

#[test]
fn unknown_fields_large_numbers_and_a_body_at_the_limit_are_taken() {
    let site = Site::start();
    let body = r#"{"input":"done","x":{"y":[123456789012345678901234567890,1e308]},"stream":true}"#;
    assert_eq!(site.ask(post("/v1/runs", body)).status, 202);
    let frame = r#"{"input":"done","x":""}"#;
    let limit = 10_000_000;
    let body = frame.replace("\"\"", &format!("\"{}\"", "x".repeat(limit - frame.len())));
    assert_eq!(body.len(), limit);
    assert_eq!(site.ask(post("/v1/runs", &body)).status, 202);
    let reply = site.ask(post("/v1/runs", &(body + " ")));
    assert_refusal(&reply, 413, json!("body_too_large"));
    assert!(reply.text().contains("10000000"));
}
