//! The durable store on real files: what it promises, and what becomes of each promise when the
//! file, the disk or another process is not as it should be.
#![cfg(feature = "sqlite")]
mod damage;
mod full;
mod grants;
mod hooks;
mod kit;
mod open;
mod prune;
mod rows;
mod views;
mod wal;
