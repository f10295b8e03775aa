//! Which paths there are, and which methods each of them has.
use crate::wire::head::{Method, decoded};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Index,
    Health,
    HealthDetailed,
    Capabilities,
    Models,
    Toolsets,
    Skills,
    Runs,
    /// The rest name a run as the client wrote it.
    Run(Box<str>),
    Events(Box<str>),
    Stop(Box<str>),
    Steer(Box<str>),
    Sessions,
    /// A session's id as the client wrote it, no longer %-encoded.
    Session(Box<str>),
    Messages(Box<str>),
    /// `OPTIONS *`: the server as a whole.
    Server,
}

const GET: &str = "GET, HEAD, OPTIONS";
const GET_OR_DELETE: &str = "GET, HEAD, DELETE, OPTIONS";
const GET_OR_POST: &str = "GET, HEAD, POST, OPTIONS";
const POST: &str = "POST, OPTIONS";

impl Route {
    pub fn of(path: &str) -> Option<Route> {
        if path == "*" {
            return Some(Route::Server);
        }
        let mut segments = path.strip_prefix('/')?.split('/');
        let found = match (segments.next()?, segments.next(), segments.next(), segments.next()) {
            ("", None, ..) => Route::Index,
            ("health", None, ..) | ("v1", Some("health"), None, _) => Route::Health,
            ("health", Some("detailed"), None, _) => Route::HealthDetailed,
            ("v1", Some("health"), Some("detailed"), None) => Route::HealthDetailed,
            ("v1", Some("capabilities"), None, _) => Route::Capabilities,
            ("v1", Some("models"), None, _) => Route::Models,
            ("v1", Some("toolsets"), None, _) => Route::Toolsets,
            ("v1", Some("skills"), None, _) => Route::Skills,
            ("v1", Some("runs"), None, _) => Route::Runs,
            ("v1" | "api", Some("sessions"), None, _) => Route::Sessions,
            ("v1" | "api", Some("sessions"), Some(id), None) => Route::Session(name(id)?),
            ("v1" | "api", Some("sessions"), Some(id), Some("messages")) => {
                Route::Messages(name(id)?)
            }
            ("v1", Some("runs"), Some(run), None) if !run.is_empty() => Route::Run(run.into()),
            ("v1", Some("runs"), Some(run), Some("events")) => Route::Events(run.into()),
            ("v1", Some("runs"), Some(run), Some("stop")) => Route::Stop(run.into()),
            ("v1", Some("runs"), Some(run), Some("steer")) => Route::Steer(run.into()),
            _ => return None,
        };
        segments.next().is_none().then_some(found)
    }

    /// The methods of this path, as `Allow` lists them.
    pub fn allow(&self) -> &'static str {
        match self {
            Route::Runs => GET_OR_POST,
            Route::Run(_) | Route::Session(_) => GET_OR_DELETE,
            Route::Stop(_) | Route::Steer(_) => POST,
            Route::Server => "OPTIONS",
            _ => GET,
        }
    }

    pub fn has(&self, method: Method) -> bool {
        self.allow().split(", ").any(|name| name == method.name())
    }

    /// True where anyone may ask, key or not.
    pub fn is_open(&self) -> bool {
        matches!(self, Route::Index | Route::Health)
    }
}

/// A path segment that names something.
fn name(segment: &str) -> Option<Box<str>> {
    decoded(segment).filter(|name| !name.is_empty()).map(Box::from)
}
