//! What an operator or an embedder decides, and what an agent says of itself.
mod keys;
mod webhooks;

pub use keys::{FIRST_KEY, Key, Scope, check_keys, is_key_name};
pub use webhooks::{HOOK_EVENTS, HOOK_URL_BYTES_MAX, Webhook, Webhooks, hook_origin, is_public};

use crate::budget::Budget;
use crate::limits::{APPROVAL_MS, BODY_BYTES_MAX, RUNS_WORKING};
use crate::secrets::Secrets;
use std::net::SocketAddr;
use std::time::Duration;

/// The server's settings. Start from `Config::default()` and change what you need.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Where to listen. Port 0 takes a free one. Default `127.0.0.1:8642`.
    pub addr: SocketAddr,
    /// The bearer key clients must show; `None` lets everyone in. Default `None`.
    pub key: Option<String>,
    /// Further keys. `key` is named `default` and may do everything. Default none.
    pub keys: Vec<Key>,
    /// Further secrets that must never appear in an event, such as a model's key.
    pub secrets: Vec<String>,
    /// Origins whose pages may call this server; `*` means all. Default none.
    pub cors_origins: Vec<String>,
    /// Host names answered to, besides loopback names when bound to loopback.
    /// Bound elsewhere, an empty list means any.
    pub allowed_hosts: Vec<String>,
    /// Bytes of a request body. Default 10,000,000.
    pub max_body: usize,
    /// From a request's first byte to the end of its head. Default 10 s.
    pub head_timeout: Duration,
    /// From the end of a head to the end of its body, for each 64 KiB of it. Default 30 s.
    pub body_timeout: Duration,
    /// Silence between two requests of a connection. Default 75 s.
    pub idle_timeout: Duration,
    /// Silence on a stream before a comment is sent. Default 10 s.
    pub keepalive: Duration,
    /// What working runs are given to end by themselves when the server stops. Default 10 s.
    pub drain: Duration,
    /// Bytes that the process may hold together, beside a constant of its own (ARCHITECTURE.md,
    /// Memory). Other bounds follow from it. `None` means no such budget. Default `None`.
    pub memory: Option<usize>,
    /// Runs that work at once. Default 64.
    pub max_runs: usize,
    /// Runs that wait for one of those places. Default 1024.
    pub max_queue: usize,
    /// What each run may use up; a request may set lower limits for its own. Default 50 turns of the
    /// model, and no other limit.
    pub budget: Budget,
    /// How long a run that waits for somebody's leave does so before it is denied. Default 10 min.
    pub approval_timeout: Duration,
    /// How long a finished run that nobody reads is kept. Default 1 h.
    pub orphan_ttl: Duration,
    /// What becomes of a working run that nobody reads for that long. Default `Keep`.
    pub on_orphan: OnOrphan,
    /// What of finished runs a durable store keeps. Default all.
    pub retain: Retain,
    /// Whom to tell of what happens to runs. Default none, and runs may not ask for any.
    pub webhooks: Option<Webhooks>,
    /// True if the log tells of each request that was answered. Default false.
    pub log_requests: bool,
    /// True if the log shows the beginnings of what runs are asked and answer. Default false.
    pub log_content: bool,
}

impl Config {
    /// All that must never appear in an event: `secrets`, and the keys.
    pub fn known_secrets(&self) -> Secrets {
        let keys = self.keys.iter().map(|key| &key.secret);
        Secrets::new(self.secrets.iter().chain(&self.key).chain(keys).cloned())
    }

    /// The keys that open this server, `key` as the first. None means that everyone is let in.
    pub fn all_keys(&self) -> Vec<Key> {
        self.key.as_deref().map(Key::first).into_iter().chain(self.keys.iter().cloned()).collect()
    }
}

/// How much a store may keep. Whatever goes beyond it goes, the oldest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retain {
    /// How long after its end a run is kept.
    pub age: Option<Duration>,
    /// How many finished runs are kept.
    pub runs: Option<u64>,
    /// Bytes of the store's file that may be in use.
    pub bytes: Option<u64>,
}

/// What becomes of a working run that nobody reads for `orphan_ttl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOrphan {
    #[default]
    Keep,
    Cancel,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            addr: SocketAddr::from(([127, 0, 0, 1], 8642)),
            key: None,
            keys: Vec::new(),
            secrets: Vec::new(),
            cors_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            max_body: BODY_BYTES_MAX,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            keepalive: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            memory: None,
            max_runs: RUNS_WORKING,
            max_queue: 1024,
            budget: Budget { turns: Some(50), ..Budget::default() },
            approval_timeout: Duration::from_millis(APPROVAL_MS),
            orphan_ttl: Duration::from_secs(3600),
            on_orphan: OnOrphan::Keep,
            retain: Retain::default(),
            webhooks: None,
            log_requests: false,
            log_content: false,
        }
    }
}

/// What an agent says of itself: the answers to `/v1/models`, `/v1/toolsets` and `/v1/capabilities`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct About {
    /// The model id advertised to clients. Default `hermes-agent`.
    pub model: String,
    /// Who provides that model; also the only `provider` a request may name. Default `agent`.
    pub provider: String,
    pub toolsets: Vec<Toolset>,
    /// How the commands are confined that it runs; `None` if it runs none.
    pub confinement: Option<Confinement>,
    /// Warnings for whoever runs it, such as "the shell is not confined".
    pub warnings: Vec<String>,
}

impl Default for About {
    fn default() -> About {
        About {
            model: "hermes-agent".to_owned(),
            provider: "agent".to_owned(),
            toolsets: Vec::new(),
            confinement: None,
            warnings: Vec::new(),
        }
    }
}

/// Tools that belong together.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Toolset {
    pub name: String,
    pub description: String,
    /// True if the agent may use them now.
    pub enabled: bool,
    pub tools: Vec<String>,
}

/// How far the commands an agent runs are confined, and what ends them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Confinement {
    /// The version of Landlock in force (Linux); 0 where commands are not confined.
    pub landlock_abi: u32,
    /// False if TCP is denied to them.
    pub network: bool,
    pub ended_by: EndedBy,
}

/// What ends a command's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// A cgroup of the command's own, which the kernel ends whole (Linux), and a supervisor beside it.
    Cgroup,
    /// A process above them all, which no process of the command can leave.
    Supervisor,
    /// A signal to their group, which a process can leave.
    ProcessGroup,
}
