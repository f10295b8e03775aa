//! The built-in agent: asks a model, does what it wants done, tells it what came of that, until
//! the model has nothing more to do than answer.
mod past;
mod talk;

use super::model::{self, Finish, Model, Piece, ToolCall, ToolSpec, Turn};
use super::tools::{Need, Tools, Widening};
use super::{Agent, Context, Ending, ModelTimes, Tool};
use crate::approval::{Approve, Ask, Choice};
use crate::config::About;
use crate::limits::{OLD_RESULT_BYTES_MAX, TOOL_ENTRY_BYTES_MAX, TURN_CALLS_MAX};
use crate::request::ERROR_MARK;
use crate::text::shorten;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use talk::Talk;

/// What the built-in agent may do, and how far.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it works and where its files are; made if it is not there. Default `.`.
    pub workspace: PathBuf,
    /// True if tools may write anywhere but to secrets and the server's own state. Default false.
    pub allow_outside: bool,
    /// A `runwire` program of this version, built with the feature `sandbox`, which starts the
    /// terminal's commands: it confines them and ends all their processes for certain. `None`
    /// (the default) starts them from this process, not confined. Linux only; a path that is no
    /// such program fails `ToolAgent::new`.
    pub launcher: Option<PathBuf>,
    /// True if places where people keep keys (`~/.ssh` and the like) are closed to tools, and
    /// commands confined where there is a `launcher`. Default true.
    pub sandbox: bool,
    /// True if each command gets a cgroup of its own, where there is a `launcher` and a cgroup2 mount
    /// can be written to. Default true.
    pub cgroup: bool,
    /// False if confined commands may not use TCP. Default true.
    pub tool_network: bool,
    /// Which calls are asked about before they are carried out. Whoever has runs worked on without
    /// a server (`live`) must answer by `Inbox::decide`. Default `Risky`.
    pub approve: Approve,
    /// Instructions for every run, beside the agent's own and the request's.
    pub instructions: Option<String>,
    /// Tokens the model takes in and gives out at once, by an estimate of 4 bytes a token and 1,000
    /// an image. A quarter, at most 4,096, is left for its answer. Default 32,768.
    pub context_tokens: usize,
    /// The server's own state: files and folders no file tool reads or writes. A workspace inside
    /// such a folder is open all the same.
    pub private: Vec<PathBuf>,
    /// Environment variables no command gets, beside `RUNWIRE_*`, `API_SERVER_KEY` and those whose
    /// value contains a known secret.
    pub private_env: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            workspace: PathBuf::from("."),
            allow_outside: false,
            launcher: None,
            sandbox: true,
            cgroup: true,
            tool_network: true,
            approve: Approve::default(),
            instructions: None,
            context_tokens: 32_768,
            private: Vec::new(),
            private_env: Vec::new(),
        }
    }
}

/// The built-in agent.
pub struct ToolAgent {
    model: Box<dyn Model>,
    tools: Tools,
    /// The tools as the model is told of them, in each turn of each run.
    specs: Vec<ToolSpec>,
    settings: Settings,
    times: Arc<ModelTimes>,
}

impl ToolAgent {
    /// Makes the workspace if it is not there. Fails if that is impossible.
    pub fn new(model: Box<dyn Model>, settings: Settings) -> io::Result<ToolAgent> {
        let tools = Tools::new(&settings)?;
        let specs = tools.specs();
        Ok(ToolAgent { model, tools, specs, settings, times: Arc::default() })
    }

    /// Gives the agent one more tool.
    ///
    /// # Panics
    /// If another tool has its name, or the name is not 1 to 64 of `A-Z a-z 0-9 _ -`.
    #[must_use]
    pub fn with_tool(mut self, tool: Box<dyn Tool>) -> ToolAgent {
        self.tools.add(tool);
        self.specs = self.tools.specs();
        self
    }

