//! The servers that are measured: this very program, one after the other in one folder.
//!
//! A server ends when its standard input does, so none outlives the bench, however that ends. A byte
//! before the end says that the folder is still wanted; without one the server takes it along.
use crate::cli::args::{self, Command as Asked};
use crate::cli::env::Env;
use crate::cli::settings::StoreKind;
use crate::cli::state::random_key;
use crate::cli::{USAGE, complain, serve, start};
use runwire::Agent;
use runwire::agent::Script;
use rustix::process::{Signal, getpid, kill_process};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What the folder is called, before digits of chance. No other is ever removed.
const FOLDER: &str = "runwire-bench-";
/// Between two looks at a server that starts or ends.
const LOOK: Duration = Duration::from_micros(100);
const START_MAX: Duration = Duration::from_secs(5);
/// A server that takes longer to end is killed.
const END_MAX: Duration = Duration::from_secs(3);
/// Linux tells CPU time in these, on every machine.
const CPU_TICK: Duration = Duration::from_millis(10);

/// Who works on a server's runs.
#[derive(Clone, Copy)]
pub enum Works {
    /// The agent of `runwire serve`.
    Shipped,
    /// The agent of benchmarks.
    Script,
}

impl Works {
    const fn name(self) -> &'static str {
        match self {
            Works::Shipped => "shipped",
            Works::Script => "script",
        }
    }
}

/// Where the servers of one bench live; goes with this value.
pub struct Nest {
    folder: PathBuf,
    store: StoreKind,
    leash: Leash,
}

