//! The file tools on a good day and a bad one, away from attacks (those are in tools_escape.rs).
mod agent_support;

use agent_support::{Dir, call, read};
use runwire::agent::Settings;
use runwire::agent::tools::Tools;
use serde_json::json;
use std::fs;

#[test]
fn a_file_is_read_as_it_is() {
    let dir = Dir::new();
    dir.file("notes/a.txt", "one\ntwo\nthree");
    assert_eq!(dir.call("read_file", json!({"path": "notes/a.txt"})), Ok("one\ntwo\nthree".into()));
    let absolute = dir.inside("notes/a.txt");
    assert!(dir.call("read_file", json!({"path": absolute})).is_ok());
}

#[test]
fn a_file_outside_the_workspace_can_be_read() {
    let dir = Dir::new();
    fs::write(dir.path("outside.txt"), "outside").unwrap();
    assert_eq!(dir.call("read_file", json!({"path": "../outside.txt"})), Ok("outside".into()));
}

#[test]
fn reading_goes_on_where_it_says() {
    let dir = Dir::new();
    dir.file("a.txt", "1\n2\n3\n4\n");
    let first = dir.call("read_file", json!({"path": "a.txt", "limit": 2})).unwrap();
    assert_eq!(first, "1\n2\n\n[there is more: go on with offset 3]");
    let rest = dir.call("read_file", json!({"path": "a.txt", "offset": 3})).unwrap();
    assert_eq!(rest, "3\n4\n");
    let beyond = dir.call("read_file", json!({"path": "a.txt", "offset": 9})).unwrap_err();
    assert!(beyond.contains("4 lines"), "{beyond}");
}

#[test]
fn a_long_line_and_a_long_file_are_read_only_in_part() {
    let dir = Dir::new();
    dir.file("line.txt", "x".repeat(1 << 20));
    let line = dir.call("read_file", json!({"path": "line.txt"})).unwrap();
    assert!(line.len() <= 64 * 1024 && line.contains("there is more"), "{}", line.len());
    dir.file("lines.txt", "y\n".repeat(5_000));
    let lines = dir.call("read_file", json!({"path": "lines.txt"})).unwrap();
    assert!(lines.ends_with("[there is more: go on with offset 2001]"), "{}", lines.len());
}

#[test]
fn binary_and_broken_utf8_survive() {
    let dir = Dir::new();
    dir.file("binary", [0x7f, b'E', b'L', b'F', 0, 1, 2]);
    let dump = dir.call("read_file", json!({"path": "binary"})).unwrap();
    assert!(dump.contains("7 bytes") && dump.contains("7f 45 4c 46 00"), "{dump}");
    dir.file("latin1.txt", b"caf\xe9 au lait");
    let latin1 = dir.call("read_file", json!({"path": "latin1.txt"})).unwrap();
    assert_eq!(latin1, "caf\u{fffd} au lait");
    dir.file("empty", "");
    assert_eq!(dir.call("read_file", json!({"path": "empty"})), Ok("[the file is empty]".into()));
}

