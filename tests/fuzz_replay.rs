//! What fuzzing has found or was given to begin with, replayed without a fuzzer.
use std::path::{Path, PathBuf};
use std::{fs, panic};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("head", runwire::wire::head::fuzz),
    ("body", runwire::wire::body::fuzz),
    ("sse", runwire::wire::sse::fuzz),
    ("submit", runwire::wire::submit::fuzz),
    ("steer", runwire::wire::steer::fuzz),
    ("approval", runwire::wire::approval::fuzz),
    ("machine", runwire::machine::fuzz),
];

#[test]
fn every_seed_passes() {
    for (target, fuzz) in TARGETS {
        let seeds = files(&fuzz_folder().join("seeds").join(target));
        assert!(!seeds.is_empty(), "{target} has no seed");
        for seed in seeds {
            let bytes = fs::read(&seed).expect("a readable seed");
            let outcome = panic::catch_unwind(|| fuzz(&bytes));
            assert!(outcome.is_ok(), "{target} fails on {}", seed.display());
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let files = files(&fuzz_folder().join("fuzz_targets"));
    assert_eq!(files.len(), TARGETS.len(), "a target is not in TARGETS, or the other way round");
    for (target, _) in TARGETS {
        let code = fs::read_to_string(fuzz_folder().join(format!("fuzz_targets/{target}.rs")));
        assert!(code.expect("its file").contains("fuzz_target!"), "{target}");
    }
}

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.expect("a readable folder").path()).collect()
}
