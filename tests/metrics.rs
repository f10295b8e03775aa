//! `GET /metrics`: a page that Prometheus can read, and that says what has happened.
mod common;

use common::{Gate, Puppet, Shelf, Site, get, on_each_store, post, wait_for};
use runwire::event::{Delta, Event, Kind};
use runwire::limits::{HISTORY_BYTES_MAX, STALL_MS};
use runwire::machine::{Input, Machine, Measures, Output};
use runwire::store::Memory;
use runwire::time::{Now, Tick, Wall};
use runwire::{About, Agent, Config, Context, Ending, Toolset};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A page taken apart by all the rules of the format, and a few more that are good manners.
struct Page {
    kinds: BTreeMap<String, String>,
    /// By name and labels as they are written.
    samples: BTreeMap<String, f64>,
}

impl Page {
    fn of(site: &Site) -> Page {
        let reply = site.get("/metrics");
        assert_eq!(reply.status, 200, "{reply:?}");
        let kind = reply.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        Page::parse(std::str::from_utf8(&reply.body).unwrap())
    }

    fn parse(text: &str) -> Page {
        assert!(text.ends_with('\n'), "the last line ends too");
        let mut page = Page { kinds: BTreeMap::new(), samples: BTreeMap::new() };
        let (mut family, mut helped) = (String::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(!help.is_empty() && !help.contains('\\'), "{line}");
                assert!(helped.insert(name.to_owned()), "helped twice: {line}");
                family = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, family, "TYPE stands behind its HELP");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
                page.kinds.insert(name.to_owned(), kind.to_owned());
            } else {
                page.sample(line, &family);
            }
        }
        assert_eq!(helped.len(), page.kinds.len());
        page.check_histograms();
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(value >= 0.0, "{line}");
        let name = series.split('{').next().unwrap();
        let is_in_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        assert!(name.chars().all(is_in_name) && !name.starts_with(|c: char| c.is_ascii_digit()));
        let ending = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
        let endings: &[&str] = match self.kinds[family].as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(endings.contains(&ending), "{line} in {family}");
        check_labels(&series[name.len()..]);
        assert!(self.samples.insert(series.to_owned(), value).is_none(), "twice: {series}");
    }

    /// Buckets never fall, and the last is the count.
    fn check_histograms(&self) {
        let mut found = 0;
        for (series, count) in self.samples.iter().filter(|(name, _)| name.contains("_count")) {
            let (name, labels) = series.split_once("_count").unwrap();
            let labels = labels.trim_start_matches('{').trim_end_matches('}');
            let start = match labels {
                "" => format!("{name}_bucket{{le=\""),
                labels => format!("{name}_bucket{{{labels},le=\""),
            };
            let buckets = self.samples.iter().filter_map(|(other, value)| {
                let bound = other.strip_prefix(&start)?.strip_suffix("\"}")?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
                Some((bound, *value))
            });
            let mut buckets: Vec<(f64, f64)> = buckets.collect();
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.len() > 10, "{series}");
            assert!(buckets.is_sorted_by(|one, next| one.0 < next.0 && one.1 <= next.1));
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, *count)), "{series}");
            assert!(self.samples.contains_key(&series.replace("_count", "_sum")));
            found += 1;
        }
        assert!(found > 5, "there are histograms");
    }

    fn get(&self, series: &str) -> f64 {
        *self.samples.get(series).unwrap_or_else(|| panic!("no {series}"))
    }
}

/// `{name="value",...}` or nothing. A value has quotes, backslashes and line ends only escaped.
fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let mut rest = labels.strip_prefix('{').unwrap();
    let mut names = BTreeSet::new();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
        assert!(names.insert(name), "{labels}");
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => assert!("\\\"n".contains(chars.next().unwrap().1), "{labels}"),
                (at, '"') => break at,
                _ => {}
            }
        };
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return assert_eq!(rest, "}", "{labels}"),
        }
    }
}

