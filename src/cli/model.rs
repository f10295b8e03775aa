//! Which model a run asks: the built-in one, unless somebody has named another.
use super::env::Env;
use super::settings::Settings;
use super::value::is_loopback;
use std::fmt;
use std::time::Duration;

/// The model to ask.
#[derive(Clone, PartialEq)]
pub enum Choice {
    Builtin,
    /// A model behind OpenAI's API.
    Remote {
        base_url: String,
        model: String,
        api_key: Option<String>,
        timeout: Duration,
    },
}

pub const OPENAI_URL: &str = "https://api.openai.com/v1";
pub const OPENAI_KEY: &str = "OPENAI_API_KEY";

/// A key in the environment alone chooses nothing: only `--model` may start to cost money.
pub fn choose(settings: &Settings, env: &Env) -> Result<Choice, String> {
    let model = match settings.model.as_deref() {
        Some("builtin") => return Ok(Choice::Builtin),
        Some(model) => model.to_owned(),
        None if settings.base_url.is_none() => return Ok(Choice::Builtin),
        None => {
            return Err("--base-url needs --model: the name by which the server there knows its \
                 model (most list them under /v1/models)."
                .to_owned());
        }
    };
    let base_url = settings.base_url.clone().unwrap_or_else(|| OPENAI_URL.to_owned());
    let api_key_env = settings.api_key_env.clone().unwrap_or_else(|| OPENAI_KEY.to_owned());
    let api_key = read_key(&api_key_env, env)?;
    let is_needed = settings.api_key_env.is_some() || base_url == OPENAI_URL;
    if is_needed && api_key.is_none() {
        return Err(format!(
            "--model {model} at {base_url} needs a key, and the variable {api_key_env} is not set: \
             set it, name another with --api-key-env, or name another server with --base-url."
        ));
    }
    Ok(Choice::Remote { base_url, model, api_key, timeout: settings.model_timeout })
}

fn read_key(variable: &str, env: &Env) -> Result<Option<String>, String> {
    let Some(key) = env.get(variable) else { return Ok(None) };
    match key.to_str().map(str::trim) {
        Some("") => Ok(None),
        Some(key) if key.bytes().all(|b| b.is_ascii_graphic()) => Ok(Some(key.to_owned())),
        _ => Err(format!(
            "{variable}: expected a key of visible ASCII, such as sk-...; got other characters."
        )),
    }
}

impl Choice {
    /// What an operator should know before the first request leaves.
    pub fn warning(&self) -> Option<String> {
        match self {
            Choice::Remote { base_url, api_key: Some(_), .. }
                if base_url.starts_with("http:") && !is_loopback(base_url) =>
            {
                Some(format!("the model's key travels to {base_url} unencrypted"))
            }
            _ => None,
        }
    }

    pub fn api_key(&self) -> Option<&str> {
        match self {
            Choice::Builtin => None,
            Choice::Remote { api_key, .. } => api_key.as_deref(),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Builtin => f.write_str("builtin (no language model; --model NAME asks one)"),
            Choice::Remote { base_url, model, .. } => write!(f, "{model} at {base_url}"),
        }
    }
}

/// Without the key.
impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
