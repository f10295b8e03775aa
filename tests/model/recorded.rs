//! Exchanges recorded from a real llama.cpp server.
use std::fs;
use std::path::Path;

/// Each recorded reply, by its name.
pub fn recorded() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/model");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(name) = name.strip_suffix(".resp.txt") {
            found.push((name.to_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    assert!(found.len() >= 24, "only {} recorded replies", found.len());
    found
}

/// Head and body of a recorded reply, chunks joined.
pub fn take_apart(reply: &[u8]) -> (String, Vec<u8>) {
    let end = reply.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let mut rest = &reply[end..];
    if !head.contains("chunked") {
        return (head, rest.to_vec());
    }
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").expect("a chunk size");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return (head, body);
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}
