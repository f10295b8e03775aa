//! Which paths there are, and which methods each of them has.
use crate::config::Scope;
use crate::wire::head::{Method, decoded};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    Index,
    #[cfg(feature = "openapi")]
    OpenApi,
    Health,
    HealthDetailed,
    Metrics,
    Capabilities,
    Models,
    Toolsets,
    Skills,
    Runs,
    /// The rest name a run as the client wrote it.
    Run(Box<str>),
    Events(Box<str>),
    /// The events of many runs.
    Feed,
    Stop(Box<str>),
    Steer(Box<str>),
    #[cfg(feature = "tokens")]
    Token(Box<str>),
    Approval(Box<str>),
    Approvals,
    Grants,
    /// A grant's id as the client wrote it.
    Grant(Box<str>),
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
            #[cfg(feature = "openapi")]
            ("openapi.json", None, ..) => Route::OpenApi,
            ("health", None, ..) | ("v1", Some("health"), None, _) => Route::Health,
            ("health", Some("detailed"), None, _) => Route::HealthDetailed,
            ("v1", Some("health"), Some("detailed"), None) => Route::HealthDetailed,
            ("metrics", None, ..) => Route::Metrics,
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
            ("v1", Some("events"), None, _) => Route::Feed,
            ("v1", Some("runs"), Some(run), Some("stop")) => Route::Stop(run.into()),
            ("v1", Some("runs"), Some(run), Some("steer")) => Route::Steer(run.into()),
            #[cfg(feature = "tokens")]
            ("v1", Some("runs"), Some(run), Some("token")) => Route::Token(run.into()),
            ("v1", Some("runs"), Some(run), Some("approval")) => Route::Approval(run.into()),
            ("v1", Some("approvals"), None, _) => Route::Approvals,
            ("v1", Some("approvals"), Some("grants"), None) => Route::Grants,
            ("v1", Some("approvals"), Some("grants"), Some(id)) => Route::Grant(id.into()),
            _ => return None,
        };
        segments.next().is_none().then_some(found)
    }

    /// The methods of this path, as `Allow` lists them.
    pub fn allow(&self) -> &'static str {
        match self {
            Route::Runs => GET_OR_POST,
            Route::Run(_) | Route::Session(_) => GET_OR_DELETE,
            Route::Stop(_) | Route::Steer(_) | Route::Approval(_) => POST,
            #[cfg(feature = "tokens")]
            Route::Token(_) => POST,
            Route::Grant(_) => "DELETE, OPTIONS",
            Route::Server => "OPTIONS",
            _ => GET,
        }
    }

    pub fn has(&self, method: Method) -> bool {
        self.allow().split(',').any(|name| name.trim_start() == method.name())
    }

    /// What a key must have for this; `None` where any key will do, or where the path has no such
    /// method, which is refused anyway. What is not listed is for admins: a new path is closed until
    /// somebody opens it here.
    pub fn scope(&self, method: Method) -> Option<Scope> {
        match (self, method) {
            (Route::Index | Route::Health | Route::HealthDetailed | Route::Server, _) => None,
            #[cfg(feature = "openapi")]
            (Route::OpenApi, _) => None,
            (Route::Runs, Method::Post) => Some(Scope::RunsWrite),
            (Route::Run(_) | Route::Session(_), Method::Delete) => Some(Scope::RunsWrite),
            (Route::Stop(_) | Route::Steer(_) | Route::Approval(_), Method::Post) => {
                Some(Scope::RunsControl)
            }
            (Route::Grant(_), Method::Delete) => Some(Scope::RunsControl),
            (Route::Metrics, _) => Some(Scope::Admin),
            (_, Method::Get | Method::Head) => Some(Scope::RunsRead),
            #[cfg(feature = "tokens")]
            (Route::Token(_), Method::Post) => Some(Scope::RunsControl),
            _ => self.has(method).then_some(Scope::Admin),
        }
    }

    /// The run this is about, as the client wrote it.
    #[cfg(feature = "tokens")]
    pub fn run(&self) -> Option<&str> {
        match self {
            Route::Run(run)
            | Route::Events(run)
            | Route::Stop(run)
            | Route::Steer(run)
            | Route::Approval(run)
            | Route::Token(run) => Some(run),
            _ => None,
        }
    }

    /// True where anyone may ask, key or not.
    pub fn is_open(&self) -> bool {
        #[cfg(feature = "openapi")]
        if matches!(self, Route::OpenApi) {
            return true;
        }
        matches!(self, Route::Index | Route::Health)
    }
}

/// A path segment that names something.
fn name(segment: &str) -> Option<Box<str>> {
    decoded(segment).filter(|name| !name.is_empty()).map(Box::from)
}
