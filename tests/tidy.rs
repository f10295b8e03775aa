//! The rules a compiler does not know: who may import whom, and who may touch the outside world.
use std::fs;
use std::path::Path;

/// A layer may import from the rows below it, never from its own row or from above.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["lib", "cli"],
    &["net"],
    &["machine", "agent", "store"],
    &["wire"],
    &["record"],
    &["event", "request", "slab", "by_id", "config", "shares"],
    &[
        "limits", "time", "id", "secrets", "text", "budget", "approval", "tally", "page",
        "openapi", "packed",
    ],
];
const PURE: &[&str] = &[
    "wire", "machine", "record", "event", "request", "slab", "by_id", "config", "shares", "limits",
    "time", "id", "secrets", "text", "budget", "approval", "tally", "page", "openapi", "packed",
];
/// What the pure layers may not know: the world outside, chance, and orders that differ by run.
const OUTSIDE: &[&str] = &[
    "TcpStream",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "Instant",
    "SystemTime",
    "mio::",
    "getrandom",
    "HashMap",
    "HashSet",
];
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn imports_go_downwards() {
    each_file(|layer, path, text| {
        for target in crate_paths(text) {
            let downwards = layer == target || row(layer, path) < row(&target, path);
            assert!(downwards, "{path}: `{layer}` may not import `{target}`");
        }
    });
}

#[test]
fn pure_layers_stay_pure() {
    each_file(|layer, path, text| {
        for word in OUTSIDE {
            let found = PURE.contains(&layer) && text.contains(word);
            assert!(!found, "{path}: `{word}` in a pure layer");
        }
    });
}

#[test]
fn only_net_knows_mio_and_no_dependency_shows_in_another_layer() {
    for (word, layers) in [
        ("mio::", &["net"][..]),
        ("httparse::", &["wire"]),
        ("ureq::", &["agent", "cli"]),
        ("lexopt::", &["cli"]),
        ("toml_parser::", &["cli"]),
        ("landlock::", &["cli"]),
        ("socket2::", &["net"]),
        ("rusqlite::", &["store"]),
        ("hmac::", &["wire"]),
        ("sha2::", &["wire"]),
        ("base64::", &["wire"]),
    ] {
        each_file(|layer, path, text| {
            assert!(!text.contains(word) || layers.contains(&layer), "{path}: `{word}` here");
        });
    }
}

#[test]
fn functions_fit_on_a_screen() {
    each_file(|_, path, text| {
        let mut start = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_fn = line.contains("fn ") && line.ends_with('{');
            if is_fn && start.is_none() {
                start = Some((number, indent));
            }
            if let Some((first, depth)) = start
                && indent == depth
                && line.trim() == "}"
            {
                let length = number - first + 1;
                assert!(length <= FUNCTION_LINES_MAX, "{path}:{}: {length} lines", first + 1);
                start = None;
            }
        }
    });
}

#[test]
fn every_file_opens_with_what_it_is() {
    each_file(|_, path, text| {
        assert!(text.starts_with("//! "), "{path} opens without a sentence on what it is");
    });
}

#[test]
fn source_never_unwraps() {
    each_file(|_, path, text| {
        assert!(!text.contains(".unwrap()"), "{path}: say why it cannot fail, with `expect`");
    });
}

/// The first segment of every `crate::` path in `text`.
fn crate_paths(text: &str) -> Vec<String> {
    let first_segment = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    text.split("crate::").skip(1).map(first_segment).filter(|name| !name.is_empty()).collect()
}

fn row(layer: &str, path: &str) -> usize {
    let found = LAYERS.iter().position(|row| row.contains(&layer));
    found.unwrap_or_else(|| panic!("{path}: `{layer}` has no place in LAYERS"))
}

/// Visits every source file with its layer: the folder below `src`, or the file's own name.
fn each_file(mut visit: impl FnMut(&str, &str, &str)) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inner = path.strip_prefix(&root).unwrap();
                let layer = inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
                visit(layer, inner.to_str().unwrap(), &fs::read_to_string(&path).unwrap());
                seen += 1;
            }
        }
    }
    assert!(seen > 5, "the walk saw only {seen} files");
}
