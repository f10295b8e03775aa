//! A server that runs AI agents and streams every step they take as server-sent events.
#![forbid(unsafe_code)]
pub mod agent;
pub mod budget;
pub mod config;
pub mod event;
pub mod id;
pub mod limits;
pub mod machine;
pub mod net;
pub mod record;
pub mod request;
pub mod secrets;
pub mod slab;
pub mod store;
pub mod text;
pub mod time;
pub mod wire;

pub use agent::{Agent, Cancel, Cause, Context, Ending};
pub use budget::{Budget, Limit};
pub use config::{About, Config, Confinement, EndedBy, OnOrphan, Retain, Toolset};
pub use net::{Handle, Server};
