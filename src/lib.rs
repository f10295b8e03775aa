//! A server that runs AI agents and streams every step they take as server-sent events.
//!
//! ```no_run
//! use runwire::{Agent, Config, Context, Ending, Server};
//!
//! struct Echo;
//!
//! impl Agent for Echo {
//!     fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
//!         run.delta(&run.request().input.to_text())
//!     }
//! }
//!
//! fn main() -> std::io::Result<()> {
//!     Server::bind(Config::default(), Echo)?.run()
//! }
//! ```
#![forbid(unsafe_code)]
pub mod agent;
pub mod approval;
pub mod budget;
mod by_id;
pub mod config;
pub mod event;
pub mod id;
pub mod limits;
pub mod machine;
pub mod net;
#[cfg(feature = "openapi")]
pub mod openapi;
#[cfg(any(feature = "openapi", feature = "page"))]
pub mod packed;
#[cfg(feature = "page")]
pub mod page;
pub mod record;
pub mod request;
pub mod secrets;
pub mod shares;
pub mod slab;
pub mod store;
pub mod tally;
pub mod text;
pub mod time;
pub mod wire;

pub use agent::{Agent, Cancel, Cause, Context, Ending};
pub use budget::{Budget, Limit};
pub use config::{
    About, Config, Confinement, EndedBy, Key, OnOrphan, Retain, Scope, Toolset, Webhook, Webhooks,
};
pub use net::{Handle, Server};
