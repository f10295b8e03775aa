//! The page at `/`: who gets it, how it is kept, and what its browser may do with it.
#![cfg(feature = "page")]
mod common;
#[path = "openapi/packing.rs"]
mod packing;

use common::{Reply, Site};
use rustls::crypto::ring;
use std::fs;

const BROWSER: &str = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n";

/// The page as it is written.
fn source() -> String {
    fs::read_to_string("src/page/index.html").unwrap()
}

fn index(site: &Site, method: &str, headers: &str) -> Reply {
    let mut client = site.connect();
    client.send(format!("{method} / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"));
    if method == "HEAD" { client.head() } else { client.reply() }
}

#[test]
fn a_browser_gets_the_page_and_needs_no_key_for_it() {
    let site = Site::with(|config| config.key = Some("secret".to_owned()));
    let reply = index(&site, "GET", BROWSER);
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(reply.header("vary"), Some("Accept, Origin"));
    assert_eq!(reply.header("cache-control"), Some("no-cache"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(reply.body, source().into_bytes());
    assert!(!reply.text().contains("secret"));
}

#[test]
fn whoever_does_not_ask_for_html_gets_json() {
    let site = Site::start();
    let kinds = [
        "",
        "Accept: */*\r\n",
        "Accept: application/json\r\n",
        "Accept: text/*\r\n",
        "Accept: text/html;q=0, */*\r\n",
        "Accept: application/json, text/html; Q=0.000\r\n",
        "Accept: text/html5\r\n",
    ];
    for accept in kinds {
        let reply = index(&site, "GET", accept);
        assert_eq!(reply.header("content-type"), Some("application/json"), "{accept}");
        assert_eq!(reply.json()["platform"], "runwire");
        assert!(reply.head.contains("\r\nVary: Accept\r\n"), "{}", reply.head);
        assert_eq!(reply.header("etag"), None);
    }
}

#[test]
fn html_is_found_wherever_accept_names_it() {
    let site = Site::start();
    for accept in [
        "Accept: TEXT/HTML\r\n",
        "Accept: */*;q=0.1 , text/html ;q=0.5\r\n",
        "Accept: application/json\r\nAccept: text/html;level=1\r\n",
    ] {
        let reply = index(&site, "GET", accept);
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"), "{accept}");
    }
}

#[test]
fn a_page_the_browser_has_is_not_sent_again() {
    let site = Site::start();
    let first = index(&site, "GET", BROWSER);
    let etag = first.header("etag").unwrap();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for tags in [etag, &format!("W/{etag}"), &format!("\"other\", {etag}"), "*"] {
        let again = index(&site, "GET", &format!("{BROWSER}If-None-Match: {tags}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0), "{tags}");
        assert!(again.head.starts_with("HTTP/1.1 304 Not Modified\r\n"), "{}", again.head);
        for name in ["etag", "vary", "cache-control", "content-security-policy"] {
            assert_eq!(again.header(name), first.header(name), "{name}");
        }
        assert_eq!(again.header("content-length"), None);
    }
    for tags in ["\"other\"", "", etag.trim_matches('"')] {
        let again = index(&site, "GET", &format!("{BROWSER}If-None-Match: {tags}\r\n"));
        assert_eq!((again.status, &again.body), (200, &first.body), "{tags}");
    }
}

#[test]
fn a_connection_goes_on_after_the_page() {
    let site = Site::start();
    let mut client = site.connect();
    let page = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{BROWSER}\r\n");
    client.send(page.repeat(3) + &common::get("/health"));
    for _ in 0..3 {
        assert_eq!(client.reply().body.len(), source().len());
    }
    assert_eq!(client.reply().json()["status"], "ok");
}

#[test]
fn head_gives_the_head_of_the_page() {
    let site = Site::start();
    for headers in [BROWSER, ""] {
        let whole = index(&site, "GET", headers);
        let head = index(&site, "HEAD", headers);
        assert_eq!(head.status, 200);
        for name in ["content-length", "content-type", "etag", "content-security-policy"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
    }
}

/// With `RUNWIRE_BLESS` (`make page`) it writes them instead.
#[test]
fn what_the_program_holds_is_the_page_with_its_policy_and_tag() {
    let page = source();
    let digest = |text: &str| base64(&sha256(text.as_bytes()));
    let (style, script) = (digest(inner(&page, "style")), digest(inner(&page, "script")));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    );
    let tag = format!("\"{}\"", &digest(&page)[..22]);
    for (file, expected) in [
        ("src/page/policy.txt", policy.into_bytes()),
        ("src/page/etag.txt", tag.into_bytes()),
        ("src/page/index.lz4", packing::pack(page.as_bytes())),
    ] {
        if std::env::var_os("RUNWIRE_BLESS").is_some() {
            fs::write(file, expected).unwrap();
        } else {
            let is_same = fs::read(file).unwrap() == expected;
            assert!(is_same, "the page has changed: `make page` writes {file}");
        }
    }
}

#[test]
fn the_policy_is_sent_with_the_page() {
    let reply = index(&Site::start(), "GET", BROWSER);
    assert_eq!(reply.header("content-security-policy"), Some(runwire::page::POLICY));
    assert_eq!(reply.header("etag"), Some(runwire::page::ETAG));
    assert!(!runwire::page::POLICY.contains("unsafe"));
}

#[test]
fn the_page_asks_for_nothing_but_this_server_and_stays_small() {
    let page = source();
    assert!(page.len() <= 60 * 1024, "{} bytes", page.len());
    for way_out in ["src=", "@import", "url(", "innerHTML", "outerHTML", "insertAdjacent", "eval("]
    {
        assert!(!page.contains(way_out), "{way_out}");
    }
    for handler in [" onclick=", " onerror=", " onload=", " style="] {
        assert!(!page.contains(handler), "{handler} stands outside the policy");
    }
}

/// What stands in the page's one element of this name.
fn inner<'a>(page: &'a str, tag: &str) -> &'a str {
    assert_eq!(page.matches(&format!("<{tag}")).count(), 1, "more than one <{tag}");
    let (_, rest) = page.split_once(&format!("<{tag}>")).unwrap();
    rest.split_once(&format!("</{tag}>")).unwrap().0
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    suite.common.hash_provider.hash(bytes).as_ref().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |piece: &[u8]| {
        let bits: u32 =
            (0..3).map(|i| u32::from(*piece.get(i).unwrap_or(&0)) << (16 - 8 * i)).sum();
        let digit = |i: usize| ALPHABET[(bits >> (18 - 6 * i)) as usize & 63] as char;
        (0..4).map(|i| if i <= piece.len() { digit(i) } else { '=' }).collect::<String>()
    };
    bytes.chunks(3).map(encode).collect()
}
