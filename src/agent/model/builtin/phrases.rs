//! Plain requests taken apart: "list files in DIR", "read FILE", and what may follow with "then".
use std::fmt;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    List(String),
    Read(String),
    Run(String),
    Search { text: String, folder: String },
    Write { text: String, path: String },
}

/// As in "I am asked to ...".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::List(folder) => write!(f, "list the files in {folder}"),
            Step::Read(path) => write!(f, "read {path}"),
            Step::Run(command) => write!(f, "run `{command}`"),
            Step::Search { text, folder } => write!(f, "search for \"{text}\" in {folder}"),
            Step::Write { path, .. } => write!(f, "write {path}"),
        }
    }
}

impl Step {
    /// What stands above its result.
    pub fn title(&self) -> String {
        match self {
            Step::List(folder) => format!("The files in {folder}:"),
            Step::Read(path) => format!("This is in {path}:"),
            Step::Run(command) => format!("`{command}` printed:"),
            Step::Search { text, folder } => format!("Lines with \"{text}\" in {folder}:"),
            Step::Write { .. } => "Done:".to_owned(),
        }
    }
}

const POLITE: &[&str] = &[
    "please",
    "kindly",
    "could you",
    "can you",
    "would you",
    "will you",
    "first",
    "now",
    "and",
    "hello",
    "hi",
    "hey",
];
const VERBS: &[&str] = &["list", "read", "run", "search", "write"];
const QUOTES: &[char] = &['"', '\'', '`'];

/// All steps of a request in their order, or the part that is not understood.
pub(super) fn steps(request: &str) -> Result<Vec<Step>, String> {
    let parts = split(request.trim());
    parts.into_iter().map(|part| step(part).ok_or_else(|| part.trim().to_owned())).collect()
}

/// True if the whole request is a question for what was said before it, such as "What did I ask
/// you before?".
pub(super) fn asks_for_past(request: &str) -> bool {
    const QUESTIONS: &[&str] = &["what did i", "what have i"];
    const SAYING: &[&str] =
        &["ask", "asked", "say", "said", "tell", "told", "want", "wanted", "write", "written"];
    const FILLERS: &[&str] =
        &["you", "to", "from", "before", "earlier", "previously", "already", "so", "far", "just"];
    let request = request.trim().to_lowercase().replace(['?', '.', '!', ','], " ");
    let mut words = polite(request.trim()).split_whitespace();
    let question: Vec<&str> = words.by_ref().take(3).collect();
    let mut said = false;
    let plain = words.all(|word| {
        said |= SAYING.contains(&word);
        SAYING.contains(&word) || FILLERS.contains(&word)
    });
    QUESTIONS.contains(&question.join(" ").as_str()) && said && plain
}

/// Cuts a request at each "then" that stands before a verb, outside quotes, and is not the
/// shell's own after a `;`.
fn split(request: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let words = words(request);
    for window in words.windows(2) {
        let (then, after) = (window[0], window[1]);
        let before = request[start..then.0].trim_end();
        let is_then = request[then.0..then.1].trim_end_matches(',').eq_ignore_ascii_case("then");
        if is_then && !before.ends_with(';') && verb(polite(&request[after.0..])).is_some() {
            let before = strip_last_word(before, "and").unwrap_or(before);
            parts.push(before.trim_end_matches(','));
            start = after.0;
        }
    }
    parts.push(&request[start..]);
    parts
}

/// Where each word begins and ends; what is in quotes is one word, spaces and all.
fn words(text: &str) -> Vec<(usize, usize)> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(gap) = text[at..].find(|c: char| !c.is_whitespace()) {
        let start = at + gap;
        let after_quote = start + quoted(&text[start..]).map_or(0, |inner| inner.len() + 2);
        let end = text[after_quote..].find(char::is_whitespace);
        at = end.map_or(text.len(), |end| after_quote + end);
        words.push((start, at));
    }
    words
}

/// What is between the quote that `text` begins with and the next of its kind.
fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| QUOTES.contains(c))?;
    let inner = &text[1..];
    inner.find(quote).map(|end| &inner[..end])
}

fn step(part: &str) -> Option<Step> {
    let (verb, rest) = verb(polite(part.trim()))?;
    match verb {
        "list" => list(rest),
        "read" => read(rest),
        "run" => run(rest),
        "search" => search(rest),
        _ => write(rest),
    }
}

fn list(rest: &str) -> Option<Step> {
    let fillers = ["me", "all", "the", "files", "folders", "contents", "everything"];
    let rest = skip(without_full_stop(rest), &fillers);
    if rest.is_empty() {
        return Some(Step::List(".".to_owned()));
    }
    let prepositions = ["in", "of", "inside", "under", "from", "at"];
    let named = prepositions.iter().find_map(|word| strip_word(rest, word));
    let folder = skip(named.unwrap_or(rest), &["the", "folder", "directory"]);
    path(folder).map(Step::List)
}

