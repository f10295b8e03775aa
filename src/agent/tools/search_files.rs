//! The tool `search_files`: the lines that contain a text, in a file or below a folder.
use super::args::{Args, Field, Kind};
use super::edit_file::read_whole;
use super::folder::EntryKind;
use super::list_files::wanted;
use super::read_file::is_binary;
use super::walk::walk;
use super::{Tool, ToolCx};
use crate::limits::FOUND_LINES_MAX;
use crate::text::preview;
use std::fs::File;
use std::ops::ControlFlow;

pub(super) const TOOL: Tool = Tool {
    name: "search_files",
    description: "Searches files for a text, not a regular expression, and shows the lines that \
                  contain it as `path:line: text`, up to 500. Binary files and files over 16 MiB \
                  are passed over.",
    main: "text",
    fields: &[
        Field {
            name: "text",
            kind: Kind::Text,
            required: true,
            description: "The text to find, within one line.",
        },
        Field {
            name: "path",
            kind: Kind::Text,
            required: false,
            description: "A folder, searched with all below it, or a file. Default: the workspace.",
        },
        Field {
            name: "pattern",
            kind: Kind::Text,
            required: false,
            description: "Which files: `*.rs` by name, or `src/**/*.rs` by path. Default: all.",
        },
        Field {
            name: "ignore_case",
            kind: Kind::Flag,
            required: false,
            description: "True to find capital and small letters alike. Default false.",
        },
    ],
    is_plain_read: true,
    need: super::no_need,
    run: search_files,
};

const LINE_CHARS_MAX: usize = 200;

fn search_files(args: &Args, cx: &ToolCx<'_>) -> Result<String, String> {
    let path = if args.text("path").is_empty() { "." } else { args.text("path") };
    let pattern = args.text("pattern");
    let mut search = Search::new(args.text("text"), args.flag("ignore_case"))?;
    let top = cx.files.resolve(path)?;
    let mut note = String::new();
    if top.is_dir() {
        let gaps = walk(cx, &top, true, &mut |folder, inner, entry| {
            if entry.kind != EntryKind::File || !wanted(pattern, inner) {
                return ControlFlow::Continue(());
            }
            match folder.file(&entry.name) {
                Ok(file) => search.file(file, &cx.files.shown(&top.join(inner))),
                Err(_) => search.skip(),
            }
        });
        note = gaps.note();
    } else if search.file(cx.files.file(path)?, path).is_break() {
        note = "\n[there is more: search for a longer text]".to_owned();
    }
    if search.skipped > 0 {
        note += &format!("\n[{} binary, big or unreadable files passed over]", search.skipped);
    }
    if search.found.is_empty() {
        return Ok(format!("[{} files searched, nothing found]{note}", search.searched));
    }
    Ok(search.found.join("\n") + &note)
}

struct Search {
    text: String,
    ignore_case: bool,
    found: Vec<String>,
    searched: usize,
    skipped: usize,
}

impl Search {
    fn new(text: &str, ignore_case: bool) -> Result<Search, String> {
        if text.is_empty() || text.contains('\n') {
            return Err("`text` must be part of one line. Search for that.".to_owned());
        }
        let text = if ignore_case { text.to_lowercase() } else { text.to_owned() };
        Ok(Search { text, ignore_case, found: Vec::new(), searched: 0, skipped: 0 })
    }

    /// Looks through one file; breaks when there is no room for another line.
    fn file(&mut self, file: File, shown: &str) -> ControlFlow<()> {
        let content = match read_whole(file) {
            Ok(content) if !is_binary(&content) => content,
            _ => return self.skip(),
        };
        self.searched += 1;
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let line = String::from_utf8_lossy(line);
            let fits = match self.ignore_case {
                true => line.to_lowercase().contains(&self.text),
                false => line.contains(&self.text),
            };
            if fits && self.found.len() == FOUND_LINES_MAX {
                return ControlFlow::Break(());
            }
            if fits {
                self.found.push(format!(
                    "{shown}:{}: {}",
                    index + 1,
                    preview(&line, LINE_CHARS_MAX)
                ));
            }
        }
        ControlFlow::Continue(())
    }

    fn skip(&mut self) -> ControlFlow<()> {
        self.skipped += 1;
        ControlFlow::Continue(())
    }
}
