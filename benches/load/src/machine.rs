//! The machine that figures are of, as far as they depend on it.
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// What is not found out is "unknown".
pub fn describe() -> Value {
    let cores = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let system = rustix::system::uname();
    json!({
        "processor": processor(&cores),
        "cores": cores.lines().filter(|line| line.starts_with("processor")).count(),
        "kernel": format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        "libc": said_by("getconf", &["GNU_LIBC_VERSION"]),
        "rustc": said_by("rustc", &["--version"]),
        "page_bytes": rustix::param::page_size(),
    })
}

fn processor(cores: &str) -> String {
    let line = cores.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(": ")).map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The first line of what a program prints.
pub fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.ok().and_then(|text| Some(text.lines().next()?.to_owned()));
    line.unwrap_or_else(|| "unknown".to_owned())
}
