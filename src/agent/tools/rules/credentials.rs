//! The rule on keys and passwords.
use super::super::telling::is_telling;
use super::acts::{Act, Scene};
use super::{Widening, nothing_more, unconfined};
use std::path::PathBuf;

/// Commands that name files without reading them.
const BLIND: &[&str] = &[
    "ls", "stat", "test", "[", "[[", "echo", "printf", "cd", "mkdir", "touch", "rm", "rmdir",
    "chmod", "chown", "file", "find", "which", "export", "for", "case", "git", "mv", "ln",
    "basename", "dirname", "realpath", "readlink", "if", "true", "du", "tree",
];
const DUMPS: &[&str] = &["env", "printenv", "set", "export", "declare"];
const WORDS: &[&str] = &["key", "token", "secret", "passw", "credential", "auth"];

pub(super) fn reads(act: &Act, scene: &Scene<'_>) -> Option<Widening> {
    let named = act.args.iter().filter(|_| !act.is(BLIND)).chain(&act.reads);
    let mut found = named.filter_map(|arg| {
        let text = arg.text.strip_prefix('@').unwrap_or(&arg.text);
        let real = act.real(&super::acts::Arg { text: text.to_owned(), ..arg.clone() })?;
        let is_key = scene.keys.iter().any(|place| real.starts_with(place));
        (is_key || is_telling(&real)).then_some(real)
    });
    if let Some(first) = found.next() {
        let reads: Vec<PathBuf> = std::iter::once(first).chain(found).collect();
        return Some(Widening { reads, ..Widening::default() });
    }
    if asks_keeper(act) {
        return unconfined();
    }
    (greps_environment(act) || prints_variable(act)).then(nothing_more).flatten()
}

/// Programs that keep keys, asked to hand one out.
fn asks_keeper(act: &Act) -> bool {
    let exports = act.args.iter().any(|arg| arg.text.starts_with("--export-secret"));
    act.is(&["gpg", "gpg2"]) && exports
        || act.is(&["security"]) && act.verb().contains("password")
        || act.is(&["pass", "op", "bw", "vault", "secret-tool", "lpass", "keyring"])
        || act.is(&["gh"]) && act.says(&["token"])
        || act.is(&["git"]) && act.says(&["credential"])
        || act.is(&["getent"]) && act.says(&["shadow"])
        || act.is(&["history"])
}

fn greps_environment(act: &Act) -> bool {
    act.is(&["grep", "egrep", "rg", "awk", "sed", "ag"])
        && act.fed_by.iter().any(|(name, _)| DUMPS.contains(&name.as_str()))
        && act.args.iter().any(|arg| is_secret_word(&arg.text))
}

fn prints_variable(act: &Act) -> bool {
    let named = act.is(&["printenv"]) && act.args.iter().any(|arg| is_secret_word(&arg.text));
    let shown = act.is(&["echo", "printf"])
        && act.args.iter().flat_map(|arg| &arg.variables).any(|name| is_secret_word(name));
    named || shown
}

fn is_secret_word(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}
