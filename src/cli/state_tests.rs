//! Tests of the state directory.
use super::env::Env;
use super::state::State;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;

/// A directory of its own for one test, gone when the test has ended.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("runwire-state-{name}-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).expect("the name is new");
        Scratch(dir)
    }

    fn state(&self) -> State {
        State::locate(Some(&self.0.join("state")), &Env::default()).expect("a place was named")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is in the directory for temporary things.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn the_state_directory_is_where_the_specification_says() {
    let place =
        |pairs: &[(&str, &str)]| State::locate(None, &env(pairs)).map(|s| s.dir().to_owned());
    let home = ("HOME", "/h/ann");
    assert_eq!(place(&[home, ("XDG_STATE_HOME", "/x")]), Ok("/x/runwire".into()));
    assert_eq!(place(&[home]), Ok("/h/ann/.local/state/runwire".into()));
    assert_eq!(place(&[home, ("XDG_STATE_HOME", "rel")]), Ok("/h/ann/.local/state/runwire".into()));
    for homeless in [&[][..], &[("HOME", "")], &[("HOME", "rel")]] {
        let error = place(homeless).expect_err("there is no home");
        assert!(error.contains("--state"), "{error}");
    }
}

#[test]
fn the_key_is_made_once_for_its_owner_alone() {
    let scratch = Scratch::new("once");
    let state = scratch.state();
    assert_eq!(state.read_key().map(|key| key.is_none()), Ok(true));
    let first = state.key().expect("a key is made");
    assert!(first.is_new && first.text.len() == 64, "{} characters", first.text.len());
    assert_eq!(mode(&state.key_file()), 0o600);
    assert_eq!(mode(state.dir()), 0o700);
    let second = state.key().expect("the key is there");
    assert!(!second.is_new);
    assert_eq!(second.text, first.text);
    let left = fs::read_dir(state.dir()).expect("it is there").count();
    assert_eq!(left, 1, "something was left beside the key");
}

#[test]
fn starts_at_once_agree_on_one_key() {
    const STARTS: usize = 16;
    let scratch = Scratch::new("race");
    let barrier = Barrier::new(STARTS);
    let keys: Vec<_> = thread::scope(|scope| {
        let start = || {
            barrier.wait();
            scratch.state().key().expect("a key is made or found")
        };
        let threads: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
    });
    assert_eq!(keys.iter().filter(|key| key.is_new).count(), 1);
    assert!(keys.iter().all(|key| key.text == keys[0].text));
}

#[test]
fn a_key_file_others_may_read_is_warned_of() {
    let scratch = Scratch::new("open");
    let state = scratch.state();
    state.key().expect("a key is made");
    fs::set_permissions(state.key_file(), fs::Permissions::from_mode(0o644)).expect("it is ours");
    let warning = state.key().expect("the key is there").warning;
    assert!(warning.is_some_and(|warning| warning.contains("chmod 600")));
}

#[test]
fn a_key_file_without_a_key_is_refused_by_name() {
    let scratch = Scratch::new("bad");
    let state = scratch.state();
    state.key().expect("a key is made");
    for bad in ["", "short\n", "with spaces in the middle of it"] {
        fs::write(state.key_file(), bad).expect("it is ours");
        let error = state.key().err().unwrap_or_default();
        assert!(error.contains("state/key") && error.contains("delete"), "{bad:?}: {error}");
    }
}

#[test]
fn a_state_directory_that_cannot_be_made_is_told_of() {
    let scratch = Scratch::new("file");
    fs::write(scratch.0.join("state"), "a file").expect("it is ours");
    let error = scratch.state().key().err().unwrap_or_default();
    assert!(error.contains("--state"), "{error}");
}
