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
        Topic::Bench => (BENCH, BENCH_END),
        Topic::Config => return CONFIG.to_owned(),
        Topic::Doctor => return DOCTOR.to_owned(),
        Topic::Completions => return COMPLETIONS.to_owned(),
        Topic::Man => return MAN.to_owned(),
        Topic::Chat => (CHAT, CHAT_END),
        Topic::Runs => (RUNS, ASK_END),
        Topic::Show => (SHOW, ASK_END),
        Topic::Tail => (TAIL, TAIL_END),
        Topic::Stop => (STOP, ASK_END),
        Topic::Steer => (STEER, ASK_END),
        Topic::Approve => (APPROVE, ASK_END),
        Topic::Sessions => (SESSIONS, ASK_END),
    };
    let intro = if topic.asks() { format!("{intro}{ASK}") } else { intro.to_owned() };
    format!("{intro}\n{SETTINGS_INTRO}{}{outro}", rows(topic))
}

/// Beyond as many settings they stand in groups.
const UNGROUPED_MAX: usize = 10;
/// The setting each group begins with, in the order of the table, and what it is about.
const GROUPS: &[(&str, &str)] = &[
    ("host", "Address and access"),
    ("memory", "Memory and connections"),
    ("max-runs", "Runs"),
    ("workspace", "What agents may do"),
    ("model", "Model, and bounds for each run"),
    ("state", "What is kept"),
    ("webhook", "Webhooks"),
    ("log", "Log and configuration"),
];

/// The settings of a command.
fn rows(topic: Topic) -> String {
    let is_of = |row: &&Setting| row.commands & topic.bit() != 0;
    let is_long = SETTINGS.iter().filter(is_of).count() > UNGROUPED_MAX;
    let (mut text, mut title) = (String::new(), "");
    for row in SETTINGS {
        let begun = GROUPS.iter().find(|(first, _)| is_long && *first == row.name);
        title = begun.map_or(title, |(_, title)| title);
        if !is_of(&row) {
            continue;
        }
        if text.is_empty() || !title.is_empty() {
            text.push('\n');
        }
        if !title.is_empty() {
            writeln!(text, "{title}:").expect("a String takes any text");
            title = "";
        }
        text += &row_of(row);
    }
    text
}

/// What the help of a command begins with, before its settings.
#[cfg(feature = "config")]
pub fn intro(topic: Topic) -> &'static str {
    match topic {
        Topic::All => ALL,
        Topic::Version => VERSION,
        Topic::Run => RUN,
        Topic::Serve => SERVE,
        Topic::Key => KEY,
        Topic::Db => DB,
        Topic::Bench => BENCH,
        Topic::Config => CONFIG,
        Topic::Doctor => DOCTOR,
        Topic::Completions => COMPLETIONS,
        Topic::Man => MAN,
        Topic::Chat => CHAT,
        Topic::Runs => RUNS,
        Topic::Show => SHOW,
        Topic::Tail => TAIL,
        Topic::Stop => STOP,
        Topic::Steer => STEER,
        Topic::Approve => APPROVE,
        Topic::Sessions => SESSIONS,
    }
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
(--max-runs: RUNWIRE_MAX_RUNS), and that before the configuration file (max-runs = 8).
An empty variable counts as unset.
";

const ALL: &str = "\
runwire {version}: runs AI agents and streams every step they take.

Usage:
  runwire run \"TEXT\"    Let an agent work on TEXT here and watch it
  runwire serve         Serve the runs API (POST /v1/runs, events over SSE)
  runwire chat          Talk with an agent, here or on a server
  runwire runs          List a server's runs; `show RUN` shows one, `tail RUN` follows
                        it, `stop RUN`, `steer RUN TEXT` and `approve` have a say
  runwire sessions      List a server's sessions; `show ID`, `delete ID`
  runwire key           Print the server's key; `key add` makes further ones
  runwire db check      Check the server's file of runs; `db export` saves it as JSON
  runwire bench         Measure what this program costs on this machine
  runwire config        Show the settings in force, and where each comes from
  runwire doctor        See whether everything is ready; say what to do if not
  runwire completions SHELL, runwire man    Print completions, or the manual page
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
       runwire key add NAME [--scope SCOPE,...] [--max-runs N] [--requests-per-minute N]
       runwire key list | revoke NAME | rotate NAME

