//! Who is let in: web pages, names that point here by a trick, keys.
mod common;
use common::{Client, Reply, Site, get, post, post_input};

const KEY: &str = "a-long-enough-key";
const APP: &str = "https://app.example";

fn guarded() -> Site {
    Site::with(|config| {
        config.key = Some(KEY.to_owned());
        config.cors_origins = vec![APP.to_owned(), "http://localhost:3000".to_owned()];
        config.allowed_hosts = vec!["box.example".to_owned(), "port.example:81".to_owned()];
    })
}

fn request(method: &str, path: &str, headers: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn assert_shown_to(reply: &Reply, origin: &str) {
    assert_eq!(reply.header("access-control-allow-origin"), Some(origin), "{reply:?}");
    assert_eq!(reply.header("vary"), Some("Origin"));
    let exposed = reply.header("access-control-expose-headers").unwrap();
    for name in ["Location", "Idempotency-Replayed", "Retry-After"] {
        assert!(exposed.contains(name));
    }
}

#[test]
fn an_allowed_page_may_read_every_answer_and_every_error() {
    let site = guarded();
    let page = format!("Origin: {APP}\r\nAuthorization: Bearer {KEY}\r\n");
    let json = "Content-Type: application/json\r\n";
    for (method, path, more, status) in [
        ("GET", "/health", "", 200),
        ("HEAD", "/v1/models", "", 200),
        ("GET", "/nowhere", "", 404),
        ("PUT", "/health", "", 405),
        ("GET", "/v1/runs/run_1", "", 404),
        ("POST", "/v1/runs", "", 400),
        ("POST", "/v1/runs", "Content-Length: 3\r\n", 415),
        ("POST", "/v1/runs", &format!("{json}Content-Length: 99999999\r\n"), 413),
    ] {
        let mut client = site.connect();
        client.send(request(method, path, &format!("{page}{more}")));
        let reply = client.head();
        assert_eq!(reply.status, status, "{method} {path}");
        assert_shown_to(&reply, APP);
    }
    let reply = site.ask(request("GET", "/v1/models", &format!("Origin: {APP}\r\n")));
    assert_eq!(reply.status, 401);
    assert_shown_to(&reply, APP);
}

#[test]
fn an_allowed_page_may_read_the_live_stream_and_its_end() {
    let site = Site::with(|config| config.cors_origins = vec![APP.to_owned()]);
    let run = site.run("gate");
    let path = format!("/v1/runs/{run}/events");
    let mut client = site.connect();
    client.send(request("GET", &path, &format!("Origin: {APP}\r\n")));
    assert_shown_to(&client.head(), APP);
    site.gate.open();
    while client.chunk().is_some() {}
    client.send(request("GET", &path, &format!("Origin: {APP}\r\nLast-Event-ID: 2\r\n")));
    let reply = client.reply();
    assert_eq!(reply.status, 204);
    assert_shown_to(&reply, APP);
}

#[test]
fn a_preflight_is_answered_without_a_key() {
    let site = guarded();
    let asks = "Access-Control-Request-Method: POST\r\n\
        Access-Control-Request-Headers: authorization,content-type\r\n";
    let reply = site.ask(request("OPTIONS", "/v1/runs", &format!("Origin: {APP}\r\n{asks}")));
    assert_eq!(reply.status, 200);
    assert_shown_to(&reply, APP);
    assert_eq!(
        reply.header("access-control-allow-methods"),
        Some("GET, POST, PATCH, DELETE, OPTIONS")
    );
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some(
            "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, \
             X-Hermes-Session-Key, X-Hermes-Session-Id"
        )
    );
}

#[test]
fn a_foreign_page_is_refused_whatever_its_method() {
    let site = guarded();
    for origin in [
        "http://evil.example",
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:444",
        "null",
        "",
        "localhost",
    ] {
        for (method, path) in [
            ("GET", "/health"),
            ("HEAD", "/health"),
            ("POST", "/v1/runs"),
            ("OPTIONS", "/v1/runs"),
            ("DELETE", "/v1/runs"),
            ("GET", "/nowhere"),
        ] {
            let mut client = site.connect();
            client.send(request(method, path, &format!("Origin: {origin}\r\n")));
            let reply = client.head();
            assert_eq!(reply.status, 403, "{method} {path} from {origin:?}");
            assert_eq!(reply.header("access-control-allow-origin"), None);
            assert_eq!(reply.header("vary"), Some("Origin"));
        }
    }
    let reply = site.ask(request("GET", "/health", "Origin: http://evil.example\r\n"));
    assert_eq!(reply.code(), "origin_not_allowed");
    assert!(reply.text().contains("http://evil.example"), "the message names the origin");
    assert!(reply.text().contains("--cors-origins"), "and what to change");
}

#[test]
fn a_star_lets_every_page_in() {
    let site = Site::with(|config| config.cors_origins = vec!["*".to_owned()]);
    for origin in ["http://anyone.example", "null"] {
        let reply = site.ask(request("GET", "/nowhere", &format!("Origin: {origin}\r\n")));
        assert_eq!(reply.status, 404);
        assert_shown_to(&reply, "*");
    }
    assert_eq!(site.get("/health").header("access-control-allow-origin"), None);
}

