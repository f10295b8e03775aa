//! Completions and the manual page, by the real shells and the formatter. Where these are not
//! installed their tests say so and look no further; with CI set, that is a failure.
#![cfg(all(feature = "cli", feature = "config"))]
mod cli_kit;

use cli_kit::Home;
use std::path::Path;
use std::process::Command;

fn script(shell: &str) -> String {
    let done = Home::new().run(&["completions", shell]);
    assert_eq!(done.code(), 0, "{}", done.err);
    done.out
}

/// What `program` prints of a script; `None` if it is not installed.
fn ran(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let Ok(done) = Command::new(program).args(args).output() else {
        let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
        assert!(!is_ci, "{program} is not installed: tests/shells/setup.sh does that");
        eprintln!("not tested: {program} is not installed");
        return None;
    };
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

/// What an interactive zsh offers for each line; it finds the script in a folder of its `fpath`.
fn in_zsh(home: &Home, lines: &[&str]) -> Option<Vec<Vec<String>>> {
    std::fs::write(home.0.join("_runwire"), script("zsh")).unwrap();
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/shells/ask.zsh");
    let args = [&["-f", driver, home.0.to_str().unwrap()], lines].concat();
    let (is_well, said) = ran("zsh", &args)?;
    assert!(is_well, "{said}");
    let matches = said.lines().filter_map(|line| line.trim_end().strip_prefix('='));
    let matches: Vec<String> = matches.map(str::to_owned).collect();
    let mut found: Vec<_> = matches.split(|word| word == "END").map(<[String]>::to_vec).collect();
    assert_eq!(found.pop(), Some(Vec::new()), "{said}");
    Some(found)
}

/// What fish offers, likewise; it knows completions only of programs that are there.
fn in_fish(home: &Home, lines: &[&str]) -> Option<Vec<Vec<String>>> {
    let folder = home.0.join("fish");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("runwire.fish"), script("fish")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_runwire")).parent().unwrap();
    let (folder, program) = (folder.display(), program.display());
    let mut ask = format!("set fish_complete_path '{folder}'; set PATH '{program}' $PATH\n");
    lines.iter().for_each(|line| ask.push_str(&format!("complete -C '{line}'; echo END\n")));
    let (is_well, said) = ran("fish", &["-N", "-c", &ask])?;
    assert!(is_well, "{said}");
    let words: Vec<_> = said.lines().map(|line| line.split('\t').next().unwrap()).collect();
    let found = words.split(|word| *word == "END");
    let mut found: Vec<Vec<_>> =
        found.map(|it| it.iter().map(|w| w.to_string()).collect()).collect();
    assert_eq!(found.pop(), Some(Vec::new()), "{said}");
    Some(found)
}

/// Lines that are the same for both shells, with what must be offered for them and nothing else.
const OFFERED: [(&str, &[&str]); 12] = [
    ("runwire ser", &["serve"]),
    ("runwire --ver", &["--version"]),
    ("runwire help co", &["completions", "config"]),
    ("runwire serve --max-q", &["--max-queue"]),
    ("runwire serve --approve ", &["always", "never", "risky"]),
    ("runwire serve --sandbox of", &["off"]),
    ("runwire completions ", &["bash", "fish", "zsh"]),
    ("runwire db ex", &["export"]),
    ("runwire run --serv", &["--server"]),
    ("runwire run --max-queue", &[]),
    ("runwire sessions show --fro", &[]),
    ("runwire runs --model serve --ho", &[]),
];

type Ask = fn(&Home, &[&str]) -> Option<Vec<Vec<String>>>;

fn offers_what_it_should(ask: Ask) {
    let home = Home::new();
    let Some(all) = ask(&home, &OFFERED.map(|(line, _)| line)) else { return };
    assert_eq!(all.len(), OFFERED.len());
    for ((line, offered), mut found) in OFFERED.into_iter().zip(all) {
        found.sort();
        assert_eq!(found, offered, "{line}");
    }
    std::fs::write(home.0.join("runs.db"), "").unwrap();
    let file = home.0.join("ru");
    let lines =
        ["db check", "db export --output"].map(|it| format!("runwire {it} {}", file.display()));
    let all = ask(&home, &lines.each_ref().map(String::as_str)).expect("it was just there");
    for (line, found) in lines.iter().zip(all) {
        assert!(found.iter().any(|it| it.ends_with("runs.db")), "{line}: {found:?}");
    }
}

#[test]
fn zsh_offers_what_it_should() {
    offers_what_it_should(in_zsh);
}

#[test]
fn fish_offers_what_it_should() {
    offers_what_it_should(in_fish);
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