Prints the key clients must show, and makes it if there is none yet:
  curl -H \"Authorization: Bearer $(runwire key)\" http://127.0.0.1:8642/v1/models

That key is named `default` and may do everything. Further keys are kept in --keys, each
with runs and sessions of its own, which no other key sees.
add makes one and prints it, once. list shows names, scopes and limits. rotate gives a
key another secret, and prints it; its runs stay its own. revoke takes a key away; its
runs stay until a key of that name is made again. A running server is told (SIGHUP);
whoever came with a secret that is no more is cut off.

add takes
    --scope SCOPE,...
      What it may do: runs:write (make and delete runs), runs:read, runs:control (stop,
      steer, allow), admin (everything). Default: runs:write,runs:read,runs:control
    --max-runs COUNT
      Unfinished runs at once; a further one is refused with 429. Default: no limit
    --requests-per-minute COUNT
      Likewise; a stream is one request. Default: no limit
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

const BENCH: &str = "\
Usage: runwire bench [--quick] [--json] [--store STORE]

Measures this program on this machine, in at most 30 seconds: size, start, memory at
rest and an open stream, events to many readers, posts, and how long an event takes from
the agent to its reader. It starts servers of its own on free ports of 127.0.0.1, with the
settings `runwire serve` has by itself, and counts every event: one that is missing or out
of order fails the bench. Nothing of it stays. docs/cli.md says what each figure means.

  --json
      Write one JSON object.
  --quick
      Less of everything, in some four seconds.

Examples:
  runwire bench
  runwire bench --store memory --json
";

const BENCH_END: &str = "
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
";

const CONFIG: &str = "\
Usage: runwire config [--json] [SETTINGS]
       runwire config --example

Shows every setting with its value and where that comes from: a flag, a variable, a
line of the configuration file, or the default. Keys are not shown.

