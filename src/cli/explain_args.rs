//! What stands after the commands that explain the program: `config`, `doctor`, `completions`, `man`.
use super::args::Topic;
use super::env::Env;
use super::given::{By, Sources};
use super::settings::{Setting, Settings};
use super::suggest::nearest;
use super::table::SETTINGS;
use std::ffi::OsString;

/// In `Setting::commands`, stands for the commands that take every setting.
pub const EXPLAIN: u8 = u8::MAX;

#[derive(Debug)]
#[cfg_attr(not(feature = "config"), expect(dead_code, reason = "understood, and then refused"))]
pub struct Explain {
    pub settings: Settings,
    pub act: ExplainAct,
    pub json: bool,
}

/// What is to be explained.
#[derive(Debug)]
#[cfg_attr(not(feature = "config"), expect(dead_code, reason = "understood, and then refused"))]
pub enum ExplainAct {
    /// The values in force, each with who has set it.
    Config(Vec<Row>),
    /// A configuration file with everything in it.
    Example,
    /// How things stand; with what is wrong with the configuration.
    Doctor(Result<String, String>),
    Completions(Shell),
    Man,
}

/// A setting and its value.
#[derive(Debug)]
#[cfg_attr(not(feature = "config"), expect(dead_code, reason = "understood, and then refused"))]
pub struct Row {
    pub setting: &'static Setting,
    /// Never a secret.
    pub value: String,
    /// `None` means the default.
    pub by: Option<By>,
    pub place: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

const SHELLS: &[(&str, Shell)] =
    &[("bash", Shell::Bash), ("zsh", Shell::Zsh), ("fish", Shell::Fish)];

impl Explain {
    /// `None` if `topic` is another kind of command. `json` and `example` are the flags of that name.
    pub fn new(
        topic: Topic,
        flags: &[(&'static Setting, OsString)],
        plain: &[OsString],
        (json, example): (bool, bool),
        env: &Env,
    ) -> Option<Result<Explain, String>> {
        let plainly = |act| Ok(Explain { settings: Settings::default(), act, json });
        Some(match topic {
            Topic::Config if example => plainly(ExplainAct::Example),
            Topic::Config => config(flags, env, json),
            Topic::Doctor => Ok(doctor(flags, env, json)),
            Topic::Completions => shell(plain).and_then(|it| plainly(ExplainAct::Completions(it))),
            Topic::Man => plainly(ExplainAct::Man),
            _ => return None,
        })
    }
}

fn config(
    flags: &[(&'static Setting, OsString)],
    env: &Env,
    json: bool,
) -> Result<Explain, String> {
    let sources = Sources::new(flags, env)?;
    let settings = sources.settings(EXPLAIN)?;
    let rows = SETTINGS.iter().map(|setting| row(setting, &sources)).collect();
    Ok(Explain { settings, act: ExplainAct::Config(rows), json })
}

/// A configuration that cannot be read is a finding, not a reason to find nothing.
fn doctor(flags: &[(&'static Setting, OsString)], env: &Env, json: bool) -> Explain {
    let read = Sources::new(flags, env)
        .and_then(|sources| Ok((sources.settings(EXPLAIN)?, sources.origin())));
    let (settings, configuration) = match read {
        Ok((settings, origin)) => (settings, Ok(origin)),
        Err(wrong) => (Settings::default(), Err(wrong)),
    };
    Explain { settings, act: ExplainAct::Doctor(configuration), json }
}

fn row(setting: &'static Setting, sources: &Sources<'_>) -> Row {
    let Some(set) = sources.find(setting) else {
        let value = setting.default.to_owned();
        return Row { setting, value, by: None, place: "default".to_owned() };
    };
    let value = match setting.kind.secret {
        true => "(set)".to_owned(),
        false => set.value.to_string_lossy().into_owned(),
    };
    Row { setting, value, by: Some(set.by), place: set.place }
}

fn shell(plain: &[OsString]) -> Result<Shell, String> {
    let Some(word) = plain.first().map(|word| word.to_string_lossy()) else {
        return Err("Say for which shell: `runwire completions bash`, zsh or fish.".to_owned());
    };
    if let Some((_, shell)) = SHELLS.iter().find(|(name, _)| *name == word) {
        return Ok(*shell);
    }
    let near = nearest(&word, SHELLS.iter().map(|(name, _)| *name));
    let meant = near.map_or(" There are bash, zsh and fish.".to_owned(), |near| {
        format!(" Did you mean `runwire completions {near}`?")
    });
    Err(format!("There are no completions for `{word}`.{meant}"))
}
