//! What an operator should hear of, through the `log` facade where it is built in.
//!
//! A line has a name, such as `run.ended`, and fields: the facade's key-values. Nothing here may be
//! what a client, a model or a tool has said, but where `Config::log_content` asks for it.
use crate::machine::Note;
use std::fmt::Arguments;

pub fn warn(text: Arguments<'_>) {
    #[cfg(feature = "cli")]
    log::warn!("{text}");
    #[cfg(not(feature = "cli"))]
    let _ = text;
}

#[cfg(not(feature = "cli"))]
pub fn note(note: Note) {
    drop(note);
}

#[cfg(feature = "cli")]
pub use with_log::note;

#[cfg(feature = "cli")]
mod with_log {
    use super::Note;
    use crate::machine::{Answered, HookFailed, RunBegun, RunEnded};
    use log::Level;
    use log::kv::Value;

    type Field<'a> = (&'static str, Value<'a>);

    pub fn note(note: Note) {
        match note {
            Note::RunBegun(begun) => run_begun(&begun),
            Note::RunEnded(ended) => run_ended(&ended),
            Note::Request(answered) => request(&answered),
            Note::StoreFails(why) => {
                line(Level::Error, "store.failing", &[("error", Value::from(why.as_str()))]);
            }
            Note::HookFailed(failed) => hook_failed(&failed),
            Note::StoreIsWell => line(Level::Info, "store.recovered", &[]),
        }
    }

    fn run_begun(begun: &RunBegun) {
        let mut fields: Vec<Field<'_>> = vec![
            ("run_id", Value::from_display(&begun.run)),
            ("owner", Value::from(&*begun.owner)),
        ];
        fields.extend(begun.input.as_deref().map(|text| ("input", Value::from(text))));
        line(Level::Info, "run.begun", &fields);
    }

    fn run_ended(ended: &RunEnded) {
        let mut fields: Vec<Field<'_>> = vec![
            ("run_id", Value::from_display(&ended.run)),
            ("owner", Value::from(&*ended.owner)),
            ("status", Value::from(ended.status.name())),
        ];
        fields.extend(ended.reason.map(|reason| ("reason", Value::from(reason))));
        fields.extend([
            ("duration_ms", Value::from(u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX))),
            ("events", Value::from(ended.events)),
            ("input_tokens", Value::from(ended.usage.input_tokens)),
            ("output_tokens", Value::from(ended.usage.output_tokens)),
        ]);
        fields.extend(ended.output.as_deref().map(|text| ("output", Value::from(text))));
        line(Level::Info, "run.ended", &fields);
    }

    fn request(answered: &Answered) {
        let fields = [
            ("method", Value::from(answered.method)),
            ("path", Value::from(&*answered.path)),
            ("status", Value::from(u64::from(answered.status))),
            ("duration_ms", Value::from(answered.ms)),
        ];
        line(Level::Info, "request", &fields);
    }

    fn hook_failed(failed: &HookFailed) {
        let mut fields: Vec<Field<'_>> = vec![
            ("webhook_id", Value::from_display(&failed.id)),
            ("origin", Value::from(&*failed.origin)),
            ("about", Value::from(&*failed.event)),
            ("reason", Value::from(&*failed.why)),
            ("tries", Value::from(failed.tries)),
        ];
        fields.extend(failed.again_ms.map(|ms| ("again_ms", Value::from(ms))));
        let is_over = failed.again_ms.is_none();
        line(Level::Warn, if is_over { "webhook.given_up" } else { "webhook.failed" }, &fields);
    }

    fn line(level: Level, name: &str, fields: &[Field<'_>]) {
        if level <= log::max_level() {
            let mut record = log::Record::builder();
            record.level(level).target("runwire").key_values(&fields);
            log::logger().log(&record.args(format_args!("{name}")).build());
        }
    }
}
