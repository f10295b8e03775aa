//! Tests of the way from words and variables to a command.
use super::args::{Command, Place, Run, Serve, Topic, parse};
use super::env::Env;
use super::help;
use super::model::Choice;
use super::settings::Settings;
use super::table::SETTINGS;
use super::usage::UsageError;
use super::value::{Given, is_loopback};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn parse_with(line: &[&str], variables: &[(&str, &str)]) -> Result<Command, UsageError> {
    parse(line.iter().map(OsString::from).collect(), &env(variables))
}

fn serve(line: &[&str], variables: &[(&str, &str)]) -> Serve {
    let line = [&["serve"], line].concat();
    match parse_with(&line, variables) {
        Ok(Command::Serve(serve)) => *serve,
        other => panic!("{line:?} gave {other:?}"),
    }
}

fn run(line: &[&str], variables: &[(&str, &str)]) -> Run {
    let line = [&["run"], line].concat();
    match parse_with(&line, variables) {
        Ok(Command::Run(run)) => *run,
        other => panic!("{line:?} gave {other:?}"),
    }
}

fn refusal(line: &[&str], variables: &[(&str, &str)]) -> String {
    match parse_with(line, variables) {
        Err(error) => error.to_string(),
        Ok(command) => panic!("{line:?} with {variables:?} was taken: {command:?}"),
    }
}

#[test]
fn the_defaults_of_the_table_are_the_defaults_of_the_program() {
    let defaults = format!("{:?}", Settings::default());
    for setting in SETTINGS.iter().filter(|setting| !setting.default.starts_with('(')) {
        let mut settings = Settings::default();
        (setting.put)(&mut settings, Given(OsStr::new(setting.default)))
            .unwrap_or_else(|| panic!("--{} does not take its own default", setting.name));
        // These two say by `None` that the default holds, which can then depend on the others.
        settings.model = settings.model.filter(|model| model != "builtin");
        settings.base_url = settings.base_url.filter(|url| url != super::model::OPENAI_URL);
        let is_key = |name: &String| name != super::model::OPENAI_KEY;
        settings.api_key_env = settings.api_key_env.filter(is_key);
        assert_eq!(format!("{settings:?}"), defaults, "--{}", setting.name);
    }
}

#[test]
fn help_on_a_command_names_each_of_its_settings_and_no_other() {
    for topic in [Topic::Serve, Topic::Run, Topic::Key, Topic::Db, Topic::Bench] {
        let text = help::text(topic);
        for setting in SETTINGS {
            let is_mine = setting.commands & topic.bit() != 0;
            let is_named = text.contains(
                &format!("\n  --{} {}", setting.name, setting.kind.meta).trim_end().to_owned(),
            );
            assert_eq!(is_named, is_mine, "--{} in the help on {topic:?}", setting.name);
        }
    }
}

#[test]
fn no_line_of_help_is_wider_than_a_terminal() {
    let plain = [Topic::All, Topic::Bench, Topic::Version];
    for topic in plain.into_iter().chain([Topic::Serve, Topic::Run, Topic::Key, Topic::Db]) {
        for line in help::text(topic).lines() {
            assert!(line.chars().count() <= 90, "{line}");
        }
    }
}

#[test]
fn a_flag_goes_before_its_variable_and_that_before_its_older_name() {
    let older = ("API_SERVER_PORT", "3");
    let ours = ("RUNWIRE_PORT", "2");
    assert_eq!(serve(&["--port", "1"], &[ours, older]).settings.config.addr.port(), 1);
    assert_eq!(serve(&[], &[ours, older]).settings.config.addr.port(), 2);
    assert_eq!(serve(&[], &[older]).settings.config.addr.port(), 3);
    assert_eq!(serve(&[], &[]).settings.config.addr.port(), 8642);
}

#[test]
fn every_older_name_is_understood() {
    let key = "0123456789abcdef";
    let serve = serve(
        &[],
        &[
            ("API_SERVER_KEY", key),
            ("API_SERVER_HOST", "0.0.0.0"),
            ("API_SERVER_PORT", "9000"),
            ("API_SERVER_CORS_ORIGINS", "https://a.example, http://localhost:3000"),
        ],
    );
    let config = serve.settings.config;
    assert_eq!(config.key.as_deref(), Some(key));
    assert_eq!(config.addr.to_string(), "0.0.0.0:9000");
    assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:3000"]);
}

