//! `POST /v1/runs/{id}/steer`: what a client says to a working run, on its way to the agent.
//!
//! The machine keeps its own list of what waits. The agent takes steers in the order they came, and
//! each `run.steered` strikes the oldest off; what is left at the terminal event came too late. So
//! each accepted steer is told of exactly once, also where the agent's last word and a steer cross.
use super::pages::to_json;
use super::{Machine, Output};
use crate::id::RunKey;
use crate::limits::STEERS_WAITING_MAX;
use crate::record::Status;
use crate::request::Steer;
use crate::wire::{Reject, steer};
use std::sync::Arc;

/// What a client is told to wait before it tries again, in seconds.
const RETRY_AFTER_S: u64 = 5;

impl Machine {
    /// The answer, once the agent is about to be told.
    pub(super) fn steer(&mut self, key: RunKey, body: &[u8]) -> Result<Vec<u8>, Reject> {
        self.check_all_memory(body.len())?;
        let steer = steer::parse(body)?;
        let run = self.runs.get_mut(key).expect("the caller just found it");
        // Who is asked for leave is right there, and may have more to say than yes or no.
        let takes = matches!(run.status, Status::Running | Status::WaitingForApproval);
        if !takes || run.has_ended {
            return Err(Reject::RunNotAcceptingSteer);
        }
        if run.live().steers.len() >= STEERS_WAITING_MAX {
            return Err(Reject::TooManySteers { retry_after_s: RETRY_AFTER_S });
        }
        // Masked once, here: what reaches the agent, the events and the status is the same.
        let interrupts = steer.interrupt;
        let steer = Arc::new(Steer { text: self.secrets.mask(&steer.text), ..steer });
        run.live_mut().steers.push_back(steer.clone());
        run.touched = self.now.tick;
        let name = run.id().to_string();
        // A run that has begun and has no agent yet is given it together with its agent.
        if !self.runs.is_starting(key) {
            self.outputs.push_back(Output::Steer { run: key, steer });
        }
        if interrupts {
            self.interrupt(key);
        }
        let object = "hermes.run.steer";
        Ok(to_json(&serde_json::json!({ "object": object, "run_id": name, "accepted": true })))
    }
}
