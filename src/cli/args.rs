//! From arguments and variables to a command: a function of these and the configuration file, so
//! that every refusal can be tested.
use super::chat::Chat;
use super::client_args::{self, Ask, AskWords, SERVER_DEFAULT};
use super::env::Env;
use super::explain_args::{EXPLAIN, Explain};
use super::given::Sources;
use super::key_args::{KeyCommand, KeyWords};
use super::model::{self, Choice};
use super::settings::{ASK, BENCH, DB, KEY, RUN, SERVE, Setting, Settings};
use super::suggest::nearest;
use super::table::{self, SETTINGS};
use super::usage::{UsageError, lexical, misplaced, shown_arg, too_much, unlike};
use super::value::{self, Given, Kind};
use lexopt::{Arg, Parser};
use runwire::config::Config;
use runwire::shares::Shares;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    Help(Topic),
    Version,
    Key(Box<KeyCommand>),
    Serve(Box<Serve>),
    Run(Box<Run>),
    Db(Box<Db>),
    Bench(Box<Bench>),
    Explain(Box<Explain>),
    Ask(Box<Ask>),
    Chat(Box<Chat>),
}

#[derive(Debug)]
pub struct Serve {
    pub settings: Settings,
    pub model: Choice,
}

#[derive(Debug)]
pub struct Run {
    pub settings: Settings,
    pub place: Place,
    /// `None` means standard input.
    pub text: Option<String>,
    /// Standard input was asked for by `-`, so it is read even from a terminal.
    pub stdin: bool,
    pub json: bool,
}

/// What is to be done with a server's file of runs.
#[derive(Debug)]
#[cfg_attr(not(feature = "sqlite"), expect(dead_code, reason = "understood, and then refused"))]
pub struct Db {
    pub settings: Settings,
    pub act: Act,
    /// The file, or a state directory with one; `None` means the state directory.
    pub place: Option<PathBuf>,
}

/// What is to be measured: the store is the only setting that counts.
#[derive(Debug)]
#[cfg_attr(not(feature = "sys"), expect(dead_code, reason = "understood, and then refused"))]
pub struct Bench {
    pub settings: Settings,
    pub json: bool,
    pub quick: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Check,
    /// To this file, or to standard output.
    Export(Option<PathBuf>),
}

/// Where a run works.
#[derive(Debug, PartialEq)]
pub enum Place {
    Here(Choice),
    /// On the server at this address, which has no slash at its end.
    Server(String),
}

/// What help is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    All,
    Serve,
    Run,
    Key,
    Db,
    Bench,
    Config,
    Doctor,
    Completions,
    Man,
    Version,
    Runs,
    Show,
    Tail,
    Stop,
    Steer,
    Approve,
    Sessions,
    Chat,
}

/// The commands by name, in the order of the help text.
pub const COMMANDS: &[(&str, Topic)] = &[
    ("run", Topic::Run),
    ("serve", Topic::Serve),
    ("chat", Topic::Chat),
    ("runs", Topic::Runs),
    ("show", Topic::Show),
    ("tail", Topic::Tail),
    ("stop", Topic::Stop),
    ("steer", Topic::Steer),
    ("approve", Topic::Approve),
    ("sessions", Topic::Sessions),
    ("key", Topic::Key),
    ("db", Topic::Db),
    ("bench", Topic::Bench),
    ("config", Topic::Config),
    ("doctor", Topic::Doctor),
    ("completions", Topic::Completions),
    ("man", Topic::Man),
    ("version", Topic::Version),
];

