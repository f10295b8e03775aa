//! HTTP/1.1 as a correct client may speak it, at any pace and in any cut.
mod common;
use common::{Site, get, post, post_input, post_with};
use std::io::Read as _;

const GETS: [&str; 8] = [
    "/health",
    "/v1/health",
    "/health/detailed",
    "/v1/capabilities",
    "/v1/models",
    "/v1/toolsets",
    "/v1/skills",
    "/v1/health/detailed",
];

#[test]
fn a_connection_serves_one_request_after_another() {
    let site = Site::start();
    let mut client = site.connect();
    for path in GETS {
        client.send(get(path));
        let reply = client.reply();
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("connection"), None);
        assert!(reply.json().is_object());
    }
}

#[test]
fn head_gives_the_head_of_get_and_no_body() {
    let site = Site::start();
    let run = site.run("done");
    site.await_status(&run, "completed");
    let mut client = site.connect();
    let status = format!("/v1/runs/{run}");
    for path in GETS.into_iter().chain([status.as_str(), "/nowhere"]) {
        client.send(get(path));
        let whole = client.reply();
        client.send(get(path).replace("GET", "HEAD"));
        let head = client.head();
        assert_eq!(head.status, whole.status);
        assert_eq!(head.header("content-length"), whole.header("content-length"), "{path}");
    }
    client.send(get(&format!("{status}/events")).replace("GET", "HEAD"));
    let head = client.head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    client.send(get("/health"));
    assert_eq!(client.reply().status, 200, "a stream's HEAD was followed by a body");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let site = Site::start();
    let mut client = site.connect();
    let paths = ["/health", "/v1/models", "/nowhere", "/v1/toolsets", "/v1/capabilities"];
    let all: String = paths.iter().cycle().take(200).map(|path| get(path)).collect();
    client.send(&all);
    for path in paths.iter().cycle().take(200) {
        let reply = client.reply();
        let expected = site.get(path).body;
        assert_eq!(reply.body, expected, "{path}");
    }
}

