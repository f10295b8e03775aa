//! What must never be shown: keys, masked wherever they turn up.
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

const MASK: &str = "[secret]";
/// A shorter "secret" would mask half the language.
const SECRET_BYTES_MIN: usize = 8;

/// The secrets the server knows: its own keys and the model's. A copy costs nothing.
#[derive(Clone, Default)]
pub struct Secrets(Arc<[String]>);

impl Secrets {
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Secrets {
        let long_enough = |secret: &String| secret.len() >= SECRET_BYTES_MIN;
        let mut secrets: Vec<String> = secrets.into_iter().filter(long_enough).collect();
        // A secret that contains another must be masked first, or its rest would show.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Secrets(secrets.into())
    }

    /// `text` with each secret in it replaced.
    pub fn mask(&self, text: &str) -> String {
        let replace = |text: String, secret: &String| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        };
        self.0.iter().fold(text.to_owned(), replace)
    }

    /// True if any of them is in `text`.
    fn is_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// Bytes at the end of `text` that may be the start of a secret, the rest of which is to come.
    fn open_end(&self, text: &str) -> usize {
        let of = |secret: &String| {
            let (text, secret) = (text.as_bytes(), secret.as_bytes());
            let longest = text.len().min(secret.len() - 1);
            // An end that begins as a secret does begins with a whole character.
            let ends = (text.len() - longest..text.len()).map(|at| &text[at..]);
            ends.into_iter().find(|end| secret.starts_with(end)).map_or(0, <[u8]>::len)
        };
        self.0.iter().map(of).max().unwrap_or(0)
    }

    /// Masks every string in `value`, keys of objects included.
    pub fn mask_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.mask(text)),
            Value::Array(items) => items.iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(fields) => {
                let masked = fields.iter().map(|(name, v)| (self.mask(name), self.mask_value(v)));
                Value::Object(masked.collect())
            }
            other => other.clone(),
        }
    }
}

/// Text that goes out piece by piece: no secret gets through, however the pieces cut it.
#[derive(Debug, Default)]
pub(crate) struct Veil {
    /// The end of the text so far, exactly as long as it may be the start of a secret.
    held: String,
}

impl Veil {
    /// What may go out once `text` has come, masked. The rest is held back.
    pub fn pass<'t>(&mut self, text: &'t str, secrets: &Secrets) -> Cow<'t, str> {
        if self.held.is_empty() && secrets.open_end(text) == 0 && !secrets.is_in(text) {
            return Cow::Borrowed(text);
        }
        self.held.push_str(text);
        let mut shown = secrets.mask(&self.held);
        self.held = shown.split_off(shown.len() - secrets.open_end(&shown));
        Cow::Owned(shown)
    }

    /// What was held back, for it turned out to be no secret: the text has ended.
    pub fn lift(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_text_is_cut_the_same_of_it_is_shown() {
        let secrets = Secrets::new(["abababac".to_owned(), "naïve-é-key".to_owned()]);
        let text = "ab abababababac, naïve naïve-é-key na abababa";
        for size in 1..text.chars().count() {
            let mut veil = Veil::default();
            let letters: Vec<char> = text.chars().collect();
            let pieces = letters.chunks(size).map(|piece| piece.iter().collect::<String>());
            let shown: String =
                pieces.map(|piece| veil.pass(&piece, &secrets).into_owned()).collect();
            assert_eq!(shown + &veil.lift(), secrets.mask(text), "in pieces of {size}");
        }
    }
}
