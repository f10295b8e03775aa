//! The record of figures that every release has, docs/figures.json, and what is held against it.
use crate::options::Options;
use crate::process::Server;
use crate::report::{Sheets, median};
use crate::rows::{Goal, ROWS};
use crate::swarm::{Manners, Swarm};
use crate::{Result, http, machine, measure};
use serde_json::{Map, Value, json};
use std::fs;

/// A figure that has grown by more than this since the record was written must be explained.
const GROWTH_MAX: f64 = 0.05;
/// Measurements whose median a figure in bytes is.
const LOOKS: usize = 3;
/// Runs that work, and readers of each, whose memory the record has.
const GRID: &[(usize, usize)] = &[(1, 1), (1, 1_000), (1, 10_000), (20, 50), (200, 5), (200, 50)];

/// Groups of the record that are guarded, and their figures: exact sizes, and bytes of memory.
const SIZES: &str = "sizes_bytes";
const MEMORY: &str = "memory_bytes";

/// A guarded figure, as it is now.
struct Figure {
    group: &'static str,
    name: &'static str,
    bytes: f64,
}

/// Writes the record, with the reasons that it already had.
pub fn write(path: &str, options: &Options, sheets: &Sheets) -> Result<()> {
    let old = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    let old: Value = old.unwrap_or_default();
    let figures = guarded(options)?;
    let group = |group: &str| -> Value {
        let figures = figures.iter().filter(|figure| figure.group == group);
        figures.map(|figure| (figure.name.to_owned(), json!(figure.bytes.round() as u64))).collect()
    };
    let starts = [("memory", &sheets.memory), ("sqlite", &sheets.durable)];
    let starts = starts.map(|(name, sheet)| (name.to_owned(), rounded(sheet.value("start"))));
    let record = json!({
        "version": version(options),
        "machine": machine::describe(),
        SIZES: group(SIZES),
        MEMORY: group(MEMORY),
        "start_ms": Map::from_iter(starts),
        "server_bytes": grid(options)?,
        "times_limit": times_limit(sheets),
        "reasons": old.get("reasons").cloned().unwrap_or(json!([])),
    });
    fs::write(path, serde_json::to_string_pretty(&record)? + "\n")?;
    let grown = complaints(&old, &figures);
    if old.is_object() && !grown.is_empty() {
        println!("{path} is written; say why in its `reasons`:\n{}", grown.join("\n"));
    }
    Ok(())
}

/// Fails where a guarded figure is more than 5 % over its record.
pub fn check(path: &str, options: &Options) -> Result<()> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("{path}: {error}. `make figures` writes it."))?;
    let record: Value = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    let mut figures = guarded(options)?;
    let here = machine::describe();
    if record["machine"]["page_bytes"] != here["page_bytes"] {
        println!("Pages have another size than where {path} was written: memory is not compared.");
        figures.retain(|figure| figure.group == SIZES);
    }
    for figure in &figures {
        let recorded = record[figure.group][figure.name].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:<14} {:<14} {:>10.0} recorded {recorded:>10.0}",
            figure.group, figure.name, figure.bytes
        );
    }
    let complaints = complaints(&record, &figures);
    if complaints.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{}\nMake it smaller, or write the new value into {path} by hand, with an entry \
         {{\"figure\": ..., \"why\": ...}} in its `reasons`.\nThe record is of {}, {}; this is {}, {}.",
        complaints.join("\n"),
        record["machine"]["rustc"],
        record["machine"]["libc"],
        here["rustc"],
        here["libc"],
    )
    .into())
}

/// What is wrong with figures, or with the record itself.
fn complaints(record: &Value, figures: &[Figure]) -> Vec<String> {
    let mut complaints = Vec::new();
    for Figure { group, name, bytes } in figures {
        match record[*group][*name].as_f64() {
            None => {
                complaints.push(format!("{group} has no \"{name}\": `make figures` writes it."))
            }
            Some(recorded) if *bytes > recorded * (1.0 + GROWTH_MAX) => {
                let percent = (bytes / recorded - 1.0) * 100.0;
                complaints.push(format!(
                    "{group}: \"{name}\" has grown from {recorded} to {bytes:.0} bytes, by \
                     {percent:.1} %; 5 % are allowed."
                ));
            }
            Some(_) => {}
        }
    }
    let reasons = record["reasons"].as_array();
    let is_reason = |entry: &Value| entry["figure"].is_string() && entry["why"].is_string();
    if !reasons.is_some_and(|reasons| reasons.iter().all(is_reason)) {
        complaints.push("`reasons` is not a list of {\"figure\": ..., \"why\": ...}.".to_owned());
    }
    complaints
}

