//! The tool `read_file`: some lines of a text, or what kind of file it is.
use super::args::{Args, FILE_PATH, Field, Kind};
use super::telling::is_telling;
use super::{Need, Tool, ToolCx, Tools, Widening};
use crate::limits::{READ_LINES, TOOL_ENTRY_BYTES_MAX};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};

pub(super) const TOOL: Tool = Tool {
    name: "read_file",
    description: "Reads a text file: up to 2000 lines and 64 KiB at once. Says which line to go \
                  on from if there is more. Of a binary file it shows the size and the beginning.",
    main: "path",
    fields: &[
        FILE_PATH,
        Field {
            name: "offset",
            kind: Kind::Count,
            required: false,
            description: "The first line to read, counted from 1.",
        },
        Field {
            name: "limit",
            kind: Kind::Count,
            required: false,
            description: "How many lines to read. Default 2000.",
        },
    ],
    is_plain_read: true,
    need,
    run: read_file,
};

/// Bytes of text shown; the rest of the result's bound is for the note at its end.
const SHOWN_BYTES_MAX: usize = TOOL_ENTRY_BYTES_MAX - 1024;
/// Bytes of a binary file shown.
const DUMP_BYTES: usize = 256;

fn need(args: &Args, tools: &Tools) -> Option<Need> {
    let path = args.text("path");
    let real = tools.files.resolve(path).ok().filter(|real| is_telling(real))?;
    let description = "A file of this name likely holds keys or passwords. If you allow it, the \
                       model gets to read it.";
    Some(Need {
        command: format!("Read {}", real.display()),
        description: description.to_owned(),
        widening: Widening::default(),
    })
}

fn read_file(args: &Args, cx: &ToolCx<'_>) -> Result<String, String> {
    let path = args.text("path");
    let file = cx.files.file(path)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    let first = args.count("offset").unwrap_or(1).max(1);
    let limit = args.count("limit").unwrap_or(READ_LINES).max(1);
    let mut reader = BufReader::with_capacity(64 * 1024, file);
    let shown = match reader.fill_buf() {
        Ok(start) if is_binary(start) => return Ok(dump(start, size)),
        Ok(_) => lines(&mut reader, first, limit, cx),
        Err(why) => Err(why),
    };
    let shown = shown.map_err(|why| cx.files.explain(path, &why))?;
    shown.told(path, first)
}

/// True if the beginning of a file is not text: text has no NUL.
pub(super) fn is_binary(start: &[u8]) -> bool {
    start[..start.len().min(8 * 1024)].contains(&0)
}

struct Shown {
    text: Vec<u8>,
    /// Lines that ended within what was read, those passed over included.
    lines: u64,
    more: bool,
}

/// Reads from line `first` on, keeping at most `SHOWN_BYTES_MAX` however long the lines are.
fn lines(
    reader: &mut BufReader<File>,
    first: u64,
    limit: u64,
    cx: &ToolCx<'_>,
) -> std::io::Result<Shown> {
    let mut shown = Shown { text: Vec::new(), lines: 0, more: false };
    let end = first.saturating_add(limit) - 1;
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() || cx.cancel.is_cancelled() {
            return Ok(shown);
        }
        if shown.lines >= end || shown.text.len() >= SHOWN_BYTES_MAX {
            shown.more = true;
            return Ok(shown);
        }
        let line_end = buffer.iter().position(|byte| *byte == b'\n');
        let piece = &buffer[..line_end.map_or(buffer.len(), |at| at + 1)];
        let wanted = match shown.lines + 1 >= first {
            true => piece.len().min(SHOWN_BYTES_MAX - shown.text.len()),
            false => 0,
        };
        let taken = if wanted > 0 { wanted } else { piece.len() };
        shown.text.extend_from_slice(&piece[..wanted]);
        shown.lines += u64::from(line_end.is_some() && taken == piece.len());
        reader.consume(taken);
    }
}

impl Shown {
    fn told(self, path: &str, first: u64) -> Result<String, String> {
        let mut text = String::from_utf8_lossy(&self.text).into_owned();
        if text.is_empty() && first > 1 {
            let lines = self.lines;
            return Err(format!("`{path}` has {lines} lines. Give an offset from 1 to {lines}."));
        }
        if text.is_empty() {
            return Ok("[the file is empty]".to_owned());
        }
        if self.more {
            let next = self.lines + 1;
            let _ = write!(text, "\n[there is more: go on with offset {next}]");
        }
        Ok(text)
    }
}

fn dump(start: &[u8], size: u64) -> String {
    let mut text = format!("[a binary file of {size} bytes; it begins:]\n");
    for (row, bytes) in start[..start.len().min(DUMP_BYTES)].chunks(16).enumerate() {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
        let plain: String = bytes.iter().map(visible).collect();
        let _ = writeln!(text, "{:08x}  {:<47}  {plain}", row * 16, hex.join(" "));
    }
    text
}
