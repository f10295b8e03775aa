//! A delivery over HTTPS, to a receiver with a certificate that only these tests trust.
#![cfg(feature = "webhooks")]
use runwire::agent::Cancel;
use runwire::agent::model::webhook::{Courier, Ways};
use runwire::config::Webhooks;
use runwire::id::{HookId, RunNo};
use runwire::record::{Delivered, Delivery};
use runwire::time::Wall;
use runwire::wire::webhook::sign;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

const CERTIFICATE: &[u8] = include_bytes!("data/model/tls/cert.pem");
const KEY: &[u8] = include_bytes!("data/model/tls/key.pem");
const DEADLINE: Duration = Duration::from_secs(30);

/// A receiver of one post, which it takes: its address, and what was sent once it is there.
fn receiver() -> (String, Receiver<String>) {
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let certificates = vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/hooks?for=7", listener.local_addr().unwrap());
    let (sender, posted) = channel();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut tls = StreamOwned::new(connection, stream);
        let (mut sent, mut byte) = (Vec::new(), [0]);
        while !sent.ends_with(b"\"all\"") {
            // A client that trusts nobody here goes away.
            let Ok(1) = tls.read(&mut byte) else { return };
            sent.push(byte[0]);
        }
        let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        tls.write_all(answer).unwrap();
        tls.conn.send_close_notify();
        let _ = tls.flush();
        sender.send(String::from_utf8(sent).unwrap()).unwrap();
    });
    (url, posted)
}

fn deliver(url: &str, authorities: Option<Vec<u8>>) -> Delivered {
    let mut webhooks = Webhooks::new(vec![7; 32]);
    webhooks.secrets.push(vec![8; 24]);
    webhooks.allow_private = true;
    let ways = Ways { authorities, timeout: Some(DEADLINE), ..Ways::default() };
    let (event, body) = ("run.completed".into(), "\"all\"".into());
    let delivery = Delivery {
        id: HookId(7),
        run: RunNo(1),
        url: url.into(),
        event,
        body,
        tries: 0,
        due: Wall(0),
    };
    Courier::new(&webhooks, ways).unwrap().deliver(&delivery, &Cancel::new())
}

#[test]
fn a_delivery_arrives_over_tls_signed_by_each_secret() {
    let (url, posted) = receiver();
    assert_eq!(deliver(&url, Some(CERTIFICATE.to_vec())), Delivered::Done);
    let posted = posted.recv_timeout(DEADLINE).unwrap();
    assert!(posted.starts_with("POST /hooks?for=7 HTTP/1.1\r\n"), "{posted}");
    let header = |name: &str| {
        let mut lines = posted.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).expect("a header").1.to_owned()
    };
    let stamp = header("webhook-timestamp").parse().unwrap();
    let by = |secret| sign(&[secret], &HookId(7).to_string(), stamp, "\"all\"");
    let both = format!("{} {}", by(vec![7; 32]), by(vec![8; 24]));
    assert_eq!(header("webhook-signature"), both);
}

#[test]
fn a_receiver_nobody_vouches_for_is_sent_nothing() {
    let (url, posted) = receiver();
    let Delivered::Failed { why, .. } = deliver(&url, None) else { panic!("it was sent") };
    assert!(why.contains("certificate"), "{why}");
    assert!(posted.recv_timeout(DEADLINE).is_err(), "it was sent");
}
