//! What a shell command does, act by act: through shells, `eval`, `xargs`, `sudo` and their like,
//! with the folder it is in and the variables it has set.
use super::super::files::Files;
use super::super::keys;
use super::super::shell_words::{Part, Simple, Step, Word, steps};
use super::wrappers::{Inner, inner, is_shell};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Commands inside one another that are followed.
const DEPTH_MAX: usize = 8;
/// More acts than this are not looked at one by one.
const ACTS_MAX: usize = 2_000;

/// Where a command is to run.
pub(in super::super) struct Scene<'a> {
    pub files: &'a Files,
    /// The server's own state, as it really lies.
    pub state: &'a [PathBuf],
    /// Where this user keeps keys.
    pub keys: &'a [PathBuf],
    pub folder: PathBuf,
    /// The kernel holds commands to the workspace.
    pub is_confined: bool,
    /// TCP is denied to commands.
    pub no_network: bool,
}

/// One word of an act, as far as it can be known before.
#[derive(Clone, Debug, Default)]
pub(super) struct Arg {
    /// All of it, or what comes before the first unknown part.
    pub text: String,
    pub is_known: bool,
    /// The commands whose output it contains.
    pub prints: Vec<String>,
    /// The variables in it.
    pub variables: Vec<String>,
}

impl Arg {
    pub fn known(text: &str) -> Arg {
        Arg { text: text.to_owned(), is_known: true, ..Arg::default() }
    }
}

/// One command with its arguments.
#[derive(Debug, Default)]
pub(super) struct Act {
    /// Without the folder it lies in.
    pub name: String,
    pub args: Vec<Arg>,
    pub writes: Vec<Arg>,
    pub reads: Vec<Arg>,
    /// What it is given to read, as far as that stands in the command.
    pub input: Option<String>,
    /// The commands that print what it reads, each with its arguments.
    pub fed_by: Vec<(String, String)>,
    /// `None` where the folder cannot be told.
    pub folder: Option<PathBuf>,
    /// It calls the function it stands in, and does not wait.
    pub is_bomb: bool,
    /// Why it could not be understood.
    pub opaque: Option<&'static str>,
    /// It lies in the workspace itself, such as a virtual environment's programs.
    pub is_own: bool,
}

/// Where a path leads.
#[derive(Debug, PartialEq)]
pub(super) enum Place {
    Inside,
    Outside(PathBuf),
    /// It hangs on what is known only when it runs.
    Untold,
}

