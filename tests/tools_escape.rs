//! Attempts to write outside the workspace, and to read what is the server's own.
#![cfg(unix)]
mod agent_support;

use agent_support::{Dir, call, read};
use runwire::agent::Settings;
use runwire::agent::tools::Tools;
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Tries every way of writing to `path`, which must neither work nor change `outside`.
fn cannot_write(dir: &Dir, path: impl AsRef<Path>, outside: &Path) {
    let path = path.as_ref();
    let before = fs::read(outside).ok();
    let written = dir.call("write_file", json!({"path": path, "content": "escaped"}));
    assert!(written.is_err(), "{}: {written:?}", path.display());
    let edit = json!({"path": path, "old_string": "safe", "new_string": "escaped"});
    let edited = dir.call("edit_file", edit);
    assert!(edited.is_err(), "{}: {edited:?}", path.display());
    assert_eq!(fs::read(outside).ok(), before, "{}", path.display());
}

fn with_outside_file() -> Dir {
    let dir = Dir::new();
    fs::write(dir.path("outside"), "safe").unwrap();
    dir
}

#[test]
fn no_path_of_any_form_leads_outside() {
    let dir = with_outside_file();
    let outside = dir.path("outside");
    fs::create_dir(dir.inside("sub")).unwrap();
    let absolute = outside.display();
    for path in [
        "../outside".to_owned(),
        "sub/../../outside".to_owned(),
        "./sub/.././../outside".to_owned(),
        "sub/../../workspace/../outside".to_owned(),
        format!("{absolute}"),
        format!("//{absolute}"),
        format!("/proc/self/root{absolute}"),
        format!("/proc/{}/root{absolute}", std::process::id()),
        format!("/proc/thread-self/root{absolute}"),
    ] {
        cannot_write(&dir, path, &outside);
    }
    cannot_write(&dir, "../new", &dir.path("new"));
    cannot_write(&dir, "../new/deep", &dir.path("new/deep"));
    assert!(!dir.path("new").exists());
}

/// Workspaces whose names begin alike are still two.
#[test]
fn a_sibling_whose_name_begins_like_the_workspaces_is_outside() {
    let dir = Dir::new();
    fs::create_dir(dir.path("workspace-two")).unwrap();
    cannot_write(&dir, "../workspace-two/a", &dir.path("workspace-two/a"));
}

#[test]
fn no_link_leads_outside() {
    let dir = with_outside_file();
    let outside = dir.path("outside");
    symlink(&outside, dir.inside("file")).unwrap();
    symlink("../outside", dir.inside("relative")).unwrap();
    symlink("file", dir.inside("chain")).unwrap();
    symlink(dir.path(""), dir.inside("folder")).unwrap();
    symlink("/proc/self/root", dir.inside("root")).unwrap();
    symlink(dir.path("dangling"), dir.inside("nowhere")).unwrap();
    for path in ["file", "relative", "chain", "folder/outside", "folder/workspace/../outside"] {
        cannot_write(&dir, path, &outside);
    }
    cannot_write(&dir, format!("root{}", outside.display()), &outside);
    cannot_write(&dir, "folder/new", &dir.path("new"));
    cannot_write(&dir, "nowhere", &dir.path("dangling"));
    cannot_write(&dir, "nowhere/below", &dir.path("dangling"));
    let why = dir.call("write_file", json!({"path": "nowhere", "content": ""})).unwrap_err();
    assert!(why.contains("leads through a link"), "{why}");
}

#[test]
fn the_processs_own_folder_and_files_lead_nowhere() {
    let dir = with_outside_file();
    let outside = dir.path("outside");
    let held = fs::File::open(&outside).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&held);
    cannot_write(&dir, format!("/proc/self/fd/{number}"), &outside);
    cannot_write(&dir, format!("/dev/fd/{number}"), &outside);
    let here = std::env::current_dir().unwrap().join("escaped.txt");
    cannot_write(&dir, "/proc/self/cwd/escaped.txt", &here);
}

#[test]
fn links_inside_the_workspace_may_be_written_through() {
    let dir = Dir::new();
    dir.file("real/a.txt", "safe");
    symlink("real", dir.inside("folder")).unwrap();
    symlink(dir.inside("real/a.txt"), dir.inside("file")).unwrap();
    dir.call("write_file", json!({"path": "folder/b.txt", "content": "b"})).unwrap();
    dir.call("write_file", json!({"path": "file", "content": "a"})).unwrap();
    assert_eq!(read(dir.inside("real/b.txt")), "b");
    assert_eq!(read(dir.inside("real/a.txt")), "a");
    assert!(dir.inside("file").is_symlink());
    let absolute = format!("/proc/self/root{}", dir.inside("real/a.txt").display());
    dir.call("write_file", json!({"path": absolute, "content": "by root"})).unwrap();
    assert_eq!(read(dir.inside("real/a.txt")), "by root");
}