impl Topic {
    pub fn name(self) -> Option<&'static str> {
        COMMANDS.iter().find(|(_, topic)| *topic == self).map(|(name, _)| *name)
    }

    /// The bit of this command in `Setting::commands`.
    pub fn bit(self) -> u8 {
        match self {
            Topic::Serve => SERVE,
            Topic::Run | Topic::Chat => RUN,
            Topic::Key => KEY,
            Topic::Db => DB,
            Topic::Bench => BENCH,
            Topic::Config | Topic::Doctor => EXPLAIN,
            Topic::All | Topic::Completions | Topic::Man | Topic::Version => 0,
            _ => ASK,
        }
    }

    /// Its flags that are no settings, those of `client_args` aside.
    pub fn own_flags(self) -> &'static [&'static str] {
        match self {
            Topic::Run => &["json", "server", "help"],
            Topic::Db => &["output", "help"],
            Topic::Key => &["scope", "max-runs", "requests-per-minute", "help"],
            Topic::Config => &["example", "json", "help"],
            Topic::Bench => &["json", "quick", "help"],
            Topic::Doctor => &["json", "help"],
            Topic::Chat => &["server", "help"],
            _ => &["help"],
        }
    }

    /// True for what takes `--server` and `--json`, and has a server of its own accord.
    pub fn asks(self) -> bool {
        self.bit() == ASK
    }

    /// How many words without dashes it takes.
    fn plain_max(self) -> usize {
        match self {
            Topic::Run | Topic::Completions | Topic::Show | Topic::Tail | Topic::Stop => 1,
            Topic::Db | Topic::Key | Topic::Steer | Topic::Approve | Topic::Sessions => 2,
            _ => 0,
        }
    }
}

/// Reads a command line, without the program's own name.
pub fn parse(args: Vec<OsString>, env: &Env) -> Result<Command, UsageError> {
    let mut parser = Parser::from_args(args);
    let refuse = |message| UsageError { message, topic: Topic::All };
    let first = match parser.next().map_err(|error| refuse(error.to_string()))? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Command::Help(Topic::All)),
        Some(Arg::Short('V') | Arg::Long("version")) => return Ok(Command::Version),
        Some(Arg::Value(word)) => word.to_string_lossy().into_owned(),
        Some(Arg::Long(name)) if table::find(name).is_some() => {
            return Err(refuse(format!(
                "--{name} comes after the command, as in `runwire serve --{name} ...`."
            )));
        }
        Some(arg) => return Err(refuse(format!("There is no option {}.", shown_arg(&arg)))),
    };
    if first == "help" {
        return help(&mut parser);
    }
    let topic = topic(&first)?;
    let words = Words::read(&mut parser, topic)?;
    if words.help {
        return Ok(Command::Help(topic));
    }
    words.into_command(topic, env).map_err(|message| UsageError { message, topic })
}

fn topic(name: &str) -> Result<Topic, UsageError> {
    if let Some((_, topic)) = COMMANDS.iter().find(|(known, _)| *known == name) {
        return Ok(*topic);
    }
    let meant = match nearest(name, COMMANDS.iter().map(|(known, _)| *known)) {
        Some(known) => format!(" Did you mean `runwire {known}`?"),
        None if name.contains(' ') => format!(" Did you mean `runwire run \"{name}\"`?"),
        None => " `runwire --help` lists the commands.".to_owned(),
    };
    Err(UsageError { message: format!("There is no command `{name}`.{meant}"), topic: Topic::All })
}

fn help(parser: &mut Parser) -> Result<Command, UsageError> {
    match parser.next() {
        Ok(Some(Arg::Value(name))) => topic(&name.to_string_lossy()).map(Command::Help),
        _ => Ok(Command::Help(Topic::All)),
    }
}

