//! `runwire bench`, by the real binary: what it tells, and that nothing of it stays.
#![cfg(all(feature = "cli", feature = "sys", target_os = "linux"))]
mod cli_kit;

use cli_kit::{Done, Home, finish, signal};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

/// A bench whose folders lie in this home, and nowhere else.
fn bench(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(&[&["bench"], args].concat());
    command.env("TMPDIR", &home.0);
    command
}

/// The same under a limit, as a shell sets it.
fn limited(home: &Home, limit: &str, args: &[&str]) -> Done {
    let script = format!("trap '' XFSZ; ulimit {limit}; exec \"$0\" bench \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_runwire")]).args(args);
    command.env_clear().env("TMPDIR", &home.0).env("HOME", &home.0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

fn ran(home: &Home, args: &[&str]) -> Done {
    finish(bench(home, args).spawn().unwrap())
}

/// The names of the folders that are there.
fn folders(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(&home.0).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The processes that were told of a folder of this home.
fn servers(home: &Home) -> Vec<String> {
    let mine = home.0.join("runwire-bench-").to_str().unwrap().to_owned();
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let lines = entries.filter_map(|path| fs::read(path.join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains("__bench") && line.contains(&mine)).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "still not: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// A bench whose server is at work.
fn started(home: &Home) -> Child {
    let child = bench(home, &["--quick"]).spawn().unwrap();
    wait_until("a server works", || !servers(home).is_empty() && !folders(home).is_empty());
    child
}

/// What is documented, in its order.
fn documented_keys() -> Vec<String> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    let docs = fs::read_to_string(docs).unwrap();
    let (_, bench) = docs.split_once("# What it costs on this machine").unwrap();
    let rows = bench.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap().to_owned());
    cells.flat_map(|cell| cell.split(", ").map(clean).collect::<Vec<_>>()).collect()
}

fn clean(word: &str) -> String {
    word.trim_matches('`').to_owned()
}

#[test]
fn one_object_has_what_is_documented_and_every_figure_is_likely() {
    let home = Home::new();
    let done = ran(&home, &["--quick", "--json"]);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let told: Value = serde_json::from_str(&done.out).unwrap();
    let keys: BTreeSet<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(keys, documented_keys().iter().collect::<BTreeSet<_>>());

    let figure = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));
    let program = fs::metadata(env!("CARGO_BIN_EXE_runwire")).unwrap().len();
    assert_eq!(figure("binary_bytes"), program);
    assert_eq!(told["store"], if cfg!(feature = "sqlite") { "sqlite" } else { "memory" });
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    for (name, least, most) in [
        ("start_best_us", 500, 5_000_000),
        ("idle_resident_bytes", 1 << 20, 100 << 20),
        ("idle_streams", 800, 1_000),
        ("idle_stream_bytes", 50, 20_000),
        ("fanout_per_second", 1_000, 100_000_000),
        ("fanout_per_cpu_second", 1_000, 100_000_000),
        ("post_accepted", 50, 100_000),
        ("post_per_second", 50, 1_000_000),
        ("post_per_cpu_second", 50, 1_000_000),
        ("took_ms", 1_000, 30_000),
    ] {
        assert!((least..=most).contains(&figure(name)), "{name}: {}", figure(name));
    }
    for (less, more) in [
        ("start_best_us", "start_median_us"),
        ("live_p50_us", "live_p99_us"),
        ("post_p50_us", "post_p99_us"),
        ("event_p50_us", "event_p99_us"),
    ] {
        assert!(0 < figure(less) && figure(less) <= figure(more), "{less}: {told}");
        assert!(figure(more) < 5_000_000, "{more}: {told}");
    }
    // Eleven events of each paced run reach each of its readers, the run's end among them; so do
    // those of a trial and of the run at full speed.
    let paced = 11 * (figure("live_readers") + figure("event_runs"));
    let trial = 301 * figure("fanout_readers");
    assert_eq!(figure("events_checked"), paced + trial + figure("fanout_deliveries"));
    assert_eq!((folders(&home), servers(&home)), (vec![], vec![]));
}