fn read(rest: &str) -> Option<Step> {
    path(skip(rest, &["me", "the", "contents", "of", "file"])).map(Step::Read)
}

fn run(rest: &str) -> Option<Step> {
    let command = ["the command", "this command"].iter().find_map(|word| strip_word(rest, word));
    let command = command.unwrap_or(rest).trim_start_matches(':').trim();
    // Quotes around the whole command are the request's; any others are the shell's.
    let whole = quoted(command).filter(|inner| inner.len() + 2 == command.len());
    let command = whole.unwrap_or(command);
    (!command.is_empty()).then(|| Step::Run(command.to_owned()))
}

fn search(rest: &str) -> Option<Step> {
    let rest = skip(rest, &["for", "the", "text"]);
    let (text, folder) = object(rest, &["in"])?;
    let folder = match folder {
        Some(folder) => path(skip(folder, &["the", "folder", "directory", "file"]))?,
        None => ".".to_owned(),
    };
    Some(Step::Search { text, folder })
}

fn write(rest: &str) -> Option<Step> {
    let (text, target) = object(rest, &["to", "into"])?;
    let path = path(skip(target?, &["the", "file"]))?;
    Some(Step::Write { text, path })
}

/// A text, in quotes or up to the last of `prepositions`, and what follows that.
fn object<'a>(rest: &'a str, prepositions: &[&str]) -> Option<(String, Option<&'a str>)> {
    if let Some(inner) = quoted(rest) {
        let after = rest[inner.len() + 2..].trim();
        let target = prepositions.iter().find_map(|word| strip_word(after, word));
        let ends = after.trim_end_matches(['.', '?', '!']).is_empty();
        return (!inner.is_empty() && (ends || target.is_some()))
            .then(|| (inner.to_owned(), target));
    }
    let is_preposition = |(start, end): &(usize, usize)| {
        prepositions.iter().any(|word| rest[*start..*end].eq_ignore_ascii_case(word))
    };
    let found = words(rest).into_iter().rfind(is_preposition);
    let text = rest[..found.map_or(rest.len(), |(start, _)| start)].trim();
    let target = found.map(|(_, end)| rest[end..].trim());
    let text = if found.is_some() { text } else { without_full_stop(text) };
    (!text.is_empty()).then(|| (text.to_owned(), target))
}

/// A path, in quotes or not. Several words without quotes are one only if they look like it.
fn path(text: &str) -> Option<String> {
    let text = strip_last_word(text.trim(), "please").unwrap_or(text.trim());
    if let Some(inner) = quoted(text) {
        let ends = text[inner.len() + 2..].trim_matches(['.', ',', '?', '!']).is_empty();
        return (ends && !inner.is_empty()).then(|| inner.to_owned());
    }
    let text = without_full_stop(text);
    let looks_like_path = text.contains(['/', '.', '~']) || !text.contains(char::is_whitespace);
    (looks_like_path && !text.is_empty()).then(|| text.to_owned())
}

/// Without what ends a sentence, but `.`, `..` and `dir/.` stay what they are.
fn without_full_stop(text: &str) -> &str {
    let text = text.trim_end_matches([',', '!', '?']).trim_end();
    match text.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with(['.', '/', ' ']) => rest,
        _ => text,
    }
}

/// Without the words a friendly request begins with.
fn polite(text: &str) -> &str {
    let mut rest = text;
    while let Some(shorter) = POLITE.iter().find_map(|words| strip_word(rest, words)) {
        rest = shorter.trim_start_matches([',', '!', ' ']);
    }
    rest
}

fn verb(text: &str) -> Option<(&'static str, &str)> {
    VERBS.iter().find_map(|verb| Some((*verb, strip_word(text, verb)?)))
}

/// Skips any of `fillers` at the start, in any order.
fn skip<'a>(text: &'a str, fillers: &[&str]) -> &'a str {
    let mut rest = text;
    while let Some(shorter) = fillers.iter().find_map(|word| strip_word(rest, word)) {
        rest = shorter;
    }
    rest
}

/// What follows `word` at the start of `text`, if it is a word of its own there.
fn strip_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let start = text.get(..word.len())?;
    let rest = &text[word.len()..];
    let ends =
        rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || ",:!".contains(c));
    (ends && start.eq_ignore_ascii_case(word)).then(|| rest.trim_start())
}

/// What comes before `word` at the end of `text`.
fn strip_last_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(word.len())?;
    let (before, last) = (text.get(..at)?, text.get(at..)?);
    let fits = last.eq_ignore_ascii_case(word) && before.ends_with([' ', ',']);
    fits.then(|| before.trim_end_matches([' ', ',']))
}
