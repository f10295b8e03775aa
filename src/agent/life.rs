//! A run's whole life on its thread: exactly one terminal event, and always the last.
use super::{Agent, Cancel, Cause, Context, Ending, Inbox, Secrets};
use crate::event::{Cancelled, Completed, Event, Failed, Interrupted, Kind};
use crate::id::RunKey;
use crate::limits::ERROR_BYTES_MAX;
use crate::request::Request;
use crate::text::shorten;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What an agent thread needs to work on one run.
#[derive(Clone, Debug)]
pub struct Job {
    pub key: RunKey,
    pub request: Arc<Request>,
    pub cancel: Cancel,
    pub inbox: Inbox,
}

/// Works on `job` to its end, saying each step through `emit`, the terminal event last.
pub fn live(agent: &dyn Agent, job: &Job, secrets: &Secrets, emit: &mut dyn FnMut(Event)) {
    let mut run = Context::new(job, secrets, emit);
    // The context is used after a panic only for what is whole at any moment: counters and text.
    let ended = catch_unwind(AssertUnwindSafe(|| agent.run(&mut run)));
    run.lift();
    let ended = ended.unwrap_or_else(|panic| {
        Err(Ending::failed("agent_panic", format!("The agent crashed: {}.", panic_text(&*panic))))
    });
    let last = last_word(&mut run, ended, job.cancel.cause());
    run.say_last(last);
}

fn last_word(run: &mut Context<'_>, ended: Result<(), Ending>, cause: Option<Cause>) -> Kind {
    let secrets = run.secrets();
    if ended.is_err() && cause == Some(Cause::Shutdown) {
        // An interruption has no output: what later runs are told of this one stands before it.
        run.interim();
    }
    let (output, usage, runtime) = run.parts();
    // Only who accepts steers knows which came too late: the machine fills it in.
    let pending_steer = None;
    let partial = Some(output.clone()).filter(|text| !text.is_empty());
    let failed = |reason, message: &str| {
        let error = shorten(&secrets.mask(message), ERROR_BYTES_MAX);
        Kind::Failed(Box::new(Failed {
            error,
            reason,
            usage,
            output: partial.clone(),
            pending_steer: None,
        }))
    };
    match (ended, cause) {
        (Ok(()), _) => {
            Kind::Completed(Box::new(Completed { output, usage, runtime, pending_steer }))
        }
        (Err(_), Some(Cause::Stop | Cause::Orphan)) => {
            Kind::Cancelled(Box::new(Cancelled { usage, output: partial, pending_steer }))
        }
        (Err(_), Some(Cause::Shutdown)) => Kind::Interrupted(Box::new(Interrupted {
            error: INTERRUPTED.to_owned(),
            pending_steer,
        })),
        (Err(_), Some(Cause::Deadline)) => {
            failed("run_timeout", "The run took longer than --run-timeout allows.")
        }
        (Err(_), Some(Cause::Store)) => failed("store_unavailable", UNSTORED),
        (Err(Ending::Failed { reason, message }), None) => failed(reason, &message),
        (Err(Ending::Stopped), None) => {
            failed("agent_error", "The agent stopped although nobody had asked it to.")
        }
    }
}

const INTERRUPTED: &str = "The server stopped while the run was working.";

const UNSTORED: &str = "The server could not store what the run said, so it ended the run. Free \
                        some space on its disk, or see in its log what is wrong there, and submit \
                        the run again.";

/// What a thread that panicked said of it.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}
