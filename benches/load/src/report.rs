//! What was measured of each server, and the table of it.
use crate::rows::{ROWS, Row};
use std::collections::BTreeMap;

/// What one measurement of one server gave.
#[derive(Default)]
pub struct Figures {
    values: Vec<(&'static str, f64)>,
    /// What went wrong beside it, so that the figures must be read with care.
    trouble: Option<String>,
}

impl From<Vec<(&'static str, f64)>> for Figures {
    fn from(values: Vec<(&'static str, f64)>) -> Figures {
        Figures { values, trouble: None }
    }
}

impl Figures {
    /// Says beside the figures what went wrong, if something did.
    pub fn but(self, trouble: Option<String>) -> Figures {
        Figures { trouble, ..self }
    }

    pub fn value(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }
}

/// All values of one server, each with the round it is of.
#[derive(Default)]
pub struct Sheet {
    values: BTreeMap<&'static str, Vec<(usize, f64)>>,
    /// What went wrong in which measurement.
    troubles: Vec<(&'static str, String)>,
}

impl Sheet {
    pub fn add(&mut self, round: usize, measure: &'static str, figures: Figures) {
        for (name, value) in figures.values {
            let has_row = ROWS.iter().any(|row| row.name == name && row.measure == measure);
            assert!(has_row, "`{name}` of {measure} has no row");
            self.values.entry(name).or_default().push((round, value));
        }
        if let Some(trouble) = figures.trouble {
            self.trouble(measure, trouble);
        }
    }

    pub fn trouble(&mut self, measure: &'static str, trouble: String) {
        self.troubles.push((measure, trouble));
    }

    /// The median over the rounds.
    pub fn value(&self, name: &str) -> Option<f64> {
        median(self.values.get(name)?.iter().map(|(_, value)| *value).collect())
    }

    /// The median of how many times `other`'s figure of the same round this one's is.
    pub fn times(&self, other: &Sheet, name: &str) -> Option<f64> {
        let others = other.values.get(name)?;
        let times = self.values.get(name)?.iter().filter_map(|(round, value)| {
            let (_, beside) = others.iter().find(|(found, _)| found == round)?;
            Some(value / beside).filter(|times| times.is_finite())
        });
        median(times.collect())
    }
}

pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The servers, in the order of their columns.
pub struct Sheets {
    pub limit: Sheet,
    pub memory: Sheet,
    pub durable: Sheet,
    pub axum: Sheet,
}

/// The table, and below it what went wrong, by the numbers in its cells.
pub fn table(sheets: &Sheets) -> String {
    let mut text = "| figure | limit | memory | sqlite | axum | memory : limit | \
        sqlite : memory | goal |\n|---|---:|---:|---:|---:|---:|---:|---|\n"
        .to_owned();
    let mut notes = Vec::new();
    for row in ROWS {
        let columns = [
            (&sheets.limit, "limit"),
            (&sheets.memory, "memory"),
            (&sheets.durable, "sqlite"),
            (&sheets.axum, "axum"),
        ];
        let cells = columns.map(|(sheet, name)| cell(row, sheet, name, &mut notes));
        if cells.iter().any(|cell| !cell.is_empty()) {
            let cells = cells.join(" | ");
            text += &format!("| {} | {cells} | {} |\n", row.what, ratios_and_goal(row, sheets));
        }
    }
    for (index, note) in notes.iter().enumerate() {
        text += &format!("\n[{}] {note}", index + 1);
    }
    text
}

/// The figure, with the number of a note where something went wrong.
fn cell(row: &Row, sheet: &Sheet, column: &str, notes: &mut Vec<String>) -> String {
    let mut troubles: Vec<&str> = sheet
        .troubles
        .iter()
        .filter(|(name, _)| *name == row.measure)
        .map(|(_, it)| &**it)
        .collect();
    troubles.dedup();
    let shown = sheet.value(row.name).map(|value| row.unit.show(value));
    if troubles.is_empty() {
        return shown.unwrap_or_default();
    }
    let note = format!("{}, {column}: {}", row.measure, troubles.join("; "));
    let known = notes.iter().position(|known| *known == note).unwrap_or_else(|| {
        notes.push(note);
        notes.len() - 1
    });
    format!("{} [{}]", shown.unwrap_or_else(|| "failed".to_owned()), known + 1)
}

fn ratios_and_goal(row: &Row, sheets: &Sheets) -> String {
    let Sheets { limit, memory, durable, .. } = sheets;
    let times = memory.times(limit, row.name);
    let kept = durable.times(memory, row.name);
    let in_memory = memory.value(row.name);
    let judged = in_memory.and_then(|value| row.goal.judge(&row.unit, value, times, None));
    let durable_times = durable.times(limit, row.name);
    let judged_durable = durable.value(row.name).and_then(|value| {
        let verdict = row.durable.judge(&row.unit, value, durable_times, in_memory)?;
        Some(format!("sqlite {verdict}"))
    });
    let verdicts: Vec<String> = [judged, judged_durable].into_iter().flatten().collect();
    let show = |times: Option<f64>| times.map_or(String::new(), |times| format!("{times:.2}"));
    format!("{} | {} | {}", show(times), show(kept), verdicts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(values: &[f64]) -> Sheet {
        let mut sheet = Sheet::default();
        for (round, value) in values.iter().enumerate() {
            sheet.add(round, "post", vec![("post cpu", *value)].into());
        }
        sheet
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let (fast, slow) = (sheet(&[1.0, 10.0, 100.0]), sheet(&[2.0, 30.0, 100.0]));
        assert_eq!(slow.value("post cpu"), Some(30.0));
        assert_eq!(slow.times(&fast, "post cpu"), Some(2.0));
        assert_eq!(slow.times(&Sheet::default(), "post cpu"), None);
    }

    #[test]
    fn what_went_wrong_stands_in_its_row() {
        let mut memory = sheet(&[6.0]);
        memory.add(1, "post", Figures::from(vec![("post cpu", 7.0)]).but(Some("2 resets".into())));
        let mut axum = Sheet::default();
        axum.trouble("post", "no answer".into());
        let sheets = Sheets { limit: sheet(&[5.0]), memory, durable: Sheet::default(), axum };
        let table = table(&sheets);
        let row = table.lines().find(|line| line.contains("CPU to accept a run")).expect("a row");
        assert!(row.contains("| 5.0 µs | 7.0 µs [1] |  | failed [2] | 1.20 |  |"), "{row}");
        assert!(row.contains("≤ 1.5 × limit (aim 1.2): met, and its aim"), "{row}");
        assert!(
            table.ends_with("[1] post, memory: 2 resets\n[2] post, axum: no answer"),
            "{table}"
        );
    }
}
