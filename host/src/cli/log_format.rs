//! One log line: a JSON object, or text for people.
//!
//! The field `target` means a target of the configuration, wherever the code calls it `to`; the part of the program that
//! wrote the line is `logger`. A reason, fields of a plugin, the
//! targets that a reload changed and a count of lines left out are written only if there are any.

use std::fmt::{self, Debug};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::model::{Timestamp, printable};
use crate::telemetry::PLUGIN_FIELDS;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    Json,
    Text,
}

/// Writes lines in that format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) format: LogFormat,
    pub(super) colours: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static>
    FormatEvent<S, N> for Lines
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line {
            time: Timestamp::from(SystemTime::now()).to_string(),
            level: *event.metadata().level(),
            logger: event.metadata().target(),
            fields,
        };
        writeln!(
            writer,
            "{}",
            match self.format {
                LogFormat::Json => line.json(),
                LogFormat::Text => line.text(self.colours),
            }
        )
    }
}

/// The fields of a line, by name.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "message" => {
                self.message = text(&value);
                return;
            }
            "to" => "target",
            PLUGIN_FIELDS => {
                let parsed = value.as_str().and_then(|text| serde_json::from_str(text).ok());
                if let Some(Value::Object(fields)) = parsed
                    && !fields.is_empty()
                {
                    self.others.insert("fields".to_owned(), Value::Object(fields));
                }
                return;
            }
            "left_out" | "skipped" if value == 0 => return,
            "reason" | "started" | "replaced" | "ended" if value == "" => return,
            name => name,
        };
        self.others.insert(name.to_owned(), value);
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }
}

struct Line<'a> {
    time: String,
    level: Level,
    logger: &'a str,
    fields: Fields,
}

impl Line<'_> {
    fn json(self) -> String {
        let string = |text: &str| Value::from(text).to_string();
        let (time, level) = (string(&self.time), string(self.level.as_str()));
        let mut line = format!(
            "{{\"timestamp\":{time},\"level\":{level},\"message\":{}",
            string(&self.fields.message)
        );
        for (name, value) in &self.fields.others {
            line.push_str(&format!(",{}:{value}", string(name)));
        }
        line.push_str(&format!(",\"logger\":{}}}", string(self.logger)));
        line
    }

    fn text(self, colours: bool) -> String {
        let level = format!("{:>5}", self.level.as_str());
        let level =
            if colours { format!("\x1b[{}m{level}\x1b[0m", colour(self.level)) } else { level };
        // A message may have lines of its own.
        let message: Vec<String> = self.fields.message.split('\n').map(printable).collect();
        let mut line = format!("{} {level} {}", self.time, message.join("\n"));
        for (name, value) in &self.fields.others {
            let shown = value.as_str().filter(|text| !text.contains([' ', '"', '=']));
            let shown = shown.map_or_else(|| printable(&value.to_string()), printable);
            line.push_str(&format!(" {name}={shown}"));
        }
        line
    }
}

/// Parameter of the escape sequence that colours a level.
const fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written by `log`, without the time.
    fn written(format: LogFormat, log: impl Fn()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let builder = tracing_subscriber::fmt().with_writer(move || writer.clone());
        let lines = Lines { format, colours: false };
        tracing::subscriber::with_default(builder.event_format(lines).finish(), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        match format {
            LogFormat::Json => {
                let mut line: Map<String, Value> = serde_json::from_str(&text).unwrap();
                line.remove("timestamp").unwrap();
                Value::Object(line).to_string()
            }
            LogFormat::Text => text["2026-11-28T15:34:19.000Z ".len()..].to_owned(),
        }
    }

    fn sample() {
        let error = std::io::Error::other("no \"space\"\u{1b}");
        tracing::warn!(to = "sms", %error, left_out = 0, reason = "", count = 0, "it {}", "failed");
    }

    #[test]
    fn a_line_has_its_target_its_logger_and_no_field_without_content() {
        let expected = serde_json::json!({
            "level": "WARN", "message": "it failed", "target": "sms", "error": "no \"space\"\u{1b}", "count": 0,
            "logger": "dispatcher::cli::log_format::tests",
        });
        let line: Value = serde_json::from_str(&written(LogFormat::Json, sample)).unwrap();
        assert_eq!(line, expected);
        assert_eq!(
            written(LogFormat::Text, sample),
            " WARN it failed count=0 error=\"no \\\"space\\\"\\u001b\" target=sms\n"
        );
    }

    #[test]
    fn a_reload_names_only_what_it_changed() {
        let line = written(LogFormat::Text, || {
            tracing::info!(started = "", replaced = "sms", ended = "", "reloaded");
        });
        assert_eq!(line, " INFO reloaded replaced=sms\n");
    }

    #[test]
    fn fields_of_a_plugin_stay_fields() {
        let log = |text: &'static str| {
            let line = written(LogFormat::Json, || tracing::info!({ PLUGIN_FIELDS } = text, "x"));
            serde_json::from_str::<Value>(&line).unwrap()["fields"].clone()
        };
        assert_eq!(
            log(r#"{"code":"21211","level":"x"}"#),
            serde_json::json!({"code": "21211", "level": "x"})
        );
        assert_eq!(log("{}"), Value::Null);
    }
}
