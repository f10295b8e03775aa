//! Text as it may be shown: made harmless, and cut to what fits.
use std::fmt::Write;

/// `text` without what a terminal would obey instead of show: control characters other than line
/// end and tab, and the marks that turn the direction of text around.
pub fn clean(text: &str) -> String {
    let is_shown = |c: &char| {
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        matches!(c, '\n' | '\t') || (!c.is_control() && !turns)
    };
    text.chars().filter(is_shown).collect()
}

/// A tool and its main argument.
pub fn label(tool: &str, main: &str) -> String {
    one_line(&format!("{tool}  {main}")).trim_end().to_owned()
}

/// A duration as people read it: `30 ms`, `12.3 s`, `2 min 05 s`.
pub fn duration(seconds: f64) -> String {
    let mut text = String::new();
    let written = match seconds {
        s if s < 1.0 => write!(text, "{:.0} ms", s * 1000.0),
        s if s < 60.0 => write!(text, "{s:.1} s"),
        s => write!(text, "{} min {:02} s", s as u64 / 60, s as u64 % 60),
    };
    written.expect("a String takes any text");
    text
}

/// A count of things: `1 run`, `2 runs`.
#[cfg(feature = "sqlite")]
pub fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// `text` on one line.
pub fn one_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// The beginning of `text` that fits into `width` columns, with `…` where something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| match room.checked_sub(column(*c)) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    let kept: String = text.chars().take_while(fits).collect();
    kept + "…"
}

/// Columns `text` takes on a terminal, at most.
pub fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// Columns of one character: two for what may be wide, so that a line is never too long.
fn column(c: char) -> usize {
    if c < '\u{1100}' || ('\u{2000}'..'\u{2e80}').contains(&c) { 1 } else { 2 }
}