#[test]
fn what_has_happened_is_counted_on_each_store() {
    on_each_store(|shelf: &Shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        assert_eq!(Page::of(&site).get("runwire_runs_begun_total"), 0.0);
        for input in ["say one two", "fail", "blab a-secret", "panic"] {
            let run = site.run(input);
            site.await_end(&run);
        }
        let held = site.run("hold");
        site.await_status(&held, "running");
        site.get("/nowhere");
        let page = Page::of(&site);
        assert_eq!(page.get("runwire_runs{status=\"running\"}"), 1.0);
        assert_eq!(page.get("runwire_working_runs"), 1.0);
        assert_eq!(page.get("runwire_runs_begun_total"), 5.0);
        assert_eq!(page.get("runwire_runs_ended_total{status=\"completed\"}"), 1.0);
        assert_eq!(page.get("runwire_runs_ended_total{status=\"failed\"}"), 3.0);
        assert_eq!(page.get("runwire_runs_failed_total{reason=\"test_failure\"}"), 2.0);
        assert_eq!(page.get("runwire_runs_failed_total{reason=\"agent_panic\"}"), 1.0);
        assert_eq!(page.get("runwire_run_duration_seconds_count"), 4.0);
        assert_eq!(page.get("runwire_events_total{event=\"tool.completed\"}"), 1.0);
        assert_eq!(page.get("runwire_events_total{event=\"run.failed\"}"), 3.0);
        assert!(page.get("runwire_events_total{event=\"message.delta\"}") >= 2.0);
        assert!(page.get("runwire_event_bytes_total") > 500.0);
        assert_eq!(page.get("runwire_tool_duration_seconds_count{tool=\"other\"}"), 1.0);
        assert_eq!(page.get("runwire_tool_failures_total{tool=\"other\"}"), 0.0);
        assert!(page.get("runwire_requests_total{code=\"4xx\"}") >= 1.0);
        assert!(page.get("runwire_requests_total{code=\"2xx\"}") >= 6.0);
        assert!(page.get("runwire_sent_bytes_total") > 1000.0);
        assert!(page.get("runwire_received_bytes_total") > 500.0);
        assert!(page.get("runwire_store_commit_seconds_count") >= 5.0);
        assert!(page.get("runwire_store_rows_total") >= 5.0);
        let is_durable = site.counts()["store"]["durable"] == true;
        assert_eq!(page.get("runwire_store_sync_seconds_count") > 0.0, is_durable);
        assert_eq!(page.get("runwire_store_failing"), 0.0);
        let started = page.get("process_start_time_seconds");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!((now.as_secs_f64() - started).abs() < 60.0);
        #[cfg(target_os = "linux")]
        assert!(
            page.get("process_resident_memory_bytes") > 1e6 && page.get("runwire_threads") > 1.0
        );
    });
}

