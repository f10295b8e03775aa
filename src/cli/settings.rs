//! The table of settings, from which flags, variables, help and error messages are made.
use super::value::{self, Given, Kind};
use runwire::config::Config;
use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set, as it is after flags, variables and defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub config: Config,
    pub workspace: Option<PathBuf>,
    pub allow_outside: bool,
    /// `None` means the built-in one; a name alone decides that a model is called.
    pub model: Option<String>,
    pub base_url: Option<String>,
    /// `None` means `OPENAI_API_KEY`, if that is set.
    pub api_key_env: Option<String>,
    pub model_timeout: Duration,
    pub instructions: Option<String>,
    pub context_tokens: usize,
    pub max_turns: usize,
    pub state: Option<PathBuf>,
    pub log: log::LevelFilter,
    /// What an operator should hear of before anything starts.
    pub warnings: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            config: Config::default(),
            workspace: None,
            allow_outside: false,
            model: None,
            base_url: None,
            api_key_env: None,
            model_timeout: Duration::from_secs(120),
            instructions: None,
            context_tokens: 32_768,
            max_turns: 50,
            state: None,
            log: log::LevelFilter::Warn,
            warnings: Vec::new(),
        }
    }
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
const WORK: u8 = SERVE | RUN;
const ALL: u8 = SERVE | RUN | KEY;

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

pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Every setting, in the order of the help text.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "host",
        also: Some("API_SERVER_HOST"),
        kind: &value::HOST,
        default: "127.0.0.1",
        help: "Address to listen on. Beyond loopback, whoever has the key runs commands here.",
        commands: SERVE,
        put: |s, v| Some(s.config.addr.set_ip(v.host()?)),
    },
    Setting {
        name: "port",
        also: Some("API_SERVER_PORT"),
        kind: &value::PORT,
        default: "8642",
        help: "Port to listen on; 0 takes any free one and says which.",
        commands: SERVE,
        put: |s, v| Some(s.config.addr.set_port(v.port()?)),
    },
    Setting {
        name: "key",
        also: Some("API_SERVER_KEY"),
        kind: &value::KEY,
        default: "(the one kept in the state directory)",
        help: "Bearer key of the server. A flag shows in `ps`: better set the variable.",
        commands: ALL,
        put: |s, v| Some(s.config.key = Some(v.key()?)),
    },
    Setting {
        name: "cors-origins",
        also: Some("API_SERVER_CORS_ORIGINS"),
        kind: &value::ORIGINS,
        default: "(none)",
        help: "Web origins whose pages may call the server.",
        commands: SERVE,
        put: |s, v| Some(s.config.cors_origins = v.origins()?),
    },
    Setting {
        name: "allowed-hosts",
        also: None,
        kind: &value::HOSTS,
        default: "(loopback names)",
        help: "Further Host names to answer to, such as a proxy's.",
        commands: SERVE,
        put: |s, v| Some(s.config.allowed_hosts = v.hosts()?),
    },
    Setting {
        name: "max-body",
        also: None,
        kind: &value::SIZE,
        default: "10000000",
        help: "Largest request body; a larger one is refused with 413.",
        commands: SERVE,
        put: |s, v| Some(s.config.max_body = v.size()?),
    },
    Setting {
        name: "head-timeout",
        also: None,
        kind: &value::TIME,
        default: "10s",
        help: "Time for a request's head to arrive.",
        commands: SERVE,
        put: |s, v| Some(s.config.head_timeout = v.time()?),
    },
    Setting {
        name: "body-timeout",
        also: None,
        kind: &value::TIME,
        default: "30s",
        help: "Time for each 64 KiB of a request's body to arrive.",
        commands: SERVE,
        put: |s, v| Some(s.config.body_timeout = v.time()?),
    },
    Setting {
        name: "idle-timeout",
        also: None,
        kind: &value::TIME,
        default: "75s",
        help: "Time a connection may be silent between two requests.",
        commands: SERVE,
        put: |s, v| Some(s.config.idle_timeout = v.time()?),
    },
    Setting {
        name: "keepalive",
        also: None,
        kind: &value::TIME,
        default: "10s",
        help: "Silence on an event stream after which a comment is sent.",
        commands: SERVE,
        put: |s, v| Some(s.config.keepalive = v.time()?),
    },
    Setting {
        name: "drain",
        also: None,
        kind: &value::GRACE,
        default: "10s",
        help: "Time working runs get to finish after SIGTERM or Ctrl-C.",
        commands: SERVE,
        put: |s, v| Some(s.config.drain = v.grace()?),
    },
    Setting {
        name: "max-runs",
        also: None,
        kind: &value::RUNS,
        default: "64",
        help: "Runs that work at once; each has a thread.",
        commands: SERVE,
        put: |s, v| Some(s.config.max_runs = v.count(1..=10_000)?),
    },
    Setting {
        name: "max-queue",
        also: None,
        kind: &value::QUEUE,
        default: "1024",
        help: "Runs that wait for a place; beyond it 429 is answered.",
        commands: SERVE,
        put: |s, v| Some(s.config.max_queue = v.count(0..=1_000_000)?),
    },
    Setting {
        name: "run-timeout",
        also: None,
        kind: &value::TIME_OR_NONE,
        default: "none",
        help: "Longest time a run may work.",
        commands: WORK,
        put: |s, v| Some(s.config.run_timeout = v.time_or_none()?),
    },
    Setting {
        name: "orphan-ttl",
        also: None,
        kind: &value::TIME,
        default: "1h",
        help: "Time a finished run that nobody reads is kept.",
        commands: SERVE,
        put: |s, v| Some(s.config.orphan_ttl = v.time()?),
    },
    Setting {
        name: "on-orphan",
        also: None,
        kind: &value::ORPHAN,
        default: "keep",
        help: "What becomes of a working run nobody reads for --orphan-ttl.",
        commands: SERVE,
        put: |s, v| Some(s.config.on_orphan = v.orphan()?),
    },
    Setting {
        name: "workspace",
        also: None,
        kind: &value::DIR,
        default: "(serve: STATE/workspace, run: the current directory)",
        help: "Directory the agent works in.",
        commands: WORK,
        put: |s, v| Some(s.workspace = Some(v.path()?)),
    },
    Setting {
        name: "allow-outside",
        also: None,
        kind: &value::SWITCH,
        default: "false",
        help: "Let file tools write outside the workspace.",
        commands: WORK,
        put: |s, v| Some(s.allow_outside = v.switch()?),
    },
    Setting {
        name: "model",
        also: None,
        kind: &value::MODEL,
        default: "builtin",
        help: "Model to ask. `builtin` is no language model, costs nothing and uses no network.",
        commands: WORK,
        put: |s, v| Some(s.model = Some(v.text()?.to_owned())),
    },
    Setting {
        name: "base-url",
        also: None,
        kind: &value::BASE_URL,
        default: "https://api.openai.com/v1",
        help: "Where the model is, in OpenAI's API; needs --model.",
        commands: WORK,
        put: |s, v| Some(s.base_url = Some(v.base_url()?)),
    },
    Setting {
        name: "api-key-env",
        also: None,
        kind: &value::VARIABLE,
        default: "OPENAI_API_KEY",
        help: "Variable that holds the model's key. It is read only if --model names a model.",
        commands: WORK,
        put: |s, v| Some(s.api_key_env = Some(v.variable()?)),
    },
    Setting {
        name: "model-timeout",
        also: None,
        kind: &value::TIME,
        default: "120s",
        help: "Time a model may be silent.",
        commands: WORK,
        put: |s, v| Some(s.model_timeout = v.time()?),
    },
    Setting {
        name: "instructions",
        also: None,
        kind: &value::TEXT,
        default: "(none)",
        help: "What the agent is told before every task.",
        commands: WORK,
        put: |s, v| Some(s.instructions = Some(v.text()?.to_owned())),
    },
    Setting {
        name: "context-tokens",
        also: None,
        kind: &value::TOKENS,
        default: "32768",
        help: "Tokens the model can take in; older history is left out beyond it.",
        commands: WORK,
        put: |s, v| Some(s.context_tokens = v.count(256..=100_000_000)?),
    },
    Setting {
        name: "max-turns",
        also: None,
        kind: &value::TURNS,
        default: "50",
        help: "Turns of the model after which a run fails.",
        commands: WORK,
        put: |s, v| Some(s.max_turns = v.count(1..=10_000)?),
    },
    Setting {
        name: "state",
        also: None,
        kind: &value::DIR,
        default: "($XDG_STATE_HOME/runwire, else ~/.local/state/runwire)",
        help: "State directory: holds the key and the server's workspace.",
        commands: ALL,
        put: |s, v| Some(s.state = Some(v.path()?)),
    },
    Setting {
        name: "log",
        also: None,
        kind: &value::LEVEL,
        default: "warn",
        help: "How much to log on stderr: off, error, warn, info or debug.",
        commands: ALL,
        put: |s, v| Some(s.log = v.level()?),
    },
];