impl Nest {
    pub fn new(store: StoreKind, leash: Leash) -> Result<Nest, String> {
        let chance = random_key()?;
        let folder = std::env::temp_dir().join(format!("{FOLDER}{}", &chance[..16]));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| format!("Could not make {}: {error}.", folder.display()))?;
        Ok(Nest { folder, store, leash })
    }

    /// Starts a server and waits until it answers.
    pub fn start(&self, works: Works) -> Result<Child, String> {
        let addr = free_addr().map_err(|error| format!("There is no free port: {error}."))?;
        let key = random_key()?;
        let program = std::env::current_exe();
        let program = program.map_err(|error| format!("Where is this program? {error}."))?;
        let mut command = Command::new(program);
        command.arg("__bench").arg(&self.folder).args([works.name(), "serve", "--drain", "0"]);
        command.args(["--store", self.store.name(), "--port", &addr.port().to_string()]);
        // What is set for the user's own server is not what is measured.
        command.env_clear().env("HOME", &self.folder).env("TMPDIR", &self.folder);
        command.env("RUNWIRE_KEY", &key).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let process = command.spawn();
        let mut process = process.map_err(|error| format!("Could not start a server: {error}."))?;
        let stdin = process.stdin.take().expect("it was asked for");
        let mut child =
            Child { process, addr, key, started_in: START_MAX, leash: self.leash.clone() };
        child.leash.hold(stdin)?;
        child.await_health(began)?;
        Ok(child)
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// A server at work; ends with this value.
pub struct Child {
    process: process::Child,
    pub addr: SocketAddr,
    pub key: String,
    /// From before its exec to its first 200 on `/health`.
    pub started_in: Duration,
    leash: Leash,
}

impl Child {
    fn await_health(&mut self, began: Instant) -> Result<(), String> {
        while !is_healthy(self.addr) {
            let is_over = !matches!(self.process.try_wait(), Ok(None));
            if is_over || began.elapsed() > START_MAX {
                return Err(self.why_not());
            }
            thread::sleep(LOOK);
        }
        self.started_in = began.elapsed();
        Ok(())
    }

    /// What a server has said that did not start.
    fn why_not(&mut self) -> String {
        self.end();
        let mut said = String::new();
        if let Some(stderr) = self.process.stderr.take() {
            // Without a word there is nothing to repeat.
            let _ = stderr.take(4096).read_to_string(&mut said);
        }
        format!("A server did not start: {}", said.trim())
    }

    /// CPU time of all its threads so far, to 10 ms; `None` where `/proc` does not tell.
    pub fn cpu(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        // The name before the last bracket may hold anything.
        let fields = stat.rsplit_once(')')?.1;
        let ticks = |at| fields.split_ascii_whitespace().nth(at)?.parse::<u32>().ok();
        Some(CPU_TICK * (ticks(11)? + ticks(12)?))
    }

    /// Bytes of resident memory, that of files included.
    pub fn resident(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// Bytes of resident memory that are no file's.
    pub fn resident_own(&self) -> Option<u64> {
        self.memory("RssAnon:")
    }

    fn memory(&self, name: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let row = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(row.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
    }

    fn end(&mut self) {
        self.leash.release();
        let began = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && began.elapsed() < END_MAX {
            thread::sleep(LOOK * 10);
        }
        // One that has ended takes no harm.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ends the server at work, and lets none begin, once the user has had enough.
#[derive(Clone, Default)]
pub struct Leash(Arc<Mutex<Held>>);

#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    Server(ChildStdin),
    Cut,
}

impl Leash {
    fn hold(&self, stdin: ChildStdin) -> Result<(), String> {
        let mut held = self.held();
        if matches!(*held, Held::Cut) {
            return Err("Interrupted.".to_owned());
        }
        *held = Held::Server(stdin);
        Ok(())
    }

    /// Has the server end that is at work; the folder is still wanted.
    fn release(&self) {
        let mut held = self.held();
        if let Held::Server(stdin) = &mut *held {
            // A server that is gone wants no word.
            let _ = stdin.write_all(b".");
            *held = Held::Nothing;
        }
    }

    pub fn cut(&self) {
        *self.held() = Held::Cut;
    }

    pub fn is_cut(&self) -> bool {
        matches!(*self.held(), Held::Cut)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

/// Serves as `runwire serve` does, until standard input ends: what stands after `__bench`.
pub fn main(words: &[OsString]) -> ExitCode {
    let [folder, works, words @ ..] = words else { return ExitCode::from(USAGE) };
    let env = Env::of_process();
    let Ok(Asked::Serve(asked)) = args::parse(words.to_vec(), &env) else {
        return ExitCode::from(USAGE);
    };
    let agent = (works == Works::Script.name()).then(|| Arc::new(Script) as Arc<dyn Agent>);
    let folder = PathBuf::from(folder);
    let is_orphan = Arc::new(AtomicBool::new(false));
    let watched = is_orphan.clone();
    thread::spawn(move || {
        watched.store(is_end(io::stdin()), Ordering::Release);
        // The server ends in its own way; where it cannot, the process goes without it.
        let _ = kill_process(getpid(), Signal::TERM);
        thread::sleep(END_MAX);
        process::exit(1);
    });
    let done = start(&asked.settings).and_then(|()| serve::serve(*asked, &env, agent));
    if is_orphan.load(Ordering::Acquire) {
        remove(&folder);
    }
    match done {
        Ok(code) => ExitCode::from(code),
        Err(message) => complain(&message, 1),
    }
}

/// Waits for a byte, or for the end.
fn is_end(mut stdin: impl Read) -> bool {
    !matches!(stdin.read(&mut [0]), Ok(1))
}

/// Removes a folder that a bench has made.
fn remove(folder: &Path) {
    let name = folder.file_name().and_then(OsStr::to_str);
    if name.is_some_and(|name| name.starts_with(FOLDER)) {
        // It may be gone already: the last server takes it along.
        let _ = fs::remove_dir_all(folder);
    }
}

/// An address nobody listens at, for now.
fn free_addr() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn is_healthy(addr: SocketAddr) -> bool {
    let asked = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(START_MAX))?;
        stream.write_all(format!("GET /health HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes())?;
        let mut status = [0; b"HTTP/1.1 200".len()];
        stream.read_exact(&mut status)?;
        Ok(status == *b"HTTP/1.1 200")
    };
    asked().unwrap_or(false)
}
