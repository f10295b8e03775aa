//! What `--help` says.
use super::args::Topic;
use super::settings::Setting;
use super::table::SETTINGS;
use std::fmt::Write;

/// The help text on `topic`.
pub fn text(topic: Topic) -> String {
    let (intro, outro) = match topic {
        Topic::All => return ALL.replace("{version}", env!("CARGO_PKG_VERSION")),
        Topic::Version => return VERSION.to_owned(),
        Topic::Run => (RUN, RUN_END),
        Topic::Serve => (SERVE, SERVE_END),
        Topic::Key => (KEY, ""),
        Topic::Db => (DB, DB_END),
    };
    let rows: String =
        SETTINGS.iter().filter(|row| row.commands & topic.bit() != 0).map(row_of).collect();
    format!("{intro}\n{SETTINGS_INTRO}\n{rows}{outro}")
}

/// One setting: what to type on its own line, what it means below.
fn row_of(setting: &Setting) -> String {
    let mut row = format!("  --{} {}", setting.name, setting.kind.meta).trim_end().to_owned();
    write!(row, "\n      {}\n", setting.help).expect("a String takes any text");
    if !setting.is_switch() {
        let default = setting.default;
        writeln!(row, "      Default: {default}").expect("a String takes any text");
    }
    row
}

const SETTINGS_INTRO: &str = "\
Settings: a flag goes before its variable, which is RUNWIRE_ and the flag's name
(--max-runs: RUNWIRE_MAX_RUNS). An empty variable counts as unset.
";

const ALL: &str = "\
runwire {version}: runs AI agents and streams every step they take.

Usage:
  runwire run \"TEXT\"    Let an agent work on TEXT here and watch it
  runwire serve         Serve the runs API (POST /v1/runs, events over SSE)
  runwire key           Print the server's key
  runwire db check      Check the server's file of runs; `db export` saves it as JSON
  runwire version       Print the version
  runwire COMMAND --help    Say more about one command, with all its settings

Try:
  runwire run \"list files in /tmp\"

This works at once: without --model the agent is `builtin`, which is no language
model, understands a few plain requests, costs nothing and uses no network.
Ask a real one with any server that speaks OpenAI's API:
  runwire run --base-url http://127.0.0.1:8080/v1 --model NAME \"...\"
  OPENAI_API_KEY=... runwire run --model gpt-5-mini \"...\"

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
";

const VERSION: &str = "\
Usage: runwire version

Prints the version.
";

const RUN: &str = "\
Usage: runwire run [SETTINGS] \"TEXT\"
       COMMAND | runwire run [SETTINGS]

Lets an agent work on TEXT, in the current directory, and shows each step. Without
TEXT, or with `-`, the text is read from standard input.

On a terminal the answer appears as it comes, each tool with its duration, and the
model's reasoning dimmed. On a pipe standard output gets the answer alone (the text
of the last turn), when it is whole; tools and errors go to standard error.
Ctrl-C stops the run properly; a second one leaves at once.

  --json
      Write each event as a line of JSON, just as the server streams it.
  --server URL
      Work on a running server instead, such as http://127.0.0.1:8642. Its key is
      --key, or RUNWIRE_KEY, or for this machine the one in the state directory.

Examples:
  runwire run \"list files in /tmp\"
  runwire run --json \"read Cargo.toml\" | jq .event
  git diff | runwire run --model gpt-5-mini --instructions \"Review this diff.\"
";

const RUN_END: &str = "
Exit codes: 0 completed, 1 failed, 2 wrong usage, 130 interrupted.
";

const SERVE: &str = "\
Usage: runwire serve [SETTINGS]

Serves the runs API. The first start makes a key and prints it once; `runwire key`
shows it again. The agent works in a directory of its own inside the state
directory unless --workspace names another. Runs are kept in a file of the state
directory: whatever a client was shown is stored and outlives the server. On Linux
commands are confined; warnings at the start say what this kernel cannot enforce.
SIGTERM or Ctrl-C: no new runs, working ones get --drain to finish, waiting ones
wait for the next start; a second signal leaves at once.

Examples:
  runwire serve
  runwire serve --port 9000 --workspace . --model gpt-5-mini
  runwire serve --retain 30d --retain-bytes 2G
  RUNWIRE_KEY=$(openssl rand -hex 32) runwire serve --host 0.0.0.0
";

const SERVE_END: &str = "
API_SERVER_KEY, API_SERVER_HOST, API_SERVER_PORT and API_SERVER_CORS_ORIGINS are
understood too, after the variables of our own.
";

const KEY: &str = "\
Usage: runwire key [SETTINGS]

Prints the key clients must show, and makes it if there is none yet:
  curl -H \"Authorization: Bearer $(runwire key)\" http://127.0.0.1:8642/v1/models
";

const DB: &str = "\
Usage: runwire db check  [FILE] [--state DIR]
       runwire db export [FILE] [--state DIR] [--output FILE]

Looks into the file of runs of a server: the one of the state directory, or FILE (a
copy of it, or another state directory). Neither writes to it, and a server may be at
work on it meanwhile.

check reads all of it, says what is wrong, and ends with 0 if nothing is.
export writes every run with its request, its outcome and its events as one line of
JSON, oldest first; of a damaged file, whatever can be read.

  --output FILE
      Write the export to a new file, which only you may read, instead of standard
      output.

Examples:
  runwire db check
  runwire db export | grep run_0123456789abcdef0123456789abcdef
  runwire db export damaged.db --output saved.jsonl
";

const DB_END: &str = "
Exit codes: 0 all is well, 1 damaged or unreadable, 2 wrong usage.
";