/// What stands after a command, before it is understood.
#[derive(Default)]
struct Words {
    settings: Vec<(&'static Setting, OsString)>,
    server: Option<OsString>,
    /// What is neither a flag nor a flag's value.
    plain: Vec<OsString>,
    output: Option<OsString>,
    key: KeyWords,
    ask: AskWords,
    json: bool,
    example: bool,
    quick: bool,
    help: bool,
}

impl Words {
    fn read(parser: &mut Parser, topic: Topic) -> Result<Words, UsageError> {
        let mut words = Words::default();
        while let Some(arg) = parser.next().map_err(|error| lexical(&error, topic))? {
            let is_run = topic == Topic::Run || topic.asks();
            match arg {
                Arg::Short('h') | Arg::Long("help") => words.help = true,
                Arg::Long("json") if topic.own_flags().contains(&"json") || topic.asks() => {
                    words.json = true;
                }
                Arg::Long("quick") if topic == Topic::Bench => words.quick = true,
                Arg::Long("example") if topic == Topic::Config => words.example = true,
                Arg::Long("server") if is_run || topic == Topic::Chat => {
                    words.server = Some(value_of("server", &value::SERVER_URL, parser, topic)?);
                }
                Arg::Long("output") if topic == Topic::Db => {
                    words.output = Some(value_of("output", &value::FILE, parser, topic)?);
                }
                Arg::Long(name) => {
                    if let Some((name, kind)) = client_args::flag(topic, name) {
                        let given = kind.map(|kind| value_of(name, kind, parser, topic));
                        words.ask.put(name, given.transpose()?.unwrap_or_default());
                        continue;
                    }
                    let of_keys = KeyWords::kind(name).filter(|_| topic == Topic::Key);
                    if let Some((name, kind)) = of_keys {
                        words.key.put(name, value_of(name, kind, parser, topic)?);
                        continue;
                    }
                    let setting = known(name, topic)?;
                    let given = match setting.is_switch() {
                        true => parser.optional_value().unwrap_or_else(|| "true".into()),
                        false => value_of(setting.name, setting.kind, parser, topic)?,
                    };
                    words.settings.push((setting, given));
                }
                Arg::Value(word) if words.plain.len() < topic.plain_max() => words.plain.push(word),
                arg => return Err(UsageError { message: too_much(&arg, topic), topic }),
            }
        }
        Ok(words)
    }

    fn into_command(self, topic: Topic, env: &Env) -> Result<Command, String> {
        if let Some((settings, url)) = self.remote(topic, env)? {
            return match topic {
                Topic::Run => self.into_run(settings, Place::Server(url)),
                Topic::Chat => self.into_chat(settings, Place::Server(url)),
                _ => {
                    let act = self.ask.act(topic, &self.plain)?;
                    Ok(Command::Ask(Box::new(Ask { settings, url, json: self.json, act })))
                }
            };
        }
        if let Some(explain) = self.explain(topic, env) {
            return Ok(Command::Explain(Box::new(explain?)));
        }
        let settings = self.settings(topic.bit(), env)?;
        match topic {
            Topic::All | Topic::Config | Topic::Doctor | Topic::Completions | Topic::Man => {
                Ok(Command::Help(topic))
            }
            Topic::Version => Ok(Command::Version),
            Topic::Key => Ok(Command::Key(Box::new(self.key.command(&self.plain, settings)?))),
            Topic::Db => self.into_db(settings),
            Topic::Bench => {
                let Words { json, quick, .. } = self;
                Ok(Command::Bench(Box::new(Bench { settings, json, quick })))
            }
            Topic::Serve => {
                let Config { memory, max_runs, max_body, .. } = settings.config;
                let shares = Shares::of(memory, max_runs, max_body);
                shares.check().map_err(|why| format!("{why}."))?;
                let model = model::choose(&settings, env)?;
                Ok(Command::Serve(Box::new(Serve { settings, model })))
            }
            Topic::Run => {
                let model = model::choose(&settings, env)?;
                self.into_run(settings, Place::Here(model))
            }
            Topic::Chat => {
                let model = model::choose(&settings, env)?;
                self.into_chat(settings, Place::Here(model))
            }
            _ => unreachable!("these have a server of their own accord"),
        }
    }

    /// What the commands that explain the program are asked, if this is one of them.
    fn explain(&self, topic: Topic, env: &Env) -> Option<Result<Explain, String>> {
        Explain::new(topic, &self.settings, &self.plain, (self.json, self.example), env)
    }

    /// The server this is about, and the settings that reach it, unless all of it happens here.
    fn remote(&self, topic: Topic, env: &Env) -> Result<Option<(Settings, String)>, String> {
        let own = topic.asks().then(|| OsString::from(SERVER_DEFAULT));
        let Some(server) = self.server.as_ref().or(own.as_ref()) else { return Ok(None) };
        let url = Given(server).url();
        let url = url.ok_or_else(|| unlike("--server", &value::SERVER_URL, server))?;
        self.check_remote()?;
        let settings = self.settings(KEY, env)?;
        if settings.config.key.is_none() && !value::is_loopback(&url) {
            return Err(format!("{url} wants a key: set RUNWIRE_KEY, or use --key."));
        }
        Ok(Some((settings, url)))
    }

