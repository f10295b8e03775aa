//! The answers that do not change, made once, and the one that counts.
use super::access::Access;
use super::approvals::Pending;
use super::{Drain, Machine, Shelf};
use crate::budget::Budget;
use crate::config::{About, Config, Confinement, Toolset};
use crate::event::{Runtime, Usage};
use crate::id::RunKey;
use crate::limits::IDEMPOTENCY_TTL_MS;
use crate::time::Wall;
use crate::wire;
use crate::wire::redact::Redact;
use serde::Serialize;
use serde_json::{Value, json};

const PLATFORM: &str = "runwire";
/// The name by which clients of the Hermes API ask for "whatever is configured".
const HERMES_MODEL: &str = "hermes-agent";

pub struct Pages {
    pub index: Vec<u8>,
    pub health: Vec<u8>,
    pub capabilities: Vec<u8>,
    pub models: Vec<u8>,
    pub toolsets: Vec<u8>,
    pub skills: Vec<u8>,
    pub model: String,
    pub provider: String,
    pub confinement: Option<Confinement>,
}

impl Pages {
    pub fn new(config: &Config, about: About, access: &Access, shelf: &Shelf) -> Pages {
        let version = env!("CARGO_PKG_VERSION");
        let health = json!({ "status": "ok", "platform": PLATFORM, "version": version });
        Pages {
            index: to_json(&index()),
            health: health.to_string().into_bytes(),
            capabilities: to_json(&capabilities(config, &about, access, shelf)),
            models: to_json(&models(&about)),
            toolsets: to_json(&list("toolsets", &about.toolsets)),
            skills: to_json(&list("skills", &[])),
            model: about.model,
            provider: about.provider,
            confinement: about.confinement,
        }
    }

    pub fn runtime(&self) -> Runtime {
        Runtime { provider: self.provider.clone(), model: self.model.clone() }
    }

    /// True for the names that mean the configured model.
    pub fn is_own_model(&self, name: &str) -> bool {
        name == self.model || name == HERMES_MODEL
    }
}

#[derive(Serialize)]
struct StatusPage<'a> {
    object: &'static str,
    run_id: String,
    status: &'static str,
    created_at: f64,
    updated_at: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<f64>,
    session_id: &'a str,
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_event: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_steer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<Value>,
}

impl Machine {
    /// `GET /v1/runs/{id}`.
    pub(super) fn status_of(&mut self, key: RunKey, redact: Redact) -> Vec<u8> {
        let tick = self.now.tick;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        run.touched = tick;
        let model = run.record.model.as_deref().unwrap_or(&self.pages.model);
        let outcome = run.outcome.as_deref();
        let approval = run.shown_approval().filter(|_| !redact.hides_requests());
        to_json(&StatusPage {
            object: "hermes.run",
            run_id: run.id().to_string(),
            status: run.status.name(),
            created_at: run.record.created.as_float(),
            updated_at: run.updated.as_float(),
            started_at: run.waited.began(run.record.created).map(Wall::as_float),
            session_id: &run.record.session_id,
            model,
            last_event: run.last_event(),
            last_seq: run.log.shown_seq().checked_sub(1),
            output: outcome.and_then(|outcome| outcome.output.as_deref()),
            usage: outcome.and_then(|outcome| outcome.usage),
            error: outcome.and_then(|outcome| outcome.error.as_deref()),
            pending_steer: outcome.and_then(|outcome| outcome.pending_steer.as_deref()),
            approval: approval.map(Pending::to_json),
            budget: run
                .live
                .as_ref()
                .filter(|live| live.budget != Budget::default())
                .map(|live| wire::budget::to_json(&live.budget)),
        })
    }

    pub(super) fn health_detailed(&self) -> Vec<u8> {
        let counts = self.counts();
        let fault = self.keep.fault();
        let uptime_s = (self.now.tick.0 - self.started.0) / 1000;
        let page = json!({
            "status": if fault.is_some() { "degraded" } else { "ok" },
            "platform": PLATFORM,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.drain == Drain::No && fault.is_none(),
            "draining": self.drain != Drain::No,
            "uptime_seconds": uptime_s,
            "connections": counts.conns,
            "subscribers": counts.subscribers,
            "runs": {
                "queued": counts.queued,
                "working": counts.working,
                "finished": counts.finished,
                "max_working": self.config.max_runs,
                "max_queued": self.config.max_queue,
            },
            "history_bytes": counts.history_bytes,
            "memory": { "budget": self.shares.memory, "charged": self.charged() },
            "idempotency_keys": counts.idempotency_keys,
            "store": {
                "kind": self.keep.name,
                "durable": self.keep.is_durable,
                "state": if fault.is_some() { "failing" } else { "ok" },
                "error": fault.map(|fault| &fault.message),
            },
            "terminal": self.pages.confinement,
        });
        page.to_string().into_bytes()
    }
}