/// Measures what is guarded.
fn guarded(options: &Options) -> Result<Vec<Figure>> {
    let names = [("size core", "core"), ("size small", "small"), ("size", "everything")];
    let mut figures = Vec::new();
    for (row, bytes) in options.sizes()? {
        let (_, name) = names.iter().find(|(named, _)| *named == row).ok_or(row)?;
        figures.push(Figure { group: SIZES, name, bytes });
    }
    let serve = options.serve.as_ref().ok_or("no --serve is given")?;
    for (measure, value, name, command) in [
        (measure::idle as crate::Measure, "idle stream", "idle stream", &options.agent),
        (measure::post, "run kept", "finished run", &options.agent),
        (measure::start, "resident", "idle server", serve),
    ] {
        let looks = (0..LOOKS).map(|_| measure(command)?.value(value).ok_or(value.into()));
        let bytes = median(looks.collect::<Result<Vec<f64>>>()?).ok_or(name)?;
        figures.push(Figure { group: MEMORY, name, bytes });
    }
    Ok(figures)
}

/// Resident memory of a server with so many runs that work in silence and readers of each.
fn grid(options: &Options) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for (runs, readers) in GRID {
        let server = Server::start(&options.agent)?;
        let mut swarm = Swarm::new(server.addr)?;
        for _ in 0..*runs {
            let run = http::start_run(server.addr, "bench hold=600000")?;
            swarm.open(&run, *readers, Manners::Reads)?;
        }
        let bytes = server.usage()?.resident;
        rows.push(json!({"runs": runs, "readers_of_each": readers, "bytes": bytes as u64}));
    }
    Ok(rows)
}

/// The rows whose goal is against the limit, as far as they were measured.
fn times_limit(sheets: &Sheets) -> Value {
    let is_ratio = |goal| matches!(goal, Goal::TimesLimit(..) | Goal::ShareOfLimit(..));
    let times = ROWS.iter().filter(|row| is_ratio(row.goal)).filter_map(|row| {
        let sides =
            [("memory", &sheets.memory), ("sqlite", &sheets.durable), ("axum", &sheets.axum)];
        let times = sides.map(|(name, sheet)| (name, sheet.times(&sheets.limit, row.name)));
        let known = times.into_iter().filter(|(_, times)| times.is_some());
        let known: Map<_, _> = known.map(|(name, it)| (name.to_owned(), rounded(it))).collect();
        (!known.is_empty()).then(|| (row.name.to_owned(), Value::Object(known)))
    });
    Value::Object(times.collect())
}

fn rounded(value: Option<f64>) -> Value {
    json!(value.map(|value| (value * 100.0).round() / 100.0))
}

fn version(options: &Options) -> String {
    let said = options.everything.as_ref().map(|path| machine::said_by(path, &["version"]));
    let said = said.unwrap_or_default();
    said.split(' ').nth(1).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints_of(record: &Value, bytes: f64) -> Vec<String> {
        complaints(record, &[Figure { group: MEMORY, name: "idle stream", bytes }])
    }

    #[test]
    fn a_figure_that_has_grown_by_more_than_a_twentieth_is_named_with_both_values() {
        let record = json!({"memory_bytes": {"idle stream": 200}, "reasons": []});
        assert_eq!(complaints_of(&record, 210.0), Vec::<String>::new());
        assert_eq!(complaints_of(&record, 120.0), Vec::<String>::new());
        let said = complaints_of(&record, 212.0).join("");
        let grown = "memory_bytes: \"idle stream\" has grown from 200 to 212 bytes, by 6.0 %";
        assert!(said.starts_with(grown), "{said}");
    }

    #[test]
    fn a_record_without_the_figure_or_without_reasons_is_no_record() {
        let said = complaints_of(&json!({"reasons": []}), 1.0);
        assert_eq!(said, ["memory_bytes has no \"idle stream\": `make figures` writes it."]);
        for reasons in [json!(null), json!([{"figure": "idle stream"}]), json!("none")] {
            let record = json!({"memory_bytes": {"idle stream": 200}, "reasons": reasons});
            assert!(complaints_of(&record, 1.0)[0].starts_with("`reasons` is not a list"));
        }
    }

    #[test]
    fn a_record_that_is_not_there_or_is_no_json_is_told_of() {
        let said = check("no/such/record.json", &Options::default()).unwrap_err().to_string();
        assert!(said.starts_with("no/such/record.json: ") && said.contains("`make figures`"));
        let said = check("Cargo.toml", &Options::default()).unwrap_err().to_string();
        assert!(said.starts_with("Cargo.toml: expected value at line 1"), "{said}");
    }
}
