//! A server at rest: what it still has when nobody wants anything of it any more.
use crate::fleet::{Fleet, Life, RETAINED, await_well, get};
use crate::served::Server;
use crate::served::wire::ask;
use serde_json::Value;
use std::fs;

/// What memory may have grown since the end of the warm-up: the finished runs that a server keeps
/// in memory (4 MiB), and gaps in the heap. It does not depend on the length of the soak: a hundred
/// bytes lost for each connection or run are more within minutes.
pub const SLACK_KIB: u64 = 8 * 1024;
/// Bytes of the store's file when all but the retained runs are deleted: what they say on average is
/// less than half of it.
const FILE_BYTES_MAX: u64 = RETAINED * 256 * 1024;

/// What a server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    pub rss_kib: u64,
    pub descriptors: usize,
    pub threads: usize,
}

impl Rest {
    pub fn of(server: &Server) -> Rest {
        let process = format!("/proc/{}", server.pid());
        let count = |part: &str| fs::read_dir(format!("{process}/{part}")).unwrap().count();
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let (_, rss) = status.split_once("VmRSS:").expect("a process has memory");
        let rss_kib = rss.split_whitespace().next().and_then(|it| it.parse().ok()).expect("KiB");
        Rest { rss_kib, descriptors: count("fd"), threads: count("task") }
    }

    /// How it is once nothing is left of what was: nobody is connected but who asks, no run works,
    /// waits or is behind in the store, the workers have gone, and no descriptor or process is left.
    pub fn await_after(fleet: &Fleet, server: &Server, fresh: Rest) -> Rest {
        await_well("the server to come to rest", || {
            let life = fleet.await_life();
            deny_all(life);
            is_idle(life)?;
            let rest = Rest::of(server);
            let is_same = (rest.descriptors, rest.threads) == (fresh.descriptors, fresh.threads);
            if !is_same {
                return Err(format!("{rest:?}, and at its start {fresh:?}"));
            }
            match children(server) {
                0 => Ok(rest),
                count => Err(format!("{count} processes are left of its commands")),
            }
        })
    }
}

/// What nobody is there to decide any more.
fn deny_all(life: Life) {
    let waiting = get(life, "/v1/approvals").unwrap().json();
    for approval in waiting["data"].as_array().into_iter().flatten() {
        let run = approval["run_id"].as_str().expect("a run's id");
        let path = format!("/v1/runs/{run}/approval");
        ask(life.addr, "POST", &path, "", "{\"choice\":\"deny\"}").unwrap();
    }
}

fn is_idle(life: Life) -> Result<(), String> {
    let health = get(life, "/health/detailed").unwrap().json();
    let at = |pointer: &str| health.pointer(pointer).and_then(Value::as_u64);
    let idle =
        [("/connections", 1), ("/subscribers", 0), ("/runs/queued", 0), ("/runs/working", 0)];
    let page = get(life, "/metrics").unwrap().body;
    let zeros =
        ["runwire_store_backlog_bytes", "runwire_subscribers_behind", "runwire_store_failing"];
    for name in zeros {
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        if value != Some(0) {
            return Err(format!("{name} is {value:?}"));
        }
    }
    let is_idle = health["status"] == "ok" && idle.iter().all(|(at_, want)| at(at_) == Some(*want));
    if is_idle { Ok(()) } else { Err(health.to_string()) }
}

fn children(server: &Server) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    let paths = tasks.filter_map(|task| Some(task.ok()?.path().join("children")));
    paths.filter_map(|path| fs::read_to_string(path).ok()).map(|it| it.split(' ').count() - 1).sum()
}

/// The store comes down to what is retained, and the file with it. Bytes of the file.
pub fn await_retention(fleet: &Fleet) -> u64 {
    await_well("the store to be cleaned up", || {
        let life = fleet.await_life();
        let runs = count_runs(life)?;
        let bytes = fs::metadata(fleet.place.file()).unwrap().len();
        let is_clean = runs <= RETAINED && bytes <= FILE_BYTES_MAX;
        if is_clean { Ok(bytes) } else { Err(format!("{runs} runs, {bytes} bytes")) }
    })
}

/// Fails where a page ends with a run that is cleaned up before the next is asked for.
fn count_runs(life: Life) -> Result<u64, String> {
    let (mut count, mut after) = (0, String::new());
    loop {
        let page = get(life, &format!("/v1/runs?limit=100{after}")).unwrap();
        if page.status != 200 {
            return Err(page.body);
        }
        let page = page.json();
        count += page["data"].as_array().expect("a list").len() as u64;
        if page["has_more"] != true {
            return Ok(count);
        }
        after = format!("&after={}", page["last_id"].as_str().expect("an id"));
    }
}

/// Descriptors this process may have, and so each server it starts.
pub fn files_max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}