#[test]
fn a_post_and_a_get_may_be_pipelined() {
    let site = Site::start();
    let mut client = site.connect();
    client.send(post_input("done") + &get("/health") + &post_input("done") + &get("/v1/models"));
    assert_eq!(client.reply().status, 202);
    assert_eq!(client.reply().json()["status"], "ok");
    assert_eq!(client.reply().status, 202);
    assert_eq!(client.reply().json()["object"], "list");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let site = Site::start();
    let mut client = site.connect();
    let chunked = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Transfer-Encoding: chunked\r\n\r\n4;x=y\r\n{\"in\r\n00a\r\nput\":\"done\r\n2\r\n\"}\r\n\
        0\r\nTrailer: of no use\r\n\r\n";
    for request in [get("/health"), post_input("done"), chunked.to_owned()] {
        for byte in request.as_bytes() {
            client.send([*byte]);
        }
        assert!(matches!(client.reply().status, 200 | 202), "{request}");
    }
}

#[test]
fn a_body_in_chunks_is_the_body() {
    let site = Site::start();
    let mut client = site.connect();
    let head = "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let body = "{\"input\":\"done\"}";
    let mut request = head.to_owned();
    for byte in body.chars() {
        request += &format!("1\r\n{byte}\r\n");
    }
    client.send(request + "0\r\n\r\n" + &get("/health"));
    assert_eq!(client.reply().status, 202);
    assert_eq!(client.reply().json()["status"], "ok");
}

#[test]
fn a_client_that_waits_for_100_gets_it_and_no_other_does() {
    let site = Site::start();
    let mut client = site.connect();
    let body = "{\"input\":\"done\"}";
    let request = post_with("/v1/runs", "Expect: 100-continue\r\n", body);
    let (head, _) = request.split_at(request.len() - body.len());
    client.send(head);
    assert_eq!(client.reply().head, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(body);
    assert_eq!(client.reply().status, 202);
    client.send(&request);
    assert_eq!(client.reply().status, 202, "the body was there, and yet it was asked for");
    client.send(&request[..request.len() - 3]);
    // Answers come in order: once another is here, this connection's bytes have been looked at.
    assert_eq!(site.get("/health").status, 200);
    client.send(&request[request.len() - 3..]);
    assert_eq!(client.reply().status, 202, "its beginning was there, and yet it was asked for");
    client.send(post_with("/v1/runs", "Expect: 100-continue\r\n", ""));
    assert_eq!(client.reply().status, 400, "there is no body to ask for");
}

#[test]
fn a_body_that_is_not_wanted_is_refused_before_it_is_sent() {
    let site = Site::with(|config| config.key = Some("a-long-enough-key".to_owned()));
    let key = "Authorization: Bearer a-long-enough-key\r\n";
    let expect = "Expect: 100-continue\r\n";
    let json = "Content-Type: application/json\r\n";
    for (headers, length, status) in [
        (format!("{expect}{json}"), 10, 401),
        (format!("{key}{expect}"), 10, 415),
        (format!("{key}{expect}Content-Type: text/plain\r\n"), 10, 415),
        (format!("{key}{expect}{json}"), 10_000_001, 413),
    ] {
        let mut client = site.connect();
        client.send(format!(
            "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n"
        ));
        assert_eq!(client.reply().status, status);
        assert!(client.rest().is_empty());
    }
}

#[test]
fn options_names_what_a_path_has() {
    let site = Site::with(|config| config.key = Some("a-long-enough-key".to_owned()));
    let options = |path: &str| site.ask(get(path).replace("GET", "OPTIONS"));
    for (path, allow) in [
        ("/v1/runs", "GET, HEAD, POST, OPTIONS"),
        ("/v1/runs/run_0", "GET, HEAD, DELETE, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/v1/runs/run_0/stop", "POST, OPTIONS"),
        ("*", "OPTIONS"),
    ] {
        let reply = options(path);
        assert_eq!((reply.status, reply.header("allow")), (200, Some(allow)), "{path}");
        assert_eq!(reply.header("content-length"), Some("0"));
    }
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let site = Site::start();
    let mut client = site.connect();
    client.send("GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    assert_eq!(client.reply().header("connection"), Some("keep-alive"));
    client.send("GET /health HTTP/1.0\r\n\r\n");
    let reply = client.reply();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(client.rest().is_empty());
}

#[test]
fn a_stream_over_http_1_0_has_no_chunks_and_ends_with_the_connection() {
    let site = Site::start();
    let run = site.run("emit 300 1000");
    let expected = site.stream(&run);
    for keep_alive in ["", "Connection: keep-alive\r\n"] {
        let mut client = site.connect();
        client.send(format!("GET /v1/runs/{run}/events HTTP/1.0\r\n{keep_alive}\r\n"));
        let reply = client.reply();
        assert_eq!(reply.header("transfer-encoding"), None);
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(reply.body, expected);
        let mut client = site.connect();
        client.send(format!("HEAD /v1/runs/{run}/events HTTP/1.0\r\n{keep_alive}\r\n"));
        assert_eq!(client.head().header("connection"), Some("close"));
        assert!(client.rest().is_empty(), "it said close and did not");
    }
}

#[test]
fn connection_close_is_obeyed_in_any_case_and_list() {
    let site = Site::start();
    for value in ["close", "Close", "x, CLOSE"] {
        let mut client = site.connect();
        client.send(format!(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: {value}\r\n\r\n"
        ));
        assert_eq!(client.reply().header("connection"), Some("close"));
        assert!(client.rest().is_empty());
    }
}

#[test]
fn a_half_closed_client_gets_all_its_answers() {
    let site = Site::start();
    let mut client = site.connect();
    client.send(post_input("done") + &get("/health") + &get("/v1/models"));
    client.half_close();
    assert_eq!(client.reply().status, 202);
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.reply().json()["object"], "list");
    assert!(client.rest().is_empty());
}

#[test]
fn a_half_closed_client_gets_its_stream_to_the_end() {
    let site = Site::start();
    let run = site.run("gate");
    let mut client = site.connect();
    client.send(get(&format!("/v1/runs/{run}/events")));
    client.half_close();
    client.head();
    assert_eq!(client.frame(), ": open\n\n");
    site.gate.open();
    let mut said = Vec::new();
    while let Some(chunk) = client.chunk() {
        said.extend_from_slice(&chunk);
    }
    assert!(String::from_utf8(said).unwrap().contains("run.completed"));
    assert!(client.rest().is_empty());
}

#[test]
fn a_client_that_goes_away_with_much_unread_harms_nobody() {
    let site = Site::start();
    let run = site.run("emit 2000 10000");
    site.await_status(&run, "completed");
    for _ in 0..20 {
        let mut client = site.connect();
        client.send(get(&format!("/v1/runs/{run}/events")));
        client.stream.read_exact(&mut [0; 100]).unwrap();
    }
    assert_eq!(site.get("/health").status, 200);
    common::wait_for("the gone to be noticed", || {
        (site.counts()["subscribers"] == 0).then_some(())
    });
}

#[test]
fn a_target_may_be_absolute_and_a_line_may_come_before_it() {
    let site = Site::start();
    let reply = site.ask("\r\nGET http://localhost:1/health?x=y HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(reply.status, 200);
}

#[test]
fn an_empty_body_needs_no_type_and_no_length() {
    let site = Site::start();
    let run = site.run("hold");
    for request in [
        post(&format!("/v1/runs/{run}/stop"), ""),
        format!("POST /v1/runs/{run}/stop HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!(
            "POST /v1/runs/{run}/stop HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
             \r\n0\r\n\r\n"
        ),
    ] {
        assert_eq!(site.ask(request).status, 200);
    }
}
