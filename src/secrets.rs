//! What must never be shown: keys, masked wherever they turn up.
use serde_json::Value;

const MASK: &str = "[secret]";
/// A shorter "secret" would mask half the language.
const SECRET_BYTES_MIN: usize = 8;

/// The secrets the server knows: its own keys and the model's.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Secrets {
        let long_enough = |secret: &String| secret.len() >= SECRET_BYTES_MIN;
        let mut secrets: Vec<String> = secrets.into_iter().filter(long_enough).collect();
        // A secret that contains another must be masked first, or its rest would show.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Secrets(secrets)
    }

    /// `text` with each secret in it replaced.
    pub fn mask(&self, text: &str) -> String {
        let replace = |text: String, secret: &String| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        };
        self.0.iter().fold(text.to_owned(), replace)
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
