//! Who does the work: one thread for each working run, free to block, always to be cancelled.
mod budget;
pub mod cancel;
#[cfg(all(feature = "sys", unix))]
pub mod cgroup;
mod context;
mod inbox;
mod lenient;
mod life;
pub mod model;
mod model_times;
mod script;
mod tool_agent;
pub mod tools;

pub use cancel::{Cancel, Cause};
pub use context::Context;
pub use inbox::Inbox;
pub(crate) use life::panic_text;
pub use life::{Job, live, live_within};
pub use model_times::ModelTimes;
pub use script::Script;
pub use tool_agent::{Settings, ToolAgent};
pub use tools::custom::Tool;

pub use crate::secrets::Secrets;

use crate::config::About;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// Does the work of runs. One value serves all runs, each on a thread of its own.
pub trait Agent: Send + Sync + 'static {
    /// Works on one run until it is done.
    ///
    /// Call `Context` methods for each step; each returns `Err(Ending::Stopped)` once the run has
    /// been told to stop, and `?` then is all it takes to end in time. Returning `Ok(())`
    /// completes the run; a panic fails this run and no other.
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending>;

    /// What clients are told about this agent. Asked once, when the server starts.
    fn about(&self) -> About {
        About::default()
    }

    /// Where it keeps how long its model takes, for `GET /metrics`. Asked once, likewise.
    fn model_times(&self) -> Option<Arc<ModelTimes>> {
        None
    }
}

impl<A: Agent + ?Sized> Agent for Arc<A> {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        (**self).run(run)
    }

    fn about(&self) -> About {
        (**self).about()
    }

    fn model_times(&self) -> Option<Arc<ModelTimes>> {
        (**self).model_times()
    }
}

/// Why an agent ended without completing its run.
///
/// Any error turns into `Failed` by `?`, with the reason `agent_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The run was told to end: return as soon as you can.
    Stopped,
    /// The work cannot be done.
    Failed {
        /// A stable code for programs, such as `model_unreachable`.
        reason: &'static str,
        /// For people: what is wrong, and what to do next.
        message: Cow<'static, str>,
    },
}

impl Ending {
    pub fn failed(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Ending {
        Ending::Failed { reason, message: message.into() }
    }
}

impl<E: std::error::Error> From<E> for Ending {
    fn from(error: E) -> Ending {
        Ending::failed("agent_error", error.to_string())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Stopped => f.write_str("stopped"),
            Ending::Failed { reason, message } => write!(f, "{message} ({reason})"),
        }
    }
}
