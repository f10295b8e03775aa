//! What the doctor asks of servers: lists of models, which cost nothing, and their version.
use super::Finding;
use crate::cli::env::Env;
use crate::cli::model::{self, Choice};
use crate::cli::settings::Settings;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Model servers people run at home, by their usual ports.
const LOCAL: &[(&str, u16)] =
    &[("Ollama", 11434), ("llama.cpp", 8080), ("LM Studio", 1234), ("vLLM", 8000)];
/// Whoever is on this machine answers at once.
const NEAR: Duration = Duration::from_millis(800);
/// Models that are named; the rest is counted.
const NAMED_MAX: usize = 5;
const REPLY_BYTES_MAX: u64 = 1024 * 1024;

pub fn model(settings: &Settings, env: &Env) -> Finding {
    match model::choose(settings, env) {
        Err(wrong) => Finding::fail(wrong, ""),
        Ok(Choice::Builtin) => {
            Finding::ok("builtin, which is no language model; --model NAME asks one")
        }
        Ok(Choice::Remote { base_url, model, api_key, .. }) => {
            remote(&base_url, &model, api_key.as_deref())
        }
    }
}

#[cfg(not(feature = "llm"))]
fn remote(_: &str, _: &str, _: Option<&str>) -> Finding {
    Finding::fail("this program is built without a model client", "Build it with `llm`.")
}

#[cfg(feature = "llm")]
fn remote(base_url: &str, model: &str, api_key: Option<&str>) -> Finding {
    let url = format!("{base_url}/models");
    let (status, reply) = match crate::cli::client::look_at(&url, api_key, FAR) {
        Ok(answer) => answer,
        Err(why) => {
            let advice = "Is it running there, and is --base-url right?";
            return Finding::fail(format!("{base_url} cannot be reached: {why}"), advice);
        }
    };
    let names = model_names(&reply);
    match status {
        200 if names.iter().any(|name| name == model) => {
            Finding::ok(format!("{base_url} has {model}"))
        }
        200 if names.is_empty() => {
            Finding::warn(format!("{base_url} answers, and lists no models"), "")
        }
        200 => {
            let said = format!("{base_url} does not list {model}; it has {}", listed(&names));
            Finding::warn(said, "Name one of these with --model.")
        }
        401 | 403 => {
            let said = format!("{base_url} answered {status}: it does not take the key");
            Finding::fail(said, "The key comes from the variable that --api-key-env names.")
        }
        404 => Finding::warn(format!("{base_url} answers, and has no list of models (404)"), ""),
        _ => Finding::fail(format!("{base_url} answered {status} to GET /models"), ""),
    }
}

/// How long a model's server may take. Less than the doctor has in all.
#[cfg(feature = "llm")]
const FAR: Duration = Duration::from_millis(2200);

pub fn local_models(_: &Settings, _: &Env) -> Finding {
    let asked =
        LOCAL.iter().map(|(name, port)| (name, port, thread::spawn(move || models_at(*port))));
    let asked: Vec<_> = asked.collect();
    let (mut found, mut advice) = (Vec::new(), String::new());
    for (name, port, answer) in asked {
        let Some(models) = answer.join().ok().flatten() else { continue };
        found.push(format!("{name} on port {port}: {}", listed(&models)));
        if let Some(model) = models.first().filter(|_| advice.is_empty()) {
            advice = format!(
                "Use it: runwire serve --base-url http://127.0.0.1:{port}/v1 --model '{model}'"
            );
        }
    }
    match found.is_empty() {
        true => Finding::ok("none on the usual ports (Ollama, llama.cpp, LM Studio, vLLM)"),
        false => Finding { advice, ..Finding::ok(found.join("; ")) },
    }
}

/// The models a server on this machine lists; `None` if it is none that does.
fn models_at(port: u16) -> Option<Vec<String>> {
    let reply = get(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), "/v1/models")?;
    let is_list = reply["data"].is_array();
    is_list.then(|| model_names(&reply))
}

/// The version of the runwire that listens there.
pub fn version_at(addr: SocketAddr) -> Option<String> {
    let health = get(addr, "/health")?;
    let is_ours = health["platform"] == "runwire" && health["status"] == "ok";
    health["version"].as_str().filter(|_| is_ours).map(str::to_owned)
}

fn model_names(reply: &Value) -> Vec<String> {
    let models = reply["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(|model| model["id"].as_str()).map(str::to_owned).collect()
}

fn listed(names: &[String]) -> String {
    let named = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "no models".to_owned(),
        count if count > NAMED_MAX => format!("{named} and {} more", count - NAMED_MAX),
        _ => named,
    }
}

/// The JSON a server nearby answers with. HTTP/1.0, so that the end of the reply is the end of the
/// connection and nothing is in chunks.
fn get(addr: SocketAddr, path: &str) -> Option<Value> {
    let deadline = Instant::now() + NEAR;
    let mut stream = TcpStream::connect_timeout(&addr, NEAR).ok()?;
    stream.set_write_timeout(Some(NEAR)).ok()?;
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\nAccept: application/json\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut reply = Vec::new();
    let mut piece = [0; 4096];
    while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|t| !t.is_zero())
    {
        stream.set_read_timeout(Some(left)).ok()?;
        let read = stream.read(&mut piece).ok()?;
        reply.extend_from_slice(&piece[..read]);
        if read == 0 || reply.len() as u64 > REPLY_BYTES_MAX {
            break;
        }
    }
    let body = reply.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    serde_json::from_slice(&reply[body..]).ok()
}