#[test]
fn the_table_is_for_people_and_tells_how_few_streams_a_limit_lets_it_have() {
    let home = Home::new();
    let done = limited(&home, "-n 250", &["--quick", "--store", "memory"]);
    assert_eq!((done.code(), done.err.as_str()), (0, ""));
    let mut lines = done.out.lines();
    assert!(lines.next().unwrap().starts_with("runwire ") && done.out.contains("store memory"));
    let rows: Vec<&str> = lines.filter(|line| line.starts_with("  ")).collect();
    assert_eq!(rows.len(), 17, "{}", done.out);
    for row in &rows {
        let (label, figure) = row.trim().rsplit_once("  ").unwrap_or_else(|| panic!("{row}"));
        assert!(
            !label.trim().is_empty() && figure.starts_with(|c: char| c.is_ascii_digit()),
            "{row}"
        );
        assert!(row.len() <= 80 && !row.contains(['{', '}']), "{row}");
    }
    assert!(done.out.contains("full speed, 154 readers") && done.out.contains(" s of 30"));
    assert!(done.out.contains("idle stream, of 154"), "{}", done.out);
    assert!(folders(&home).is_empty());
}

#[test]
fn interrupted_it_leaves_no_server_and_no_folder() {
    for name in ["INT", "TERM"] {
        let home = Home::new();
        let child = started(&home);
        signal(&child, name);
        let done = finish(child);
        assert_eq!((done.code(), done.out.as_str()), (130, ""), "{}", done.err);
        assert_eq!((folders(&home), servers(&home)), (vec![], vec![]));
    }
}

#[test]
fn killed_it_leaves_no_server() {
    let home = Home::new();
    let child = started(&home);
    signal(&child, "KILL");
    assert_eq!(finish(child).status.code(), None);
    wait_until("the server is gone", || servers(&home).is_empty());
}

#[test]
fn a_server_whose_bench_is_gone_takes_its_folder_along_and_no_other() {
    for (name, is_taken) in [("runwire-bench-0123456789abcdef", true), ("mine", false)] {
        let home = Home::new();
        let folder = home.0.join(name);
        fs::create_dir(&folder).unwrap();
        let words = ["serve", "--drain", "0", "--store", "memory", "--port", "0"];
        let mut command =
            home.command(&[&["__bench", folder.to_str().unwrap(), "script"], &words[..]].concat());
        command.env("HOME", &folder).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        wait_until("it has begun", || fs::read_dir(&folder).unwrap().count() > 0);
        drop(child.stdin.take());
        finish(child);
        assert_eq!(folder.exists(), !is_taken, "{name}");
    }
}

#[test]
fn a_bench_that_cannot_work_fails_and_says_why() {
    let home = Home::new();
    let done = finish(bench(&home, &["--quick"]).env("TMPDIR", "/nowhere").spawn().unwrap());
    assert_eq!(done.code(), 1);
    assert!(done.err.contains("Could not make /nowhere/runwire-bench-"), "{}", done.err);
}

#[test]
#[cfg(feature = "sqlite")]
fn a_server_that_does_not_start_is_told_of_in_its_own_words() {
    let home = Home::new();
    let done = limited(&home, "-f 8", &["--quick", "--store", "sqlite"]);
    assert_eq!((done.code(), done.out.as_str()), (1, ""));
    assert!(done.err.contains("A server did not start: runwire: no room for "), "{}", done.err);
    assert_eq!((folders(&home), servers(&home)), (vec![], vec![]));
}

#[test]
fn what_is_asked_wrongly_is_told_of() {
    let home = Home::new();
    for (line, said) in [
        (&["--quik"][..], "Did you mean --quick?"),
        (&["--store", "file"], "--store: expected "),
        (&["--port", "1"], "--port belongs to"),
        (&["now"], "one word too many"),
        (&["--json=yes"], "takes no value"),
    ] {
        let done = ran(&home, line);
        assert_eq!((done.code(), done.out.as_str()), (2, ""), "{line:?}");
        assert!(done.err.contains(said) && done.err.contains("bench --help"), "{}", done.err);
    }
    assert!(folders(&home).is_empty());
}
