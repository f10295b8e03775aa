//! The model client over HTTPS, with a certificate that only these tests trust.
#![cfg(feature = "llm")]
#[path = "model/server.rs"]
mod server;

use runwire::agent::model::openai::{OpenAi, OpenAiSettings, reason};
use runwire::agent::{Cancel, Cause, Ending};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use server::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

const CERTIFICATE: &[u8] = include_bytes!("data/model/tls/cert.pem");
const KEY: &[u8] = include_bytes!("data/model/tls/key.pem");

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn read_request(tls: &mut Tls) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tls.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    tls.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
}

/// A server that plays `script` for its only connection.
fn serve(script: impl FnOnce(&mut Tls) + Send + 'static) -> OpenAiSettings {
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
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        script(&mut StreamOwned::new(connection, stream));
    });
    OpenAiSettings {
        authorities: Some(CERTIFICATE.to_vec()),
        timeout: DEADLINE,
        ..OpenAiSettings::new(format!("https://{addr}/v1"), "m")
    }
}

#[test]
fn turns_share_a_secure_connection() {
    let model = OpenAi::new(serve(|tls| {
        for _ in 0..2 {
            read_request(tls);
            tls.write_all(stream_bytes(&[&text("hi"), STOP, DONE]).as_bytes()).unwrap();
        }
    }));
    let model = model.unwrap();
    for _ in 0..2 {
        assert_eq!(say(&model).turn.unwrap().text, "hi");
    }
}

#[test]
fn a_certificate_nobody_vouches_for_is_refused() {
    let settings = serve(|tls| {
        let _ = tls.read(&mut [0]);
    });
    let model = OpenAi::new(OpenAiSettings { authorities: None, ..settings }).unwrap();
    let (why, message) = say(&model).failure();
    assert_eq!(why, reason::UNREACHABLE);
    assert!(message.contains("certificate") && !message.contains("Tried"), "{message}");
}

#[test]
fn a_stop_is_heard_in_the_middle_of_a_secure_body() {
    let (hang, hangs) = channel();
    let settings = serve(move |tls| {
        read_request(tls);
        tls.write_all(CHUNKED.as_bytes()).unwrap();
        hang.send(()).unwrap();
        let _ = tls.read(&mut [0]);
    });
    let (model, cancel) = (OpenAi::new(settings).unwrap(), Cancel::new());
    let worker = thread::spawn({
        let cancel = cancel.clone();
        move || say_until(&model, "x", &cancel, None).turn
    });
    hangs.recv_timeout(DEADLINE).unwrap();
    let start = Instant::now();
    cancel.cancel(Cause::Stop);
    assert_eq!(worker.join().unwrap(), Err(Ending::Stopped));
    println!("stopped in a secure body: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_secure_stream_cut_without_a_farewell_is_broken() {
    let settings = serve(|tls| {
        read_request(tls);
        tls.write_all(format!("{UNTIL_CLOSE}data: {}\n\n", text("hi")).as_bytes()).unwrap();
    });
    let said = say(&OpenAi::new(settings).unwrap());
    assert_eq!(said.failure().0, reason::STREAM_BROKEN);
    assert_eq!(said.pieces, ["hi"]);
}

#[test]
fn plain_http_where_https_is_expected_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        until_closed(&mut stream);
    });
    let settings = OpenAiSettings::new(format!("https://{addr}/v1"), "m");
    let (why, message) = say(&OpenAi::new(settings).unwrap()).failure();
    assert_eq!(why, reason::UNREACHABLE);
    assert!(message.contains("is it https?"), "{message}");
}