/// For whoever opens the server's address in a browser.
fn index() -> Value {
    json!({
        "platform": PLATFORM,
        "version": env!("CARGO_PKG_VERSION"),
        "message": "The runs API is here. POST {\"input\": \"...\"} to /v1/runs with your bearer key, \
                    then read /v1/runs/{run_id}/events. /v1/capabilities lists the rest.",
    })
}

/// Name, method and path.
const ENDPOINTS: &[(&str, &str, &str)] = &[
    #[cfg(feature = "openapi")]
    ("openapi", "GET", "/openapi.json"),
    ("health", "GET", "/health"),
    ("health_detailed", "GET", "/health/detailed"),
    ("metrics", "GET", "/metrics"),
    ("capabilities", "GET", "/v1/capabilities"),
    ("models", "GET", "/v1/models"),
    ("toolsets", "GET", "/v1/toolsets"),
    ("skills", "GET", "/v1/skills"),
    ("runs", "POST", "/v1/runs"),
    ("run_list", "GET", "/v1/runs"),
    ("run_status", "GET", "/v1/runs/{run_id}"),
    ("run_events", "GET", "/v1/runs/{run_id}/events"),
    ("events", "GET", "/v1/events"),
    ("run_delete", "DELETE", "/v1/runs/{run_id}"),
    ("sessions", "GET", "/v1/sessions"),
    ("session", "GET", "/v1/sessions/{session_id}"),
    ("session_messages", "GET", "/v1/sessions/{session_id}/messages"),
    ("session_delete", "DELETE", "/v1/sessions/{session_id}"),
    ("run_stop", "POST", "/v1/runs/{run_id}/stop"),
    ("run_steer", "POST", "/v1/runs/{run_id}/steer"),
    ("run_token", "POST", "/v1/runs/{run_id}/token"),
    ("run_approval", "POST", "/v1/runs/{run_id}/approval"),
    ("approvals", "GET", "/v1/approvals"),
    ("approval_grants", "GET", "/v1/approvals/grants"),
    ("approval_grant_delete", "DELETE", "/v1/approvals/grants/{grant_id}"),
];

fn capabilities(config: &Config, about: &About, access: &Access, shelf: &Shelf) -> Value {
    json!({
        "object": "hermes.api_server.capabilities",
        "platform": PLATFORM,
        "version": env!("CARGO_PKG_VERSION"),
        "model": about.model,
        "auth": { "type": "bearer", "required": access.needs_key() },
        "runtime": { "mode": "server_agent", "tool_execution": "server", "provider": about.provider },
        "features": {
            "run_submission": true,
            "run_status": true,
            "run_events_sse": true,
            "run_events_resume": true,
            "many_runs_events": true,
            "run_stop": true,
            "run_steer": true,
            "run_tokens": access.has_tokens(),
            "run_approval_response": true,
            "approval_events": true,
            "tool_progress_events": true,
            "reasoning_streaming": true,
            "session_resources": true,
            "webhooks": config.webhooks.is_some() && cfg!(feature = "webhooks"),
            "runs_idempotency": {
                "supported": true,
                "durable": shelf.is_durable,
                "retention_seconds": IDEMPOTENCY_TTL_MS / 1000,
            },
            "cors": access.has_cors(),
            "session_key_header": "X-Hermes-Session-Key",
            "session_continuity_header": "X-Hermes-Session-Id",
        },
        "limits": {
            "max_body_bytes": config.max_body,
            "max_working_runs": config.max_runs,
            "max_queued_runs": config.max_queue,
            "approval_seconds": config.approval_timeout.as_secs(),
            "budget": wire::budget::to_json(&config.budget),
        },
        "terminal": about.confinement,
        "warnings": about.warnings,
        "endpoints": endpoints(access),
    })
}

fn endpoints(access: &Access) -> Value {
    let mut endpoints = serde_json::Map::new();
    let is_there = |name: &str| name != "run_token" || access.has_tokens();
    for (name, method, path) in ENDPOINTS.iter().filter(|(name, ..)| is_there(name)) {
        endpoints.insert((*name).to_owned(), json!({ "method": method, "path": path }));
    }
    endpoints.into()
}

/// OpenAI's list form, which model pickers understand.
fn models(about: &About) -> Value {
    let model =
        json!({ "id": about.model, "object": "model", "created": 0, "owned_by": about.provider });
    json!({ "object": "list", "data": [model] })
}

/// The same list under `data` and under its own name: clients in the field look for either.
fn list(name: &str, items: &[Toolset]) -> Value {
    json!({ "object": "list", "data": items, name: items })
}

pub fn to_json(page: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(page).expect("a page of strings and numbers is always JSON")
}
