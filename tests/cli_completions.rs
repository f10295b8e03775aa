//! Completions and the manual page, by the shells and the formatter that are here.
#![cfg(all(feature = "cli", feature = "config"))]
mod cli_kit;

use cli_kit::Home;
use std::process::Command;

fn script(shell: &str) -> String {
    let done = Home::new().run(&["completions", shell]);
    assert_eq!(done.code(), 0, "{}", done.err);
    done.out
}

/// What `program` prints of a script; `None` if it is not installed.
fn ran(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let done = Command::new(program).args(args).output().ok()?;
    let said = [done.stdout, done.stderr].concat();
    Some((done.status.success(), String::from_utf8(said).unwrap()))
}

/// The words bash offers for the last of `words`.
fn in_bash(words: &[&str]) -> Vec<String> {
    let line = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let ask = format!(
        "{}\nCOMP_WORDS=({line}); COMP_CWORD={}; _runwire; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script("bash"),
        words.len() - 1
    );
    let (is_well, said) = ran("bash", &["-c", &ask]).expect("bash is here");
    assert!(is_well, "{said}");
    said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_offers_commands_flags_and_values() {
    assert_eq!(in_bash(&["runwire", "ser"])[0], "serve");
    assert_eq!(in_bash(&["runwire", "serve", "--max-q"]), ["--max-queue"]);
    assert_eq!(in_bash(&["runwire", "serve", "--approve", ""]), ["never", "risky", "always"]);
    assert_eq!(in_bash(&["runwire", "serve", "--sandbox", "of"]), ["off"]);
    assert_eq!(in_bash(&["runwire", "completions", ""]), ["bash", "zsh", "fish"]);
    assert_eq!(in_bash(&["runwire", "db", "ex"]), ["export"]);
    assert_eq!(in_bash(&["runwire", "run", "--serv"]), ["--server"]);
    assert!(in_bash(&["runwire", "run", "--max-queue"]).is_empty(), "it is for `serve`");
    assert!(in_bash(&["runwire", "serve", "--port", ""]).is_empty());
}

#[test]
fn every_flag_in_the_help_of_a_command_is_offered_for_it() {
    let home = Home::new();
    for command in ["serve", "run", "key", "db"] {
        let help = home.run(&[command, "--help"]).out;
        let offered = in_bash(&["runwire", command, "--"]);
        for line in help.lines().filter_map(|line| line.strip_prefix("  --")) {
            let flag = format!("--{}", line.split(' ').next().unwrap());
            assert!(offered.contains(&flag), "{command} {flag}: {offered:?}");
        }
    }
}

#[test]
fn zsh_and_fish_take_their_scripts_where_they_are_installed() {
    let zsh = ran("zsh", &["-n", "-c", &script("zsh")]);
    assert!(zsh.is_none_or(|(is_well, said)| is_well && said.is_empty()));
    let fish = format!("{}\ncomplete -C 'runwire serve --approve '", script("fish"));
    if let Some((is_well, said)) = ran("fish", &["-N", "-c", &fish]) {
        assert!(is_well && said.contains("risky"), "{said}");
    }
    assert!(script("fish").contains("complete -c runwire -n __fish_use_subcommand -a serve\n"));
    assert!(script("zsh").starts_with("#compdef runwire\n"));
}

#[test]
fn an_unknown_shell_is_refused() {
    let done = Home::new().run(&["completions", "fisch"]);
    assert_eq!(done.code(), 2);
    assert!(done.err.contains("Did you mean `runwire completions fish`?"), "{}", done.err);
    assert_eq!(Home::new().run(&["completions"]).code(), 2);
}

#[test]
fn the_manual_page_is_roff_without_a_fault_and_has_every_setting() {
    let home = Home::new();
    let page = home.run(&["man"]).out;
    let example = home.run(&["config", "--example"]).out;
    let names = example.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = "));
    for (name, _) in names.filter(|(name, _)| !name.contains(' ')) {
        let row = format!("\\fB\\-\\-{}\\fR", name.replace('-', "\\-"));
        assert!(page.contains(&row), "{name} is not in the page");
    }
    let file = home.0.join("runwire.1");
    std::fs::write(&file, page).unwrap();
    let file = file.to_str().unwrap();
    if let Some((is_well, said)) = ran("groff", &["-man", "-ww", "-z", file]) {
        assert!(is_well && said.is_empty(), "{said}");
    }
}