#[test]
fn what_cannot_be_read_is_explained() {
    let dir = Dir::new();
    for (path, word) in [
        ("missing.txt", "does not exist"),
        (".", "list_files"),
        ("", "empty"),
        ("a\0b", "NUL"),
        ("/", "list_files"),
        ("/dev/null", "not a regular file"),
    ] {
        let why = dir.call("read_file", json!({"path": path})).unwrap_err();
        assert!(why.contains(word), "{path:?}: {why}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_without_a_writer_does_not_hold_a_read_up() {
    let dir = Dir::new();
    let made = std::process::Command::new("mkfifo").arg(dir.inside("pipe")).status().unwrap();
    assert!(made.success());
    let why = dir.call("read_file", json!({"path": "pipe"})).unwrap_err();
    assert!(why.contains("not a regular file"), "{why}");
    assert!(dir.call("write_file", json!({"path": "pipe", "content": "x"})).is_err());
    assert!(dir.call("search_files", json!({"text": "x"})).is_ok());
}

#[test]
fn a_file_is_written_with_the_folders_on_its_way() {
    let dir = Dir::new();
    let told = dir.call("write_file", json!({"path": "a/b/c.txt", "content": "first"})).unwrap();
    assert_eq!(told, "Wrote 5 bytes to a/b/c.txt.");
    dir.call("write_file", json!({"path": dir.inside("a/b/c.txt"), "content": "2"})).unwrap();
    assert_eq!(read(dir.inside("a/b/c.txt")), "2");
    let names: Vec<_> = fs::read_dir(dir.inside("a/b")).unwrap().collect();
    assert_eq!(names.len(), 1, "no passing file is left");
}

#[test]
fn what_cannot_be_written_is_explained() {
    let dir = Dir::new();
    dir.file("file", "x");
    fs::create_dir(dir.inside("folder")).unwrap();
    for (path, word) in [
        ("folder", "not a regular file"),
        (".", "workspace itself"),
        ("file/below", "not a folder"),
        ("new/../x", ".."),
        ("../x", "outside the workspace"),
    ] {
        let why = dir.call("write_file", json!({"path": path, "content": "x"})).unwrap_err();
        assert!(why.contains(word), "{path:?}: {why}");
    }
    assert!(!dir.inside("new").exists());
}

#[cfg(unix)]
#[test]
fn a_file_keeps_its_mode_and_read_only_stays_so() {
    use std::os::unix::fs::PermissionsExt;
    let dir = Dir::new();
    dir.file("tool.sh", "echo a");
    fs::set_permissions(dir.inside("tool.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let edit = json!({"path": "tool.sh", "old_string": "a", "new_string": "b"});
    dir.call("edit_file", edit).unwrap();
    assert_eq!(read(dir.inside("tool.sh")), "echo b");
    assert_eq!(fs::metadata(dir.inside("tool.sh")).unwrap().permissions().mode() & 0o777, 0o755);
    fs::set_permissions(dir.inside("tool.sh"), fs::Permissions::from_mode(0o444)).unwrap();
    let why = dir.call("write_file", json!({"path": "tool.sh", "content": ""})).unwrap_err();
    assert!(why.contains("read-only"), "{why}");
}

#[test]
fn an_edit_must_match_exactly_once() {
    let dir = Dir::new();
    dir.file("a.txt", "one two one");
    let edit = |old: &str, new: &str, all: bool| {
        let args = json!({"path": "a.txt", "old_string": old, "new_string": new,
                          "replace_all": all});
        dir.call("edit_file", args)
    };
    assert!(edit("three", "x", false).unwrap_err().contains("not in a.txt"));
    assert!(edit("one", "x", false).unwrap_err().contains("2 times"));
    assert!(edit("", "x", false).unwrap_err().contains("empty"));
    assert!(edit("one", "one", false).unwrap_err().contains("same"));
    assert_eq!(read(dir.inside("a.txt")), "one two one");
    assert_eq!(edit("two", "2", false).unwrap(), "Replaced 1 place in a.txt.");
    assert_eq!(edit("one", "", true).unwrap(), "Replaced 2 places in a.txt.");
    assert_eq!(read(dir.inside("a.txt")), " 2 ");
    let missing = json!({"path": "no/b.txt", "old_string": "a", "new_string": "b"});
    assert!(dir.call("edit_file", missing).unwrap_err().contains("does not exist"));
    assert!(!dir.inside("no").exists());
}

#[test]
fn an_edit_leaves_bytes_that_are_not_utf8_alone() {
    let dir = Dir::new();
    dir.file("b", b"\xff\xfe x\xc3 name \x00 \xe2\x82 name\xe2");
    let args = json!({"path": "b", "old_string": "name", "new_string": "n\u{e9}",
                      "replace_all": true});
    dir.call("edit_file", args).unwrap();
    let after = fs::read(dir.inside("b")).unwrap();
    assert_eq!(after, b"\xff\xfe x\xc3 n\xc3\xa9 \x00 \xe2\x82 n\xc3\xa9\xe2");
}

#[test]
fn an_edit_of_much_alike_text_takes_no_time() {
    let dir = Dir::new();
    dir.file("a", "a".repeat(4 << 20));
    let old = "a".repeat(1 << 20) + "b";
    let args = json!({"path": "a", "old_string": old, "new_string": ""});
    assert!(dir.call("edit_file", args).unwrap_err().contains("not in a"));
}

#[test]
fn a_folder_is_listed_by_name_with_sizes() {
    let dir = Dir::new();
    dir.file("b.txt", "12345");
    dir.file("a/inner.rs", "");
    let listed = dir.call("list_files", json!({})).unwrap();
    assert_eq!(listed, "      folder  a/\n           5  b.txt");
    let matching = dir.call("list_files", json!({"pattern": "*.rs"})).unwrap();
    assert_eq!(matching, "           0  a/inner.rs");
    let none = dir.call("list_files", json!({"pattern": "*.py"})).unwrap();
    assert!(none.contains("nothing that matches"), "{none}");
    assert!(dir.call("list_files", json!({"path": "b.txt"})).unwrap_err().contains("read_file"));
    assert!(dir.call("list_files", json!({"path": "no"})).unwrap_err().contains("not exist"));
}

#[test]
fn patterns_mean_what_they_say() {
    let dir = Dir::new();
    for path in ["a.rs", "src/a.rs", "src/deep/b.rs", "src/deep/b.rst", "srcs/c.rs"] {
        dir.file(path, "");
    }
    let listed = |pattern: &str| -> Vec<String> {
        let text = dir.call("list_files", json!({"pattern": pattern})).unwrap();
        let names = text.lines().filter_map(|line| line.rsplit("  ").next());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(listed("?.rs"), ["a.rs", "src/a.rs", "src/deep/b.rs", "srcs/c.rs"]);
    assert_eq!(listed("src/*.rs"), ["src/a.rs"]);
    assert_eq!(listed("src/**/*.rs"), ["src/a.rs", "src/deep/b.rs"]);
    assert_eq!(listed("**/b.rs*"), ["src/deep/b.rs", "src/deep/b.rst"]);
    assert_eq!(listed("src/**"), ["src/a.rs", "src/deep/", "src/deep/b.rs", "src/deep/b.rst"]);
    let hard = "*a".repeat(50) + "b";
    assert!(dir.call("list_files", json!({"pattern": hard})).is_ok());
}

#[test]
fn a_big_folder_is_listed_in_part_and_says_so() {
    let dir = Dir::new();
    for number in 0..510 {
        dir.file(&format!("many/{number:03}"), "");
    }
    let listed = dir.call("list_files", json!({"path": "many"})).unwrap();
    assert_eq!(listed.lines().count(), 501);
    assert!(listed.ends_with("[there is more: narrow the path or the pattern]"));
    assert!(listed.contains("  000\n") && !listed.contains("  505"));
}

#[test]
fn a_search_shows_path_line_and_text() {
    let dir = Dir::new();
    dir.file("src/a.rs", "fn one() {}\nfn two() {}\n");
    dir.file("b.txt", "Two\n");
    dir.file("binary", b"two\0two");
    let search = |args| dir.call("search_files", args).unwrap();
    let passed_over = "\n[1 binary, big or unreadable files passed over]";
    assert_eq!(search(json!({"text": "two"})), format!("src/a.rs:2: fn two() {{}}{passed_over}"));
    let both = search(json!({"text": "TWO", "ignore_case": true}));
    assert_eq!(both, format!("b.txt:1: Two\nsrc/a.rs:2: fn two() {{}}{passed_over}"));
    assert_eq!(search(json!({"text": "Two", "pattern": "*.txt"})), "b.txt:1: Two");
    assert_eq!(search(json!({"text": "fn", "path": "src/a.rs"})).lines().count(), 2);
    assert!(search(json!({"text": "nowhere"})).contains("2 files searched, nothing found"));
    assert!(dir.call("search_files", json!({"text": ""})).is_err());
}

#[test]
fn a_search_that_finds_too_much_is_bounded() {
    let dir = Dir::new();
    dir.file("a", "x\n".repeat(2_000));
    dir.file("long", "needle".to_owned() + &"y".repeat(1 << 20));
    let found = dir.call("search_files", json!({"text": "x"})).unwrap();
    assert_eq!(found.lines().count(), 501);
    assert!(found.contains("there is more"));
    let long = dir.call("search_files", json!({"text": "needle"})).unwrap();
    assert!(long.len() < 1_000, "{}", long.len());
}

#[test]
fn wrong_calls_say_what_to_change() {
    let dir = Dir::new();
    let tools = dir.tools();
    let raw = |name: &str, arguments: &str| {
        let (cancel, secrets) = Default::default();
        tools.call(name, arguments, &cancel, &secrets).unwrap_err()
    };
    assert!(raw("fly", "{}").contains("There is no tool `fly`. The tools are: "));
    assert!(raw("read_file", "{\"path\": \"a").contains("not JSON"));
    assert!(raw("read_file", "[1]").contains("one JSON object"));
    assert!(raw("read_file", "").contains("`path` is missing"));
    assert!(raw("read_file", "{\"path\": null}").contains("`path` is missing"));
    assert!(raw("read_file", "{\"path\": 3}").contains("`path` must be a string"));
    assert!(raw("read_file", "{\"path\":\"a\",\"limit\":-1}").contains("not negative"));
    assert!(raw("read_file", "{\"path\":\"a\",\"limit\":\"1\"}").contains("`limit` must be"));
    let deep = "[".repeat(100_000);
    assert!(raw("read_file", &deep).contains("not JSON"));
}

#[test]
fn whole_numbers_may_be_written_as_floats_and_null_is_absent() {
    let dir = Dir::new();
    dir.file("a.txt", "1\n2\n");
    let args = json!({"path": "a.txt", "offset": 2.0, "limit": null, "unknown": []});
    assert_eq!(dir.call("read_file", args), Ok("2\n".into()));
}

#[test]
fn every_tool_describes_itself_as_json_schema() {
    let dir = Dir::new();
    let specs = dir.tools().specs();
    let files = ["read_file", "write_file", "edit_file", "list_files", "search_files"];
    for name in files {
        let spec = specs.iter().find(|spec| spec.name == name).unwrap();
        assert_eq!(spec.parameters["type"], "object");
        assert!(spec.parameters["required"].is_array(), "{name}");
        for (_, property) in spec.parameters["properties"].as_object().unwrap() {
            assert!(property["type"].is_string() && property["description"].is_string());
        }
    }
    let toolsets = dir.tools().toolsets();
    assert_eq!(toolsets.last().unwrap().tools, files);
}

#[test]
fn writing_outside_is_allowed_only_when_the_operator_says_so() {
    let dir = Dir::new();
    let settings = Settings { allow_outside: true, ..dir.settings() };
    let tools = Tools::new(&settings).unwrap();
    let args = json!({"path": dir.path("new/out.txt"), "content": "out"});
    call(&tools, "write_file", args.clone()).unwrap();
    assert_eq!(read(dir.path("new/out.txt")), "out");
    assert!(tools.warnings().iter().any(|warning| warning.contains("outside")));
    assert!(dir.call("write_file", args).is_err());
}

#[test]
fn a_missing_workspace_is_made_and_an_impossible_one_refused() {
    let dir = Dir::new();
    let settings = Settings { workspace: dir.path("deep/new"), ..Settings::default() };
    assert_eq!(Tools::new(&settings).unwrap().workspace(), dir.path("deep/new"));
    dir.file("file", "");
    let settings = Settings { workspace: dir.inside("file/x"), ..Settings::default() };
    assert!(Tools::new(&settings).is_err());
}
