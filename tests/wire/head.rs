//! Which heads are taken, which are refused, and when.
use runwire::limits::{HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX};
use runwire::wire::Reject;
use runwire::wire::head::{Framing, Head, Method, Version, parse, query_value};

type Answer<'a> = Result<Option<(Head<'a>, usize)>, Reject>;

/// The answer to `bytes` at once, which must be that to `bytes` byte by byte.
fn read(bytes: &[u8]) -> Answer<'_> {
    let at_once = parse(bytes, 0);
    let mut one_by_one = Ok(None);
    for end in 1..=bytes.len() {
        one_by_one = parse(&bytes[..end], end - 1);
        if !matches!(one_by_one, Ok(None)) {
            break;
        }
    }
    assert_eq!(at_once, one_by_one, "{:?}", String::from_utf8_lossy(bytes));
    at_once
}

fn accepted(text: &str) -> Head<'_> {
    match read(text.as_bytes()) {
        Ok(Some((head, used))) if used == text.len() => head,
        other => panic!("{text:?} gave {other:?}"),
    }
}

fn refused(bytes: &[u8]) -> Reject {
    match read(bytes) {
        Err(reject) => reject,
        other => panic!("{:?} gave {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// A request with `lines` between a good Host and the blank line.
fn with(lines: &str) -> String {
    format!("POST /v1/runs HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_head_is_taken_apart() {
    let text = "POST /v1/runs?a=1&b HTTP/1.1\r\nhost:localhost:8642\r\n\
        AUTHORIZATION: Bearer  k \r\nOrigin: https://a.example\r\nContent-Type: application/json\r\n\
        Last-Event-ID: 7\r\nIdempotency-Key: i\r\nX-Hermes-Session-Key: \r\n\
        X-Hermes-Session-Id: \u{e9}\r\nAccess-Control-Request-Method: PUT\r\nAccept: */*\r\n\
        Content-Length: 12\r\nExpect: 100-Continue\r\n\r\n";
    let expected = Head {
        method: Method::Post,
        version: Version::Http11,
        path: "/v1/runs",
        query: Some("a=1&b"),
        host: Some("localhost:8642"),
        framing: Framing::Sized(12),
        keep_alive: true,
        expects_continue: true,
        authorization: Some("Bearer  k"),
        origin: Some("https://a.example"),
        content_type: Some("application/json"),
        last_event_id: Some("7"),
        idempotency_key: Some("i"),
        session_key: Some(""),
        session_id: Some("\u{e9}"),
        fetch_method: Some("PUT"),
        #[cfg(feature = "page")]
        accepts_html: false,
        #[cfg(feature = "page")]
        if_none_match: None,
    };
    assert_eq!(accepted(text), expected);
}

#[test]
fn a_head_ends_where_it_ends() {
    let text = with("Content-Length: 3\r\n");
    let both = format!("{text}abcGET / HTTP/1.1\r\n");
    assert_eq!(read(both.as_bytes()).unwrap().unwrap().1, text.len());
    for end in 0..text.len() {
        assert_eq!(parse(&text.as_bytes()[..end], 0), Ok(None), "{end}");
    }
}

#[test]
fn methods_are_known_by_their_exact_names() {
    for method in [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
    ] {
        let text = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", method.name());
        assert_eq!(accepted(&text).method, method);
    }
    for name in ["get", "TRACE", "BREW", "M-SEARCH"] {
        let text = format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(accepted(&text).method, Method::Other);
    }
}

#[test]
fn targets_of_every_allowed_form_are_understood() {
    for (line, path, query, host) in [
        ("GET /", "/", None, "a"),
        ("GET /x?", "/x", Some(""), "a"),
        ("GET /x?y?z", "/x", Some("y?z"), "a"),
        ("GET //x/%2e", "//x/%2e", None, "a"),
        ("OPTIONS *", "*", None, "a"),
        ("GET http://b:1/x?y", "/x", Some("y"), "b:1"),
        ("GET HTTPS://b", "/", None, "b"),
        ("GET http://b?y/z", "/", Some("y/z"), "b"),
        ("GET http://[::1]:8642/x", "/x", None, "[::1]:8642"),
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = accepted(&text);
        assert_eq!((head.path, head.query, head.host), (path, query, Some(host)), "{line}");
    }
}

#[test]
fn targets_of_no_allowed_form_are_refused() {
    for line in [
        "GET *",
        "GET x",
        "GET ?x",
        "GET /x#y",
        "GET /\u{e9}",
        "GET /a b",
        "GET  /",
        "GET",
        "GET ",
        "CONNECT a:80",
        "GET ftp://a/",
        "GET http://",
        "GET http:///x",
        "GET http://u@a/",
        "GET http://u:p@a/",
        "GET http://a:x/",
        "G<T /",
        "",
        " GET /",
        "\tGET /",
        "GET\t/",
    ] {
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(matches!(refused(text.as_bytes()), Reject::Malformed(_)), "{line}");
    }
}

#[test]
fn hosts_are_names_or_addresses_with_a_port() {
    for host in
        ["a", "a.b-c_d", "127.0.0.1:8642", "[::1]", "[::1]:80", "a:", "a:65535", "A~!$&'()*+,;="]
    {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(accepted(&text).host, Some(host));
    }
    for host in [
        "",
        ":80",
        "a:65536",
        "a:-1",
        "a:b",
        "a b",
        "a/b",
        "u@a",
        "a?b",
        "[::1",
        "::1",
        "[a]",
        "[::1]x",
        "[fe80::1%25eth0]",
        "a%2eb",
        "a,b c",
        "\u{e9}",
        "\"a\"",
        "a\\b",
    ] {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert!(matches!(refused(text.as_bytes()), Reject::Malformed(_)), "{host}");
    }
}

#[test]
fn http_1_1_needs_one_host_and_http_1_0_none() {
    assert!(matches!(refused(b"GET / HTTP/1.1\r\n\r\n"), Reject::Malformed(_)));
    assert!(matches!(refused(b"GET http://a/ HTTP/1.1\r\n\r\n"), Reject::Malformed(_)));
    assert_eq!(accepted("GET / HTTP/1.0\r\n\r\n").host, None);
    let two = b"GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n";
    assert_eq!(refused(two), Reject::HeaderTwice("Host"));
}

#[test]
fn what_may_appear_once_is_refused_twice() {
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "Origin",
        "Content-Type",
        "Last-Event-ID",
        "Idempotency-Key",
        "X-Hermes-Session-Key",
        "X-Hermes-Session-Id",
        "Access-Control-Request-Method",
    ] {
        let host = if name == "Host" { "" } else { "Host: a\r\n" };
        let lower = name.to_lowercase();
        let text = format!("GET / HTTP/1.1\r\n{host}{name}: 1\r\nA: b\r\n{lower}: 1\r\n\r\n");
        assert_eq!(refused(text.as_bytes()), Reject::HeaderTwice(name));
    }
}

#[test]
fn the_length_of_a_body_is_never_guessed() {
    for (lines, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Sized(0)),
        ("Content-Length: 0005\r\n", Framing::Sized(5)),
        ("Content-Length: 99999999999999999999999\r\n", Framing::Sized(u64::MAX)),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
    ] {
        assert_eq!(accepted(&with(lines)).framing, framing, "{lines}");
    }
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: \u{665}\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        assert!(matches!(refused(with(lines).as_bytes()), Reject::Malformed(_)), "{lines}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(matches!(refused(old), Reject::Malformed(_)));
}

#[test]
fn lines_that_parsers_read_differently_are_refused() {
    for bytes in [
        &b"GET / HTTP/1.1\nHost: a\n\n"[..],
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX\xe9: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n",
        b"GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: \xff\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
    ] {
        let reject = refused(bytes);
        assert!(matches!(reject, Reject::Malformed(_)), "{:?}", String::from_utf8_lossy(bytes));
    }
    let Reject::Malformed(why) = refused(b"GET / HTTP/1.1\n") else { panic!("another reason") };
    assert!(why.contains("an LF without CR"), "{why}");
    // Bytes beyond ASCII and tabs are allowed in values this server does not read.
    accepted(&with("X-Name: \u{e9}\ta\r\n"));
    assert!(read(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n").unwrap().is_some());
}

#[test]
fn what_can_never_be_a_head_is_refused_at_its_first_bad_byte() {
    for bytes in [
        &b"\x16"[..], // a TLS hello
        b"\0",
        b"{",
        b"\xff",
        b"GET / HTTP/1.1\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\n ",
        b"GET / HTTP/1.1\r\nHost: a\r\r",
        b"GET / HTTP/1.1\r\nHost: a\x7f",
    ] {
        assert!(matches!(refused(bytes), Reject::Malformed(_)));
        assert_eq!(parse(&bytes[..bytes.len() - 1], 0), Ok(None));
    }
}

#[test]
fn a_few_empty_lines_before_a_request_are_overlooked() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for lines in 0..=4 {
        accepted(&format!("{}{text}", "\r\n".repeat(lines)));
    }
    let five = format!("{}{text}", "\r\n".repeat(5));
    assert!(matches!(refused(five.as_bytes()), Reject::Malformed(_)));
}

#[test]
fn a_connection_goes_on_if_both_sides_say_so() {
    for (version, lines, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Upgrade, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(accepted(&text).keep_alive, keep_alive, "{version} {lines}");
    }
}

#[test]
fn only_a_body_to_come_on_http_1_1_is_asked_for() {
    for (version, lines, expected) in [
        ("1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", true),
        ("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", true),
        ("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("1.1", "Expect: 100-continue\r\n", false),
        ("1.1", "Expect: miracles\r\nContent-Length: 1\r\n", false),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", false),
    ] {
        let text = format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(accepted(&text).expects_continue, expected, "{version} {lines}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let line = |len: usize| format!("GET /{} HTTP/1.1", "a".repeat(len - 14));
    let fits = format!("{}\r\nHost: a\r\n\r\n", line(REQUEST_LINE_BYTES_MAX));
    accepted(&fits);
    let over = format!("{}\r\nHost: a\r\n\r\n", line(REQUEST_LINE_BYTES_MAX + 1));
    assert_eq!(refused(over.as_bytes()), Reject::UriTooLong);

    let pad = |len: usize| with(&format!("X: {}\r\n", "a".repeat(len - with("X: \r\n").len())));
    accepted(&pad(HEAD_BYTES_MAX));
    assert_eq!(refused(pad(HEAD_BYTES_MAX + 1).as_bytes()), Reject::HeadersTooLarge);

    accepted(&with(&"a:b\r\n".repeat(HEADERS_MAX - 1)));
    let many = with(&"a:b\r\n".repeat(HEADERS_MAX));
    assert_eq!(refused(many.as_bytes()), Reject::HeadersTooLarge);
}

#[test]
fn a_query_gives_the_first_value_of_a_name() {
    let query = Some("a=1&last_seq=-1&b&last_seq=2&c==");
    for (name, value) in
        [("a", Some("1")), ("last_seq", Some("-1")), ("b", Some("")), ("c", Some("=")), ("d", None)]
    {
        assert_eq!(query_value(query, name), value);
    }
    assert_eq!(query_value(None, "a"), None);
}