The configuration file is --config FILE, or RUNWIRE_CONFIG, or else
~/.config/runwire/config.toml ($XDG_CONFIG_HOME/runwire/config.toml) if it is there. It
is TOML; its names are those of the flags:
  max-runs = 8
  model = \"gpt-5-mini\"
  cors-origins = [\"https://app.example.com\", \"https://example.com\"]

  --example
      Print a configuration file with every setting, all commented out.
  --json
      Write JSON.
  Takes every setting of `runwire serve` and `runwire run`.

Examples:
  runwire config
  mkdir -p ~/.config/runwire && runwire config --example > ~/.config/runwire/config.toml
";

const DOCTOR: &str = "\
Usage: runwire doctor [--json] [SETTINGS]

Looks at everything `runwire serve` needs, in at most three seconds, and says of each
whether it is well, what it means and what to do: the configuration, the key, the state
directory and its disk, the store, the port, the model, the model servers that run on
this machine, the confinement of commands, limits and the clock. Nothing is changed and
no model is asked to say anything: a server is only asked for the list of its models.

  --json
      Write JSON.
  Takes every setting of `runwire serve` and `runwire run`.

Examples:
  runwire doctor
  runwire doctor --base-url http://127.0.0.1:11434/v1 --model qwen3

Exit codes: 0 nothing fails (there may be warnings), 1 something does, 2 wrong usage.
";

const COMPLETIONS: &str = "\
Usage: runwire completions bash|zsh|fish

Prints what has a shell complete the words after `runwire`. To install:
  bash   runwire completions bash > ~/.local/share/bash-completion/completions/runwire
         or, in ~/.bashrc: source <(runwire completions bash)
  zsh    runwire completions zsh > DIR/_runwire    with DIR in $fpath, before compinit
  fish   runwire completions fish > ~/.config/fish/completions/runwire.fish
";

const MAN: &str = "\
Usage: runwire man

Prints the manual page, to be read at once or installed:
  runwire man | man -l -
  runwire man > /usr/local/share/man/man1/runwire.1
";

const ASK: &str = "
RUN is a run's id, the beginning of one (without `run_`, too), or `last`.

  --server URL
      The server to speak to. Its key is --key, or RUNWIRE_KEY, or for this machine the
      one in the state directory. Default: http://127.0.0.1:8642
  --json
      Write JSON: one object, or of a list each entry on a line.
";

const ASK_END: &str = "
Exit codes: 0 done, 1 refused or not reachable, 2 wrong usage.
";

const RUNS: &str = "\
Usage: runwire runs [--status STATUS] [--session NAME] [--limit COUNT] [SETTINGS]

Lists runs, the newest first: a table on a terminal, on a pipe lines of id, status,
start, tokens and input with tabs between them.

  --status STATUS
      Only those that are queued, running, waiting_for_approval, stopping, completed,
      failed, cancelled or interrupted.
  --session NAME
      Only those of this session.
  --limit COUNT
      At most so many. Default: 20
";

const SHOW: &str = "\
Usage: runwire show RUN [SETTINGS]

Shows how a run stands, all that was said and done in it, and what it has used. Of one
that still works, what there is so far.
";

const TAIL: &str = "\
Usage: runwire tail RUN [--from SEQ] [SETTINGS]

Shows a run as `runwire run` does, from its beginning and as it goes on, until it ends.
A lost connection or a server that starts again is waited for: nothing is missing and
nothing comes twice. Ctrl-C leaves; the run goes on.

  --from SEQ
      Begin at the event of that number. Default: 0
";

const TAIL_END: &str = "
Exit codes: of the run, 0 completed, 1 failed, 130 stopped; 1 also where it cannot be
followed, 2 wrong usage.
";

const STOP: &str = "\
Usage: runwire stop RUN [SETTINGS]

Stops a run. One that has ended stays as it is.
";

const STEER: &str = "\
Usage: runwire steer RUN \"TEXT\" [--interrupt] [SETTINGS]

Tells a run that works something, which its model hears before its next turn.

  --interrupt
      Skip those tool calls of the present turn that have not begun.
";

const APPROVE: &str = "\
Usage: runwire approve [SETTINGS]
       runwire approve RUN [once | session | always | deny] [SETTINGS]

Decides what a run waits for. Without a choice the question is shown, and asked at a
terminal; without a RUN, all there are. --once, --session, --always and --deny say the
same as the words.
";

const SESSIONS: &str = "\
Usage: runwire sessions [--limit COUNT] [SETTINGS]
       runwire sessions show ID | delete ID [SETTINGS]

Lists sessions, the latest used first. show prints what was said in one; delete takes it
away with all its runs.

  --limit COUNT
      At most so many. Default: 20
";

const CHAT: &str = "\
Usage: runwire chat [--session NAME] [--server URL] [SETTINGS]

A conversation, a line for each turn: with an agent in this process, which forgets it at
the end, or with --server on a server, which keeps it. Calls that need leave are asked
about here. Ctrl-C stops the turn that works; twice, or with nothing at work twice, it
leaves. On a pipe each line is a turn, and standard output gets the answers alone.

  /help, /new, /session NAME, /stop, /steer TEXT, /quit
      What may be typed instead of a turn; /stop and /steer while one works.
  --session NAME
      The session to go on in. Default: a new one
  --server URL
      Talk on a running server, such as http://127.0.0.1:8642. Its key is --key, or
      RUNWIRE_KEY, or for this machine the one in the state directory.
";

const CHAT_END: &str = "
Exit codes: 0 left, on a pipe that of the last turn (1 failed, 130 stopped), 2 wrong
usage, 130 Ctrl-C twice.
";

#[cfg(test)]
mod tests {
    use super::{GROUPS, text};
    use crate::cli::args::Topic;
    use crate::cli::table::SETTINGS;

    #[test]
    fn long_lists_of_settings_stand_in_groups_and_short_ones_do_not() {
        let (serve, key) = (text(Topic::Serve), text(Topic::Key));
        for (first, title) in GROUPS {
            let heading = format!("\n\n{title}:\n  --");
            let is_built_in = SETTINGS.iter().any(|setting| setting.name == *first);
            assert_eq!(serve.contains(&heading), is_built_in, "{title}");
            assert!(!key.contains(&heading), "{title}");
        }
    }
}
