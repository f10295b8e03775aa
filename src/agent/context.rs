//! One run as its agent sees it: what is asked, and the ways to say what happens.
use super::budget::Meter;
use super::lenient::Lenient;
use super::{Cancel, Ending, Inbox, Job, Secrets};
use crate::approval::{Ask, Choice};
use crate::budget::Limit;
use crate::event::{
    ApprovalRequest, Delta, Event, Interim, Kind, Reasoning, Runtime, Steered, ToolCompleted,
    ToolStarted, Truncated, Usage,
};
use crate::id::RunKey;
use crate::limits::{
    DELTA_BYTES_MAX, GRANT_BYTES_MAX, PREVIEW_CHARS_MAX, TOOL_ARGS_BYTES_MAX, TOOL_RESULT_BYTES_MAX,
};
use crate::request::Request;
use crate::secrets::Veil;
use crate::text::{Ends, prefix, preview, shorten, suffix};
use crate::time::Wall;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One run in the hands of its agent, the only writer of its events.
///
/// Every method that says something returns `Err(Ending::Stopped)` once the run was told to end, as
/// it is also when it has used up its budget.
pub struct Context<'a> {
    key: RunKey,
    request: &'a Request,
    cancel: &'a Cancel,
    inbox: &'a Inbox,
    secrets: &'a Secrets,
    emit: &'a mut dyn FnMut(Event),
    seq: u64,
    at: Wall,
    /// Text of the current turn: the run's output, if this turn is the last.
    output: Ends,
    /// What has been said and not gone out yet: text, and reasoning.
    text: Veil,
    thought: Veil,
    /// Bytes of reasoning said in pieces since it was last said as a whole.
    thought_bytes: usize,
    /// A turn before this one has said something, so this one's text begins with a blank line.
    separate: bool,
    usage: Usage,
    runtime: Runtime,
    /// How often leave was asked for.
    asked: u64,
    meter: Meter<'a>,
    /// Bytes of output that are kept.
    output_max: usize,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        job: &'a Job,
        secrets: &'a Secrets,
        emit: &'a mut dyn FnMut(Event),
        output_max: usize,
    ) -> Context<'a> {
        Context {
            key: job.key,
            request: &job.request,
            cancel: &job.cancel,
            inbox: &job.inbox,
            secrets,
            emit,
            seq: 0,
            at: Wall(0),
            output: Ends::default(),
            text: Veil::default(),
            thought: Veil::default(),
            thought_bytes: 0,
            separate: false,
            usage: Usage::default(),
            runtime: Runtime::default(),
            asked: 0,
            meter: Meter::new(&job.budget, &job.cancel),
            output_max,
        }
    }

    /// What is asked.
    pub fn request(&self) -> &'a Request {
        self.request
    }

    /// The token that ends this run: ask it, or hook a blocking call up to it.
    pub fn cancel(&self) -> &'a Cancel {
        self.cancel
    }

    /// `Err(Ending::Stopped)` once the run was told to end. For agents that compute for long.
    pub fn check(&self) -> Result<(), Ending> {
        if self.cancel.is_cancelled() { Err(Ending::Stopped) } else { Ok(()) }
    }

    /// Sleeps for `time`, but not through the word that the run is to end. It may last a
    /// millisecond longer, so that runs that pause at the same time are woken together.
    pub fn pause(&self, time: Duration) -> Result<(), Ending> {
        let _lenient = Lenient::new();
        if self.cancel.wait(time) { Err(Ending::Stopped) } else { Ok(()) }
    }

    /// Says a piece of the answer. All pieces of the last turn together are the run's `output`, of
    /// which head and tail are kept where it is over 1 MiB.
    ///
    /// An end that may be the start of a secret waits for the next piece, or the end of the turn.
    pub fn delta(&mut self, text: &str) -> Result<(), Ending> {
        self.check()?;
        let text = self.text.pass(text, self.secrets);
        for piece in pieces(&text) {
            self.check()?;
            self.say_text(piece);
        }
        self.check()
    }

    /// Says a piece of the model's reasoning.
    pub fn reasoning_delta(&mut self, text: &str) -> Result<(), Ending> {
        let text = self.thought.pass(text, self.secrets);
        for piece in pieces(&text) {
            self.check()?;
            self.say_thought(piece);
        }
        self.check()
    }

    /// Says the whole reasoning of one turn, after its deltas.
    pub fn reasoning(&mut self, text: &str) -> Result<(), Ending> {
        self.lift();
        let text = self.secrets.mask(text);
        let unsaid = text.len().saturating_sub(std::mem::take(&mut self.thought_bytes));
        self.meter.say("", suffix(&text, unsaid));
        self.say(Kind::ReasoningAvailable(Reasoning { text }))
    }

    /// Ends a turn that is not the last, as one that called tools: what it said between them goes
    /// out once more as a whole, and the next turn's text is a new output.
    pub fn end_turn(&mut self) -> Result<(), Ending> {
        // Before the text is taken: of a run that was told to end it is the output.
        self.check()?;
        self.interim();
        Ok(())
    }

    /// Counts a turn of a model, which is about to begin. Fails if the run's budget has none left.
    pub fn begin_turn(&mut self) -> Result<(), Ending> {
        self.check()?;
        self.meter.turn();
        self.check()
    }

    /// Says that a tool begins, unless the run's budget has no call left: then it must not begin.
    /// `args` is its JSON argument text, `main` the one that tells most.
    ///
    /// Arguments over 16 KiB are shortened, and an `args` that is not JSON is sent as a string.
    pub fn tool_started(
        &mut self,
        call_id: &str,
        tool: &str,
        main: &str,
        args: &str,
    ) -> Result<(), Ending> {
        self.lift();
        self.allow_call()?;
        self.meter.call();
        let args = serde_json::from_str(args).unwrap_or_else(|_| Value::from(args));
        self.say(Kind::ToolStarted(Box::new(ToolStarted {
            tool: preview(&self.secrets.mask(tool), PREVIEW_CHARS_MAX),
            preview: preview(&self.secrets.mask(main), PREVIEW_CHARS_MAX),
            tool_call_id: call_id.to_owned(),
            args: bounded(self.secrets.mask_value(&args)),
        })))
    }

    /// Says that a tool has ended, well or with an error, and what came of it.
    ///
    /// The event carries at most 16 KiB of `result`.
    pub fn tool_completed(
        &mut self,
        call_id: &str,
        tool: &str,
        took: Duration,
        error: bool,
        result: &str,
    ) -> Result<(), Ending> {
        let result = self.secrets.mask(result);
        self.say(Kind::ToolCompleted(Box::new(ToolCompleted {
            tool: preview(&self.secrets.mask(tool), PREVIEW_CHARS_MAX),
            duration: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            error,
            preview: preview(&result, PREVIEW_CHARS_MAX),
            tool_call_id: call_id.to_owned(),
            result: shorten(&result, TOOL_RESULT_BYTES_MAX),
        })))
    }

    /// Says that this many messages of history were left out so that the rest fits the model.
    pub fn truncated(&mut self, dropped_messages: usize) -> Result<(), Ending> {
        self.say(Kind::SessionTruncated(Truncated { dropped_messages }))
    }

    /// Takes in the oldest of what clients have said to the run since it began, and says so.
    ///
    /// Ask before each turn of the model, and once more before you end: what is never taken in
    /// is told to clients as `pending_steer`.
    pub fn next_steer(&mut self) -> Result<Option<String>, Ending> {
        self.check()?;
        let Some(steer) = self.inbox.pop() else { return Ok(None) };
        let text = self.secrets.mask(&steer.text);
        let interrupt = steer.interrupt;
        self.say(Kind::Steered(Box::new(Steered {
            accepted: true,
            text: text.clone(),
            interrupt,
        })))?;
        Ok(Some(text))
    }

    /// True while there is something to take in.
    pub fn has_steer(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// True while a steer waits for which the tool calls that have not begun are to be skipped.
    pub fn is_interrupted(&self) -> bool {
        self.inbox.interrupts()
    }

    /// Asks whoever is in charge for leave, and blocks until they have decided, or not in time:
    /// then it is `Deny`. The decision holds for exactly what was asked.
    ///
    /// A leave that was given before for the session or for always is not asked for again. It can
    /// be given so only for arguments of at most `GRANT_BYTES_MAX` bytes without a secret in them.
    pub fn approve(&mut self, ask: &Ask) -> Result<Choice, Ending> {
        self.lift();
        // What is remembered is shown and stored, so no secret may be in it.
        let may_last = ask.arguments.len() <= GRANT_BYTES_MAX
            && self.secrets.mask(&ask.arguments) == ask.arguments;
        let request_id = format!("approval_{:032x}_{}", self.request.run_id.0, self.asked);
        self.asked += 1;
        self.say(Kind::ApprovalRequest(Box::new(ApprovalRequest {
            approval_id: request_id.clone(),
            request_id,
            tool: preview(&self.secrets.mask(&ask.tool), PREVIEW_CHARS_MAX),
            command: shorten(&self.secrets.mask(&ask.command), TOOL_ARGS_BYTES_MAX),
            description: shorten(&self.secrets.mask(&ask.description), TOOL_ARGS_BYTES_MAX),
            choices: if may_last { &CHOICES } else { &PASSING_CHOICES },
            allow_permanent: may_last,
            arguments: if may_last { ask.arguments.clone() } else { String::new() },
        })))?;
        let choice = self.inbox.await_choice(self.cancel);
        self.check()?;
        choice.ok_or(Ending::Stopped)
    }

    /// Adds to what the run has cost, say after each turn of a model. If that is more tokens than
    /// its budget has, the run has been told to end.
    pub fn add_usage(&mut self, usage: Usage) {
        self.usage += usage;
        self.meter.take_usage(&usage);
    }

    /// Names who answers, for the terminal event.
    pub fn set_runtime(&mut self, provider: &str, model: &str) {
        self.runtime = Runtime { provider: provider.to_owned(), model: model.to_owned() };
    }

    pub fn secrets(&self) -> &'a Secrets {
        self.secrets
    }

    /// True if the model may take another turn.
    pub(super) fn has_turn(&self) -> bool {
        self.meter.has_turn()
    }

    /// Fails if not one more tool may be called.
    pub(super) fn allow_call(&self) -> Result<(), Ending> {
        self.check()?;
        self.meter.allow_call();
        self.check()
    }

    /// A model says this much, and will tell the tokens of it only when its turn is over.
    pub(super) fn hear(&mut self, bytes: usize) -> Result<(), Ending> {
        self.meter.hear(bytes);
        self.check()
    }

    /// For people: that the run has exceeded this limit, and how to have more allowed.
    pub(super) fn complaint(&self, limit: Limit) -> String {
        self.meter.complaint(limit, &self.request.budget)
    }

    pub(super) fn parts(&mut self) -> (String, Usage, Runtime) {
        let output = std::mem::take(&mut self.output).into_text();
        (output, self.usage, std::mem::take(&mut self.runtime))
    }

    /// Lets out what was held back: nothing follows that could make it a secret.
    pub(super) fn lift(&mut self) {
        let (thought, text) = (self.thought.lift(), self.text.lift());
        self.say_thought(&thought);
        self.say_text(&text);
    }

    /// Says as a whole what the turn has said so far, if anything, and begins a new output.
    pub(super) fn interim(&mut self) {
        self.lift();
        let text = std::mem::take(&mut self.output).into_text();
        if !text.is_empty() {
            self.separate = true;
            self.emit(Kind::MessageInterim(Interim { text, already_streamed: true }));
        }
    }

    /// The one event that must be said whatever has happened.
    pub(super) fn say_last(&mut self, kind: Kind) {
        assert!(kind.is_terminal());
        self.emit(kind);
    }

    /// Says a piece of the turn's text as far as the budget goes, after a blank line if it is the
    /// first and another turn's text stands before it.
    fn say_text(&mut self, text: &str) {
        let gap = if self.separate && self.output.is_empty() { "\n\n" } else { "" };
        let said = self.meter.say(gap, text);
        if said.is_empty() {
            return;
        }
        if !gap.is_empty() {
            self.emit(Kind::MessageDelta(Delta { delta: gap.to_owned() }));
        }
        self.output.push(said, self.output_max);
        self.emit(Kind::MessageDelta(Delta { delta: said.to_owned() }));
    }

    fn say_thought(&mut self, text: &str) {
        let said = self.meter.say("", text);
        self.thought_bytes += said.len();
        if !said.is_empty() {
            self.emit(Kind::ReasoningDelta(Delta { delta: said.to_owned() }));
        }
    }

    fn say(&mut self, kind: Kind) -> Result<(), Ending> {
        self.check()?;
        self.emit(kind);
        Ok(())
    }

    fn emit(&mut self, kind: Kind) {
        self.at = self.at.max(wall());
        let event = Event { run: self.key, seq: self.seq, at: self.at, kind };
        self.seq += 1;
        (self.emit)(event);
    }
}

