//! The real binary as a server on a directory of its own, for tests that do it harm: it is started
//! under limits, killed, damaged and started again.
#![allow(dead_code)] // each test binary uses its own part
pub mod chance;
pub mod model;
pub mod wire;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing a test waits for takes nearly as long, on however slow a machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const KEY: &str = "only-for-the-tests-of-faults";

/// A state directory and a workspace, gone when the test has ended.
pub struct Place(pub PathBuf);

impl Place {
    pub fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("runwire-faults-{}-{number}", std::process::id());
        let place = Place(std::env::temp_dir().join(name));
        let _ = fs::remove_dir_all(&place.0);
        fs::create_dir_all(place.state()).unwrap();
        fs::create_dir_all(place.workspace()).unwrap();
        place
    }

    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    pub fn workspace(&self) -> PathBuf {
        self.0.join("work")
    }

    /// The store's file.
    pub fn file(&self) -> PathBuf {
        self.state().join("runs.db")
    }

    /// What SQLite, or the store, keeps beside it.
    pub fn beside(&self, ending: &str) -> PathBuf {
        beside(&self.file(), ending)
    }

    pub fn start(&self, args: &[&str]) -> Server {
        self.start_under("", args)
    }

    /// `limits` is shell commands that come before the server, each ended by `;`.
    pub fn start_under(&self, limits: &str, args: &[&str]) -> Server {
        let mut starting = self.spawn_under(limits, args);
        let addr = starting.await_addr();
        let addr = addr.unwrap_or_else(|| panic!("it did not start: {}", starting.said()));
        Server { addr, starting }
    }

    pub fn spawn(&self, args: &[&str]) -> Starting {
        self.spawn_under("", args)
    }

    pub fn spawn_under(&self, limits: &str, args: &[&str]) -> Starting {
        let script = format!("{limits} exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_runwire")]);
        command.args(["serve", "--store", "sqlite", "--port", "0", "--key", KEY]);
        command.arg("--state").arg(self.state()).arg("--workspace").arg(self.workspace());
        command.args(args).env_clear().env("HOME", &self.0).current_dir(&self.0);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Starting { child, lines, said: Vec::new() }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn beside(path: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", path.display()))
}

/// A process that may listen by and by, or say why it does not. Dropping it kills it.
pub struct Starting {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Starting {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens, once it has said all it says at its start; `None` if it ends before.
    pub fn await_addr(&mut self) -> Option<SocketAddr> {
        let mut addr = None;
        loop {
            let line = self.lines.recv_timeout(DEADLINE).ok()?;
            if let Some((_, text)) = line.split_once("listens on http://") {
                addr = Some(text.parse().unwrap());
            }
            let is_last = line.contains("curl -sN");
            self.said.push(line);
            if is_last {
                return addr;
            }
        }
    }

    /// Waits for what it says next.
    pub fn await_line(&mut self, part: &str) {
        while !self.lines.recv_timeout(DEADLINE).unwrap().contains(part) {}
    }

    /// All it has said on standard error so far.
    pub fn said(&mut self) -> String {
        self.said.extend(self.lines.try_iter());
        self.said.join("\n")
    }

    /// Waits for its end, which must come by itself: its exit code and all it has said.
    pub fn fail(mut self) -> (Option<i32>, String) {
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.said.push(line);
        }
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < deadline, "it goes on: {}", self.said()),
            }
            thread::sleep(Duration::from_millis(2));
        };
        (status.code(), self.said())
    }

    /// SIGKILL, and its end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that listens.
pub struct Server {
    pub addr: SocketAddr,
    pub starting: Starting,
}

impl Server {
    pub fn kill(&mut self) {
        self.starting.kill();
    }

    pub fn pid(&self) -> u32 {
        self.starting.pid()
    }

    /// Seconds of processor time it has used so far, in hundredths.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // After the name, which may hold anything: utime and stime are the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    pub fn get(&self, path: &str) -> wire::Reply {
        wire::ask(self.addr, "GET", path, "", "").unwrap()
    }

    pub fn post(&self, path: &str, headers: &str, body: &str) -> wire::Reply {
        wire::ask(self.addr, "POST", path, headers, body).unwrap()
    }

    /// Posts an input, which must be taken, and gives the run's id.
    pub fn run(&self, input: &str) -> String {
        let reply = self.submit(input);
        assert_eq!(reply.status, 202, "{reply:?}");
        reply.json()["run_id"].as_str().unwrap().to_owned()
    }

    pub fn submit(&self, input: &str) -> wire::Reply {
        self.post("/v1/runs", "", &serde_json::json!({ "input": input }).to_string())
    }

    /// All frames of a run, which must come to its end.
    pub fn frames(&self, run: &str) -> Vec<wire::Frame> {
        wire::Stream::open(self.addr, run, None).unwrap().expect("a stream").rest().unwrap()
    }
}

/// Asks again and again, with a pause that does not decide anything, until the answer is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
