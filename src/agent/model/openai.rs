//! The client for models behind an OpenAI-compatible `/chat/completions`.
use super::{Ask, Model, Piece, Turn};
use crate::agent::{Cancel, Ending};
use std::time::Duration;

/// How to reach a model.
#[derive(Clone)]
pub struct OpenAiSettings {
    /// Where the API lives, such as `http://127.0.0.1:8080/v1`.
    pub base_url: String,
    /// The model's name, as its server calls it.
    pub model: String,
    /// The bearer key, if the server wants one. It is never shown.
    pub api_key: Option<String>,
    /// The longest wait for the first token, further tries included, and for each token after it.
    pub timeout: Duration,
}

impl OpenAiSettings {
    /// No key, and a time-out of 120 s.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> OpenAiSettings {
        OpenAiSettings {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            timeout: Duration::from_secs(120),
        }
    }
}

/// A model behind an OpenAI-compatible API.
pub struct OpenAi {
    settings: OpenAiSettings,
}

impl OpenAi {
    /// Checks the settings; does not call the server. An error says what to change.
    pub fn new(settings: OpenAiSettings) -> Result<OpenAi, String> {
        Ok(OpenAi { settings })
    }
}

impl Model for OpenAi {
    fn provider(&self) -> &str {
        "openai"
    }

    fn name(&self) -> &str {
        &self.settings.model
    }

    fn turn(
        &self,
        _ask: &Ask<'_>,
        _cancel: &Cancel,
        _say: &mut dyn FnMut(Piece<'_>) -> Result<(), Ending>,
    ) -> Result<Turn, Ending> {
        Err(Ending::failed("model_unreachable", "The model client is not built yet."))
    }
}
