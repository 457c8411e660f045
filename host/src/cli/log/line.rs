//! An event's text and fields in one line, whatever stands in them: the text first, then `name=value`, quoted where a reader
//! that splits at spaces would go wrong.

use std::fmt;

use imgserve_base::fault::one_line;
use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

/// Longest text or value, in bytes.
const MAX_TEXT: usize = 8000;

/// How fields are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields;

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut line = Line { writer, begun: false, outcome: Ok(()) };
        fields.record(&mut line);
        line.outcome
    }
}

struct Line<'w> {
    writer: Writer<'w>,
    begun: bool,
    outcome: fmt::Result,
}

impl Line<'_> {
    fn say(&mut self, name: &str, value: &str) {
        let space = if std::mem::replace(&mut self.begun, true) { " " } else { "" };
        self.outcome = self.outcome.and_then(|()| match name {
            "message" => write!(self.writer, "{space}{}", one_line(value, MAX_TEXT)),
            // Where a library's event comes from, which is none of its facts.
            _ if name.starts_with("log.") => Ok(()),
            _ => write!(self.writer, "{space}{name}={}", quoted(value)),
        });
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.say(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.say(field.name(), &format!("{value:?}"));
    }
}

/// A value as it is, or between quotation marks where it would not be one word.
fn quoted(value: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
    if is_quoted(value) || (!value.is_empty() && value.chars().all(plain)) {
        return one_line(value, MAX_TEXT);
    }
    let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", one_line(&escaped, MAX_TEXT))
}

/// Whether it is the Debug text of one string, which has its quotation marks and is escaped.
fn is_quoted(value: &str) -> bool {
    let Some(inside) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return false;
    };
    let mut escaped = false;
    for character in inside.chars() {
        match character {
            '"' if !escaped => return false,
            _ => escaped = character == '\\' && !escaped,
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_and_its_values_are_one_word_each() {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = fmt().with_ansi(false).without_time().with_target(false).fmt_fields(Fields);
        let subscriber = subscriber.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            let evil = "a b\nINFO \u{1b}[2Jforged";
            tracing::info!(jobs = 3, plain = %"resize", wide = %"two words", empty = "", mark = %"a\"b", "text: {evil}");
            tracing::info!(evil, debug = ?"x y", path = ?std::path::Path::new("/a b"));
            tracing::info!(forged = %"\"a\" level=\"b\"", open = %"\"a\\\"", back = %"a\\b", several = ?["x y", "z"]);
            tracing::info!(equals = %"a=b", tab = %"a\tb", none = ?None::<u8>, mark = ?"\"", wide = %"a\u{a0}b");
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                r#"INFO text: a b\nINFO \u{1b}[2Jforged jobs=3 plain=resize wide="two words" empty="" mark="a\"b""#,
                r#"INFO evil="a b\nINFO \u{1b}[2Jforged" debug="x y" path="/a b""#,
                r#"INFO forged="\"a\" level=\"b\"" open="\"a\\\"" back="a\\b" several="[\"x y\", \"z\"]""#,
                "INFO equals=\"a=b\" tab=\"a\\tb\" none=None mark=\"\\\"\" wide=\"a\u{a0}b\"",
            ]
        );
    }
}
