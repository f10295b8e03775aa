//! A disk without room, and a limit on the size of files: new work waits, all else goes on.
use crate::served::model::Model;
use crate::served::wire::{Conn, Frame, Stream};
use crate::served::{Place, Server, wait_for};
use crate::{assert_gapless, assert_sound};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Where a test is told that the disk is small.
const SMALL: &str = "RUNWIRE_SMALL_DISK";

/// How soon a server must take work again once there is room.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// 2 MiB in blocks of 512 bytes: less than the log would grow to by itself.
const LIMIT: &str = "ulimit -S -f 4096;";

#[test]
fn at_a_limit_on_file_sizes_work_ends_with_the_reason_and_reading_goes_on() {
    let (place, model) = (Place::new(), Model::start());
    let server = place.start_under(LIMIT, &flags(&model));
    let site = Site::at_work(server);
    let flood = Reader::of(&site.server, &site.server.run("words 100000 size 900 pace 100"));
    site.await_state("degraded");
    site.takes_nothing_new_and_reads_on(&flood);
    site.is_not_busy();
    assert!(!flood.has_ended() && !site.quiet.has_ended(), "a stream was cut off");

    let pid = site.server.pid().to_string();
    let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(raised.unwrap().success());
    site.recovers(place, flood);
}

#[test]
fn on_a_full_disk_runs_say_their_last_word_and_reading_goes_on() {
    let place = Place::new();
    let mounted = "mount -t tmpfs -o size=12m none \"$0\"";
    let unshare = ["--user", "--map-root-user", "--mount", "sh", "-c"];
    let state = place.state();
    let tried = Command::new("unshare").args(unshare).arg(mounted).arg(&state).output();
    if !tried.is_ok_and(|it| it.status.success()) {
        println!("not run: no file system can be mounted here");
        return;
    }
    let script = format!("{mounted} && exec \"$@\"");
    let ran = Command::new("unshare")
        .args(unshare)
        .args([script.as_ref(), state.as_os_str()])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "full::within_a_small_disk", "--ignored", "--nocapture"])
        .env(SMALL, &place.0)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let all = format!("{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success() && said.contains("1 passed"), "{all}");
}

#[test]
#[ignore = "run by the test above, where the disk is small"]
fn within_a_small_disk() {
    let place = Place(std::env::var_os(SMALL).expect("only another test runs this").into());
    let model = Model::start();
    let site = Site::at_work(place.start(&flags(&model)));
    let flood = Reader::of(&site.server, &site.server.run("words 100000 size 900 pace 100"));
    flood.await_frames(50);
    let filler = place.state().join("filler");
    fill(&filler);
    site.await_state("degraded");
    // The reserve is for this: both runs end at once, with the reason.
    for reader in [&flood, &site.quiet] {
        wait_for("the last word", || reader.has_ended().then_some(()));
    }
    assert!(!place.beside(".reserve").exists());
    site.takes_nothing_new_and_reads_on(&flood);
    site.is_not_busy();
    // With the reserve used up too nothing is taken at all; a little room is for last words again.
    let rest = place.state().join("rest");
    fill(&rest);
    site.await_error("no room");
    let rest = File::options().write(true).open(rest).unwrap();
    rest.set_len(rest.metadata().unwrap().len() - 65_536).unwrap();
    site.await_error("given up its reserve");
    site.takes_nothing_new_and_reads_on(&flood);
    rest.set_len(0).unwrap();
    fs::remove_file(filler).unwrap();
    site.recovers(place, flood);
}

fn flags(model: &Model) -> Vec<&str> {
    [&model.flags()[..], &["--idle-timeout", "2s"]].concat()
}

/// Takes all the room there is.
fn fill(path: &Path) {
    let mut filler = File::create(path).unwrap();
    for bytes in [1 << 16, 1 << 12, 1] {
        while filler.write_all(&vec![7; bytes]).is_ok() {}
    }
}

/// A server with a finished run, and one that says nothing for a while but is read.
struct Site {
    server: Server,
    /// What the finished run has said.
    old: (String, Vec<Frame>),
    quiet: Reader,
}

impl Site {
    fn at_work(server: Server) -> Site {
        let run = server.run("words 5 tools 1");
        let old = (run.clone(), server.frames(&run));
        let quiet = Reader::of(&server, &server.run("words 3 wait 1"));
        quiet.await_frames(4);
        Site { server, old, quiet }
    }

    fn await_state(&self, status: &str) {
        wait_for(&format!("the server to be {status}"), || {
            let health = self.server.get("/health/detailed").json();
            (health["status"] == status).then_some(())
        });
    }

    fn await_error(&self, part: &str) {
        wait_for(part, || {
            let health = self.server.get("/health/detailed").json();
            health["store"]["error"].as_str()?.contains(part).then_some(())
        });
    }