#[test]
fn a_file_with_another_name_outside_is_replaced_not_changed() {
    let dir = with_outside_file();
    fs::hard_link(dir.path("outside"), dir.inside("twin")).unwrap();
    dir.call("write_file", json!({"path": "twin", "content": "new"})).unwrap();
    assert_eq!(
        (read(dir.inside("twin")), read(dir.path("outside"))),
        ("new".into(), "safe".into())
    );
    fs::remove_file(dir.inside("twin")).unwrap();
    fs::hard_link(dir.path("outside"), dir.inside("twin")).unwrap();
    let edit = json!({"path": "twin", "old_string": "safe", "new_string": "new"});
    dir.call("edit_file", edit).unwrap();
    assert_eq!(
        (read(dir.inside("twin")), read(dir.path("outside"))),
        ("new".into(), "safe".into())
    );
}

/// Makes each of two names what the other was, with no moment between.
#[cfg(all(feature = "sys", target_os = "linux"))]
fn swap(one: &Path, two: &Path) {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).unwrap();
}

/// Another thread swaps a folder for a link to the outside and back, as fast as it can.
#[cfg(all(feature = "sys", target_os = "linux"))]
#[test]
fn no_swap_at_any_moment_leads_outside() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = Dir::new();
    fs::create_dir(dir.path("target")).unwrap();
    fs::write(dir.path("target/a"), "safe").unwrap();
    fs::create_dir(dir.inside("folder")).unwrap();
    let (folder, link) = (dir.inside("folder"), dir.inside("link"));
    let done = AtomicBool::new(false);
    symlink(dir.path("target"), &link).unwrap();
    let tools = dir.tools();
    let (mut written, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap(&folder, &link);
            }
        });
        let edit = json!({"path": "folder/a", "old_string": "safe", "new_string": "escaped"});
        for _ in 0..3_000 {
            let args = json!({"path": "folder/a", "content": "safe, escaped"});
            match call(&tools, "write_file", args) {
                Ok(_) => written += 1,
                Err(_) => refused += 1,
            }
            let _ = call(&tools, "edit_file", edit.clone());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(written > 0 && refused > 0, "no race at all: {written} written, {refused} refused");
    assert_eq!(read(dir.path("target/a")), "safe");
    let names: Vec<_> = fs::read_dir(dir.path("target")).unwrap().collect();
    assert_eq!(names.len(), 1);
}

/// The same race against reading: never a byte of the private file.
#[cfg(all(feature = "sys", target_os = "linux"))]
#[test]
fn no_swap_at_any_moment_reads_what_is_private() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let dir = Dir::new();
    let tools = with_private_state(&dir);
    dir.file("folder/key", "harmless");
    let (folder, link) = (dir.inside("folder"), dir.inside("link"));
    let done = AtomicBool::new(false);
    symlink(dir.path("state"), &link).unwrap();
    let mut seen = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                swap(&folder, &link);
            }
        });
        for _ in 0..3_000 {
            if let Ok(text) = call(&tools, "read_file", json!({"path": "folder/key"})) {
                assert_eq!(text, "harmless");
                seen += 1;
            }
            let found = call(&tools, "search_files", json!({"text": "sesame"})).unwrap();
            assert!(found.contains("nothing found") || found.contains("could not"), "{found}");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(seen > 0);
}

/// A state directory beside the workspace, with a key in it.
fn with_private_state(dir: &Dir) -> Tools {
    fs::create_dir(dir.path("state")).unwrap();
    fs::write(dir.path("state/key"), "open sesame").unwrap();
    let private = vec![dir.path("state")];
    Tools::new(&Settings { private, allow_outside: true, ..dir.settings() }).unwrap()
}

