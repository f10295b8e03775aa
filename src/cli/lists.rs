//! Lists a server has: a table on a terminal, fields with tabs between them on a pipe, or JSON.
use super::ask::escaped;
use super::client::{Client, Refused};
use super::logger::utc;
use super::print;
use super::shown::{columns, cut, one_line};
use super::watch::width;
use runwire::record::Status;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::time::{SystemTime, UNIX_EPOCH};

/// Entries a server gives at once.
const PAGE: usize = 100;
/// Characters of an id that stand in a table: enough to name the run by.
const ID_SHOWN: usize = 12;
/// Columns between two fields.
const GAP: &str = "  ";

/// Entries of a list.
pub struct Page {
    pub data: Vec<Value>,
    has_more: bool,
}

/// The entries of `path` from a place on, `limit` of them at most.
pub fn page(client: &Client, path: &str, place: &str, limit: usize) -> Result<Page, String> {
    let list = client.get(&format!("{path}limit={limit}{place}")).map_err(Refused::into_text)?;
    let has_more = list["has_more"] == true;
    let data = list["data"].as_array().cloned();
    let data = data.ok_or("The server does not answer like a runs API.")?;
    Ok(Page { data, has_more })
}

/// The first `limit` entries of `path`, over as many pages as it takes.
pub fn all(client: &Client, path: &str, limit: usize) -> Result<Vec<Value>, String> {
    let mut entries: Vec<Value> = Vec::new();
    loop {
        let place = match entries.last().and_then(|last| last["run_id"].as_str()) {
            Some(id) => format!("&after={}", escaped(id)),
            None => format!("&offset={}", entries.len()),
        };
        let page = page(client, path, &place, PAGE.min(limit - entries.len()))?;
        let is_last = !page.has_more || page.data.is_empty();
        entries.extend(page.data);
        if is_last || entries.len() >= limit {
            return Ok(entries);
        }
    }
}

pub fn runs(
    client: &Client,
    status: Option<Status>,
    session: Option<&str>,
    limit: usize,
    json: bool,
) -> Result<u8, String> {
    let status = status.map(|status| format!("status={}&", status.name()));
    let session = session.map(|id| format!("session_id={}&", escaped(id)));
    let filter = status.unwrap_or_default() + &session.unwrap_or_default();
    let runs = all(client, &format!("/v1/runs?{filter}"), limit)?;
    if json {
        return Ok(lines(&runs));
    }
    let row = |run: &Value, wide: bool| {
        let id = text(run, "run_id");
        let id = if wide { id } else { id.chars().take(ID_SHOWN).collect() };
        let tokens = run["usage"]["total_tokens"].as_u64().unwrap_or(0).to_string();
        [id, text(run, "status"), when(run, "created_at", wide), tokens, text(run, "preview")]
    };
    Ok(table(&["RUN", "STATUS", "BEGAN", "TOKENS", "INPUT"], &runs, row, "No runs.\n"))
}

pub fn sessions(client: &Client, limit: usize, json: bool) -> Result<u8, String> {
    let sessions = all(client, "/v1/sessions?", limit)?;
    if json {
        return Ok(lines(&sessions));
    }
    let row = |session: &Value, wide: bool| {
        let runs = session["runs"].as_u64().unwrap_or(0).to_string();
        let last = when(session, "updated_at", wide);
        [text(session, "id"), runs, last, text(session, "preview")]
    };
    Ok(table(&["SESSION", "RUNS", "LAST USED", "BEGINS"], &sessions, row, "No sessions.\n"))
}

/// Each entry as a line of JSON. Returns the exit code.
pub fn lines(entries: &[Value]) -> u8 {
    print(&entries.iter().map(|entry| format!("{entry}\n")).collect::<String>())
}

/// A field of words.
pub fn text(entry: &Value, name: &str) -> String {
    one_line(entry[name].as_str().unwrap_or_default())
}

/// A moment: how long ago, or exactly if there is room.
fn when(entry: &Value, name: &str, wide: bool) -> String {
    let then = entry[name].as_f64().unwrap_or_default() as u64;
    if wide {
        return utc(then, 0);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match now.saturating_sub(then) {
        s if s < 60 => format!("{s} s ago"),
        s if s < 3600 => format!("{} min ago", s / 60),
        s if s < 2 * 86_400 => format!("{} h ago", s / 3600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// Prints a row for each entry. Returns the exit code.
fn table<const N: usize>(
    names: &[&str; N],
    entries: &[Value],
    row: impl Fn(&Value, bool) -> [String; N],
    none: &str,
) -> u8 {
    if !io::stdout().is_terminal() {
        let line = |entry: &Value| row(entry, true).join("\t") + "\n";
        return print(&entries.iter().map(line).collect::<String>());
    }
    if entries.is_empty() {
        return print(none);
    }
    let mut rows = vec![names.map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| row(entry, false)));
    let width_of = |at: usize| rows.iter().map(|row| columns(&row[at])).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width_of);
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (field, width) in row.iter().zip(widths) {
            line.push_str(field);
            line.extend(std::iter::repeat_n(' ', width - columns(field)));
            line.push_str(GAP);
        }
        cut(line.trim_end(), width().saturating_sub(1)) + "\n"
    };
    print(&rows.iter().map(line).collect::<String>())
}
