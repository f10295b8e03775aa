//! What is said of a command line that cannot be obeyed.
use super::args::{COMMANDS, Topic};
use super::env::Env;
use super::explain_args::EXPLAIN;
use super::settings::Setting;
use super::suggest::nearest;
use super::table::SETTINGS;
use super::value::Kind;
use lexopt::Arg;
use std::ffi::OsStr;
use std::fmt;

/// A command line that cannot be obeyed: what is wrong, and where to read on.
#[derive(Debug, PartialEq)]
pub struct UsageError {
    pub message: String,
    pub topic: Topic,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.topic.name().map(|name| format!("{name} ")).unwrap_or_default();
        write!(f, "{}\nTry `runwire {name}--help`.", self.message)
    }
}

pub fn misplaced(setting: &Setting, topic: Topic) -> UsageError {
    let takes = |(_, topic): &&(&str, Topic)| {
        // The commands that explain a setting have no use for it.
        topic.bit() != EXPLAIN && setting.commands & topic.bit() != 0
    };
    let takers: Vec<String> =
        COMMANDS.iter().filter(takes).map(|(name, _)| format!("`runwire {name}`")).collect();
    let message = format!("--{} belongs to {}.", setting.name, takers.join(" and "));
    UsageError { message, topic }
}

pub fn too_much(arg: &Arg<'_>, topic: Topic) -> String {
    match (arg, topic) {
        (Arg::Value(word), Topic::Run) => format!(
            "`{}` is one word too many: put the text in quotes, as in `runwire run \"list files in /tmp\"`.",
            word.to_string_lossy()
        ),
        (Arg::Value(word), _) => format!("`{}` is one word too many.", word.to_string_lossy()),
        (arg, _) => format!("There is no option {}.", shown_arg(arg)),
    }
}

pub fn shown_arg(arg: &Arg<'_>) -> String {
    match arg {
        Arg::Short(letter) => format!("-{letter}"),
        Arg::Long(name) => format!("--{name}"),
        Arg::Value(word) => word.to_string_lossy().into_owned(),
    }
}

pub fn lexical(error: &lexopt::Error, topic: Topic) -> UsageError {
    let message = match error {
        lexopt::Error::UnexpectedValue { option, .. } => format!("{option} takes no value."),
        other => format!("{other}."),
    };
    UsageError { message, topic }
}

/// What is wrong with a value: where it came from, what came, what was expected.
pub fn unlike(source: &str, kind: &Kind, came: &OsStr) -> String {
    let came = match kind.secret {
        true => format!("{} characters", came.to_string_lossy().chars().count()),
        false => format!("{:?}", came.to_string_lossy()),
    };
    format!("{source}: expected {}; got {came}.", kind.expected)
}

/// Variables that look like settings and are none. Programs may have their own, so only a near
/// miss is worth a word.
pub fn misspelt(env: &Env) -> Vec<String> {
    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    // To compare one name with all that are known takes longer than the rest of a start.
    let is_ours =
        |name: &&str| name.starts_with("RUNWIRE_") && !known.iter().any(|known| known == name);
    let near = |name: &str| {
        let meant = nearest(name, known.iter().map(String::as_str))?;
        Some(format!("{name} is no setting; did you mean {meant}?"))
    };
    env.names().filter(is_ours).filter_map(near).collect()
}