#[test]
fn an_empty_variable_counts_as_unset() {
    assert_eq!(serve(&[], &[("RUNWIRE_PORT", "")]).settings.config.addr.port(), 8642);
    let older = &[("RUNWIRE_PORT", ""), ("API_SERVER_PORT", "7")];
    assert_eq!(serve(&[], older).settings.config.addr.port(), 7);
}

#[test]
fn the_last_of_two_equal_flags_holds_and_both_are_checked() {
    assert_eq!(serve(&["--port", "1", "--port=2"], &[]).settings.config.addr.port(), 2);
    assert!(refusal(&["serve", "--port", "x", "--port", "2"], &[]).contains("--port"));
}

#[test]
fn the_time_to_decide_is_what_was_given() {
    let seconds = |serve: Serve| serve.settings.config.approval_timeout.as_secs();
    assert_eq!(seconds(serve(&[], &[])), 600);
    assert_eq!(seconds(serve(&["--approval-timeout", "90"], &[])), 90);
    assert_eq!(seconds(serve(&[], &[("RUNWIRE_APPROVAL_TIMEOUT", "2m")])), 120);
}

#[test]
fn a_variable_of_another_command_is_not_looked_at() {
    assert_eq!(run(&["x"], &[("RUNWIRE_PORT", "nonsense")]).text.as_deref(), Some("x"));
}

#[test]
fn a_bad_value_is_refused_with_its_source_what_came_and_an_example() {
    for (name, bad) in [
        ("host", "example.com"),
        ("port", "65536"),
        ("port", "-1"),
        ("port", "80x"),
        ("cors-origins", "example.com"),
        ("cors-origins", "https://a.example/path"),
        ("cors-origins", ","),
        ("allowed-hosts", "http://a.example"),
        ("allowed-hosts", "a.example:80"),
        ("max-body", "10X"),
        ("max-body", "0"),
        ("max-body", "99999999999999999999"),
        ("max-body", "99999999999999G"),
        ("head-timeout", "0"),
        ("body-timeout", "soon"),
        ("idle-timeout", "1w"),
        ("keepalive", "ms"),
        ("drain", "-1s"),
        ("max-runs", "0"),
        ("cgroup", "on"),
        ("max-queue", "many"),
        ("run-timeout", "never"),
        ("approval-timeout", "0"),
        ("orphan-ttl", "1.5h"),
        ("on-orphan", "kill"),
        ("allow-outside", "perhaps"),
        ("base-url", "http://127.0.0.1:8080"),
        ("base-url", "ftp://a.example/v1"),
        ("base-url", "http://user:secret@a.example/v1"),
        ("base-url", "http:///v1"),
        ("api-key-env", "my key"),
        ("api-key-env", "1KEY"),
        ("model-timeout", "0ms"),
        ("context-tokens", "1"),
        ("max-turns", "0"),
        ("max-tool-calls", "-1"),
        ("max-tokens", "0"),
        ("max-output", "0"),
        ("max-output", "all"),
        ("log-level", "trace"),
        ("log", "loud"),
        ("store", "runs.db"),
        ("retain", "0"),
        ("retain", "none"),
        ("retain-runs", "0"),
        ("retain-bytes", "forever"),
    ] {
        let setting = SETTINGS.iter().find(|setting| setting.name == name);
        let setting = setting.unwrap_or_else(|| panic!("there is no --{name}"));
        let by_flag = refusal(&["serve", &format!("--{name}={bad}")], &[]);
        assert!(by_flag.starts_with(&format!("--{name}: expected ")), "{by_flag}");
        let by_variable = refusal(&["serve"], &[(&setting.variable(), bad)]);
        assert!(by_variable.starts_with(&setting.variable()), "{by_variable}");
        for message in [by_flag, by_variable] {
            assert!(message.contains(&format!("got {bad:?}.")), "{message}");
            assert!(message.contains(setting.kind.expected), "{message}");
            assert!(message.contains("Try `runwire serve --help`"), "{message}");
        }
    }
}