    fn instructions(&self, run: &Context<'_>) -> String {
        let own = format!(
            "You are an agent that works for a person through tools. Your workspace is {}: \
             relative paths start there, and files are written there. Use the tools to find out \
             and to act instead of guessing. If a tool fails, read why, change something and try \
             again, or say what is in the way. When the work is done, answer briefly and in plain \
             words.",
            self.tools.workspace().display()
        );
        let given = [self.settings.instructions.as_deref(), run.request().instructions.as_deref()];
        given.into_iter().flatten().fold(own, |all, more| all + "\n\n" + more)
    }

    /// Has the model say one turn, passing on each piece.
    fn turn(&self, run: &mut Context<'_>, ask: &model::Ask<'_>) -> Result<Turn, Ending> {
        let cancel = run.cancel();
        let mut timed = self.times.ask();
        let turn = self.model.turn(ask, cancel, &mut |piece| {
            timed.piece();
            let (Piece::Text(text) | Piece::Reasoning(text)) = piece;
            run.hear(text.len())?;
            match piece {
                Piece::Text(_) => run.delta(text),
                Piece::Reasoning(_) => run.reasoning_delta(text),
            }
        });
        timed.end(&turn);
        let turn = turn?;
        run.add_usage(turn.usage);
        run.set_runtime(self.model.provider(), &turn.model);
        let reasoning = turn.reasoning.trim();
        if !reasoning.is_empty() && reasoning != turn.text.trim() {
            run.reasoning(&turn.reasoning)?;
        }
        Ok(turn)
    }

    /// Carries out a turn's calls in their order. A call that cannot be carried out is told to
    /// the model as one that has gone wrong.
    fn calls(&self, run: &mut Context<'_>, talk: &mut Talk, turn: &Turn) -> Result<(), Ending> {
        let is_cut = turn.finish == Finish::Length;
        for (index, call) in turn.calls.iter().enumerate() {
            // Before anybody hears that the call begins: who then interrupts means the next.
            let is_skipped = run.is_interrupted();
            let main = self.tools.main_argument(&call.name, &call.arguments);
            run.tool_started(&call.id, &call.name, &main, &call.arguments)?;
            let mut started = Instant::now();
            let result = if is_skipped {
                Err(SKIPPED.to_owned())
            } else if is_cut && index + 1 == turn.calls.len() {
                Err(CUT.to_owned())
            } else if index >= TURN_CALLS_MAX {
                Err(format!("Only {TURN_CALLS_MAX} calls are carried out in one turn. Repeat it."))
            } else {
                let leave = self.leave(run, call)?;
                // The time somebody took to decide is not the tool's.
                started = Instant::now();
                match leave {
                    Some(leave) => self.carry_out(run, call, &leave),
                    None if run.is_interrupted() => Err(INTERRUPTED.to_owned()),
                    None => Err(DENIED.to_owned()),
                }
            };
            let error = result.is_err();
            let text = result.unwrap_or_else(|why| why);
            run.tool_completed(&call.id, &call.name, started.elapsed(), error, &text)?;
            let told = shorten(&run.secrets().mask(&text), self.result_bytes_max());
            let told = if error { ERROR_MARK.to_owned() + &told } else { told };
            talk.push_result(&call.id, told);
        }
        Ok(())
    }

    /// What a call may do beyond what every call may, once it is sure that it may be carried out
    /// at all; `None` if somebody has denied it.
    fn leave(&self, run: &mut Context<'_>, call: &ToolCall) -> Result<Option<Widening>, Ending> {
        let need = self.tools.need(&call.name, &call.arguments);
        let Some(Need { command, description, widening }) = need else {
            return Ok(Some(Widening::default()));
        };
        let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        // Where it leads is part of what the leave is given for.
        let arguments = json!({ "arguments": arguments, "leave": widening.key() }).to_string();
        let ask = Ask { tool: call.name.clone(), arguments, command, description };
        Ok((run.approve(&ask)? != Choice::Deny).then_some(widening))
    }

