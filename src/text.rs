//! Shortening text without cutting a character in two.

/// The first `chars_max` characters of `text` on one line, with `…` where something was left out.
pub fn preview(text: &str, chars_max: usize) -> String {
    let text = text.trim();
    if text.len() <= chars_max && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text.to_owned();
    }
    let mut one_line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = one_line.by_ref().take(chars_max).collect();
    if one_line.next().is_some() {
        shown.pop();
        shown.push('…');
    }
    shown
}

/// The longest prefix of `text` that is at most `bytes_max` long and ends between characters.
pub fn prefix(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// `text` cut to about `bytes_max` bytes: its head and its tail, and how much is missing between.
pub fn shorten(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = prefix(text, bytes_max / 2);
    let tail = suffix(text, bytes_max / 2);
    joined(head, text.len() - head.len() - tail.len(), tail)
}

/// A text that grows piece by piece, of which only head and tail are kept: what `shorten` would
/// make of the whole, in bounded memory.
#[derive(Debug, Default)]
pub struct Ends {
    head: String,
    /// What came after the head, or its last part.
    tail: String,
    /// Bytes between the two.
    missing: usize,
}

impl Ends {
    /// Appends `text`, keeping at most about `bytes_max` bytes.
    pub fn push(&mut self, text: &str, bytes_max: usize) {
        let room = if self.tail.is_empty() { bytes_max / 2 - self.head.len() } else { 0 };
        let (to_head, to_tail) = text.split_at(prefix(text, room).len());
        self.head.push_str(to_head);
        self.tail.push_str(to_tail);
        // Cut only now and then: each cut moves the whole tail.
        if self.tail.len() > bytes_max {
            let keep = suffix(&self.tail, bytes_max / 2).len();
            let cut = self.tail.len() - keep;
            self.tail.drain(..cut);
            self.missing += cut;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.tail.is_empty()
    }

    pub fn into_text(self) -> String {
        if self.missing == 0 {
            return self.head + &self.tail;
        }
        joined(&self.head, self.missing, &self.tail)
    }
}

/// The longest suffix of `text` that is at most `bytes_max` long and begins between characters.
pub fn suffix(text: &str, bytes_max: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes_max))..]
}

fn joined(head: &str, missing: usize, tail: &str) -> String {
    format!("{head}\n[... {missing} bytes left out ...]\n{tail}")
}