#[test]
fn the_page_needs_the_key_and_a_head_has_no_body() {
    let site = Site::with(|config| config.key = Some("a-key-for-the-metrics".to_owned()));
    assert_eq!(site.get("/metrics").status, 401);
    let with_key = "Host: localhost\r\nAuthorization: Bearer a-key-for-the-metrics\r\n\r\n";
    assert_eq!(site.ask(format!("GET /metrics HTTP/1.1\r\n{with_key}")).status, 200);
    assert_eq!(site.ask(format!("GET /metrics/more HTTP/1.1\r\n{with_key}")).status, 404);
    assert_eq!(site.ask(format!("DELETE /metrics HTTP/1.1\r\n{with_key}")).status, 405);
    let mut client = site.connect();
    // Two at once, so that a body after the first would be taken for the second's head.
    let head = format!("HEAD /metrics HTTP/1.1\r\n{with_key}");
    client.send(format!("{head}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    let first = client.head();
    assert!(first.status == 200 && first.header("content-length").is_some(), "{first:?}");
    assert_eq!(client.reply().json()["status"], "ok");
}

/// Announces tools with odd names, and calls some.
struct Toolbox;

const ODD: &str = "odd\"\\\nname";

impl Agent for Toolbox {
    fn run(&self, run: &mut Context<'_>) -> Result<(), Ending> {
        for (tool, took_ms, error) in [(ODD, 70, true), ("made-up-by-a-model", 1, false)] {
            run.tool_started("c", tool, "", "{}")?;
            run.tool_completed("c", tool, Duration::from_millis(took_ms), error, "")?;
        }
        Ok(())
    }

    fn about(&self) -> About {
        let mut about = About::default();
        about.toolsets.push(Toolset {
            name: "odd".to_owned(),
            description: String::new(),
            enabled: true,
            tools: ["other", "plain", "plain", ODD].map(str::to_owned).to_vec(),
        });
        about
    }
}

#[test]
fn tools_that_were_not_announced_are_counted_as_other() {
    let site = Site::with_agent(Toolbox, Gate::default(), Box::new(Memory::default()), |_| {});
    let run = site.run("go");
    site.await_end(&run);
    let page = Page::of(&site);
    assert_eq!(page.get("runwire_tool_duration_seconds_count{tool=\"other\"}"), 2.0);
    assert_eq!(page.get("runwire_tool_duration_seconds_count{tool=\"plain\"}"), 0.0);
    assert_eq!(page.get("runwire_tool_failures_total{tool=\"other\"}"), 1.0);
    let bucket = |le| format!("runwire_tool_duration_seconds_bucket{{tool=\"other\",le=\"{le}\"}}");
    assert_eq!((page.get(&bucket("0.05")), page.get(&bucket("0.1"))), (1.0, 2.0));
    assert_eq!(page.get("runwire_tool_duration_seconds_sum{tool=\"other\"}"), 0.071);
    assert!(!page.samples.keys().any(|series| series.contains("made-up")));
}

#[test]
fn a_reader_that_is_behind_shows_until_it_has_read() {
    on_each_store(|shelf: &Shelf| {
        let site = Site::with_store(shelf.store(), |_| {});
        let run = site.run("emit 1000 16000");
        site.await_end(&run);
        assert_eq!(Page::of(&site).get("runwire_subscribers"), 0.0);
        let mut reader = site.connect();
        reader.send(get(&format!("/v1/runs/{run}/events")));
        let behind = wait_for("a reader that is behind", || {
            let page = Page::of(&site);
            let far = page
                .get("runwire_subscriber_lag_bytes")
                .max(page.get("runwire_subscriber_lag_events_max") * 16_000.0);
            (far > 1e6).then_some(page)
        });
        assert_eq!(behind.get("runwire_subscribers"), 1.0);
        let is_durable = site.counts()["store"]["durable"] == true;
        assert_eq!(behind.get("runwire_subscribers_behind"), f64::from(is_durable));
        assert_eq!(behind.get("runwire_evictions_total{what=\"log\"}") > 0.0, is_durable);
        let (sum, max) = ("runwire_subscriber_lag_bytes", "runwire_subscriber_lag_bytes_max");
        assert_eq!(behind.get(sum), behind.get(max), "there is one reader");
        assert_eq!(reader.reply().status, 200);
        let read = Page::of(&site);
        assert_eq!((read.get("runwire_subscribers"), read.get(sum)), (0.0, 0.0));
        assert!(read.get("runwire_sent_bytes_total") > 16e6);
        assert_eq!(read.get("runwire_store_pages_total") > 0.0, is_durable);
    });
}

/// The page of a machine by itself, told this by the outside.
fn page_of(machine: &mut Machine, now: Now, measures: Measures) -> Page {
    let conn = machine.open(now).unwrap();
    let get = get("/metrics").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    machine.handle(now, Input::Received(conn, get.as_bytes()));
    while let Some(output) = machine.poll_output() {
        if let Output::Measure(asker) = output {
            assert_eq!(asker, conn);
            machine.handle(now, Input::Measured(conn, Box::new(measures.clone())));
        }
    }
    machine.check();
    let reply = String::from_utf8(machine.unsent(conn)[0].to_vec()).unwrap();
    machine.handle(now, Input::HungUp(conn));
    Page::parse(reply.split_once("\r\n\r\n").unwrap().1)
}

fn machine(config: Config) -> Machine {
    let mut id = 0;
    let ids = Box::new(move || {
        id += 1;
        id
    });
    Machine::new(config, About::default(), Default::default(), ids, Now::default())
}

#[test]
fn what_the_outside_tells_stands_on_the_page() {
    let mut measures = Measures { resident_bytes: 5, threads: 6, rows: 7, ..Default::default() };
    (measures.turns_failed, measures.log_lines_dropped) = (8, 9);
    measures.commits.note(Duration::from_micros(1_500));
    measures.first_pieces.note(Duration::from_secs(1_000));
    let now = Now { tick: Tick(0), wall: Wall(12_000_034) };
    let page = page_of(&mut machine(Config::default()), now, measures);
    for (series, value) in [
        ("process_resident_memory_bytes", 5.0),
        ("runwire_threads", 6.0),
        ("runwire_store_rows_total", 7.0),
        ("runwire_model_failures_total", 8.0),
        ("runwire_log_lines_dropped_total", 9.0),
        ("runwire_store_commit_seconds_sum", 0.0015),
        ("runwire_store_commit_seconds_bucket{le=\"0.001\"}", 0.0),
        ("runwire_store_commit_seconds_bucket{le=\"0.005\"}", 1.0),
        ("runwire_model_first_piece_seconds_bucket{le=\"600\"}", 0.0),
        ("runwire_model_first_piece_seconds_count", 1.0),
        ("process_start_time_seconds", 0.0),
    ] {
        assert_eq!(page.get(series), value, "{series}");
    }
}

#[test]
fn readers_that_do_not_read_and_runs_that_leave_early_are_counted() {
    let mut machine = machine(Config::default());
    let at = |ms| Now { tick: Tick(ms), wall: Wall(ms * 1000) };
    let poster = machine.open(at(0)).unwrap();
    machine
        .handle(at(0), Input::Received(poster, post("/v1/runs", "{\"input\":\"x\"}").as_bytes()));
    let mut run = None;
    let mut obey = |machine: &mut Machine, now| {
        machine.end_turn(now);
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Start { run: key, request, .. } => run = Some((key, request.run_id)),
                Output::Commit(batch) => {
                    let (committed, synced) = (batch.number, batch.number);
                    machine.handle(now, Input::Stored { committed, synced });
                }
                _ => {}
            }
        }
        run
    };
    let (key, id) = obey(&mut machine, at(0)).unwrap();
    let readers: Vec<_> = (0..2).map(|_| machine.open(at(0)).unwrap()).collect();
    for reader in &readers {
        let get = get(&format!("/v1/runs/{id}/events"));
        machine.handle(at(0), Input::Received(*reader, get.as_bytes()));
    }
    // One that is stalled for too long.
    machine.handle(at(0), Input::Blocked(readers[0]));
    obey(&mut machine, at(STALL_MS));
    // One whose next bytes leave memory, where nothing else has them.
    let delta = "x".repeat(16 * 1024);
    for seq in 0..(HISTORY_BYTES_MAX / delta.len()) as u64 + 8 {
        let kind = Kind::MessageDelta(Delta { delta: delta.clone() });
        machine.handle(at(STALL_MS), Input::Event(Event { run: key, seq, at: Wall(0), kind }));
        obey(&mut machine, at(STALL_MS));
    }
    let page = page_of(&mut machine, at(STALL_MS), Measures::default());
    assert_eq!(page.get("runwire_evictions_total{what=\"reader\"}"), 2.0);
    assert!(page.get("runwire_evictions_total{what=\"log\"}") >= 1.0);
    assert_eq!(page.get("runwire_subscribers"), 0.0);
}

