//! A shell command taken apart: its simple commands, their words and redirections, as they run.
//!
//! This is no shell. It follows quotes, escapes, lists, pipes, groups, subshells, substitutions and
//! here-documents, and says where it cannot follow (`Step::Opaque`) instead of guessing. All branches
//! count as taken.

/// Substitutions and subshells inside one another that are followed.
const DEPTH_MAX: usize = 24;
/// Each costs time in proportion to the command.
const HEREDOCS_MAX: usize = 32;

const UNBALANCED: &str = "its quotes or brackets do not match";
const TOO_DEEP: &str = "it is nested too deeply";

#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Command(Simple),
    /// What comes next reads what came before.
    Pipe,
    /// What comes next does not.
    Next,
    /// A group begins, whose commands all read what its first reads; in a subshell, what they
    /// change ends with it.
    Enter {
        subshell: bool,
    },
    Leave,
    /// A function of this name follows.
    Define(String),
    /// From here on the command could not be understood, for this reason.
    Opaque(&'static str),
}

/// One command without its joints to others.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Simple {
    pub assignments: Vec<(String, Word)>,
    pub words: Vec<Word>,
    pub writes: Vec<Word>,
    pub reads: Vec<Word>,
    /// What a here-document or here-string gives it to read.
    pub input: Option<Word>,
    pub in_background: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word {
    pub parts: Vec<Part>,
    is_quoted: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    Text(String),
    Variable(String),
    /// What these commands print.
    Output(Vec<String>),
    /// What cannot be known before it runs.
    Unknown,
}

/// The steps of `text`, in the order they run.
pub(super) fn steps(text: &str) -> Vec<Step> {
    let mut parser = Parser::new(text, 0);
    if let Err(why) = parser.script(false) {
        parser.steps.push(Step::Opaque(why));
    }
    parser.steps
}

impl Word {
    fn text(&mut self, c: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(c),
            _ => self.parts.push(Part::Text(c.to_string())),
        }
    }

    /// The word, if it was written plainly.
    fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Text(text)] if !self.is_quoted => Some(text),
            _ => None,
        }
    }

    /// Name and value, if the word assigns one to the other.
    fn assignment(&self) -> Option<(String, Word)> {
        let Some(Part::Text(first)) = self.parts.first() else { return None };
        let (name, value) = first.split_once('=')?;
        let name = name.strip_suffix('+').unwrap_or(name);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !is_name(name) {
            return None;
        }
        let mut parts = vec![Part::Text(value.to_owned())];
        parts.extend_from_slice(&self.parts[1..]);
        Some((name.to_owned(), Word { parts, is_quoted: true }))
    }
}

