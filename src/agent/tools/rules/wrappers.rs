//! Commands that run other commands, and what they run.
use super::acts::{Act, Arg};

/// What an act starts.
pub(super) enum Inner {
    None,
    /// Commands, each as its words.
    Words(Vec<Vec<Arg>>),
    /// A command for a shell.
    Script(String),
    /// Something that cannot be told, for this reason.
    Untold(&'static str),
}

/// A command whose arguments end with another command.
struct Wrapper {
    name: &'static str,
    /// Letters of options that have a value in the next word.
    valued: &'static str,
    /// Arguments between its options and the other command.
    own: usize,
}

const fn wrapper(name: &'static str, valued: &'static str, own: usize) -> Wrapper {
    Wrapper { name, valued, own }
}

const WRAPPERS: &[Wrapper] = &[
    wrapper("env", "uCS", 0),
    wrapper("nohup", "", 0),
    wrapper("setsid", "", 0),
    wrapper("command", "", 0),
    wrapper("builtin", "", 0),
    wrapper("exec", "a", 0),
    wrapper("nice", "n", 0),
    wrapper("ionice", "cnpPu", 0),
    wrapper("stdbuf", "ioe", 0),
    wrapper("timeout", "ks", 1),
    wrapper("xargs", "adEILnPs", 0),
    wrapper("sudo", "ugpCDhRrTU", 0),
    wrapper("doas", "uC", 0),
    wrapper("pkexec", "", 0),
    wrapper("runuser", "u", 0),
    wrapper("chroot", "", 1),
    wrapper("unshare", "", 0),
    wrapper("nsenter", "t", 0),
    wrapper("setpriv", "", 0),
    wrapper("strace", "eopsPuEaIOSX", 0),
    wrapper("ltrace", "eopu", 0),
    wrapper("watch", "n", 0),
    wrapper("flock", "wE", 1),
    wrapper("taskset", "", 1),
    wrapper("chrt", "", 1),
    wrapper("parallel", "jIaN", 0),
    wrapper("busybox", "", 0),
    wrapper("toybox", "", 0),
    wrapper("caffeinate", "tw", 0),
];

/// Long options of theirs that have a value in the next word.
const VALUED: &[&str] = &[
    "--signal",
    "--kill-after",
    "--unset",
    "--chdir",
    "--adjustment",
    "--max-args",
    "--max-procs",
    "--arg-file",
    "--delimiter",
    "--user",
    "--group",
    "--interval",
];

const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "su", "script"];

pub(super) fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
}

/// What `act` starts.
pub(super) fn inner(act: &Act) -> Inner {
    match act.name.as_str() {
        "eval" => match act.args.iter().all(|arg| arg.is_known) {
            true => Inner::Script(act.text()),
            false => Inner::Untold("it runs a text that is known only when it runs"),
        },
        "trap" => match act.plain().next() {
            Some(arg) if arg.is_known && arg.text != "-" => Inner::Script(arg.text.clone()),
            _ => Inner::None,
        },
        "find" => found(act),
        name if is_shell(name) => shell(act),
        name => match WRAPPERS.iter().find(|wrapper| wrapper.name == name) {
            Some(wrapper) => wrapped(act, wrapper),
            None => Inner::None,
        },
    }
}

fn wrapped(act: &Act, wrapper: &Wrapper) -> Inner {
    if let Some(split) = act.value(&["-S", "--split-string"]).filter(|_| act.is(&["env"])) {
        return Inner::Script(split.text);
    }
    if act.is(&["flock"]) && act.has("c", &["--command"]) {
        return script(act.args.last());
    }
    let mut own = wrapper.own;
    let mut args = act.args.iter().peekable();
    while let Some(arg) = args.peek() {
        let text = arg.text.as_str();
        if let Some(option) = text.strip_prefix('-') {
            let last = option.chars().next_back().unwrap_or(' ');
            let is_valued = match option.starts_with('-') {
                true => VALUED.contains(&text),
                false => wrapper.valued.contains(last),
            };
            args.nth(usize::from(is_valued));
        } else if is_assignment(text) && !act.is(&["xargs", "command"]) {
            args.next();
        } else if own > 0 {
            own -= 1;
            args.next();
        } else {
            break;
        }
    }
    let mut words: Vec<Arg> = args.cloned().collect();
    if words.is_empty() {
        return Inner::None;
    }
    if act.is(&["xargs", "parallel"]) {
        words.push(Arg::default());
    }
    if act.is(&["watch"]) && words.len() == 1 {
        return script(words.first());
    }
    Inner::Words(vec![words])
}

fn is_assignment(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// What `find` does with what it finds, `{}` standing for something below where it looks.
fn found(act: &Act) -> Inner {
    let top = act.args.first().filter(|arg| !arg.text.starts_with('-')).cloned();
    let mut found = top.unwrap_or_else(|| Arg::known("."));
    found.text += "/found";
    let mut commands = Vec::new();
    let mut args = act.args.iter();
    while let Some(arg) = args.next() {
        if ["-exec", "-execdir", "-ok", "-okdir"].contains(&arg.text.as_str()) {
            let words = args.by_ref().take_while(|arg| arg.text != ";" && arg.text != "+");
            let named = words.map(|arg| if arg.text == "{}" { found.clone() } else { arg.clone() });
            commands.push(named.collect());
        }
    }
    if commands.is_empty() { Inner::None } else { Inner::Words(commands) }
}

fn shell(act: &Act) -> Inner {
    let takes_script = |arg: &&Arg| {
        let letters = arg.text.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        letters.is_some_and(|letters| letters.ends_with('c')) || arg.text == "--command"
    };
    if let Some(at) = act.args.iter().position(|arg| takes_script(&arg)) {
        let mut after = act.args[at + 1..].iter().skip_while(|arg| arg.text.starts_with('-'));
        return script(after.next());
    }
    if !act.runs_input() || act.is(&["su", "script"]) {
        return Inner::None;
    }
    match (&act.input, act.fed_by.last()) {
        (Some(input), _) => Inner::Script(input.clone()),
        (None, Some((name, args))) if ["echo", "printf"].contains(&name.as_str()) => {
            Inner::Script(args.clone())
        }
        (None, Some(_)) => Inner::Untold("a shell runs what another command prints"),
        (None, None) if act.reads.is_empty() => Inner::None,
        (None, None) => Inner::Untold("a shell runs a file"),
    }
}

fn script(arg: Option<&Arg>) -> Inner {
    match arg {
        Some(arg) if arg.is_known => Inner::Script(arg.text.clone()),
        Some(_) => Inner::Untold("a shell runs a text that is known only when it runs"),
        None => Inner::None,
    }
}
