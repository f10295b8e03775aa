//! Ways out of the workspace that need a second party: somebody who swaps, or mounts.
#![cfg(all(feature = "sandbox", target_os = "linux"))]
mod agent_support;

use agent_support::processes::{mark, marked, settings, terminal, tools};
use agent_support::{Dir, call, eventually, read};
use runwire::agent::tools::Tools;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn no_swap_at_any_moment_leads_a_command_outside() {
    let dir = Dir::new();
    fs::create_dir(dir.path("target")).unwrap();
    fs::write(dir.path("target/a"), "safe").unwrap();
    fs::create_dir(dir.inside("folder")).unwrap();
    let (folder, link) = (dir.inside("folder"), dir.inside("link"));
    symlink(dir.path("target"), &link).unwrap();
    let tools = tools(&dir);
    let done = AtomicBool::new(false);
    let tries = "ok=0; no=0; i=0; while [ $i -lt 5000 ]; do i=$((i+1)); \
                 { echo escaped >folder/a; } 2>/dev/null && ok=$((ok+1)) || no=$((no+1)); done; \
                 [ $ok -gt 0 ] && [ $no -gt 0 ]";
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let ended = terminal(&tools, tries);
        done.store(true, Ordering::Relaxed);
        assert!(ended.is_ok(), "no race at all: {ended:?}");
    });
    assert_eq!(read(dir.path("target/a")), "safe");
    assert_eq!(fs::read_dir(dir.path("target")).unwrap().count(), 1);
}

#[test]
fn a_command_holds_no_file_of_the_server() {
    let dir = Dir::new();
    fs::write(dir.path("outside"), "safe").unwrap();
    let held = fs::OpenOptions::new().append(true).open(dir.path("outside")).unwrap();
    let number = held.as_raw_fd();
    let tools = tools(&dir);
    let shown = terminal(&tools, "ls -l /proc/self/fd").unwrap();
    assert!(!shown.contains(&*dir.path("").join("outside").to_string_lossy()), "{shown}");
    assert!(!shown.contains("socket:"), "{shown}");
    let own = std::process::id();
    for path in [
        format!("/proc/self/fd/{number}"),
        format!("/proc/{own}/fd/{number}"),
        format!("/proc/$PPID/fd/{number}"),
        format!("/proc/{own}/task/{own}/fd/{number}"),
        format!("/dev/fd/{number}"),
    ] {
        assert!(terminal(&tools, &format!("echo escaped >>{path}")).is_err(), "{path}");
    }
    assert_eq!(read(dir.path("outside")), "safe");
}

/// A process that has the outside mounted in the workspace, in a namespace of its own, as a command
/// that is not confined could make one. `None` where this system lets nobody do so.
struct Mounter(Child);

impl Mounter {
    fn start(dir: &Dir, mark: &str) -> Option<Mounter> {
        fs::create_dir(dir.inside("mount")).unwrap();
        let mount = format!("mount --bind .. mount && exec sleep {mark}");
        let mut command = Command::new("unshare");
        command.args(["-r", "-m", "sh", "-c", &mount]).current_dir(dir.inside(""));
        let mut child = command.stderr(Stdio::null()).spawn().ok()?;
        let mut ended = false;
        eventually("it has mounted or failed", || {
            ended = child.try_wait().unwrap().is_some();
            ended || marked(mark).iter().any(|line| line.starts_with("sleep"))
        });
        (!ended).then_some(Mounter(child))
    }
}

impl Drop for Mounter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_mount_leads_outside() {
    let dir = Dir::new();
    fs::write(dir.path("outside"), "safe").unwrap();
    let confined = tools(&dir);
    let root = confined.workspace().display().to_string();
    for command in [
        "mkdir -p m && mount --bind .. m",
        "mkdir -p m && mount -t tmpfs none m",
        "mkdir -p m && unshare -m mount --bind .. m",
        "mkdir -p m && unshare -r -m mount --bind .. m",
        "mkdir -p m && unshare -r -m sh -c 'mount --bind .. m && echo escaped >m/outside'",
        "mkdir -p m && mount --move / m",
        "umount -l /proc",
        "pivot_root . m",
        "chroot .. /bin/sh -c 'echo escaped >/outside'",
    ] {
        assert!(terminal(&confined, command).is_err(), "{command}");
        assert_eq!(read(dir.path("outside")), "safe", "{command}");
        assert!(!dir.inside("m/outside").exists(), "{command}");
    }
    let Some(mounter) = Mounter::start(&dir, &mark(1)) else {
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        assert!(!is_root, "root could mount nothing here, so that half of this test did nothing");
        eprintln!("not looked at: nobody but root can mount here");
        return;
    };
    let pid = mounter.0.id();
    // The file tools without any confinement, and the terminal with it.
    let open = dir.tools();
    for inner in ["root", "cwd"] {
        let path = match inner {
            "root" => format!("/proc/{pid}/root{root}/mount/outside"),
            _ => format!("/proc/{pid}/cwd/mount/outside"),
        };
        let seen = Command::new("cat").arg(&path).output().unwrap();
        assert_eq!(seen.stdout, b"safe", "the test tests nothing: {path}");
        for tools in [&open, &confined] {
            let write = json!({"path": path, "content": "escaped"});
            let ended = call(tools, "write_file", write);
            let edit = json!({"path": path, "old_string": "safe", "new_string": "escaped"});
            assert!(call(tools, "edit_file", edit).is_err());
            assert_eq!(read(dir.path("outside")), "safe", "{path}: {ended:?}");
        }
        assert!(terminal(&confined, &format!("echo escaped >{path}")).is_err(), "{path}");
        assert!(terminal(&confined, &format!("nsenter -t {pid} -m true")).is_err());
        assert_eq!(read(dir.path("outside")), "safe", "{path}");
    }
}

/// The other side of `a_setuid_program_gives_no_new_privilege`: here the bit leads to another user.
#[test]
fn a_setuid_program_does_not_change_the_user() {
    let dir = Dir::new();
    let own = fs::metadata("/proc/self").unwrap().uid();
    fs::copy("/usr/bin/id", dir.inside("id")).unwrap();
    if own == 0 {
        chown(dir.inside("id"), Some(65_534), Some(65_534)).unwrap();
    }
    fs::set_permissions(dir.inside("id"), fs::Permissions::from_mode(0o6755)).unwrap();
    let shown = terminal(&tools(&dir), "./id -u; ./id -ru").unwrap();
    assert_eq!(shown, format!("{own}\n{own}\n[exit code 0]"));
    // Seen to be one that does, where nothing keeps it from it.
    let open = Tools::new(&runwire::agent::Settings { sandbox: false, ..settings(&dir) }).unwrap();
    let shown = terminal(&open, "./id -u").unwrap();
    assert_eq!(shown.starts_with("65534\n"), own == 0, "{shown}");
}