impl Act {
    pub fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.name.as_str())
    }

    /// True if one of these options is given: a letter also among others, as in `-rf`.
    pub fn has(&self, letters: &str, long: &[&str]) -> bool {
        self.args.iter().take_while(|arg| arg.text != "--").any(|arg| {
            let text = arg.text.as_str();
            let name = text.split('=').next().unwrap_or_default();
            match text.strip_prefix('-') {
                Some(rest) if !rest.starts_with('-') => {
                    rest.contains(|c| letters.contains(c)) || long.contains(&name)
                }
                _ => long.contains(&name),
            }
        })
    }

    /// The value of an option, next to it or in the next word.
    pub fn value(&self, names: &[&str]) -> Option<Arg> {
        for (index, arg) in self.args.iter().enumerate() {
            if names.contains(&arg.text.as_str()) {
                return self.args.get(index + 1).cloned();
            }
            let glued = names.iter().find_map(|name| {
                let rest = arg.text.strip_prefix(name)?;
                if name.starts_with("--") { rest.strip_prefix('=') } else { Some(rest) }
            });
            if let Some(text) = glued {
                return Some(Arg { text: text.to_owned(), ..arg.clone() });
            }
        }
        None
    }

    /// The arguments that are no options.
    pub fn plain(&self) -> impl Iterator<Item = &Arg> {
        let mut options = true;
        self.args.iter().filter(move |arg| {
            let is_option = options && arg.text.starts_with('-') && arg.text.len() > 1;
            options &= arg.text != "--";
            !is_option
        })
    }

    /// The first of them: what tools such as git are told to do.
    pub fn verb(&self) -> &str {
        self.plain().next().map_or("", |arg| &arg.text)
    }

    /// True if one of the first three of them is among `words`.
    pub fn says(&self, words: &[&str]) -> bool {
        self.plain().take(3).any(|arg| words.contains(&arg.text.as_str()))
    }

    /// True if an interpreter called so runs what it is given to read.
    pub fn runs_input(&self) -> bool {
        let is_told = is_shell(&self.name) && self.has("s", &[]);
        is_told || self.plain().all(|arg| arg.text == "-" || !arg.is_known)
    }

    /// Where `arg` leads, as a path.
    pub fn place(&self, arg: &Arg, scene: &Scene<'_>) -> Place {
        let Some(real) = self.real(arg) else { return Place::Untold };
        let is_free = DEVICES.iter().any(|open| real.starts_with(open));
        match real.starts_with(scene.files.root()) || is_free {
            true => Place::Inside,
            false => Place::Outside(real),
        }
    }

    /// The real path that `arg` names; of one that is known only in part, the folder it lies in.
    pub fn real(&self, arg: &Arg) -> Option<PathBuf> {
        let text = match arg.is_known {
            true => &arg.text,
            false => &arg.text[..=arg.text.rfind('/')?],
        };
        if text.is_empty() || text.contains('\0') {
            return None;
        }
        let wanted = match Path::new(text) {
            path if path.is_absolute() => path.to_owned(),
            path => self.folder.as_ref()?.join(path),
        };
        let real = keys::real(&wanted);
        let climbs = real.components().any(|part| part == Component::ParentDir);
        Some(if climbs { keys::real(&without_dots(&real)) } else { real })
    }

    /// All of its arguments in a row.
    pub fn text(&self) -> String {
        let texts: Vec<&str> = self.args.iter().map(|arg| arg.text.as_str()).collect();
        texts.join(" ")
    }
}

/// Devices, and a command's own ends, which are no place outside.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/stdout",
    "/dev/stderr",
    "/dev/stdin",
    "/dev/tty",
    "/dev/fd",
    "/dev/pts",
    "/dev/tcp",
    "/dev/udp",
    "/proc",
];

fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        if part == Component::ParentDir {
            whole.pop();
        } else {
            whole.push(part);
        }
        whole
    })
}

/// Every act of a command, inner before outer.
pub(super) fn acts(command: &str, scene: &Scene<'_>) -> Vec<Act> {
    let home = std::env::var("HOME").unwrap_or_default();
    let mut variables = BTreeMap::new();
    variables.insert("HOME".to_owned(), Some(home));
    // A folder of the command's own, wherever it is.
    let root = scene.files.root().display().to_string();
    variables.insert("TMPDIR".to_owned(), Some(root));
    let level = Level { folder: Some(scene.folder.clone()), variables, ..Level::default() };
    let mut walker = Walker { levels: vec![level], acts: Vec::new(), functions: Vec::new(), scene };
    walker.script(command, 0);
    walker.acts
}

const TOO_LARGE: &str = "it is too large or too deeply nested";

struct Walker<'a> {
    levels: Vec<Level>,
    acts: Vec<Act>,
    /// The functions that are defined so far.
    functions: Vec<String>,
    scene: &'a Scene<'a>,
}

/// What holds within one group or subshell.
#[derive(Clone, Default)]
struct Level {
    is_subshell: bool,
    folder: Option<PathBuf>,
    /// `None` for a value that cannot be told.
    variables: BTreeMap<String, Option<String>>,
    /// What feeds the group as a whole, and the next command in it.
    fed_by: Vec<(String, String)>,
    next_fed_by: Vec<(String, String)>,
    /// All that has run in it.
    printed: Vec<(String, String)>,
}

