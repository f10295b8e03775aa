//! The tool `list_files`: what is in a folder, or below it.
use super::args::{Args, Field, Kind};
use super::folder::{Entry, EntryKind};
use super::walk::{matches, walk};
use super::{Tool, ToolCx};
use crate::limits::FOUND_LINES_MAX;
use std::ops::ControlFlow;
use std::path::Path;

pub(super) const TOOL: Tool = Tool {
    name: "list_files",
    description: "Lists a folder: sizes in bytes, and names. With a pattern it looks through all \
                  folders below as well, and lists what matches. Shows up to 500 entries.",
    main: "path",
    fields: &[
        Field {
            name: "path",
            kind: Kind::Text,
            required: false,
            description: "The folder, relative to the workspace or absolute. Default: the \
                          workspace.",
        },
        Field {
            name: "pattern",
            kind: Kind::Text,
            required: false,
            description: "What to list: `*.rs` by name, or `src/**/*.rs` by path. `*`, `?`, `**`.",
        },
    ],
    is_plain_read: true,
    need: super::no_need,
    run: list_files,
};

fn list_files(args: &Args, cx: &ToolCx<'_>) -> Result<String, String> {
    let path = if args.text("path").is_empty() { "." } else { args.text("path") };
    let pattern = args.text("pattern");
    let top = cx.files.resolve(path)?;
    if !top.is_dir() {
        return Err(format!("`{path}` is not a folder. Use read_file to read a file."));
    }
    let mut lines = Vec::new();
    let gaps = walk(cx, &top, !pattern.is_empty(), &mut |_, inner, entry| {
        if !wanted(pattern, inner) {
            return ControlFlow::Continue(());
        }
        if lines.len() == FOUND_LINES_MAX {
            return ControlFlow::Break(());
        }
        lines.push(line(inner, entry));
        ControlFlow::Continue(())
    });
    if lines.is_empty() && gaps.note().is_empty() {
        let what = if pattern.is_empty() { "is empty" } else { "has nothing that matches" };
        return Ok(format!("[{} {what}]", cx.files.shown(&top)));
    }
    Ok(lines.join("\n") + &gaps.note())
}

/// True if `inner` matches: a pattern without `/` is one for names, an empty one for all.
pub(super) fn wanted(pattern: &str, inner: &Path) -> bool {
    let name = inner.file_name().unwrap_or_default().to_string_lossy();
    match pattern {
        "" => true,
        pattern if pattern.contains('/') => matches(pattern, &inner.to_string_lossy()),
        pattern => matches(pattern, &name),
    }
}

fn line(inner: &Path, entry: &Entry) -> String {
    let name = inner.display();
    match entry.kind {
        EntryKind::File => format!("{:>12}  {name}", entry.bytes),
        EntryKind::Folder => format!("{:>12}  {name}/", "folder"),
        EntryKind::Link => format!("{:>12}  {name}", "link"),
        EntryKind::Other => format!("{:>12}  {name}", "special"),
    }
}
