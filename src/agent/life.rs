//! A run's whole life on its thread: exactly one terminal event, and always the last.
use super::{Agent, Cancel, Cause, Context, Ending, Inbox, Secrets};
use crate::budget::{Budget, Limit};
use crate::event::{Cancelled, Completed, Event, Failed, Interrupted, Kind};
use crate::id::RunKey;
use crate::limits::{ERROR_BYTES_MAX, OUTPUT_BYTES_MAX};
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
    /// What the run may use up: the server's limits and the request's together.
    pub budget: Budget,
    pub cancel: Cancel,
    pub inbox: Inbox,
}

/// Works on `job` to its end, saying each step through `emit`, the terminal event last.
pub fn live(agent: &dyn Agent, job: &Job, secrets: &Secrets, emit: &mut dyn FnMut(Event)) {
    live_within(OUTPUT_BYTES_MAX, agent, job, secrets, emit);
}

/// The same where only `output_max` bytes of the run's output are kept for its last event.
pub fn live_within(
    output_max: usize,
    agent: &dyn Agent,
    job: &Job,
    secrets: &Secrets,
    emit: &mut dyn FnMut(Event),
) {
    let mut run = Context::new(job, secrets, emit, output_max);
    // The context is used after a panic only for what is whole at any moment: counters and text.
    let ended = catch_unwind(AssertUnwindSafe(|| agent.run(&mut run)));
    run.lift();
    let ended = ended.unwrap_or_else(|panic| {
        Err(Ending::failed("agent_panic", format!("The agent crashed: {}.", panic_text(&*panic))))
    });
    let last = last_word(&mut run, job, ended);
    run.say_last(last);
}

fn last_word(run: &mut Context<'_>, job: &Job, ended: Result<(), Ending>) -> Kind {
    let (secrets, cause) = (run.secrets(), job.cancel.cause());
    if ended.is_err() && cause == Some(Cause::Shutdown) {
        // An interruption has no output: what later runs are told of this one stands before it.
        run.interim();
    }
    let (output, usage, runtime) = run.parts();
    // Only who accepts steers knows which came too late: the machine fills it in.
    let pending_steer = None;
    let partial = Some(output.clone()).filter(|text| !text.is_empty());
    let failure = |reason, message: &str| Failed {
        error: shorten(&secrets.mask(message), ERROR_BYTES_MAX),
        reason,
        budget: None,
        usage,
        output: partial.clone(),
        pending_steer: None,
    };
    let failed = |reason, message: &str| Kind::Failed(Box::new(failure(reason, message)));
    let exceeded = |limit: Limit| {
        let (budget, error) = (Some(limit.name()), run.complaint(limit));
        Kind::Failed(Box::new(Failed { budget, ..failure("budget_exceeded", &error) }))
    };
    match (ended, cause) {
        // What has been used up stays so, whatever the agent makes of it. Only time may run out
        // after the work was done.
        (Ok(()), Some(Cause::Budget(limit))) if limit != Limit::Wall => exceeded(limit),
        (Err(_), Some(Cause::Budget(limit))) => exceeded(limit),
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
