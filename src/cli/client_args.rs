//! What stands after the commands that speak to a server.
use super::args::Topic;
use super::desk::read_choice;
use super::settings::Settings;
use super::suggest::nearest;
use super::usage::unlike;
use super::value::{Given, Kind, kind};
use runwire::approval::Choice;
use runwire::record::Status;
use std::ffi::{OsStr, OsString};

/// What is asked of a server.
#[derive(Debug)]
#[cfg_attr(not(feature = "llm"), expect(dead_code, reason = "understood, and then refused"))]
pub struct Ask {
    pub settings: Settings,
    /// The server's address, which has no slash at its end.
    pub url: String,
    pub json: bool,
    pub act: AskAct,
}

/// A run or session is named as it was typed.
#[derive(Debug, PartialEq)]
#[cfg_attr(not(feature = "llm"), allow(dead_code, reason = "understood, and then refused"))]
pub enum AskAct {
    Runs {
        status: Option<Status>,
        session: Option<String>,
        limit: usize,
    },
    Show(String),
    /// From the event of this number on.
    Tail {
        run: String,
        from_seq: u64,
    },
    Stop(String),
    Steer {
        run: String,
        text: String,
        interrupt: bool,
    },
    Approve {
        run: Option<String>,
        choice: Option<Choice>,
    },
    Sessions {
        limit: usize,
    },
    SessionShow(String),
    SessionDelete(String),
}

/// Where these commands look for a server unless told otherwise.
pub const SERVER_DEFAULT: &str = "http://127.0.0.1:8642";
const LIST_DEFAULT: usize = 20;

const STATUS: Kind = kind(
    "STATUS",
    "queued, running, waiting_for_approval, stopping, completed, failed, cancelled or \
               interrupted",
);
const SESSION: Kind = kind("NAME", "a session's name");
const LIMIT: Kind = kind("COUNT", "a number from 1 to 10000, such as 50");
const SEQ: Kind = kind("SEQ", "an event's number, such as 0");

/// The flags of each command beside `--server` and `--json`; without a kind it is a switch.
const FLAGS: &[(Topic, &str, Option<&Kind>)] = &[
    (Topic::Runs, "status", Some(&STATUS)),
    (Topic::Runs, "session", Some(&SESSION)),
    (Topic::Runs, "limit", Some(&LIMIT)),
    (Topic::Sessions, "limit", Some(&LIMIT)),
    (Topic::Tail, "from", Some(&SEQ)),
    (Topic::Steer, "interrupt", None),
    (Topic::Approve, "once", None),
    (Topic::Approve, "session", None),
    (Topic::Approve, "always", None),
    (Topic::Approve, "deny", None),
    (Topic::Chat, "session", Some(&SESSION)),
];

/// The flag of that command and name, and what it wants.
pub fn flag(topic: Topic, name: &str) -> Option<(&'static str, Option<&'static Kind>)> {
    let is_meant = |(of, known, _): &&(Topic, &str, _)| *of == topic && *known == name;
    FLAGS.iter().find(is_meant).map(|(_, name, kind)| (*name, *kind))
}

/// The names of that command's flags.
pub fn flags(topic: Topic) -> impl Iterator<Item = &'static str> {
    let own = FLAGS.iter().filter(move |(of, ..)| *of == topic).map(|(_, name, _)| *name);
    own.chain(["server", "json"].into_iter().filter(move |_| topic.asks()))
}

