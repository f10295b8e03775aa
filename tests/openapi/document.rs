//! The description as a test reads it: which answer is described, and whether a value is what its
//! schema says. What is not described is not allowed: an object has no other fields than those named.
use serde_json::{Map, Value};

pub struct Document(pub Value);

impl Document {
    /// The one that is written by hand.
    pub fn read() -> Document {
        Document(serde_json::from_str(&source()).unwrap())
    }

    /// Follows `$ref`s.
    pub fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(name) = value["$ref"].as_str() {
            value = self.0.pointer(&name[1..]).unwrap_or_else(|| panic!("there is no {name}"));
        }
        value
    }

    pub fn schema(&self, name: &str) -> &Value {
        let schema = &self.0["components"]["schemas"][name];
        assert!(schema.is_object(), "there is no schema {name}");
        schema
    }

    /// Method, path and description of each operation.
    pub fn operations(&self) -> Vec<(String, &str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let mut found = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().unwrap() {
                found.push((method.to_ascii_uppercase(), path.as_str(), operation));
            }
        }
        found
    }

    /// The operation of a request; HEAD is described by its GET.
    pub fn operation(&self, method: &str, target: &str) -> Option<&Value> {
        let path = target.split('?').next().unwrap();
        let method = if method == "HEAD" { "GET" } else { method };
        let operations = self.operations();
        let found = operations.iter().find(|(m, p, _)| m == method && is_of(path, p));
        found.map(|(.., operation)| *operation)
    }

    /// What keeps `value` from being what `schema` says.
    pub fn flaw(&self, value: &Value, schema: &Value) -> Option<String> {
        let schema = self.resolve(schema);
        let fields = schema.as_object().expect("a schema is an object");
        let breaks = |(word, rule): &(&String, &Value)| self.breaks(value, word, rule, schema);
        let broken = fields.iter().find(breaks);
        let flaw = broken.map(|(word, rule)| format!("{word} {rule}: {value}"));
        flaw.or_else(|| self.inner_flaw(value, fields))
    }

    fn breaks(&self, value: &Value, word: &str, rule: &Value, schema: &Value) -> bool {
        let number = value.as_f64();
        let text = value.as_str();
        let count = |list: &Value| {
            let choices = list.as_array().unwrap().iter();
            choices.filter(|choice| self.flaw(value, choice).is_none()).count()
        };
        match word {
            "type" => !has_type(value, rule),
            "const" => value != rule,
            "enum" => !rule.as_array().unwrap().contains(value),
            "oneOf" => count(rule) != 1,
            "not" => self.flaw(value, rule).is_none(),
            "minimum" => number.is_some_and(|it| it < rule.as_f64().unwrap()),
            "maximum" => number.is_some_and(|it| it > rule.as_f64().unwrap()),
            "minLength" => {
                text.is_some_and(|it| (it.chars().count() as u64) < rule.as_u64().unwrap())
            }
            "maxLength" => {
                text.is_some_and(|it| it.chars().count() as u64 > rule.as_u64().unwrap())
            }
            "minItems" => {
                value.as_array().is_some_and(|it| (it.len() as u64) < rule.as_u64().unwrap())
            }
            "pattern" => text.is_some_and(|it| !matches_pattern(it, rule.as_str().unwrap())),
            "required" => value.as_object().is_some_and(|it| {
                rule.as_array().unwrap().iter().any(|name| !it.contains_key(name.as_str().unwrap()))
            }),
            "properties" => value.as_object().is_some_and(|it| {
                let is_open = schema.get("additionalProperties").is_some_and(|it| *it != false);
                !is_open && it.keys().any(|name| rule.get(name).is_none())
            }),
            "items" | "additionalProperties" | "description" | "default" | "examples" => false,
            "discriminator" | "contentMediaType" => false,
            "contentSchema" => text.is_some_and(|text| {
                let content = serde_json::from_str(text);
                content.map_or(true, |content| self.flaw(&content, rule).is_some())
            }),
            word => panic!("this test knows no {word}"),
        }
    }

    fn inner_flaw(&self, value: &Value, schema: &Map<String, Value>) -> Option<String> {
        let named = |(name, value): (&String, &Value)| {
            let rule = match schema.get("properties").and_then(|known| known.get(name)) {
                Some(rule) => Some(rule),
                None => schema.get("additionalProperties").filter(|rule| rule.is_object()),
            };
            let flaw = rule.and_then(|rule| self.flaw(value, rule));
            flaw.map(|flaw| format!("{name}: {flaw}"))
        };
        match value {
            Value::Object(fields) => fields.iter().find_map(named),
            Value::Array(items) => {
                let rule = schema.get("items")?;
                items.iter().find_map(|item| self.flaw(item, rule))
            }
            _ => None,
        }
    }
}

pub fn source() -> String {
    std::fs::read_to_string("src/openapi/openapi.json").unwrap()
}

/// True if a path is one of those that `template` stands for.
pub fn is_of(path: &str, template: &str) -> bool {
    let (mut names, mut parts) = (path.split('/'), template.split('/'));
    loop {
        match (names.next(), parts.next()) {
            (None, None) => return true,
            (Some(name), Some(part))
                if name == part || part.starts_with('{') && !name.is_empty() => {}
            _ => return false,
        }
    }
}

fn has_type(value: &Value, rule: &Value) -> bool {
    if let Value::Array(kinds) = rule {
        return kinds.iter().any(|kind| has_type(value, kind));
    }
    match rule.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        kind => panic!("there is no type {kind}"),
    }
}

/// The few patterns there are.
fn matches_pattern(text: &str, pattern: &str) -> bool {
    let hex = |text: &str| {
        text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let visible = |text: &str| text.bytes().filter(|b| b.is_ascii_graphic()).count();
    match pattern {
        "^run_[0-9a-f]{32}$" => text.strip_prefix("run_").is_some_and(hex),
        "^resp_[0-9a-f]{32}$" => text.strip_prefix("resp_").is_some_and(hex),
        "^approval_[0-9a-f]{32}_[0-9]{1,20}$" => {
            let parts = text.strip_prefix("approval_").and_then(|rest| rest.split_once('_'));
            parts.is_some_and(|(run, number)| hex(run) && digits(number) && number.len() <= 20)
        }
        "^[0-9]+$" => digits(text),
        "^(-1|[0-9]+)?$" => text.is_empty() || text == "-1" || digits(text),
        "^[!-~]{1,255}$" => (1..256).contains(&text.len()) && visible(text) == text.len(),
        "^[ -~]*$" => text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()),
        "[!-~]" => visible(text) > 0,
        pattern if pattern.contains("[Ii][Mm][Aa][Gg][Ee]") => {
            ["http://", "https://", "data:image/"].iter().any(|start| text.starts_with(start))
        }
        pattern if pattern.starts_with("^(run|resp)_[0-9a-f]{32}(:(-1|[0-9]+))?(,") => {
            let is_run = |piece: &str| {
                let (run, cursor) = piece.split_once(':').unwrap_or((piece, "-1"));
                let id = run.strip_prefix("run_").or(run.strip_prefix("resp_"));
                id.is_some_and(hex) && (cursor == "-1" || digits(cursor))
            };
            text.split(',').all(is_run) && text.split(',').count() <= 32
        }
        pattern => panic!("this test knows no pattern {pattern}"),
    }
}
