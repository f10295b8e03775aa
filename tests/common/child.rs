//! A server in a process of its own, where memory, descriptors and threads can be counted.
use super::{Site, wait_for};
use runwire::Config;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{self, Command, Stdio};

const SETTING: &str = "RUNWIRE_TEST_CHILD";

/// The test binary itself, run once more to do nothing but serve. Dropping it ends it.
pub struct Child {
    process: process::Child,
    pub addr: SocketAddr,
}

impl Child {
    /// `test` is the name of the test that calls `serve`, `limits` shell commands before it runs.
    pub fn start(test: &str, limits: &str) -> Child {
        let exe = std::env::current_exe().unwrap();
        let script = format!("{limits} exec \"$0\" --exact {test} --ignored --nocapture");
        let mut process = Command::new("sh")
            .args(["-c", &script, exe.to_str().unwrap()])
            .env(SETTING, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut addrs = lines.filter_map(|line| {
            let line = line.unwrap();
            line.split_once("listening on ").map(|(_, addr)| addr.parse().unwrap())
        });
        let addr = addrs.next().expect("the child says where it listens");
        Child { process, addr }
    }

    /// Serves until whoever started this process lets go of it.
    pub fn serve(change: impl FnOnce(&mut Config)) {
        Child::serve_site(|| Site::with(change));
    }

    /// The same for a server that is made in another way.
    pub fn serve_site(make: impl FnOnce() -> Site) {
        if std::env::var_os(SETTING).is_none() {
            return;
        }
        let site = make();
        println!("listening on {}", site.addr);
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
    }

    /// Resident memory in bytes.
    pub fn memory(&self) -> usize {
        let statm = fs::read_to_string(self.proc("statm")).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    /// The most that was ever resident, in bytes.
    pub fn peak(&self) -> usize {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    pub fn threads(&self) -> usize {
        fs::read_dir(self.proc("task")).unwrap().count()
    }

    /// Waits until no more than `count` descriptors are open.
    pub fn await_descriptors(&self, count: usize) {
        wait_for("descriptors to be closed", || (self.descriptors() <= count).then_some(()));
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.process.id())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