const CHOICES: [&str; 4] = ["once", "session", "always", "deny"];
/// Where a leave cannot be remembered.
const PASSING_CHOICES: [&str; 2] = ["once", "deny"];

/// `text` in pieces of at most `DELTA_BYTES_MAX`.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let piece = prefix(rest, DELTA_BYTES_MAX);
        rest = &rest[piece.len()..];
        (!piece.is_empty()).then_some(piece)
    })
}

/// The time on the wall.
pub fn wall() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Arguments small enough for an event: long strings shortened, or failing that, only a preview.
fn bounded(args: Value) -> Value {
    let whole = args.to_string();
    if whole.len() <= TOOL_ARGS_BYTES_MAX {
        return args;
    }
    let shortened = shorten_strings(args, TOOL_ARGS_BYTES_MAX / 8);
    if shortened.to_string().len() <= TOOL_ARGS_BYTES_MAX {
        return shortened;
    }
    json!({ "shortened": shorten(&whole, TOOL_ARGS_BYTES_MAX / 8) })
}

fn shorten_strings(value: Value, bytes_max: usize) -> Value {
    match value {
        Value::String(text) => Value::String(shorten(&text, bytes_max)),
        Value::Array(items) => items.into_iter().map(|v| shorten_strings(v, bytes_max)).collect(),
        Value::Object(fields) => Value::Object(
            fields.into_iter().map(|(name, v)| (name, shorten_strings(v, bytes_max))).collect(),
        ),
        other => other,
    }
}
