//! What can be set, and what a row of the table of settings says about it.
use super::value::{Given, Kind};
use runwire::approval::Approve;
use runwire::config::Config;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set, as it is after flags, variables and defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Config,
    #[cfg(feature = "webhooks")]
    pub webhooks: WebhookSettings,
    pub workspace: Option<PathBuf>,
    pub allow_outside: bool,
    pub sandbox: bool,
    pub cgroup: bool,
    pub tool_network: bool,
    pub approve: Approve,
    /// `None` means the built-in one; a name alone decides that a model is called.
    pub model: Option<String>,
    pub base_url: Option<String>,
    /// `None` means `OPENAI_API_KEY`, if that is set.
    pub api_key_env: Option<String>,
    pub model_timeout: Duration,
    pub instructions: Option<String>,
    pub context_tokens: usize,
    pub state: Option<PathBuf>,
    /// `None` means the one in the state directory.
    pub keys: Option<PathBuf>,
    pub store: StoreKind,
    pub log: LogForm,
    pub log_level: log::LevelFilter,
    /// `None` means the one in the user's directory of configuration, if it is there.
    #[cfg(feature = "config")]
    pub config_file: Option<PathBuf>,
    /// What an operator should hear of before anything starts.
    pub warnings: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            config: Config::default(),
            #[cfg(feature = "webhooks")]
            webhooks: WebhookSettings::default(),
            workspace: None,
            allow_outside: false,
            sandbox: true,
            cgroup: true,
            tool_network: true,
            approve: Approve::default(),
            model: None,
            base_url: None,
            api_key_env: None,
            model_timeout: Duration::from_secs(120),
            instructions: None,
            context_tokens: 32_768,
            state: None,
            keys: None,
            store: StoreKind::DEFAULT,
            log: LogForm::Text,
            log_level: log::LevelFilter::Info,
            #[cfg(feature = "config")]
            config_file: None,
            warnings: Vec::new(),
        }
    }
}

/// What was set of webhooks.
#[cfg(feature = "webhooks")]
#[derive(Clone, Debug, Default)]
pub struct WebhookSettings {
    /// Whom to tell of all runs.
    pub all_runs: Option<runwire::config::Webhook>,
    /// What signs what is told; without it nobody is.
    pub secret: Option<String>,
    pub allow_private: bool,
}

/// Where the server keeps its runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Memory,
}

impl StoreKind {
    pub const DEFAULT: StoreKind =
        if cfg!(feature = "sqlite") { StoreKind::Sqlite } else { StoreKind::Memory };

    pub const fn name(self) -> &'static str {
        match self {
            StoreKind::Sqlite => "sqlite",
            StoreKind::Memory => "memory",
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    Text,
    /// One JSON object a line, and nothing else on stderr.
    Json,
    Off,
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes; the variable is `RUNWIRE_` and the same in capitals.
    pub name: &'static str,
    /// The variable by which other servers of this API call it.
    pub also: Option<&'static str>,
    pub kind: &'static Kind,
    /// As one would type it; in brackets where there is nothing to type.
    pub default: &'static str,
    pub help: &'static str,
    /// The commands that take it, as a sum of `SERVE`, `RUN` and `KEY`.
    pub commands: u8,
    /// Puts a value in its place; `None` if it is not of the kind.
    pub put: fn(&mut Settings, Given<'_>) -> Option<()>,
}

pub const SERVE: u8 = 1;
pub const RUN: u8 = 2;
pub const KEY: u8 = 4;
pub const DB: u8 = 8;
pub const BENCH: u8 = 16;
/// The commands that speak to a server.
pub const ASK: u8 = 64;

impl Setting {
    pub fn variable(&self) -> String {
        format!("RUNWIRE_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    pub fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    pub fn is_switch(&self) -> bool {
        self.kind.meta.is_empty()
    }
}