#[test]
fn a_bad_key_is_refused_without_being_repeated() {
    for bad in ["tooshort", "with spaces in it, and long", "ümlaute-ümlaute-ümlaute"] {
        let message = refusal(&["serve"], &[("RUNWIRE_KEY", bad)]);
        assert!(message.starts_with("RUNWIRE_KEY: expected at least 16"), "{message}");
        assert!(!message.contains(bad), "{message}");
        assert!(message.contains(&format!("got {} characters", bad.chars().count())), "{message}");
    }
}

#[test]
fn a_value_that_is_not_utf_8_is_refused_except_for_a_directory() {
    let odd = OsStr::from_bytes(b"/tmp/\xff").to_owned();
    let line = |name: &str| vec!["serve".into(), name.into(), odd.clone()];
    assert!(parse(line("--model"), &Env::default()).is_err());
    match parse(line("--workspace"), &Env::default()) {
        Ok(Command::Serve(serve)) => assert_eq!(serve.settings.workspace, Some(odd.into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn times_and_sizes_are_read_in_their_units() {
    let time = |text: &str| Given(OsStr::new(text)).time();
    assert_eq!(time("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(time("10"), Some(Duration::from_secs(10)));
    assert_eq!(time("10s"), Some(Duration::from_secs(10)));
    assert_eq!(time("5m"), Some(Duration::from_secs(300)));
    assert_eq!(time("1h"), Some(Duration::from_secs(3600)));
    let size = |text: &str| Given(OsStr::new(text)).size();
    assert_eq!(size("123"), Some(123));
    assert_eq!(size("4K"), Some(4096));
    assert_eq!(size("10M"), Some(10 * 1024 * 1024));
    assert_eq!(size("1G"), Some(1024 * 1024 * 1024));
}

#[test]
fn a_near_miss_is_told_what_was_meant() {
    assert!(refusal(&["serve", "--prot", "1"], &[]).contains("Did you mean --port?"));
    assert!(refusal(&["run", "--jsn", "x"], &[]).contains("Did you mean --json?"));
    assert!(refusal(&["sreve"], &[]).contains("Did you mean `runwire serve`?"));
    assert!(refusal(&["list files"], &[]).contains("`runwire run \"list files\"`"));
    assert!(refusal(&["--port", "1", "serve"], &[]).contains("`runwire serve --port ...`"));
    assert!(refusal(&["run", "--port", "1", "x"], &[]).contains("belongs to `runwire serve`"));
    let warnings =
        serve(&[], &[("RUNWIRE_PROT", "1"), ("RUNWIRE_UNRELATED", "1")]).settings.warnings;
    assert_eq!(warnings, ["RUNWIRE_PROT is no setting; did you mean RUNWIRE_PORT?"]);
}

#[test]
fn what_is_too_much_or_too_little_is_refused() {
    for line in [
        &["run", "a", "b"][..],
        &["run", ""],
        &["run", "  "],
        &["run", "--json=yes", "x"],
        &["serve", "x"],
        &["serve", "--port"],
        &["serve", "-p"],
        &["serve", "--json"],
        &["key", "x"],
        &["version", "--port", "1"],
        &["-x"],
        &["run", "--server", "127.0.0.1:8642", "x"],
        &["run", "--server"],
    ] {
        let message = refusal(line, &[]);
        assert!(message.contains("--help`"), "{line:?}: {message}");
    }
}

#[test]
fn help_and_version_are_found_wherever_they_stand() {
    let topic = |line: &[&str]| match parse_with(line, &[("RUNWIRE_PORT", "nonsense")]) {
        Ok(Command::Help(topic)) => topic,
        other => panic!("{line:?} gave {other:?}"),
    };
    assert_eq!(topic(&[]), Topic::All);
    assert_eq!(topic(&["--help"]), Topic::All);
    assert_eq!(topic(&["help"]), Topic::All);
    assert_eq!(topic(&["help", "run"]), Topic::Run);
    assert_eq!(topic(&["serve", "--port", "1", "-h"]), Topic::Serve);
    assert_eq!(topic(&["run", "x", "--help"]), Topic::Run);
    for line in [&["version"], &["--version"], &["-V"]] {
        assert!(matches!(parse_with(line, &[]), Ok(Command::Version)), "{line:?}");
    }
}

#[test]
fn a_text_may_come_from_standard_input_or_begin_with_a_dash() {
    assert_eq!(run(&[], &[]).text, None);
    let dash = run(&["-"], &[]);
    assert!(dash.text.is_none() && dash.stdin);
    assert_eq!(run(&["--json", "--", "--help"], &[]).text.as_deref(), Some("--help"));
}

#[test]
fn a_key_in_the_environment_alone_chooses_no_model() {
    let key = ("OPENAI_API_KEY", "sk-0123456789");
    assert_eq!(run(&["x"], &[key]).place, Place::Here(Choice::Builtin));
    assert_eq!(serve(&["--model", "builtin"], &[key]).model, Choice::Builtin);
}

#[test]
fn a_model_by_name_is_asked_at_openai_with_its_key() {
    let key = ("OPENAI_API_KEY", " sk-0123456789\n");
    let Choice::Remote { base_url, model, api_key, .. } = serve(&["--model", "gpt"], &[key]).model
    else {
        panic!("no model was chosen")
    };
    assert_eq!((base_url.as_str(), model.as_str()), ("https://api.openai.com/v1", "gpt"));
    assert_eq!(api_key.as_deref(), Some("sk-0123456789"));
    assert!(refusal(&["serve", "--model", "gpt"], &[]).contains("OPENAI_API_KEY is not set"));
}

#[test]
fn a_server_of_ones_own_needs_a_model_but_no_key() {
    let url = "http://127.0.0.1:8080/v1";
    assert!(refusal(&["serve", "--base-url", url], &[]).starts_with("--base-url needs --model"));
    let line = ["--base-url", "http://127.0.0.1:8080/v1/", "--model", "m"];
    let Choice::Remote { base_url, api_key, .. } = serve(&line, &[]).model else {
        panic!("no model was chosen")
    };
    assert_eq!((base_url.as_str(), api_key), (url, None));
    let named = ["serve", "--base-url", url, "--model", "m", "--api-key-env", "MY_KEY"];
    assert!(refusal(&named, &[]).contains("MY_KEY is not set"));
}

#[test]
fn a_key_is_not_shown_by_the_choice_and_its_way_in_the_clear_is_warned_of() {
    let variables = [("OPENAI_API_KEY", "sk-0123456789")];
    let far = serve(&["--model", "m", "--base-url", "http://far.example/v1"], &variables).model;
    assert!(far.warning().is_some_and(|warning| warning.contains("unencrypted")));
    assert!(!format!("{far} {far:?} {:?}", far.warning()).contains("sk-"));
    let near = serve(&["--model", "m", "--base-url", "http://localhost:1/v1"], &variables).model;
    assert_eq!(near.warning(), None);
}

#[test]
fn a_run_on_a_server_takes_no_settings_of_the_work() {
    let url = "http://127.0.0.1:8642/";
    let place = Place::Server("http://127.0.0.1:8642".to_owned());
    assert_eq!(run(&["--server", url, "x"], &[("RUNWIRE_MODEL", "ignored")]).place, place);
    let message = refusal(&["run", "--server", url, "--model", "m", "x"], &[]);
    assert!(message.starts_with("--model has no effect with --server"), "{message}");
    let message = refusal(&["run", "--server", "https://far.example", "x"], &[]);
    assert!(message.contains("RUNWIRE_KEY"), "{message}");
}

#[test]
fn loopback_is_known_by_name_and_number_and_by_nothing_else() {
    for near in
        ["http://localhost", "http://127.0.0.1:80/v1", "http://[::1]:80", "https://127.9.9.9"]
    {
        assert!(is_loopback(near), "{near}");
    }
    for far in ["http://localhost.example", "http://10.0.0.1", "http://127.0.0.1.example", "x"] {
        assert!(!is_loopback(far), "{far}");
    }
}
