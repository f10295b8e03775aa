//! The real binary in a home of its own, with a deadline on everything that is waited for.
#![allow(dead_code)] // each test binary uses its own part
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// An empty home directory, gone when the test has ended.
pub struct Home(pub PathBuf);

impl Home {
    pub fn new() -> Home {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("runwire-cli-{}-{number}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        Home(dir)
    }

    /// The binary, which sees no variable but these and works in this home.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.at_home(env!("CARGO_BIN_EXE_runwire"));
        command.args(args);
        command
    }

    fn at_home(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&self.0);
        command.env("HOME", &self.0).env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Done {
        finish(self.command(args).spawn().unwrap())
    }

    pub fn key_file(&self) -> PathBuf {
        self.0.join(".local/state/runwire/key")
    }

    /// Starts a server on a free port and waits until it listens.
    pub fn serve(&self, args: &[&str]) -> Served {
        greeted(self.command(&[&["serve", "--port", "0"], args].concat()))
    }

    /// Starts a server that can make no file longer than `bytes_max`.
    pub fn serve_cramped(&self, bytes_max: u64, args: &[&str]) -> Served {
        let mut command = self.at_home("sh");
        let blocks = bytes_max / 512;
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" serve --port 0 \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_runwire")]).args(args);
        greeted(command)
    }
}

fn greeted(mut command: Command) -> Served {
    let mut child = command.spawn().unwrap();
    let lines = lines(child.stderr.take().unwrap());
    let mut greeting = String::new();
    while !greeting.contains("curl -sN") {
        let line = lines.recv_timeout(DEADLINE);
        let line = line.unwrap_or_else(|_| panic!("no greeting, but: {greeting}"));
        greeting.push_str(&line);
        greeting.push('\n');
    }
    let url = greeting.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    Served { url: url.to_owned(), greeting, child: Some(child), lines }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server that listens.
pub struct Served {
    pub url: String,
    pub greeting: String,
    child: Option<Child>,
    lines: Receiver<String>,
}

impl Served {
    pub fn addr(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.as_ref().unwrap(), name);
    }

    /// Waits for a line on standard error that contains `text`.
    pub fn wait_for(&self, text: &str) {
        while !self.lines.recv_timeout(DEADLINE).unwrap().contains(text) {}
    }

    /// Waits for the end of the process.
    pub fn wait(mut self) -> ExitStatus {
        finish(self.child.take().unwrap()).status
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a process has left.
pub struct Done {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Done {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{:?}: {}", self.status, self.err))
    }
}

/// Waits for the process to end; one that does not is killed, and the test fails.
pub fn finish(child: Child) -> Done {
    let pid = child.id();
    let (sender, done) = channel();
    thread::spawn(move || sender.send(child.wait_with_output().unwrap()));
    let Ok(output) = done.recv_timeout(DEADLINE) else {
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL {pid}")]).status();
        panic!("the process did not end");
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { status: output.status, out: text(output.stdout), err: text(output.stderr) }
}

/// The lines of a stream as they come.
pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

pub fn next_line(lines: &Receiver<String>) -> String {
    lines.recv_timeout(DEADLINE).unwrap()
}

pub fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// One request over a connection of its own; the whole reply.
pub fn http(addr: &str, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let rest =
        format!("Host: {addr}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(format!("{head}\r\n{rest}{body}").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}
