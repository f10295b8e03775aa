//! What is measured, as the command line says it.
use crate::{Result, Side};

/// What stands in a command for the model's address.
pub const MODEL_MARK: &str = "{model}";

const USAGE: &str = "runwire-load --agent SERVER [--durable SERVER] [--limit PROGRAM] \
    [--axum SERVER] [--serve 'COMMAND ... --port'] [--serve-durable 'COMMAND ... --port'] \
    [--tools 'COMMAND ... --port'] [--tools-durable 'COMMAND ... --port'] [--model PROGRAM] \
    [--core BINARY] [--small BINARY] [--everything BINARY] [--rounds N] [--only NAME[,NAME]] \
    [--record FILE | --check FILE]\n\
    A port is put behind each command. In it {folder} stands for the folder a server keeps its \
    runs in, {key} for its key, and {model} for the address of the model.\n\
    NAME: start idle paced fan_out post runs runs_paced never_readers churn tools small_host pace \
    flood long kept";

#[derive(Default)]
pub struct Options {
    /// Servers take a port as their last argument.
    pub agent: Vec<String>,
    durable: Option<Vec<String>>,
    limit: Option<Vec<String>>,
    /// The same, sending all that is due at once.
    batch: Option<Vec<String>>,
    axum: Option<Vec<String>>,
    /// What is started for the figures of a start: the real command where there is one.
    pub serve: Option<Vec<String>>,
    serve_durable: Option<Vec<String>>,
    /// What is started for runs that use tools.
    tools: Option<Vec<String>>,
    tools_durable: Option<Vec<String>>,
    pub model: Option<String>,
    core: Option<String>,
    small: Option<String>,
    pub everything: Option<String>,
    pub rounds: usize,
    only: Option<String>,
    /// The record of figures that is to be written, or to be held against what is measured.
    pub record: Option<String>,
    pub check: Option<String>,
}

impl Options {
    pub fn parse() -> Result<Options> {
        let mut options = Options { rounds: 1, ..Options::default() };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let value = args.next().ok_or(USAGE)?;
            let words = || value.split(' ').map(str::to_owned).collect();
            match name.as_str() {
                "--agent" => options.agent = words(),
                "--durable" => options.durable = Some(words()),
                "--limit" => {
                    options.limit = Some(vec![value.clone(), "each".to_owned()]);
                    options.batch = Some(vec![value, "batch".to_owned()]);
                }
                "--axum" => options.axum = Some(words()),
                "--serve" => options.serve = Some(words()),
                "--serve-durable" => options.serve_durable = Some(words()),
                "--tools" => options.tools = Some(words()),
                "--tools-durable" => options.tools_durable = Some(words()),
                "--model" => options.model = Some(value),
                "--core" => options.core = Some(value),
                "--small" => options.small = Some(value),
                "--everything" => options.everything = Some(value),
                "--rounds" => options.rounds = value.parse()?,
                "--only" => options.only = Some(value),
                "--record" => options.record = Some(value),
                "--check" => options.check = Some(value),
                _ => return Err(USAGE.into()),
            }
        }
        if options.agent.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }

    pub fn wants(&self, measure: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|name| name == measure))
    }

    /// What is started of this side for this measurement, if there is such a server.
    pub fn command(&self, side: Side, measure: &str) -> Option<&Vec<String>> {
        match (side, measure) {
            (Side::Memory, "tools") => self.tools.as_ref(),
            (Side::Durable, "tools") => self.tools_durable.as_ref(),
            (Side::Memory, "start") => self.serve.as_ref().or(Some(&self.agent)),
            (Side::Durable, "start") => self.serve_durable.as_ref().or(self.durable.as_ref()),
            (Side::Memory, _) => Some(&self.agent),
            (Side::Durable, _) => self.durable.as_ref(),
            (Side::Limit, "fan_out") => self.batch.as_ref(),
            (Side::Limit, _) => self.limit.as_ref(),
            (Side::Axum, _) => self.axum.as_ref(),
        }
    }

    /// The bytes of the binaries that are named.
    pub fn sizes(&self) -> Result<Vec<(&'static str, f64)>> {
        let named =
            [("size core", &self.core), ("size small", &self.small), ("size", &self.everything)];
        let named = named.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
        named.map(|(name, path)| Ok((name, std::fs::metadata(path)?.len() as f64))).collect()
    }
}
