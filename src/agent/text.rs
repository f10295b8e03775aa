//! Shortening text without cutting a character in two.

/// The first `chars_max` characters of `text` on one line, with `…` where something was left out.
pub fn preview(text: &str, chars_max: usize) -> String {
    let one_line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut shown: String = one_line.clone().take(chars_max).collect();
    if one_line.count() > chars_max {
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
    let tail_at = text.ceil_char_boundary(text.len() - bytes_max / 2);
    let missing = tail_at - head.len();
    format!("{head}\n[... {missing} bytes left out ...]\n{}", &text[tail_at..])
}