fn is_name(text: &str) -> bool {
    text.chars().all(is_name_char)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    steps: Vec<Step>,
    depth: usize,
    heredocs: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl Parser {
    fn new(text: &str, depth: usize) -> Parser {
        Parser { chars: text.chars().collect(), at: 0, steps: Vec::new(), depth, heredocs: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += 1;
        Some(c)
    }

    /// Takes `text` if it comes next.
    fn takes(&mut self, text: &str) -> bool {
        let found = text.chars().enumerate().all(|(i, c)| self.chars.get(self.at + i) == Some(&c));
        self.at += if found { text.chars().count() } else { 0 };
        found
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Parser) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            return Err(TOO_DEEP);
        }
        self.depth += 1;
        let parsed = inner(self);
        self.depth -= 1;
        parsed
    }

    /// Parses to the end, or to the bracket that closes.
    fn script(&mut self, closes: bool) -> Parsed<()> {
        let mut simple = Simple::default();
        let mut cases = 0;
        loop {
            self.skip_blanks();
            let Some(c) = self.peek() else {
                self.push(&mut simple, Step::Next);
                return if closes { Err(UNBALANCED) } else { Ok(()) };
            };
            match c {
                ')' if cases > 0 => {
                    // The words so far were a pattern.
                    self.at += 1;
                    simple = Simple::default();
                }
                ')' if closes => {
                    self.at += 1;
                    self.push(&mut simple, Step::Next);
                    return Ok(());
                }
                ')' => return Err(UNBALANCED),
                '(' => self.bracket(&mut simple)?,
                '<' | '>' => self.redirection(&mut simple)?,
                ';' | '\n' => {
                    self.at += 1;
                    self.push(&mut simple, Step::Next);
                }
                '&' => self.ampersand(&mut simple)?,
                '|' => {
                    let step = if self.takes("||") { Step::Next } else { Step::Pipe };
                    if step == Step::Pipe && !self.takes("|&") {
                        self.at += 1;
                    }
                    self.push(&mut simple, step);
                }
                _ => self.plain_word(&mut simple, &mut cases)?,
            }
        }
    }

    /// Blanks, line continuations and comments.
    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => self.at += 1,
                Some('\\') if self.chars.get(self.at + 1) == Some(&'\n') => self.at += 2,
                Some('#') => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn push(&mut self, simple: &mut Simple, joint: Step) {
        let simple = std::mem::take(simple);
        if simple != Simple::default() {
            self.steps.push(Step::Command(simple));
        }
        if self.steps.last() != Some(&Step::Next) || joint != Step::Next {
            self.steps.push(joint);
        }
    }

    fn ampersand(&mut self, simple: &mut Simple) -> Parsed<()> {
        if self.chars.get(self.at + 1) == Some(&'>') {
            self.at += 1;
            return self.redirection(simple);
        }
        if !self.takes("&&") {
            self.at += 1;
            simple.in_background = true;
        }
        self.push(simple, Step::Next);
        Ok(())
    }

    /// A subshell, the brackets of a function or an array, or arithmetic.
    fn bracket(&mut self, simple: &mut Simple) -> Parsed<()> {
        self.at += 1;
        if let [name] = &simple.words[..] {
            let name = name.plain().map(str::to_owned);
            self.skip_blanks();
            let (Some(name), true) = (name, self.takes(")")) else { return Err(UNBALANCED) };
            *simple = Simple::default();
            self.steps.push(Step::Define(name));
            return Ok(());
        }
        if !simple.words.is_empty() {
            return Err(UNBALANCED);
        }
        if let Some((_, value)) = simple.assignments.last_mut() {
            value.parts.push(Part::Unknown);
            return self.array();
        }
        if self.peek() == Some('(') {
            return self.arithmetic();
        }
        self.steps.push(Step::Enter { subshell: true });
        self.deeper(|parser| parser.script(true))?;
        self.steps.push(Step::Leave);
        Ok(())
    }

    fn array(&mut self) -> Parsed<()> {
        loop {
            self.skip_blanks();
            match self.peek() {
                None => return Err(UNBALANCED),
                Some(')') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\n') => self.at += 1,
                Some(c) if is_meta(c) => return Err(UNBALANCED),
                Some(_) => drop(self.word()?),
            }
        }
    }

    /// Skips what stands in double brackets; a command in it would be missed, so it must have none.
    fn arithmetic(&mut self) -> Parsed<()> {
        let mut open = 1;
        while let Some(c) = self.next() {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                '`' => return Err("it computes with what a command prints"),
                '$' if self.peek() == Some('(') => {
                    return Err("it computes with what a command prints");
                }
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
        Err(UNBALANCED)
    }

    fn redirection(&mut self, simple: &mut Simple) -> Parsed<()> {
        if self.takes("<<<") {
            self.skip_blanks();
            simple.input = Some(self.word()?);
            return Ok(());
        }
        if self.takes("<<-") || self.takes("<<") {
            simple.input = Some(self.heredoc()?);
            return Ok(());
        }
        if self.takes("<(") || self.takes(">(") {
            let output = self.substituted()?;
            simple.words.push(Word { parts: vec![output], is_quoted: false });
            return Ok(());
        }
        let operators = [">>", ">|", ">&", "<>", "<&", ">", "<"];
        let operator = operators.into_iter().find(|operator| self.takes(operator));
        let operator = operator.ok_or(UNBALANCED)?;
        self.skip_blanks();
        let target = self.word()?;
        let is_number = |text: &str| text == "-" || text.bytes().all(|b| b.is_ascii_digit());
        let is_copy = operator.ends_with('&') && target.plain().is_some_and(is_number);
        match operator {
            _ if is_copy => {}
            "<" | "<&" => simple.reads.push(target),
            _ => simple.writes.push(target),
        }
        Ok(())
    }

    /// Takes the lines of a here-document out of the text that is still to be parsed.
    fn heredoc(&mut self) -> Parsed<Word> {
        self.heredocs += 1;
        if self.heredocs > HEREDOCS_MAX {
            return Err("it has too many here-documents");
        }
        self.skip_blanks();
        let mark = self.word()?;
        let [Part::Text(end)] = &mark.parts[..] else { return Err(UNBALANCED) };
        let end: Vec<char> = end.chars().collect();
        let line_end = |chars: &[char], from: usize| {
            chars[from..].iter().position(|c| *c == '\n').map_or(chars.len(), |at| from + at)
        };
        let body = (line_end(&self.chars, self.at) + 1).min(self.chars.len());
        let mut line = body;
        loop {
            if line >= self.chars.len() {
                return Err("a here-document in it does not end");
            }
            let after = line_end(&self.chars, line);
            let tabs = self.chars[line..after].iter().take_while(|c| **c == '\t').count();
            if self.chars[line + tabs..after] == end[..] {
                let taken: Vec<char> = self.chars.drain(body..after).collect();
                return self.body(&taken[..line - body], mark.is_quoted);
            }
            line = after + 1;
        }
    }

    fn body(&mut self, body: &[char], is_quoted: bool) -> Parsed<Word> {
        let text: String = body.iter().collect();
        if is_quoted {
            return Ok(Word { parts: vec![Part::Text(text)], is_quoted });
        }
        let mut inner = Parser::new(&text, self.depth);
        let mut word = Word::default();
        inner.in_quotes(&mut word, None)?;
        self.steps.append(&mut inner.steps);
        Ok(word)
    }

    fn plain_word(&mut self, simple: &mut Simple, cases: &mut usize) -> Parsed<()> {
        let word = self.word()?;
        if matches!(self.peek(), Some('<' | '>'))
            && word.plain().is_some_and(|text| text.bytes().all(|b| b.is_ascii_digit()))
        {
            // The number of what is redirected.
            return Ok(());
        }
        if !simple.words.is_empty() {
            simple.words.push(word);
            return Ok(());
        }
        if let Some(assignment) = word.assignment() {
            simple.assignments.push(assignment);
            return Ok(());
        }
        match word.plain() {
            Some("then" | "else" | "elif" | "do" | "!" | "time" | "coproc") => {}
            Some("if" | "while" | "until" | "{") => {
                self.steps.push(Step::Enter { subshell: false });
            }
            Some("fi" | "done" | "}") => self.steps.push(Step::Leave),
            Some("esac") => {
                *cases = cases.saturating_sub(1);
                self.steps.push(Step::Leave);
            }
            Some("function") => {
                self.skip_blanks();
                let name = self.word()?;
                self.steps.push(Step::Define(name.plain().ok_or(UNBALANCED)?.to_owned()));
                self.skip_blanks();
                self.takes("()");
            }
            keyword => {
                if matches!(keyword, Some("for" | "select" | "case")) {
                    *cases += usize::from(keyword == Some("case"));
                    self.steps.push(Step::Enter { subshell: false });
                }
                simple.words.push(word);
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Parsed<Word> {
        let mut word = Word::default();
        let start = self.at;
        while let Some(c) = self.peek().filter(|c| !is_meta(*c)) {
            self.at += 1;
            match c {
                '\\' => {
                    word.is_quoted = true;
                    match self.next() {
                        Some('\n') => {}
                        Some(c) => word.text(c),
                        None => return Err(UNBALANCED),
                    }
                }
                '\'' => {
                    word.is_quoted = true;
                    self.single(&mut word)?;
                }
                '"' => {
                    word.is_quoted = true;
                    self.in_quotes(&mut word, Some('"'))?;
                }
                '$' => self.dollar(&mut word, false)?,
                '`' => self.backquote(&mut word)?,
                '~' if self.at == start + 1 => self.home(&mut word),
                // Braces make several words of one.
                '{' if self.peek() != Some('}') && !self.ends_word() => {
                    word.parts.push(Part::Unknown);
                    word.text('{');
                }
                c => word.text(c),
            }
        }
        if self.at == start {
            return Err(UNBALANCED);
        }
        if word.parts.is_empty() {
            word.parts.push(Part::Text(String::new()));
        }
        Ok(word)
    }

    fn ends_word(&self) -> bool {
        self.peek().is_none_or(is_meta)
    }

    fn home(&mut self, word: &mut Word) {
        match self.peek() {
            Some(c) if c != '/' && !is_meta(c) => word.parts.push(Part::Unknown),
            _ => word.parts.push(Part::Variable("HOME".to_owned())),
        }
    }

    fn single(&mut self, word: &mut Word) -> Parsed<()> {
        word.parts.push(Part::Text(String::new()));
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(c) => word.text(c),
                None => return Err(UNBALANCED),
            }
        }
    }

    /// Up to `end`, or to the end of the text.
    fn in_quotes(&mut self, word: &mut Word, end: Option<char>) -> Parsed<()> {
        word.parts.push(Part::Text(String::new()));
        loop {
            match self.next() {
                None if end.is_none() => return Ok(()),
                None => return Err(UNBALANCED),
                c if c == end => return Ok(()),
                Some('\\') => match self.next() {
                    Some('\n') => {}
                    Some(c) => {
                        if !"$`\"\\".contains(c) {
                            word.text('\\');
                        }
                        word.text(c);
                    }
                    None => return Err(UNBALANCED),
                },
                Some('$') => self.dollar(word, true)?,
                Some('`') => self.backquote(word)?,
                Some(c) => word.text(c),
            }
        }
    }

    fn dollar(&mut self, word: &mut Word, in_quotes: bool) -> Parsed<()> {
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let part = match self.peek() {
                    Some('(') => self.arithmetic().map(|()| Part::Unknown)?,
                    _ => self.substituted()?,
                };
                word.parts.push(part);
            }
            Some('{') => {
                self.at += 1;
                let part = self.deeper(Parser::braces)?;
                word.parts.push(part);
            }
            Some('\'') if !in_quotes => {
                self.at += 1;
                word.is_quoted = true;
                self.escaped(word)?;
            }
            Some('"') if !in_quotes => {}
            Some(c) if is_name_char(c) && !c.is_ascii_digit() => {
                let name = self.name();
                word.parts.push(Part::Variable(name));
            }
            Some(c) if "@*#?-$!".contains(c) || c.is_ascii_digit() => {
                self.at += 1;
                word.parts.push(Part::Unknown);
            }
            _ => word.text('$'),
        }
        Ok(())
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(is_name_char) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// What follows `${`.
    fn braces(&mut self) -> Parsed<Part> {
        let name = self.name();
        if !name.is_empty() && self.takes("}") {
            return Ok(Part::Variable(name));
        }
        let mut inner = Word::default();
        loop {
            match self.next() {
                None => return Err(UNBALANCED),
                Some('}') => return Ok(Part::Unknown),
                Some('\\') => self.at += 1,
                Some('\'') => self.single(&mut inner)?,
                Some('"') => self.in_quotes(&mut inner, Some('"'))?,
                Some('$') => self.dollar(&mut inner, false)?,
                Some('`') => self.backquote(&mut inner)?,
                Some(_) => {}
            }
        }
    }

    /// What follows `$'`.
    fn escaped(&mut self, word: &mut Word) -> Parsed<()> {
        word.parts.push(Part::Text(String::new()));
        loop {
            match self.next() {
                None => return Err(UNBALANCED),
                Some('\'') => return Ok(()),
                Some('\\') => match self.next() {
                    Some('n') => word.text('\n'),
                    Some('t') => word.text('\t'),
                    Some(c @ ('\\' | '\'' | '"')) => word.text(c),
                    // A number, say: spelt so by who does not want it read.
                    _ => word.parts.push(Part::Unknown),
                },
                Some(c) => word.text(c),
            }
        }
    }

    /// The commands up to the closing bracket, which print what stands here.
    fn substituted(&mut self) -> Parsed<Part> {
        let first = self.steps.len();
        self.steps.push(Step::Enter { subshell: true });
        self.deeper(|parser| parser.script(true))?;
        self.steps.push(Step::Leave);
        Ok(Part::Output(names(&self.steps[first..])))
    }

    fn backquote(&mut self, word: &mut Word) -> Parsed<()> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(UNBALANCED),
                Some('`') => break,
                Some('\\') => match self.next() {
                    Some(c @ ('`' | '\\' | '$')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => return Err(UNBALANCED),
                },
                Some(c) => text.push(c),
            }
        }
        let mut inner = Parser::new(&text, self.depth);
        inner.deeper(|parser| parser.script(false))?;
        word.parts.push(Part::Output(names(&inner.steps)));
        self.steps.push(Step::Enter { subshell: true });
        self.steps.append(&mut inner.steps);
        self.steps.push(Step::Leave);
        Ok(())
    }
}

/// The commands in `steps`, by the names they were written with.
fn names(steps: &[Step]) -> Vec<String> {
    let command = |step: &Step| match step {
        Step::Command(simple) => match &simple.words.first()?.parts[..] {
            [Part::Text(name)] => Some(name.rsplit('/').next()?.to_owned()),
            _ => None,
        },
        _ => None,
    };
    steps.iter().filter_map(command).collect()
}

/// Characters that end a word.
fn is_meta(c: char) -> bool {
    " \t\r\n;&|()<>".contains(c)
}
