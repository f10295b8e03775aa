//! JSON from strangers: serde_json, and what it would let pass.
//!
//! It already refuses invalid UTF-8, lone surrogates, numbers beyond a float, and nesting deeper
//! than 128. Duplicate keys are refused here, because two readers would choose different ones; and
//! the number of values is bounded, because `[[],[],...]` takes many times its size in memory.
use crate::limits::JSON_VALUES_MAX;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Why bytes are not JSON this server takes: a sentence with line and column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

/// Reads one JSON value that takes up all of `bytes`.
///
/// # Errors
/// Anything that is not JSON in UTF-8 by RFC 8259, nesting deeper than 128, a number no float can
/// hold, a key twice in one object, more than `JSON_VALUES_MAX` values.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| JsonError(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    let mut values_left = JSON_VALUES_MAX;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { values_left: &mut values_left }.deserialize(&mut deserializer);
    value
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| JsonError(error.to_string()))
}

/// A whole number from 0 on, also where it is written as `60.0`, as some languages write all numbers.
pub fn whole(value: &Value) -> Option<u64> {
    let as_float =
        || value.as_f64().filter(|it| it.fract() == 0.0 && *it >= 0.0 && *it < FLOAT_MAX);
    value.as_u64().or_else(|| as_float().map(|it| it as u64))
}

/// The first float that is more than a `u64` can hold: 2 to the 64th.
const FLOAT_MAX: f64 = 18_446_744_073_709_551_616.0;

/// Reads one value, and pays for it and all within it.
struct Strict<'a> {
    values_left: &'a mut usize,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.values_left.checked_sub(1) {
            Some(left) => *self.values_left = left,
            None => {
                return Err(D::Error::custom(format!("more than {JSON_VALUES_MAX} values")));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(Value::from(it))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(Value::from(it))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(Value::from(it))
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(Value::String(it.to_owned()))
    }

    fn visit_string<E>(self, it: String) -> Result<Value, E> {
        Ok(Value::String(it))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) =
            items.next_element_seed(Strict { values_left: &mut *self.values_left })?
        {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = items.next_key::<String>()? {
            if object.contains_key(&key) {
                let key: String = key.chars().take(40).collect();
                return Err(A::Error::custom(format!("duplicate key `{key}`")));
            }
            let value = items.next_value_seed(Strict { values_left: &mut *self.values_left })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
