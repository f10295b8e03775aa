//! A command that prints a gigabyte: alone in its file, for it measures the memory of the process.
#![cfg(all(target_os = "linux", feature = "sys"))]
mod agent_support;

use agent_support::Dir;
use serde_json::json;

/// The most memory this process has ever had, in KiB.
fn peak_kib() -> usize {
    let status = agent_support::read("/proc/self/status");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_gigabyte_of_output_takes_no_memory() {
    let dir = Dir::new();
    dir.call("terminal", json!({"command": "yes | head -c 1000000"})).unwrap();
    let before = peak_kib();
    let shown = dir.call("terminal", json!({"command": "yes | head -c 1000000000"})).unwrap();
    assert!(shown.contains("[1000000000 bytes printed in all]"), "{}", shown.len());
    let grown = peak_kib() - before;
    println!("grown by {grown} KiB");
    assert!(grown < 2048, "{grown} KiB");
}