#[test]
fn a_page_of_this_very_server_is_at_home() {
    let site = guarded();
    let host = format!("localhost:{}", site.addr.port());
    for (origin, status) in [
        (format!("http://{host}"), 200),
        (format!("http://LOCALHOST:{}", site.addr.port()), 200),
        ("http://localhost:1".to_owned(), 403),
        ("http://localhost".to_owned(), 403),
    ] {
        let reply =
            site.ask(format!("GET /health HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n"));
        assert_eq!(reply.status, status, "{origin}");
    }
}

#[test]
fn only_loopback_names_and_allowed_hosts_are_answered_to() {
    let site = guarded();
    for (host, status) in [
        ("localhost", 200),
        ("LocalHost:8642", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("127.0.0.2", 200),
        ("127.255.1.9:80", 200),
        ("[::1]", 200),
        ("[::1]:8642", 200),
        ("[::ffff:127.0.0.1]:1", 200),
        ("box.example", 200),
        ("BOX.example:99", 200),
        ("port.example:81", 200),
        ("port.example", 421),
        ("port.example:82", 421),
        ("evil.example", 421),
        ("rebound.evil.example:8642", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("128.0.0.1", 421),
        ("0.0.0.0", 421),
        ("[::]", 421),
        ("[::2]:8642", 421),
        ("169.254.169.254", 421),
    ] {
        let reply = site.ask(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(reply.status, status, "{host}");
        if status == 421 {
            assert_eq!(reply.code(), "host_not_allowed");
            assert!(reply.text().contains("--allowed-hosts"), "{}", reply.text());
        }
    }
    let absolute = "GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(site.ask(absolute).status, 421, "an absolute target's host is the host");
}

#[test]
fn beyond_loopback_any_host_is_taken_unless_some_are_named() {
    let bind = |allowed: &[&str]| {
        let allowed = allowed.iter().map(|host| (*host).to_owned()).collect();
        let mut site = Site::with(|config| {
            config.addr = "0.0.0.0:0".parse().unwrap();
            config.allowed_hosts = allowed;
        });
        site.addr.set_ip([127, 0, 0, 1].into());
        site
    };
    let status = |site: &Site, host: &str| {
        site.ask(format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
    };
    assert_eq!(status(&bind(&[]), "anything.example"), 200);
    assert_eq!(status(&bind(&["box.example"]), "anything.example"), 421);
    assert_eq!(status(&bind(&["box.example"]), "box.example"), 200);
}

#[test]
fn the_key_opens_everything_but_health() {
    let site = guarded();
    for path in ["/v1/models", "/health/detailed", "/v1/runs/run_1", "/nowhere"] {
        assert_eq!(site.get(path).status, 401, "{path}");
        let reply = site.ask(request("GET", path, &format!("Authorization: Bearer {KEY}\r\n")));
        assert_ne!(reply.status, 401, "{path}");
    }
    for path in ["/health", "/v1/health"] {
        assert_eq!(site.get(path).status, 200, "{path}");
    }
}

#[test]
fn the_key_is_taken_in_one_place_and_one_form() {
    let site = guarded();
    for (authorization, status) in [
        (format!("Bearer {KEY}"), 200),
        (format!("bearer {KEY}"), 200),
        (format!("BEARER   {KEY}"), 200),
        (format!("Basic {KEY}"), 401),
        (format!("Bearer{KEY}"), 401),
        (KEY.to_owned(), 401),
        (format!("Bearer {KEY}x"), 401),
        (format!("Bearer {}", &KEY[1..]), 401),
        (format!("Bearer {KEY}{KEY}"), 401),
        (format!("Bearer {}", KEY.to_uppercase()), 401),
        ("Bearer".to_owned(), 401),
        ("Bearer ".to_owned(), 401),
        (String::new(), 401),
    ] {
        let reply =
            site.ask(request("GET", "/v1/models", &format!("Authorization: {authorization}\r\n")));
        assert_eq!(reply.status, status, "{authorization:?}");
    }
    for query in ["key", "token", "access_token", "api_key", "authorization"] {
        assert_eq!(site.get(&format!("/v1/models?{query}={KEY}")).status, 401, "{query}");
    }
    let twice = format!("Authorization: Bearer {KEY}\r\n").repeat(2);
    assert_eq!(site.ask(request("GET", "/v1/models", &twice)).status, 400);
}

#[test]
fn a_page_cannot_start_a_run_by_a_form() {
    let site = Site::start();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let form = post_input("done").replace("application/json", kind);
        assert_eq!(site.ask(form).status, 415, "{kind}");
    }
    let run = site.run("hold");
    let page = "Host: localhost\r\nOrigin: http://evil.example\r\n";
    let stop = post(&format!("/v1/runs/{run}/stop"), "").replace("Host: localhost\r\n", page);
    assert_eq!(site.ask(stop).status, 403, "nor stop one");
    assert_eq!(site.status(&run)["status"], "running");
}

#[test]
fn what_a_stranger_may_know_names_no_run() {
    let site = guarded();
    let mut client = Client::connect(site.addr);
    client.send(get("/health"));
    let page = client.reply().json();
    let keys: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["platform", "status", "version"]);
}
