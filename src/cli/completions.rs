//! What has a shell complete words: the commands and flags of the tables, as data for a few lines of
//! each shell's own.
use super::args::{COMMANDS, Topic};
use super::client_args;
use super::explain_args::Shell;
use super::table::SETTINGS;
use super::value::Kind;
use std::fmt::Write;

/// A script for the shell to read.
pub fn text(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => ZSH.replace("@BASH@", &bash()),
        Shell::Fish => fish(),
    }
}

/// The words a value can be, where its kind is a choice between a few.
fn choices(kind: &Kind) -> Vec<&'static str> {
    let words: Vec<&str> = kind.expected.split(", ").flat_map(|part| part.split(" or ")).collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    if words.len() > 1 && words.iter().all(is_word) { words } else { Vec::new() }
}

/// What may stand right after a command.
fn words_after(topic: Topic) -> &'static str {
    match topic {
        Topic::Db => "check export",
        Topic::Key => "add list revoke rotate",
        Topic::Sessions => "show delete",
        Topic::Completions => "bash zsh fish",
        _ => "",
    }
}

/// The flags of a command, with their kind if they are settings.
fn flags(topic: Topic) -> Vec<(&'static str, Option<&'static Kind>)> {
    let mine = SETTINGS.iter().filter(|setting| setting.commands & topic.bit() != 0);
    let settings = mine.map(|setting| (setting.name, Some(setting.kind)));
    let own = topic.own_flags().iter().copied().chain(client_args::flags(topic));
    settings.chain(own.map(|name| (name, None))).collect()
}

fn bash() -> String {
    let (mut commands, mut values) = (String::new(), String::new());
    let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    for (name, topic) in COMMANDS {
        let flags: String = flags(*topic).iter().map(|(flag, _)| format!(" --{flag}")).collect();
        let words = words_after(*topic);
        writeln!(commands, "    {name}) flags='{}' words='{words}' ;;", flags.trim_start())
            .expect("a String takes any text");
    }
    for setting in SETTINGS.iter().filter(|setting| !setting.is_switch()) {
        let (name, kind) = (setting.name, setting.kind);
        let reply = match kind.meta {
            "DIR" => "COMPREPLY=($(compgen -d -- \"$cur\"))".to_owned(),
            "FILE" => "COMPREPLY=($(compgen -f -- \"$cur\"))".to_owned(),
            _ => format!("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", choices(kind).join(" ")),
        };
        writeln!(values, "    --{name}) {reply}; return ;;").expect("a String takes any text");
    }
    BASH.replace("@NAMES@", &names.join(" "))
        .replace("@COMMANDS@", commands.trim_end())
        .replace("@VALUES@", values.trim_end())
}

const BASH: &str = "\
# Completions of runwire for bash; `runwire completions --help` says how to install them.
_runwire() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev='' flags='' words=''
  if [ \"$COMP_CWORD\" -gt 0 ]; then prev=${COMP_WORDS[COMP_CWORD-1]}; fi
  COMPREPLY=()
  if [ \"$COMP_CWORD\" -eq 1 ]; then
    COMPREPLY=($(compgen -W '@NAMES@ help --help --version' -- \"$cur\"))
    return
  fi
  case $prev in
    help) COMPREPLY=($(compgen -W '@NAMES@' -- \"$cur\")); return ;;
@VALUES@
    --output) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;
  esac
  case ${COMP_WORDS[1]} in
@COMMANDS@
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;
    *) if [ \"$COMP_CWORD\" -eq 2 ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")); fi ;;
  esac
}
complete -o default -F _runwire runwire
";

/// zsh reads what is written for bash.
const ZSH: &str = "\
#compdef runwire
autoload -U +X bashcompinit && bashcompinit
@BASH@
_bash_complete -o default -F _runwire runwire
";

fn fish() -> String {
    let mut text = FISH.to_owned();
    let mut line = |args: String| {
        writeln!(text, "complete -c runwire {args}").expect("a String takes any text");
    };
    let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
    line(format!("-n '__runwire_at 1' -a '{} help'", names.join(" ")));
    line("-n '__runwire_at 1' -l help -l version".to_owned());
    line(format!("-n '__runwire_at 2 help' -a '{}'", names.join(" ")));
    line("-n '__runwire_at 3 db' -F".to_owned());
    for (name, topic) in COMMANDS {
        let words = words_after(*topic);
        if !words.is_empty() {
            line(format!("-n '__runwire_at 2 {name}' -a '{words}'"));
        }
        for (flag, kind) in flags(*topic) {
            let value = match kind {
                Some(kind) if !kind.meta.is_empty() => value_in_fish(kind),
                None if flag == "output" => " -r -F".to_owned(),
                _ => String::new(),
            };
            line(format!("-n '__runwire_in {name}' -l {flag}{value}"));
        }
    }
    text
}

/// fish's own `__fish_seen_subcommand_from` looks at all words: `sessions show` would be a `show`.
const FISH: &str = "\
# Completions of runwire for fish; `runwire completions --help` says how to install them.
function __runwire_in
  set -l words (commandline -opc)
  test (count $words) -gt 1 && test $words[2] = $argv[1]
end
function __runwire_at
  test (count (commandline -opc)) -eq $argv[1] || return
  test (count $argv) -eq 1 || __runwire_in $argv[2]
end
complete -c runwire -f
";

fn value_in_fish(kind: &Kind) -> String {
    let choices = choices(kind);
    match kind.meta {
        "DIR" | "FILE" => " -r -F".to_owned(),
        _ if choices.is_empty() => " -x".to_owned(),
        _ => format!(" -x -a '{}'", choices.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::choices;
    use crate::cli::value;

    #[test]
    fn only_a_kind_that_is_a_choice_between_words_has_words_to_choose() {
        assert_eq!(choices(&value::APPROVE), ["never", "risky", "always"]);
        assert_eq!(choices(&value::ON_OFF), ["on", "off"]);
        assert!(choices(&value::PORT).is_empty() && choices(&value::MODEL).is_empty());
    }
}
