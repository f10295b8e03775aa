//! The commands that explain the program: all made from the table of settings.
use super::env::Env;
use super::explain_args::{Explain, ExplainAct, Row};
use super::given::By;
use super::settings::{RUN, SERVE, Setting};
use super::shown::one_line;
use super::table::SETTINGS;
use super::{completions, doctor, man, print};
use serde_json::json;
use std::fmt::Write;

/// Explains what was asked. Returns the exit code.
pub fn explain(asked: Explain, env: &Env) -> u8 {
    let Explain { settings, act, json } = asked;
    match act {
        ExplainAct::Config(rows) if json => print(&as_json(&rows)),
        ExplainAct::Config(rows) => print(&as_text(&rows)),
        ExplainAct::Example => print(&example()),
        ExplainAct::Doctor(configuration) => doctor::doctor(settings, configuration, env, json),
        ExplainAct::Completions(shell) => print(&completions::text(shell)),
        ExplainAct::Man => print(&man::text()),
    }
}

fn as_text(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let names = width(|row| row.setting.name.len());
    let values = width(|row| row.value.chars().count()).min(VALUE_COLUMNS_MAX);
    let mut text = String::new();
    for Row { setting, value, place, .. } in rows {
        let (name, value) = (setting.name, one_line(value));
        writeln!(text, "{name:names$}  {value:values$}  {place}").expect("a String takes any text");
    }
    text
}

/// A longer value moves its line's last column, and no other's.
const VALUE_COLUMNS_MAX: usize = 32;

fn as_json(rows: &[Row]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let source = match row.by {
                None => "default",
                Some(By::Flag) => "flag",
                Some(By::Variable) => "variable",
                Some(By::File) => "file",
            };
            json!({ "name": row.setting.name, "value": row.value, "source": source, "from": row.place })
        })
        .collect();
    format!("{}\n", json!({ "settings": rows }))
}

/// A configuration file with every setting, each with its default, commented out.
fn example() -> String {
    let mut text = EXAMPLE.to_owned();
    for setting in SETTINGS.iter().filter(|setting| setting.name != "config") {
        let Setting { name, help, kind, .. } = setting;
        let (used, value) = (used_by(setting), example_value(setting));
        write!(text, "\n# {help}\n# {used}: {}\n# {name} = {value}\n", kind.expected)
            .expect("a String takes any text");
    }
    text
}

const EXAMPLE: &str = "\
# Configuration of runwire, in TOML. Every setting is here with its default: take the `#` off the
# line that is to count. A flag or a variable goes before it. Paths start from this file's place.
# `runwire config` shows what is in force. If a key is in here: chmod 600.
";

fn used_by(setting: &Setting) -> &'static str {
    match (setting.commands & SERVE != 0, setting.commands & RUN != 0) {
        (true, true) => "serve, run",
        (true, false) => "serve",
        _ => "run",
    }
}

/// The default as TOML has it, or, where it is no value, what one may look like.
fn example_value(setting: &Setting) -> String {
    let default = setting.default;
    let is_bare = setting.is_switch() || default.bytes().all(|b| b.is_ascii_digit());
    match default {
        _ if default.starts_with('(') => {
            let like = example_of(setting.kind.expected).unwrap_or("...");
            format!("\"{like}\"  # default: {}", default.trim_matches(['(', ')']))
        }
        _ if is_bare => default.to_owned(),
        _ => format!("\"{default}\""),
    }
}

/// The example in what is said of a kind, if it is one to be typed as it is.
fn example_of(expected: &str) -> Option<&str> {
    let (_, example) = expected.split_once("such as ")?;
    let example = example.split(", or ").next()?.trim_matches('"');
    (!example.contains('`')).then_some(example)
}

#[cfg(test)]
mod tests {
    use super::example;
    use crate::cli::table::SETTINGS;
    use crate::cli::toml;

    #[test]
    fn the_example_names_every_setting_and_is_toml_with_the_comments_taken_off() {
        let assignments = example()
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = ") && !line.starts_with(char::is_uppercase))
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        let entries = toml::parse(&assignments).expect("the example is TOML");
        assert!(!assignments.contains("\"\""), "{assignments}");
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let known: Vec<_> =
            SETTINGS.iter().map(|setting| setting.name).filter(|name| *name != "config").collect();
        assert_eq!(names, known);
    }
}