/// The flags that were given, in their order.
#[derive(Default)]
pub struct AskWords(Vec<(&'static str, OsString)>);

impl AskWords {
    pub fn put(&mut self, name: &'static str, given: OsString) {
        self.0.push((name, given));
    }

    /// What is asked by `topic` and the words after it.
    pub fn act(&self, topic: Topic, plain: &[OsString]) -> Result<AskAct, String> {
        let word = |at: usize| plain.get(at).map(|word| text_of(word)).transpose();
        let run = || word(0)?.ok_or_else(|| no_run(topic));
        let limit = |kind| self.value("limit", kind, |given| given.count(1..=10_000));
        Ok(match topic {
            Topic::Runs => AskAct::Runs {
                status: self.value("status", &STATUS, |given| Status::parse(given.text()?))?,
                session: self.session()?,
                limit: limit(&LIMIT)?.unwrap_or(LIST_DEFAULT),
            },
            Topic::Show => AskAct::Show(run()?),
            Topic::Tail => {
                let seq = |given: &Given<'_>| given.count(0..=u64::from(u32::MAX));
                let from = self.value("from", &SEQ, seq)?.unwrap_or(0);
                AskAct::Tail { run: run()?, from_seq: from as u64 }
            }
            Topic::Stop => AskAct::Stop(run()?),
            Topic::Steer => AskAct::Steer {
                run: run()?,
                text: word(1)?.filter(|text| !text.trim().is_empty()).ok_or(NO_STEER)?,
                interrupt: self.has("interrupt"),
            },
            Topic::Approve => AskAct::Approve { run: word(0)?, choice: self.choice(word(1)?)? },
            _ => self.sessions(word(0)?, word(1)?, limit(&LIMIT)?.unwrap_or(LIST_DEFAULT))?,
        })
    }

    pub fn session(&self) -> Result<Option<String>, String> {
        self.value("session", &SESSION, |given| given.text().map(str::to_owned))
    }

    fn sessions(
        &self,
        act: Option<String>,
        id: Option<String>,
        limit: usize,
    ) -> Result<AskAct, String> {
        let known = ["list", "show", "delete"];
        match (act.as_deref(), id) {
            (None | Some("list"), None) => Ok(AskAct::Sessions { limit }),
            (Some("show"), Some(id)) => Ok(AskAct::SessionShow(id)),
            (Some("delete"), Some(id)) => Ok(AskAct::SessionDelete(id)),
            (Some(act @ ("show" | "delete")), None) => Err(format!(
                "Say which: `runwire sessions {act} ID`. `runwire sessions` lists them."
            )),
            (Some("list") | None, Some(_)) => Err("`list` takes no ID.".to_owned()),
            (Some(act), _) => {
                let near = nearest(act, known).unwrap_or("show ID");
                Err(format!("There is no `runwire sessions {act}`. Did you mean `{near}`?"))
            }
        }
    }

    /// By word or by switch, but not both ways.
    fn choice(&self, word: Option<String>) -> Result<Option<Choice>, String> {
        let read = |word: &str| {
            read_choice(word).ok_or_else(|| {
                format!("{word:?} is no choice: there are once, session, always and deny.")
            })
        };
        match (word, self.0.as_slice()) {
            (None, []) => Ok(None),
            (Some(word), []) => read(&word).map(Some),
            (None, [(name, _)]) => read(name).map(Some),
            _ => Err("Say once what is decided: once, session, always or deny.".to_owned()),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| *given == name)
    }

    /// What the last flag of that name says.
    fn value<T>(
        &self,
        name: &str,
        kind: &Kind,
        read: impl Fn(&Given<'_>) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let given = self.0.iter().rev().find(|(given, _)| *given == name);
        let Some((_, given)) = given else { return Ok(None) };
        let value = read(&Given(given)).ok_or_else(|| unlike(&format!("--{name}"), kind, given))?;
        Ok(Some(value))
    }
}

fn text_of(word: &OsStr) -> Result<String, String> {
    word.to_str().map(str::to_owned).ok_or_else(|| format!("{word:?} is not valid UTF-8."))
}

fn no_run(topic: Topic) -> String {
    let name = topic.name().unwrap_or_default();
    format!(
        "Say which run: its id, the beginning of it, or `last`, as in `runwire {name} last`. \
         `runwire runs` lists them."
    )
}

const NO_STEER: &str = "Say what the run is to be told: `runwire steer RUN \"TEXT\"`.";
