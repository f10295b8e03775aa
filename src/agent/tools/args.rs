//! A call's arguments: one table says what a model is told of them and what is let through.
use serde_json::{Map, Value, json};

/// One argument of a tool.
pub(super) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    pub description: &'static str,
}

/// The file a tool works on.
pub(super) const FILE_PATH: Field = Field {
    name: "path",
    kind: Kind::Text,
    required: true,
    description: "The file, relative to the workspace or absolute.",
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A whole number from 0 up.
    Count,
    Flag,
}

impl Kind {
    fn schema_type(self) -> &'static str {
        match self {
            Kind::Text => "string",
            Kind::Count => "integer",
            Kind::Flag => "boolean",
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Kind::Text => "a string",
            Kind::Count => "a whole number that is not negative",
            Kind::Flag => "true or false",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Kind::Text => value.is_string(),
            Kind::Count => count(value).is_some(),
            Kind::Flag => value.is_boolean(),
        }
    }
}

/// The JSON Schema of an object with these fields.
pub(super) fn schema(fields: &[Field]) -> Value {
    let property = |field: &Field| {
        let mut property =
            json!({ "type": field.kind.schema_type(), "description": field.description });
        if field.kind == Kind::Count {
            property["minimum"] = json!(0);
        }
        (field.name.to_owned(), property)
    };
    let properties: Map<String, Value> = fields.iter().map(property).collect();
    let required: Vec<&str> = fields.iter().filter(|f| f.required).map(|f| f.name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Arguments that fit the fields they were parsed for.
#[derive(Debug)]
pub(super) struct Args(Map<String, Value>);

impl Args {
    /// Checks `text` against `fields`. Unknown arguments are let through, and null means absent.
    /// `Err` tells a model what to change.
    pub fn parse(fields: &[Field], text: &str) -> Result<Args, String> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        let value = serde_json::from_str(text).map_err(|why| {
            format!("the arguments are not JSON ({why}). Send one JSON object, complete.")
        })?;
        let Value::Object(args) = value else {
            return Err(
                "the arguments must be one JSON object, such as {\"name\": \"value\"}.".to_owned()
            );
        };
        for field in fields {
            match args.get(field.name).unwrap_or(&Value::Null) {
                Value::Null if field.required => {
                    let (name, kind) = (field.name, field.kind.in_words());
                    return Err(format!("the argument `{name}` is missing. Add it: {kind}."));
                }
                Value::Null => {}
                value if field.kind.fits(value) => {}
                _ => {
                    let (name, kind) = (field.name, field.kind.in_words());
                    return Err(format!("the argument `{name}` must be {kind}."));
                }
            }
        }
        Ok(Args(args))
    }

    /// A required text, or an empty one if an optional text is absent.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn count(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(count)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// A whole number, also one written as `5.0`.
fn count(value: &Value) -> Option<u64> {
    let whole = |number: f64| number.fract() == 0.0 && (0.0..=9e15).contains(&number);
    value.as_u64().or_else(|| value.as_f64().filter(|n| whole(*n)).map(|number| number as u64))
}
