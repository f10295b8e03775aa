//! The servers that are measured: this very program, each in a folder of its own or in that of the
//! one before it.
//!
//! A server ends when its standard input does, so none outlives the bench, however that ends, and it
//! takes its folder along. A byte before the end says that another server comes there.
use crate::cli::settings::StoreKind;
use crate::cli::state::random_key;
use runwire::Agent;
use runwire::agent::Script;
use rustix::process::{Signal, getpid, kill_process};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What the folder is called, before digits of chance. No other is ever removed.
const FOLDER: &str = "runwire-bench-";
/// Between two looks at a server that starts or ends.
const LOOK: Duration = Duration::from_micros(100);
const START_MAX: Duration = Duration::from_secs(5);
/// A server that takes longer to end leaves without its goodbyes.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// One that takes longer still is killed.
const END_MAX: Duration = Duration::from_secs(3);

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

/// Where servers live, one after the other; goes with the last of them.
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
    pub fn start(self: &Arc<Self>, works: Works) -> Result<Child, String> {
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
        // Nobody reads a pipe while the server works.
        let log = File::create(self.log());
        let log = log.map_err(|error| format!("Could not make a file: {error}."))?;
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let began = Instant::now();
        let process = command.spawn();
        let mut process = process.map_err(|error| format!("Could not start a server: {error}."))?;
        let stdin = process.stdin.take().expect("it was asked for");
        let nest = self.clone();
        let mut child = Child { process, addr, key, started_in: START_MAX, nest };
        self.leash.hold(stdin)?;
        child.await_health(began)?;
        Ok(child)
    }

    /// What the server says.
    fn log(&self) -> PathBuf {
        self.folder.join("log")
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
    nest: Arc<Nest>,
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
    fn why_not(&self) -> String {
        // Without a word there is nothing to repeat.
        let said = fs::read_to_string(self.nest.log()).unwrap_or_default();
        format!("A server did not start: {}", said.trim())
    }

    /// CPU time of all its threads so far, in the kernel too; `None` where `/proc` does not tell. A
    /// thread that ended would be missing: those of runs stay for longer than a measurement takes.
    pub fn cpu(&self) -> Option<Duration> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()?;
        let mut nanos = 0;
        for thread in threads {
            let told = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            nanos += told.split_ascii_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanos))
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
        Some(row.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }

    fn end(&mut self) {
        self.nest.leash.release(Arc::strong_count(&self.nest) > 1);
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

    /// Has the server end that is at work. `is_wanted`: its folder is.
    fn release(&self, is_wanted: bool) {
        let mut held = self.held();
        if let Held::Server(stdin) = &mut *held {
            if is_wanted {
                // A server that is gone wants no word.
                let _ = stdin.write_all(b".");
            }
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

/// What a process is beside a server if it belongs to a bench.
pub struct Benched {
    folder: PathBuf,
    works: OsString,
    /// The bench is gone, or wants no other server in the folder.
    takes_folder: Arc<AtomicBool>,
}

impl Benched {
    /// Takes `__bench FOLDER WORKS` off the front of `words`, if that is there: `runwire serve` is
    /// left. From now on the end of standard input ends this process.
    pub fn read(words: &mut Vec<OsString>) -> Option<Benched> {
        if words.len() < 3 || words[0] != "__bench" {
            return None;
        }
        let (folder, works) = (PathBuf::from(&words[1]), words[2].clone());
        words.drain(..3);
        let takes_folder = Arc::<AtomicBool>::default();
        let benched = Benched { folder, works, takes_folder };
        let (folder, takes_folder) = (benched.folder.clone(), benched.takes_folder.clone());
        // Until the server heeds it, a signal is to do nothing.
        let heeded = signal_hook::flag::register(Signal::TERM.as_raw(), Arc::default());
        thread::spawn(move || {
            takes_folder.store(is_end(io::stdin()), Ordering::Release);
            let told = heeded.is_ok() && kill_process(getpid(), Signal::TERM).is_ok();
            thread::sleep(if told { GOODBYE_MAX } else { Duration::ZERO });
            if takes_folder.load(Ordering::Acquire) {
                remove(&folder);
            }
            process::exit(1);
        });
        Some(benched)
    }

    /// Who works on the runs, where it is not the agent of `runwire serve`.
    pub fn agent(&self) -> Option<Arc<dyn Agent>> {
        (self.works == Works::Script.name()).then(|| Arc::new(Script) as Arc<dyn Agent>)
    }
}

impl Drop for Benched {
    fn drop(&mut self) {
        if self.takes_folder.load(Ordering::Acquire) {
            remove(&self.folder);
        }
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