#[test]
fn the_servers_state_is_closed_to_every_file_tool() {
    let dir = Dir::new();
    let tools = with_private_state(&dir);
    symlink(dir.path("state/key"), dir.inside("file")).unwrap();
    symlink(dir.path("state"), dir.inside("folder")).unwrap();
    let held = fs::File::open(dir.path("state/key")).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&held);
    let key = dir.path("state/key").display().to_string();
    for path in [
        key.clone(),
        "../state/key".to_owned(),
        "../state/../state/./key".to_owned(),
        "file".to_owned(),
        "folder/key".to_owned(),
        format!("/proc/self/fd/{number}"),
        format!("/proc/{}/fd/{number}", std::process::id()),
        format!("/dev/fd/{number}"),
        format!("/proc/self/root{key}"),
    ] {
        let shown = call(&tools, "read_file", json!({"path": path}));
        assert!(
            shown.as_ref().is_err_and(|why| why.contains("server itself")),
            "{path}: {shown:?}"
        );
        let write = call(&tools, "write_file", json!({"path": path, "content": "mine"}));
        assert!(write.is_err(), "{path}");
        let edit = json!({"path": path, "old_string": "open", "new_string": "x"});
        assert!(call(&tools, "edit_file", edit).is_err(), "{path}");
        let search = json!({"path": path, "text": "sesame"});
        assert!(call(&tools, "search_files", search).is_err(), "{path}");
    }
    for path in ["../state", "folder"] {
        assert!(call(&tools, "list_files", json!({"path": path})).is_err(), "{path}");
    }
    let write = json!({"path": "../state/new", "content": ""});
    assert!(call(&tools, "write_file", write).is_err());
    assert_eq!(read(dir.path("state/key")), "open sesame");
    let around = call(&tools, "search_files", json!({"path": "..", "text": "sesame"})).unwrap();
    assert!(around.contains("nothing found"), "{around}");
    let listed = call(&tools, "list_files", json!({"path": "..", "pattern": "**"})).unwrap();
    assert!(listed.contains("workspace/") && !listed.contains("state"), "{listed}");
}

#[test]
fn a_workspace_inside_the_servers_state_is_open_and_the_rest_is_not() {
    let dir = Dir::new();
    let state = dir.path("state");
    fs::create_dir_all(state.join("workspace")).unwrap();
    fs::write(state.join("key"), "open sesame").unwrap();
    let private = vec![state.clone()];
    let workspace = state.join("workspace");
    let tools = Tools::new(&Settings { workspace, private, ..Settings::default() }).unwrap();
    call(&tools, "write_file", json!({"path": "a", "content": "a"})).unwrap();
    assert_eq!(call(&tools, "read_file", json!({"path": "a"})), Ok("a".into()));
    assert!(call(&tools, "list_files", json!({})).is_ok());
    assert!(call(&tools, "read_file", json!({"path": "../key"})).is_err());
    assert!(call(&tools, "list_files", json!({"path": ".."})).is_err());
}

#[test]
fn a_workspace_that_is_the_servers_state_is_closed() {
    let dir = Dir::new();
    dir.file("key", "open sesame");
    let private = vec![dir.inside("")];
    let tools = Tools::new(&Settings { private, ..dir.settings() }).unwrap();
    assert!(call(&tools, "read_file", json!({"path": "key"})).is_err());
    assert!(call(&tools, "write_file", json!({"path": "key", "content": "mine"})).is_err());
    assert_eq!(read(dir.inside("key")), "open sesame");
}

#[test]
fn state_inside_the_workspace_is_closed() {
    let dir = Dir::new();
    dir.file(".state/key", "open sesame");
    let private = vec![dir.inside(".state")];
    let tools = Tools::new(&Settings { private, ..dir.settings() }).unwrap();
    assert!(call(&tools, "read_file", json!({"path": ".state/key"})).is_err());
    assert!(call(&tools, "write_file", json!({"path": ".state/new", "content": ""})).is_err());
    let found = call(&tools, "search_files", json!({"text": "sesame"})).unwrap();
    assert!(found.contains("nothing found"), "{found}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_servers_process_does_not_show_its_inside() {
    let dir = Dir::new();
    let own = std::process::id();
    let parent = std::os::unix::process::parent_id();
    for path in [
        "/proc/self/environ".to_owned(),
        "/proc/self/mem".to_owned(),
        "/proc/self/cmdline".to_owned(),
        "/proc/thread-self/environ".to_owned(),
        format!("/proc/{own}/environ"),
        format!("/proc/{own}/task/{own}/environ"),
        format!("/proc/self/root/proc/{own}/environ"),
        format!("/proc/{parent}/environ"),
        "/proc/kcore".to_owned(),
    ] {
        if !Path::new(&path).exists() {
            continue;
        }
        let shown = dir.call("read_file", json!({"path": path}));
        assert!(
            shown.as_ref().is_err_and(|why| why.contains("server itself")),
            "{path}: {shown:?}"
        );
    }
    // A thread has a folder of its own too, which no listing of /proc shows.
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let thread = Path::new("/proc").join(thread.file_name().unwrap()).join("cmdline");
    assert!(dir.call("read_file", json!({"path": thread})).is_err());
    assert!(dir.call("read_file", json!({"path": "/proc/version"})).is_ok());
}
