//! A flat file in TOML, read by the events of its parser: names with values, each with its line.
use toml_parser::decoder::{Encoding, ScalarKind};
use toml_parser::parser::{EventReceiver, ValidateWhitespace, parse_document};
use toml_parser::{ErrorSink, ParseError, Source, Span};

/// One `name = value`.
#[derive(Debug, PartialEq)]
pub struct Entry {
    pub name: String,
    /// From 1 on.
    pub line: usize,
    pub value: Value,
}

#[derive(Debug, PartialEq)]
pub enum Value {
    /// A string as it reads, a number in its digits, `true` or `false`.
    One(String),
    Many(Vec<String>),
}

/// What keeps a text from being such a file, and the line of it, from 1 on.
#[derive(Debug, PartialEq)]
pub struct Wrong {
    pub line: usize,
    pub what: String,
}

/// The entries of `text` in their order.
///
/// # Errors
/// The first place that is not TOML, or that is no setting with a value: a table, say.
pub fn parse(text: &str) -> Result<Vec<Entry>, Wrong> {
    let source = Source::new(text);
    let mut wrong: Option<ParseError> = None;
    let mut reader = Reader { source, name: None, entries: Vec::new() };
    let tokens = source.lex().into_vec();
    let mut receiver = ValidateWhitespace::new(&mut reader, source);
    parse_document(&tokens, &mut receiver, &mut wrong);
    match wrong {
        None => Ok(reader.entries),
        Some(error) => {
            let at = error.unexpected().or(error.context()).map_or(0, |span| span.start());
            Err(Wrong { line: line_at(text, at), what: error.description().to_owned() })
        }
    }
}

const TABLE: &str = "settings stand on lines of their own (name = value), not in tables";
const DOTTED: &str = "a setting's name has no dots";
const SCALAR: &str =
    "expected a string in quotes, a whole number, true or false, or a list of strings";
const NESTED: &str = "a list holds strings";

struct Reader<'a> {
    source: Source<'a>,
    /// The name whose value is awaited, with its line.
    name: Option<(String, usize)>,
    entries: Vec<Entry>,
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        refuse(TABLE, span, error);
    }

    fn array_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) {
        refuse(TABLE, span, error);
    }

    fn inline_table_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        refuse(TABLE, span, error);
        false
    }

    fn array_open(&mut self, span: Span, error: &mut dyn ErrorSink) -> bool {
        let Some((name, line)) = self.name.take() else {
            refuse(NESTED, span, error);
            return false;
        };
        self.entries.push(Entry { name, line, value: Value::Many(Vec::new()) });
        true
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let mut name = String::new();
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        raw.decode_key(&mut name, error);
        self.name = Some((name, line_at(self.source.input(), span.start())));
    }

    fn key_sep(&mut self, span: Span, error: &mut dyn ErrorSink) {
        refuse(DOTTED, span, error);
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else { return };
        let mut text = String::new();
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let kind = raw.decode_scalar(&mut text, error);
        let is_plain = match kind {
            ScalarKind::String | ScalarKind::Boolean(_) => true,
            ScalarKind::Integer(_) => !text.starts_with(['+', '-']) && !is_radix(raw.as_str()),
            ScalarKind::Float | ScalarKind::DateTime => false,
        };
        if !is_plain {
            return refuse(SCALAR, span, error);
        }
        match (self.name.take(), self.entries.last_mut()) {
            (Some((name, line)), _) => {
                self.entries.push(Entry { name, line, value: Value::One(text) });
            }
            (None, Some(Entry { value: Value::Many(items), .. })) => items.push(text),
            // The parser has refused it already.
            (None, _) => {}
        }
    }
}

fn is_radix(digits: &str) -> bool {
    digits.starts_with("0x") || digits.starts_with("0o") || digits.starts_with("0b")
}

fn refuse(what: &'static str, span: Span, error: &mut dyn ErrorSink) {
    error.report_error(ParseError::new(what).with_unexpected(span));
}

fn line_at(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