    fn carry_out(
        &self,
        run: &Context<'_>,
        call: &ToolCall,
        leave: &Widening,
    ) -> Result<String, String> {
        let (name, arguments) = (&call.name, &call.arguments);
        self.tools.call_widened(name, arguments, leave, run.cancel(), run.secrets())
    }

    /// A byte for each token the model can take in: about a quarter of its room for one result.
    fn result_bytes_max(&self) -> usize {
        self.settings.context_tokens.clamp(256, TOOL_ENTRY_BYTES_MAX)
    }
}

const SKIPPED: &str = "Skipped: the user has said something meanwhile. Read it before you go on.";

const INTERRUPTED: &str = "Not carried out: instead of allowing this call the user has said something. \
                           Read it before you go on.";

const DENIED: &str = "Denied: the person in charge has not allowed this call, and it was not carried \
                      out. Do not try the same by other means. Go on without it, or say what you \
                      cannot do.";

const CUT: &str = "This call was cut off by the limit on the length of your answers and was not \
                   carried out. Call again with shorter arguments, for instance in several steps.";

impl Agent for ToolAgent {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        let request = run.request();
        let name = request.model.as_deref().unwrap_or(self.model.name());
        run.set_runtime(self.model.provider(), name);
        let (tools, context_tokens) = (&self.specs, self.settings.context_tokens);
        let mut talk = Talk::new(self.instructions(run), request, tools, context_tokens);
        run.begin_turn()?;
        loop {
            while let Some(text) = run.next_steer()? {
                talk.push_user(text);
            }
            let dropped = talk.fit();
            if dropped > 0 {
                run.truncated(dropped)?;
            }
            let ask = model::Ask {
                model: request.model.as_deref(),
                entries: talk.entries(),
                tools,
                options: &request.model_options,
            };
            let mut turn = self.turn(run, &ask)?;
            if turn.finish == Finish::Filtered {
                return Err(Ending::failed("content_filtered", FILTERED));
            }
            if turn.calls.is_empty() {
                answered(run, &mut turn)?;
                if !run.has_steer() || !run.has_turn() {
                    return Ok(());
                }
            } else {
                run.allow_call()?;
            }
            // Before the calls, whose results nobody would see, and before the text becomes that
            // of an earlier turn: it is the output of a run that ends here.
            run.begin_turn()?;
            talk.push_turn(&mut turn);
            run.end_turn()?;
            self.calls(run, &mut talk, &turn)?;
        }
    }

    fn about(&self) -> About {
        About {
            model: self.model.name().to_owned(),
            provider: self.model.provider().to_owned(),
            toolsets: self.tools.toolsets(),
            confinement: self.tools.confinement(),
            warnings: self.tools.warnings(),
        }
    }

    fn model_times(&self) -> Option<Arc<ModelTimes>> {
        Some(self.times.clone())
    }
}

const FILTERED: &str = "The model's provider withheld the answer: its filter objects to the \
                        conversation. Ask in other words.";

const CUT_OFF: &str = "\n\n[cut off: the model's limit on output tokens was reached]";

/// Ends a run whose model has said its last turn.
fn answered(run: &mut Context<'_>, turn: &mut Turn) -> Result<(), Ending> {
    match turn.finish {
        Finish::Length if turn.text.trim().is_empty() => Err(Ending::failed(
            "max_tokens",
            "The model reached its limit on output tokens before it answered. Allow more with \
             model_options.max_tokens, or ask for less.",
        )),
        // The reader of a cut text must be able to tell it from a whole one.
        Finish::Length => {
            turn.text += CUT_OFF;
            run.delta(CUT_OFF)
        }
        _ => Ok(()),
    }
}

/// Arguments of a past call as servers take them, or what there is of them inside an object.
fn as_object(arguments: &str) -> String {
    match serde_json::from_str(arguments) {
        Ok(Value::Object(_)) => arguments.to_owned(),
        _ if arguments.trim().is_empty() => "{}".to_owned(),
        _ => json!({ "not_an_object": shorten(arguments, OLD_RESULT_BYTES_MAX) }).to_string(),
    }
}