#[test]
fn a_page_asked_for_by_many_at_once_and_while_runs_work_is_whole() {
    let gate = Gate::default();
    let agent = Puppet { gate: gate.clone() };
    let site = Site::with_agent(agent, gate, Box::new(Memory::default()), |_| {});
    let runs: Vec<String> = (0..4).map(|_| site.run("drip 40")).collect();
    let mut clients: Vec<_> = (0..8).map(|_| site.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(get("/metrics").repeat(3)));
    for client in &mut clients {
        for _ in 0..3 {
            let reply = client.reply();
            Page::parse(std::str::from_utf8(&reply.body).unwrap());
        }
    }
    runs.iter().for_each(|run| drop(site.await_end(run)));
}

#[test]
fn the_page_and_its_description_name_the_same_metrics() {
    let docs = include_str!("../docs/operations.md");
    let table = docs.lines().filter(|line| line.starts_with("| `"));
    let first = table.filter_map(|line| line.split(" | ").next());
    let words = first.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let described: BTreeSet<&str> = words
        .filter(|word| word.starts_with("runwire_") || word.starts_with("process_"))
        .map(|word| word.split('{').next().unwrap())
        .collect();
    let page = page_of(&mut machine(Config::default()), Now::default(), Measures::default());
    let there: BTreeSet<&str> = page.kinds.keys().map(String::as_str).collect();
    assert_eq!(described, there);
}

const INSTALL: &str = "[ -x \"$0\"/bin/python ] || python3 -m venv \"$0\"; \
    \"$0\"/bin/python -m pip install --quiet prometheus_client";
const READ: &str = "import sys
from prometheus_client.parser import text_string_to_metric_families as families
found = list(families(sys.stdin.read()))
assert len(found) > 40 and all(family.samples or '_failed' in family.name for family in found)
assert not [family.name for family in found if family.type == 'unknown']";

#[test]
#[ignore = "takes a package from PyPI"]
fn the_parser_of_prometheus_own_client_reads_the_page() {
    let site = Site::with_agent(Toolbox, Gate::default(), Box::new(Memory::default()), |_| {});
    let run = site.run("go");
    site.await_end(&run);
    let venv = concat!(env!("CARGO_MANIFEST_DIR"), "/target/prometheus");
    assert!(Command::new("sh").args(["-c", INSTALL, venv]).status().unwrap().success());
    let mut python = Command::new(format!("{venv}/bin/python"))
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&site.get("/metrics").body).unwrap();
    assert!(python.wait().unwrap().success());
}