/// What surrounds the words of an act.
#[derive(Clone, Default)]
struct Ends {
    writes: Vec<Arg>,
    reads: Vec<Arg>,
    input: Option<Arg>,
    fed_by: Vec<(String, String)>,
    in_background: bool,
}

impl Walker<'_> {
    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the outermost level is never left")
    }

    fn script(&mut self, text: &str, depth: usize) {
        if depth > DEPTH_MAX || self.acts.len() > ACTS_MAX {
            return self.opaque(TOO_LARGE);
        }
        let bottom = self.levels.len();
        for (step, next) in joined(steps(text)) {
            if self.acts.len() > ACTS_MAX {
                self.opaque(TOO_LARGE);
                break;
            }
            match step {
                Step::Command(simple) => self.command(&simple, next == Some(Joint::Pipe), depth),
                Step::Pipe => {}
                Step::Next => self.level().next_fed_by.clear(),
                Step::Enter { subshell } => {
                    let mut inner = self.level().clone();
                    inner.is_subshell = subshell;
                    inner.fed_by.append(&mut inner.next_fed_by);
                    inner.printed.clear();
                    self.levels.push(inner);
                }
                Step::Leave if self.levels.len() > bottom => self.leave(),
                Step::Leave => {}
                Step::Define(name) => self.functions.push(name),
                Step::Opaque(why) => self.opaque(why),
            }
        }
        self.levels.truncate(bottom);
    }

    fn leave(&mut self) {
        let Some(inner) = self.levels.pop() else { return };
        let outer = self.level();
        if !inner.is_subshell {
            outer.folder = inner.folder;
            outer.variables = inner.variables;
        }
        // What a group prints is what all its commands print.
        outer.printed.extend_from_slice(&inner.printed);
        outer.next_fed_by.extend(inner.printed);
    }

    fn opaque(&mut self, why: &'static str) {
        self.acts.push(Act { opaque: Some(why), ..Act::default() });
    }

    fn command(&mut self, simple: &Simple, feeds_next: bool, depth: usize) {
        let mut words: Vec<Arg> = simple.words.iter().map(|word| self.arg(word)).collect();
        // A variable that stands for several words, its first the command.
        if let (Some(first), true) = (words.first().cloned(), has_variable(&simple.words))
            && first.is_known
        {
            words.splice(..1, first.text.split_whitespace().map(Arg::known));
        }
        let level = self.level();
        let fed_by = [&level.fed_by[..], &level.next_fed_by[..]].concat();
        let ends = Ends {
            writes: simple.writes.iter().map(|word| self.arg(word)).collect(),
            reads: simple.reads.iter().map(|word| self.arg(word)).collect(),
            input: simple.input.as_ref().map(|word| self.arg(word)),
            fed_by,
            in_background: simple.in_background,
        };
        let is_lasting = words.is_empty()
            || words.first().is_some_and(|word| {
                ["export", "local", "readonly", "declare", "typeset"].contains(&word.text.as_str())
            });
        for (name, value) in &simple.assignments {
            let value = self.arg(value);
            if is_lasting {
                self.set(name, &value);
            }
        }
        let printed = words.first().map(|name| {
            let args: Vec<&str> = words[1..].iter().map(|word| word.text.as_str()).collect();
            (base(&name.text).to_owned(), args.join(" "))
        });
        self.run(words, ends, feeds_next, depth);
        let level = self.level();
        level.printed.extend(printed.clone());
        level.next_fed_by.extend(printed);
    }

    fn set(&mut self, name: &str, value: &Arg) {
        let value = value.is_known.then(|| value.text.clone());
        self.level().variables.insert(name.to_owned(), value);
    }

    /// Notes one act, and those it starts.
    fn run(&mut self, words: Vec<Arg>, ends: Ends, feeds_next: bool, depth: usize) {
        let mut words = words.into_iter();
        let first = words.next().unwrap_or_else(|| Arg::known(""));
        let args: Vec<Arg> = words.collect();
        let mut act = Act {
            name: base(&first.text).to_owned(),
            args,
            writes: ends.writes.clone(),
            reads: ends.reads.clone(),
            input: ends.input.as_ref().map(|input| input.text.clone()),
            fed_by: ends.fed_by.clone(),
            folder: self.level().folder.clone(),
            ..Act::default()
        };
        if !first.is_known {
            act.opaque = Some("which command it runs is known only when it runs");
            act.fed_by.extend(first.prints.iter().map(|name| (name.clone(), String::new())));
        }
        act.is_own = first.text.contains('/') && act.place(&first, self.scene) == Place::Inside;
        // A function that runs itself twice over: by a pipe, or by going on at once.
        act.is_bomb = self.functions.contains(&act.name) && (feeds_next || ends.in_background);
        self.follow(&act);
        let inner =
            if depth < DEPTH_MAX { inner(&act) } else { Inner::Untold("it is too deeply nested") };
        self.acts.push(act);
        match inner {
            Inner::None => {}
            Inner::Untold(why) => self.opaque(why),
            Inner::Words(commands) => {
                for words in commands {
                    let ends = Ends { fed_by: ends.fed_by.clone(), ..Ends::default() };
                    self.run(words, ends, false, depth + 1);
                }
            }
            Inner::Script(text) => {
                let mut level = self.level().clone();
                level.fed_by = ends.fed_by;
                level.next_fed_by.clear();
                self.levels.push(level);
                self.script(&text, depth + 1);
                self.levels.pop();
            }
        }
    }

    /// Takes note of what an act changes for those after it.
    fn follow(&mut self, act: &Act) {
        match act.name.as_str() {
            "cd" | "pushd" => {
                let home = Arg::known(&std::env::var("HOME").unwrap_or_default());
                let to = act.plain().next().unwrap_or(&home);
                self.level().folder = if to.is_known { act.real(to) } else { None };
            }
            "popd" => self.level().folder = None,
            "export" | "local" | "readonly" | "declare" | "typeset" => {
                for arg in &act.args {
                    if let Some((name, value)) = arg.text.split_once('=') {
                        let value = Arg { text: value.to_owned(), ..arg.clone() };
                        self.set(name, &value);
                    }
                }
            }
            "for" | "select" | "read" => {
                for arg in &act.args {
                    self.set(&arg.text, &Arg::default());
                }
            }
            _ => {}
        }
    }

    fn arg(&mut self, word: &Word) -> Arg {
        let mut arg = Arg { is_known: true, ..Arg::default() };
        let folder = self.level().folder.clone();
        for part in &word.parts {
            let text = match part {
                Part::Text(text) => Some(text.clone()),
                Part::Variable(name) => {
                    arg.variables.push(name.clone());
                    match name.as_str() {
                        "PWD" => folder.as_ref().map(|folder| folder.display().to_string()),
                        name => self.level().variables.get(name).cloned().flatten(),
                    }
                }
                Part::Output(names) => {
                    arg.prints.extend(names.iter().cloned());
                    None
                }
                Part::Unknown => None,
            };
            match text {
                Some(text) if arg.is_known => arg.text += &text,
                Some(_) => {}
                None => arg.is_known = false,
            }
        }
        arg
    }
}

fn has_variable(words: &[Word]) -> bool {
    let is_variable = |part: &Part| matches!(part, Part::Variable(_));
    words.first().is_some_and(|word| word.parts.iter().any(is_variable))
}

/// A command's name without the folder it lies in.
pub(super) fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[derive(Clone, Copy, PartialEq)]
enum Joint {
    Pipe,
    Other,
}

/// Each step with the joint that follows it.
fn joined(steps: Vec<Step>) -> Vec<(Step, Option<Joint>)> {
    let joints: Vec<Option<Joint>> = steps
        .iter()
        .skip(1)
        .map(|step| match step {
            Step::Pipe => Some(Joint::Pipe),
            _ => Some(Joint::Other),
        })
        .chain([None])
        .collect();
    steps.into_iter().zip(joints).collect()
}