    fn into_chat(self, settings: Settings, place: Place) -> Result<Command, String> {
        let session = self.ask.session()?;
        Ok(Command::Chat(Box::new(Chat { settings, place, session })))
    }

    fn into_db(self, settings: Settings) -> Result<Command, String> {
        let mut plain = self.plain.into_iter();
        let output = self.output.map(PathBuf::from);
        let act = match (plain.next().as_deref().and_then(OsStr::to_str), output) {
            (Some("check"), Some(_)) => {
                return Err("--output belongs to `runwire db export`.".to_owned());
            }
            (Some("check"), None) => Act::Check,
            (Some("export"), output) => Act::Export(output),
            (word, _) => return Err(no_act(word)),
        };
        let place = plain.next().map(PathBuf::from);
        if place.is_some() && self.settings.iter().any(|(given, _)| given.name == "state") {
            return Err("Name the file or give --state, not both.".to_owned());
        }
        Ok(Command::Db(Box::new(Db { settings, act, place })))
    }

    fn into_run(self, settings: Settings, place: Place) -> Result<Command, String> {
        let text = self.plain.into_iter().next();
        let stdin = text.as_deref() == Some(OsStr::new("-"));
        let text = match text.filter(|_| !stdin) {
            Some(text) => Some(given_text(&text)?),
            None => None,
        };
        Ok(Command::Run(Box::new(Run { settings, place, text, stdin, json: self.json })))
    }

    fn settings(&self, commands: u8, env: &Env) -> Result<Settings, String> {
        Sources::new(&self.settings, env)?.settings(commands)
    }

    fn check_remote(&self) -> Result<(), String> {
        let here_only = |(setting, _): &&(&Setting, _)| setting.commands & KEY == 0;
        match self.settings.iter().find(here_only) {
            None => Ok(()),
            Some((setting, _)) => Err(format!(
                "--{} has no effect with --server: the server at that address decides it.",
                setting.name
            )),
        }
    }
}

fn no_act(word: Option<&str>) -> String {
    match word.map(|word| (word, nearest(word, ["check", "export"]))) {
        None => "Say what is to be done: `runwire db check` or `runwire db export`.".to_owned(),
        Some((word, Some(near))) => {
            format!("There is no `runwire db {word}`. Did you mean `runwire db {near}`?")
        }
        Some((word, None)) => {
            format!("There is no `runwire db {word}`. There are check and export.")
        }
    }
}

fn given_text(text: &OsStr) -> Result<String, String> {
    match text.to_str() {
        None => Err("TEXT is not valid UTF-8.".to_owned()),
        Some(text) if text.trim().is_empty() => Err(
            "TEXT is empty: say what is to be done, as in `runwire run \"list files in /tmp\"`."
                .to_owned(),
        ),
        Some(text) => Ok(text.to_owned()),
    }
}

fn value_of(
    name: &str,
    kind: &Kind,
    parser: &mut Parser,
    topic: Topic,
) -> Result<OsString, UsageError> {
    let missing =
        |_| UsageError { message: format!("--{name} needs a value: {}.", kind.expected), topic };
    parser.value().map_err(missing)
}

fn known(name: &str, topic: Topic) -> Result<&'static Setting, UsageError> {
    let mine = |setting: &&Setting| setting.commands & topic.bit() != 0;
    if let Some(setting) = table::find(name) {
        return if mine(&setting) { Ok(setting) } else { Err(misplaced(setting, topic)) };
    }
    let own = topic.own_flags().iter().copied();
    let names = SETTINGS.iter().filter(mine).map(|setting| setting.name).chain(own);
    let names = names.chain(client_args::flags(topic));
    let meant = nearest(name, names).map(|near| format!(" Did you mean --{near}?"));
    let message = format!("There is no option --{name}.{}", meant.unwrap_or_default());
    Err(UsageError { message, topic })
}
