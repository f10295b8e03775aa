//! Replies, byte for byte, and dates.
use runwire::time::Wall;
use runwire::wire::Reject;
use runwire::wire::head::Version;
use runwire::wire::reply::{self, Meta};

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const META: Meta<'static> =
    Meta { version: Version::Http11, close: false, date: DATE, cors: None, head_only: false };
const FIXED: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Vary: Origin\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Frame-Options: DENY\r\n\
    Referrer-Policy: no-referrer\r\n\
    Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = b"before".to_vec();
    write(&mut out);
    let text = String::from_utf8(out).unwrap();
    text.strip_prefix("before").expect("replies are appended").to_owned()
}

#[test]
fn a_json_reply_is_these_bytes() {
    let extra = [("Location", "/v1/runs/run_1")];
    let expected = format!(
        "HTTP/1.1 202 Accepted\r\n{FIXED}Cache-Control: no-store\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\nLocation: /v1/runs/run_1\r\n\r\n{{}}"
    );
    assert_eq!(text(|out| reply::json(out, &META, 202, &extra, b"{}")), expected);
    let head = Meta { head_only: true, ..META };
    let expected = expected.strip_suffix("{}").unwrap();
    assert_eq!(text(|out| reply::json(out, &head, 202, &extra, b"{}")), expected);
}

#[test]
fn a_204_has_no_length_and_an_empty_200_has_one() {
    let bare = text(|out| reply::empty(out, &META, 204, &[]));
    assert_eq!(bare, format!("HTTP/1.1 204 No Content\r\n{FIXED}Cache-Control: no-store\r\n\r\n"));
    let empty = text(|out| reply::empty(out, &META, 200, &[]));
    assert!(empty.ends_with("Content-Length: 0\r\n\r\n"), "{empty}");
}

#[test]
fn the_connection_header_says_what_will_happen() {
    for (version, close, line) in [
        (Version::Http11, false, None),
        (Version::Http11, true, Some("close")),
        (Version::Http10, false, Some("keep-alive")),
        (Version::Http10, true, Some("close")),
    ] {
        let meta = Meta { version, close, ..META };
        let reply = text(|out| reply::json(out, &meta, 200, &[], b"{}"));
        let found = reply.split("\r\n").find_map(|field| field.strip_prefix("Connection: "));
        assert_eq!(found, line);
    }
}

#[test]
fn an_allowed_page_may_read_any_reply() {
    let meta = Meta { cors: Some("https://a.example"), ..META };
    let expected = "Access-Control-Allow-Origin: https://a.example\r\n\
        Access-Control-Expose-Headers: Location, Idempotency-Replayed, Retry-After\r\n";
    for reply in [
        text(|out| reply::json(out, &meta, 200, &[], b"{}")),
        text(|out| reply::empty(out, &meta, 204, &[])),
        text(|out| reply::reject(out, &meta, &Reject::NotFound)),
        text(|out| reply::stream_head(out, &meta)),
        text(|out| reply::options(out, &meta, "GET, OPTIONS")),
    ] {
        assert!(reply.contains(expected), "{reply}");
    }
    assert!(!text(|out| reply::stream_head(out, &META)).contains("Access-Control"));
}

#[test]
fn a_preflight_lists_methods_and_headers() {
    let expected = format!(
        "HTTP/1.1 200 OK\r\n{FIXED}Cache-Control: no-store\r\nContent-Length: 0\r\n\
         Allow: GET, OPTIONS\r\n\
         Access-Control-Allow-Methods: GET, POST, PATCH, DELETE, OPTIONS\r\n\
         Access-Control-Allow-Headers: Authorization, Content-Type, Idempotency-Key, \
         Last-Event-ID, X-Hermes-Session-Key, X-Hermes-Session-Id\r\n\
         Access-Control-Max-Age: 600\r\n\
         Access-Control-Allow-Origin: *\r\n\
         Access-Control-Expose-Headers: Location, Idempotency-Replayed, Retry-After\r\n\r\n"
    );
    let meta = Meta { cors: Some("*"), ..META };
    assert_eq!(text(|out| reply::options(out, &meta, "GET, OPTIONS")), expected);
}

#[test]
fn a_stream_is_chunked_on_http_1_1_and_ends_with_the_connection_on_http_1_0() {
    let common = format!(
        "HTTP/1.1 200 OK\r\n{FIXED}Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
         X-Accel-Buffering: no\r\n"
    );
    let new = format!("{common}Transfer-Encoding: chunked\r\n\r\n");
    assert_eq!(text(|out| reply::stream_head(out, &META)), new);
    let old = Meta { version: Version::Http10, ..META };
    let expected = format!("{common}Connection: close\r\n\r\n");
    assert_eq!(text(|out| reply::stream_head(out, &old)), expected);
}

#[test]
fn refusals_carry_the_headers_of_their_status() {
    for (reject, lines) in [
        (Reject::AuthFailed, &["HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Bearer"][..]),
        (
            Reject::MethodNotAllowed { allow: "GET, POST" },
            &["HTTP/1.1 405 Method Not Allowed", "Allow: GET, POST"],
        ),
        (
            Reject::TooManyRuns { retry_after_s: 12 },
            &["HTTP/1.1 429 Too Many Requests", "Retry-After: 12"],
        ),
        (
            Reject::Draining { retry_after_s: 3 },
            &["HTTP/1.1 503 Service Unavailable", "Retry-After: 3"],
        ),
        (Reject::RequestTimeout, &["HTTP/1.1 408 Request Timeout", "Connection: close"]),
        (Reject::StoreUnavailable, &["HTTP/1.1 507 Insufficient Storage"]),
    ] {
        let reply = text(|out| reply::reject(out, &META, &reject));
        let found: Vec<&str> = reply.split("\r\n").collect();
        for line in lines {
            assert!(found.contains(line), "{line} is not in {reply}");
        }
        assert_eq!(found.contains(&"Connection: close"), reject.closes());
        assert!(reply.ends_with(std::str::from_utf8(&reject.body()).unwrap()));
    }
}

#[test]
fn a_value_cannot_begin_another_line() {
    let extra = [("X-Hermes-Session-Key", "a\r\nSet-Cookie: b\0\u{e9}")];
    let reply = text(|out| reply::json(out, &META, 200, &extra, b"{}"));
    assert!(reply.contains("X-Hermes-Session-Key: a  Set-Cookie: b \u{e9}\r\n"), "{reply}");
}

#[test]
fn dates_are_those_of_the_calendar() {
    let mut text = "old".to_owned();
    for (seconds, expected) in [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (784_111_777, DATE),
        (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
        (1_795_348_624, "Sun, 22 Nov 2026 11:57:04 GMT"),
        (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ] {
        reply::http_date(Wall(seconds * 1_000_000 + 999_999), &mut text);
        assert_eq!(text, expected);
    }
}

#[test]
fn days_follow_each_other_for_four_hundred_years() {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let mut text = String::new();
    for number in 0..146_097_u64 {
        reply::http_date(Wall(number * 86_400_000_000), &mut text);
        let (name, month_name) = (DAYS[(number % 7) as usize], MONTHS[month - 1]);
        assert_eq!(text, format!("{name}, {day:02} {month_name} {year:04} 00:00:00 GMT"));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (year, month, day) = match (day == length, month) {
            (false, _) => (year, month, day + 1),
            (true, 12) => (year + 1, 1, 1),
            (true, _) => (year, month + 1, 1),
        };
    }
    assert_eq!((year, month, day), (2370, 1, 1));
}
