//! A run's budget as JSON: in the body of a submission, and where it is told or kept.
use super::{Reject, json};
use crate::budget::{Budget, Limit};
use serde_json::{Map, Value};
use std::time::Duration;

const COUNT: &str = "a whole number from 1 on";
const COUNT_OR_NONE: &str = "a whole number from 0 on";

/// Reads a budget; `null` is no limit.
///
/// # Errors
/// `FieldType` with the name of the field that is no limit. What is not known is refused, too: it
/// would not hold.
pub fn parse(value: Value) -> Result<Budget, Reject> {
    let Value::Object(mut fields) = value else { return Err(NOT_A_BUDGET) };
    let mut take = |limit: Limit| fields.remove(limit.name()).unwrap_or_default();
    let budget = Budget {
        wall: seconds(&take(Limit::Wall))?,
        turns: count(&take(Limit::Turns), 1, "budget.turns", COUNT)?,
        tool_calls: count(&take(Limit::ToolCalls), 0, "budget.tool_calls", COUNT_OR_NONE)?,
        tokens: count(&take(Limit::Tokens), 1, "budget.tokens", COUNT)?,
        output_bytes: count(&take(Limit::OutputBytes), 1, "budget.output_bytes", COUNT)?,
    };
    if fields.is_empty() { Ok(budget) } else { Err(NOT_A_BUDGET) }
}

/// A budget as `parse` reads it. What has no limit is left out.
pub fn to_json(budget: &Budget) -> Value {
    let Budget { wall, turns, tool_calls, tokens, output_bytes } = *budget;
    let limits = [
        (Limit::Wall, wall.map(|wall| wall.as_secs_f64().into())),
        (Limit::Turns, turns.map(Value::from)),
        (Limit::ToolCalls, tool_calls.map(Value::from)),
        (Limit::Tokens, tokens.map(Value::from)),
        (Limit::OutputBytes, output_bytes.map(Value::from)),
    ];
    let named = |(limit, value): (Limit, Option<Value>)| Some((limit.name().to_owned(), value?));
    Value::Object(limits.into_iter().filter_map(named).collect::<Map<_, _>>())
}

const NOT_A_BUDGET: Reject = Reject::FieldType {
    field: "budget",
    wants: "an object with none but wall_seconds, turns, tool_calls, tokens and output_bytes",
};

fn seconds(value: &Value) -> Result<Option<Duration>, Reject> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_f64().filter(|seconds| *seconds > 0.0);
    // What a duration cannot hold is more than the age of the world.
    let wall = seconds.map(|it| Duration::try_from_secs_f64(it).unwrap_or(Duration::MAX));
    let wall = wall.filter(|wall| !wall.is_zero());
    let wants = "a number of seconds above 0";
    wall.map(Some).ok_or(Reject::FieldType { field: "budget.wall_seconds", wants })
}

fn count(
    value: &Value,
    min: u64,
    field: &'static str,
    wants: &'static str,
) -> Result<Option<u64>, Reject> {
    if value.is_null() {
        return Ok(None);
    }
    let count = json::whole(value).filter(|count| *count >= min);
    count.map(Some).ok_or(Reject::FieldType { field, wants })
}
