//! The tool `edit_file`: one passage of a file for another, byte for byte.
use super::args::{Args, FILE_PATH, Field, Kind};
use super::{Need, Tool, ToolCx, Tools};
use crate::limits::TOOL_FILE_BYTES_MAX;
use std::fs::File;
use std::io::{self, Read};

pub(super) const TOOL: Tool = Tool {
    name: "edit_file",
    description: "Replaces a passage of a file. The passage must match exactly, white space \
                  included, and only once, unless all its places are to be replaced.",
    main: "path",
    fields: &[
        FILE_PATH,
        Field {
            name: "old_string",
            kind: Kind::Text,
            required: true,
            description: "The passage as it stands in the file.",
        },
        Field {
            name: "new_string",
            kind: Kind::Text,
            required: true,
            description: "What to put in its place. Empty to delete it.",
        },
        Field {
            name: "replace_all",
            kind: Kind::Flag,
            required: false,
            description: "Replace every place where the passage stands. Default false.",
        },
    ],
    is_plain_read: false,
    need,
    run: edit_file,
};

fn need(args: &Args, tools: &Tools) -> Option<Need> {
    let (old, new) = (args.text("old_string"), args.text("new_string"));
    let shown = |place: &str| format!("In {place}, replace:\n{old}\nby:\n{new}");
    tools.files.need(args.text("path"), shown)
}

fn edit_file(args: &Args, cx: &ToolCx<'_>) -> Result<String, String> {
    let path = args.text("path");
    let (old, new) = (args.text("old_string"), args.text("new_string"));
    if old.is_empty() {
        return Err("`old_string` is empty. Give a passage, or use write_file.".to_owned());
    }
    if old == new {
        return Err("`old_string` and `new_string` are the same. Nothing to change.".to_owned());
    }
    let target = cx.target(path, false)?;
    let read = target.folder.file(&target.name).and_then(read_whole);
    let before = read.map_err(|why| cx.files.explain(path, &why))?;
    let places = find_all(&before, old);
    match places.len() {
        0 => {
            return Err(format!(
                "`old_string` is not in {}. Read the file and copy the passage exactly, white \
                 space included.",
                target.shown
            ));
        }
        1 => {}
        _ if args.flag("replace_all") => {}
        count => {
            return Err(format!(
                "`old_string` is in {} {count} times. Add lines around it until it is there only \
                 once, or set replace_all.",
                target.shown
            ));
        }
    }
    let after = splice(&before, &places, old.len(), new.as_bytes());
    let written = target.folder.replace(&target.name, &after);
    written.map_err(|why| cx.files.explain(path, &why))?;
    Ok(format!("Replaced {} in {}.", count_places(places.len()), target.shown))
}

/// The content of a file that is not too big to be taken in whole.
pub(super) fn read_whole(file: File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(TOOL_FILE_BYTES_MAX + 1).read_to_end(&mut content)?;
    if content.len() as u64 > TOOL_FILE_BYTES_MAX {
        let mib = TOOL_FILE_BYTES_MAX / (1024 * 1024);
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is bigger than {mib} MiB; use the terminal"),
        ));
    }
    Ok(content)
}

/// Where `part` begins in `whole`, places that overlap counted once.
///
/// A text never matches across what is not UTF-8, so the runs of UTF-8 are searched one by one,
/// which takes time in proportion to their length whatever `part` is.
fn find_all(whole: &[u8], part: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut start = 0;
    for chunk in whole.utf8_chunks() {
        places.extend(chunk.valid().match_indices(part).map(|(at, _)| start + at));
        start += chunk.valid().len() + chunk.invalid().len();
    }
    places
}

fn splice(before: &[u8], places: &[usize], old_bytes: usize, new: &[u8]) -> Vec<u8> {
    let mut after = Vec::new();
    let mut at = 0;
    for place in places {
        after.extend_from_slice(&before[at..*place]);
        after.extend_from_slice(new);
        at = place + old_bytes;
    }
    after.extend_from_slice(&before[at..]);
    after
}

fn count_places(count: usize) -> String {
    if count == 1 { "1 place".to_owned() } else { format!("{count} places") }
}
