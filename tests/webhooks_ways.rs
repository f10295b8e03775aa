//! Where deliveries may go, and how long they may take: the client by itself, with a name server
//! that says what the test wants.
#![cfg(all(feature = "webhooks", target_os = "linux"))]
mod hooked;

use hooked::Postbox;
use runwire::agent::Cancel;
use runwire::agent::model::openai::Dns;
use runwire::agent::model::webhook::{Courier, Ways};
use runwire::config::Webhooks;
use runwire::event::Cause;
use runwire::id::{HookId, RunNo};
use runwire::record::{Delivered, Delivery};
use runwire::time::Wall;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const A: u8 = 1;

fn delivery(url: &str) -> Delivery {
    let (event, body) = ("run.completed".into(), "{}".into());
    Delivery { id: HookId(7), run: RunNo(1), url: url.into(), event, body, tries: 0, due: Wall(0) }
}

fn courier(allow_private: bool, dns: Dns, timeout: Duration) -> Courier {
    let mut webhooks = Webhooks::new(vec![7; 32]);
    webhooks.allow_private = allow_private;
    Courier::new(&webhooks, Ways { dns, authorities: None, timeout: Some(timeout) }).unwrap()
}

fn why(delivered: Delivered) -> String {
    match delivered {
        Delivered::Failed { why, .. } => why.into(),
        other => panic!("{other:?}"),
    }
}

/// A name server that gives these addresses one after another, the last one for ever; and a word
/// for each time it is asked for one.
fn name_server(name: &str, addresses: &'static [[u8; 4]]) -> (Dns, Receiver<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let (seen, asked) = channel();
    thread::spawn(move || {
        let (mut question, mut next) = ([0; 512], 0);
        while let Ok((got, from)) = socket.recv_from(&mut question) {
            let mut answer = question[..got].to_vec();
            answer[2] |= 0x80;
            if question[got - 3] == A {
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(addresses[next.min(addresses.len() - 1)]);
                next += 1;
                let _ = seen.send(());
            }
            socket.send_to(&answer, from).unwrap();
        }
    });
    let file = |ending: &str, text: &str| {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hooks-{name}.{ending}"));
        fs::write(&path, text).unwrap();
        path
    };
    let (hosts, resolv_conf) = (file("hosts", ""), file("resolv", "nameserver 127.0.0.1\n"));
    (Dns { hosts, resolv_conf, port }, asked)
}

#[test]
fn a_name_that_leads_to_a_private_address_is_refused() {
    let postbox = Postbox::new();
    for (name, address) in [
        ("loopback", &[[127, 0, 0, 1]]),
        ("any", &[[0, 0, 0, 0]]),
        ("lan", &[[192, 168, 0, 1]]),
        ("metadata", &[[169, 254, 169, 254]]),
    ] {
        let (dns, _asked) = name_server(name, address);
        let courier = courier(false, dns, Duration::from_secs(5));
        let url = format!("https://hooks.example:{}/", postbox.addr.port());
        assert_eq!(courier.deliver(&delivery(&url), &Cancel::new()), Delivered::Refused, "{name}");
    }
    let courier = courier(false, Dns::default(), Duration::from_secs(5));
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"] {
        let url = format!("https://{host}:{}/", postbox.addr.port());
        assert_eq!(courier.deliver(&delivery(&url), &Cancel::new()), Delivered::Refused, "{host}");
    }
    assert!(postbox.rest().is_empty());
}

#[test]
fn a_name_that_changes_its_mind_is_judged_by_what_is_connected_to() {
    let postbox = Postbox::new();
    // Public when it is looked at first, and this machine whenever it is looked at again.
    let (dns, asked) = name_server("rebinding", &[[198, 41, 0, 4], [127, 0, 0, 1]]);
    let courier = courier(false, dns, Duration::from_millis(300));
    let url = format!("https://hooks.example:{}/", postbox.addr.port());
    why(courier.deliver(&delivery(&url), &Cancel::new()));
    assert_eq!(asked.try_iter().count(), 1, "a try looks once");
    assert_eq!(courier.deliver(&delivery(&url), &Cancel::new()), Delivered::Refused);
    assert!(postbox.rest().is_empty());
}

#[test]
fn a_private_address_is_reached_where_that_is_allowed() {
    let postbox = Postbox::new();
    let (dns, _asked) = name_server("allowed", &[[127, 0, 0, 1]]);
    let courier = courier(true, dns, Duration::from_secs(5));
    let url = format!("http://hooks.example:{}/there", postbox.addr.port());
    assert_eq!(courier.deliver(&delivery(&url), &Cancel::new()), Delivered::Done);
    assert_eq!(postbox.next().path, "/there");
}

#[test]
fn plain_http_is_not_spoken_to_the_public() {
    let courier = courier(false, Dns::default(), Duration::from_secs(5));
    let said = why(courier.deliver(&delivery("http://198.41.0.4/"), &Cancel::new()));
    assert_eq!(said, "the address cannot be used");
}

#[test]
fn whoever_does_not_answer_is_waited_for_only_so_long() {
    let postbox = Postbox::answering(&[""]);
    let courier = courier(true, Dns::default(), Duration::from_millis(200));
    let begun = Instant::now();
    assert_eq!(why(courier.deliver(&delivery(&postbox.url("/")), &Cancel::new())), "timeout");
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

#[test]
fn a_try_ends_when_the_server_does() {
    let postbox = Postbox::answering(&[""]);
    let courier = courier(true, Dns::default(), hooked::DEADLINE * 2);
    let (cancel, url) = (Cancel::new(), postbox.url("/"));
    let told = cancel.clone();
    let thread = thread::spawn(move || courier.deliver(&delivery(&url), &told));
    postbox.next();
    let begun = Instant::now();
    cancel.cancel(Cause::Shutdown);
    why(thread.join().unwrap());
    assert!(begun.elapsed() < hooked::DEADLINE);
}

#[test]
fn an_endless_answer_is_not_read_to_its_end() {
    use std::io::Write;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while stream.write_all(&[b'x'; 65_536]).is_ok() {}
    });
    let courier = courier(true, Dns::default(), hooked::DEADLINE);
    assert_eq!(courier.deliver(&delivery(&url), &Cancel::new()), Delivered::Done);
}
