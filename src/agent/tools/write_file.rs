//! The tool `write_file`: a whole file at once.
use super::args::{Args, FILE_PATH, Field, Kind};
use super::{Need, Tool, ToolCx, Tools};

pub(super) const TOOL: Tool = Tool {
    name: "write_file",
    description: "Writes a file with exactly this content, in place of one that is there. Missing \
                  folders are made. Inside the workspace; elsewhere somebody may be asked first.",
    main: "path",
    fields: &[
        FILE_PATH,
        Field {
            name: "content",
            kind: Kind::Text,
            required: true,
            description: "All of the file's new content.",
        },
    ],
    is_plain_read: false,
    need,
    run: write_file,
};

fn need(args: &Args, tools: &Tools) -> Option<Need> {
    let content = args.text("content");
    tools.files.need(args.text("path"), |place| format!("Write this to {place}:\n{content}"))
}

fn write_file(args: &Args, cx: &ToolCx<'_>) -> Result<String, String> {
    let (path, content) = (args.text("path"), args.text("content"));
    let target = cx.target(path, true)?;
    let written = target.folder.replace(&target.name, content.as_bytes());
    written.map_err(|why| cx.files.explain(path, &why))?;
    Ok(format!("Wrote {} bytes to {}.", content.len(), target.shown))
}