    fn takes_nothing_new_and_reads_on(&self, flood: &Reader) {
        let refused = self.server.submit("words 1");
        assert_eq!(refused.status, 507, "{refused:?}");
        let error = refused.json()["error"].clone();
        assert_eq!(error["code"], "store_unavailable");
        assert_eq!(error["type"], "server_error");
        assert!(error["message"].as_str().unwrap().len() > 20 && error["param"].is_null());
        let health = self.server.get("/health/detailed").json();
        assert_eq!((&health["status"], &health["ready"]), (&"degraded".into(), &false.into()));
        assert!(health["store"]["error"].as_str().unwrap().contains("space"), "{health}");
        assert_eq!(self.server.get("/health").status, 200);

        let (run, frames) = &self.old;
        assert_eq!(self.server.get(&format!("/v1/runs/{run}")).json()["status"], "completed");
        assert_eq!(self.server.frames(run), *frames);
        let list = self.server.get("/v1/runs").json();
        assert_eq!(list["data"].as_array().unwrap().len(), 3, "{list}");
        assert_eq!(self.server.get("/v1/sessions").status, 200);
        // A late reader of the working run is told all that any other was.
        let shown = flood.frames();
        let mut late = Stream::open(self.server.addr, &flood.run, None).unwrap().unwrap();
        for frame in &shown {
            assert_eq!(late.next().unwrap().as_ref(), Some(frame));
        }
    }

    /// From a connection's last answer until the server ends it for its silence, two seconds later.
    fn is_not_busy(&self) {
        let mut silent = Conn::open(self.server.addr).unwrap();
        silent.send("GET", "/health", "", "").unwrap();
        silent.reply().unwrap();
        let (begun, ticks) = (Instant::now(), self.server.cpu_ticks());
        assert!(silent.reply().is_err(), "the server has hung up");
        let (ticks, took) = (self.server.cpu_ticks() - ticks, begun.elapsed());
        println!("{ticks} hundredths of a second of processor time in {took:?}");
        assert!(took >= Duration::from_secs(1) && ticks <= took.as_millis() as u64 / 50);
    }

    /// There is room again: work is taken soon, and nothing that was shown is lost, nor by a
    /// restart.
    fn recovers(self, place: Place, flood: Reader) {
        let begun = Instant::now();
        self.await_state("ok");
        let run = self.server.run("words 2");
        assert!(begun.elapsed() < RECOVERY_MAX, "{:?}", begun.elapsed());
        assert_gapless(&self.server.frames(&run));
        let (flooded, quiet) = (flood.end(), self.quiet.end());
        for frames in [&flooded, &quiet] {
            assert_gapless(frames);
            let end = frames.last().unwrap().json();
            assert_eq!((&end["event"], &end["reason"]), (&"run.failed".into(), &reason()), "{end}");
        }
        let Site { mut server, old, .. } = self;
        server.kill();
        assert_sound(&place);
        let server = place.start(&[]);
        assert_eq!(server.frames(&flood.run), flooded);
        assert_eq!(server.frames(&self.quiet.run), quiet);
        assert_eq!(server.frames(&old.0), old.1);
        assert_eq!(server.get("/health/detailed").json()["status"], "ok");
    }
}

fn reason() -> serde_json::Value {
    "store_unavailable".into()
}

/// Reads a run from its start on a thread of its own.
struct Reader {
    run: String,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    frames: Vec<Frame>,
    /// How the stream ended, if it has.
    end: Option<io::Result<()>>,
}

impl Reader {
    fn of(server: &Server, run: &str) -> Reader {
        let mut stream = Stream::open(server.addr, run, None).unwrap().unwrap();
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let ear = Arc::clone(&heard);
        thread::spawn(move || {
            loop {
                let next = stream.next();
                let mut heard = ear.lock().unwrap();
                match next {
                    Ok(Some(frame)) => heard.frames.push(frame),
                    end => return heard.end = Some(end.map(drop)),
                }
            }
        });
        Reader { run: run.to_owned(), heard }
    }

    fn frames(&self) -> Vec<Frame> {
        self.heard.lock().unwrap().frames.clone()
    }

    fn await_frames(&self, count: usize) {
        wait_for("frames", || (self.heard.lock().unwrap().frames.len() >= count).then_some(()));
    }

    /// True once the stream has ended, in whatever way.
    fn has_ended(&self) -> bool {
        self.heard.lock().unwrap().end.is_some()
    }

    /// Everything it was told, once its stream has come to its proper end.
    fn end(&self) -> Vec<Frame> {
        let end = wait_for("the end of a stream", || self.heard.lock().unwrap().end.take());
        end.expect("the connection stays open to the end");
        self.frames()
    }
}
