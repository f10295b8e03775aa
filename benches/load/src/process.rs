//! A server process, and what the kernel says it has used.
use crate::{Result, http};
use rustix::process::{Pid, Resource, Rlimit};
use rustix::thread::CpuSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_LOOK: Duration = Duration::from_micros(100);
/// The kernel's clock tick: the unit of CPU time in /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

/// What stands in a command for the folder a server keeps its runs in.
const FOLDER: &str = "{folder}";
/// The key that stands where a command says so.
pub const KEY: &str = "only-for-the-benchmark";
const KEY_MARK: &str = "{key}";

/// A folder for what a server keeps, which goes with its value. It lies beside this program: where
/// temporary files lie may be no disk.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let program = std::env::current_exe()?;
        let path = program.with_file_name(format!("store-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it is in `target`.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Ends with its value.
pub struct Server {
    child: Child,
    _folder: Rc<Folder>,
    pub addr: SocketAddr,
    /// From before its start to its first 200.
    pub start_took: Duration,
}

impl Server {
    /// Like `start_in`, in a new folder.
    pub fn start(command: &[String]) -> Result<Server> {
        Server::start_in(command, &Rc::new(Folder::new()?))
    }

    /// Like `start`, but on the load's core: of something a server needs, not of a server.
    pub fn start_beside(command: &[String]) -> Result<Server> {
        Server::start_on(LOAD_CORE, command, &Rc::new(Folder::new()?))
    }

    /// Runs `command` with a free port behind it, alone on the first core where there are two.
    /// What it keeps it keeps in `folder`.
    pub fn start_in(command: &[String], folder: &Rc<Folder>) -> Result<Server> {
        Server::start_on(SERVER_CORE, command, folder)
    }

    fn start_on(core: usize, command: &[String], folder: &Rc<Folder>) -> Result<Server> {
        let addr = free_addr()?;
        let path = folder.path().to_str().ok_or("this program lies where no text leads")?;
        let filled = |word: &String| word.replace(FOLDER, path).replace(KEY_MARK, KEY);
        let words: Vec<String> = command.iter().map(filled).collect();
        let (program, args) = words.split_first().ok_or("no server to start")?;
        stay_on(core);
        let began = Instant::now();
        let child = Command::new(program)
            .args(args)
            .arg(addr.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        stay_on(LOAD_CORE);
        let child = child.map_err(|error| format!("{program}: {error}"))?;
        let folder = folder.clone();
        let mut server = Server { child, _folder: folder, addr, start_took: Duration::ZERO };
        let request = http::get(addr, "/health");
        while !http::ask(addr, &request).is_ok_and(|(status, _)| status == 200) {
            if began.elapsed() > START_TIMEOUT {
                return Err(format!("{program} does not answer on {addr}").into());
            }
            thread::sleep(START_LOOK);
        }
        server.start_took = began.elapsed();
        Ok(server)
    }

    /// Forbids the server more address space than this, from now on.
    pub fn limit_address_space(&self, bytes: u64) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        rustix::process::prlimit(Some(pid), Resource::As, limit)?;
        Ok(())
    }

    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> Result<f64> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count() as f64)
    }

    /// Makes the peak of memory begin anew.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// Resident bytes: now, and at most.
    pub resident: f64,
    pub peak: f64,
    /// CPU seconds by clock ticks, of all threads there ever were and of ended children.
    ticked_s: f64,
    /// Of those, the ones of ended children.
    children_s: f64,
    /// CPU seconds to the nanosecond, of the threads there are.
    fine_s: f64,
}

impl Usage {
    fn of(pid: u32) -> Result<Usage> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kilobytes.unwrap_or(0.0) * 1024.0
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name before the last parenthesis may hold anything; times are fields 14 and 15, and
        // those of children that have ended (commands of tools) the two behind.
        let (_, fields) = stat.rsplit_once(')').ok_or("/proc/PID/stat without a name")?;
        let times = fields.split_whitespace().skip(11).take(4);
        let times: Vec<f64> = times.filter_map(|time| time.parse().ok()).collect();
        let seconds = |times: &[f64]| times.iter().sum::<f64>() / TICKS_PER_SECOND;
        let (ticked_s, children_s) = (seconds(&times), seconds(times.get(2..).unwrap_or(&[])));
        let mut fine_s = 0.0;
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end while it is looked at.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok());
            fine_s += nanos.unwrap_or(0.0) / 1e9;
        }
        let (resident, peak) = (bytes("VmRSS:"), bytes("VmHWM:"));
        Ok(Usage { resident, peak, ticked_s, children_s, fine_s })
    }

    /// CPU seconds of children that have ended since `earlier`.
    pub fn children_s_since(&self, earlier: &Usage) -> f64 {
        self.children_s - earlier.children_s
    }

    /// CPU seconds, user's and kernel's, since `earlier`.
    pub fn cpu_s_since(&self, earlier: &Usage) -> f64 {
        let (fine, ticked) = (self.fine_s - earlier.fine_s, self.ticked_s - earlier.ticked_s);
        // Where threads have ended, only the coarse clock still knows of them.
        if fine + 2.0 / TICKS_PER_SECOND >= ticked { fine } else { ticked }
    }
}

/// What the kernel holds for all TCP sockets of this machine.
pub fn kernel_socket_bytes() -> Result<f64> {
    let text = fs::read_to_string("/proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP: "));
    let mut words = line.unwrap_or_default().split(' ').skip_while(|word| *word != "mem");
    let pages: f64 = words.nth(1).ok_or("/proc/net/sockstat says nothing of TCP")?.parse()?;
    Ok(pages * rustix::param::page_size() as f64)
}

/// Allows this process, and so the servers it starts, as many descriptors as the system lets it.
pub fn raise_descriptor_limit() -> Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, ..limit };
    Ok(rustix::process::setrlimit(Resource::Nofile, all)?)
}

/// Keeps this thread, and what it starts from now on, on one core. Where there is no such core,
/// server and load share what there is.
fn stay_on(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}

fn free_addr() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
