//! Why a request is refused or a job fails: a closed list of kinds, each with a text for a person. Who answers
//! it how (0.2's code, a v1 problem, the job's record) is decided in `http` and `journal`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::named;

/// What stands before the path of an argument in a text.
const ARGUMENT: &str = "argument `";

named! {
    /// What sort of fault it is, in the order in which 0.2's checks happen.
    pub enum FaultKind {
        /// The body is not a JSON object.
        NotJson = "not-json",
        /// The members are not exactly the four.
        WrongMembers = "wrong-members",
        /// `operationType` names no operation.
        UnknownOperation = "unknown-operation",
        /// `args` is not an object.
        ArgsNotObject = "args-not-object",
        /// `srcURL` is empty.
        EmptySource = "empty-source",
        /// `dstURL` is empty.
        EmptyDestination = "empty-destination",
        /// A required argument is missing.
        MissingArgument = "missing-argument",
        /// An argument has the wrong type.
        WrongType = "wrong-type",
        /// The operation does not take sources with this extension.
        SourceExtension = "source-extension",
        /// The scheme of `srcURL` is not supported.
        SourceScheme = "source-scheme",
        /// The scheme of `dstURL` is not supported.
        DestinationScheme = "destination-scheme",
        /// Form upload: the field's name is missing.
        MissingFieldName = "missing-field-name",
        /// Form upload: the field's name is not a string.
        FieldNameType = "field-name-type",
        /// The destination's extension does not fit what the operation gives.
        DestinationExtension = "destination-extension",
        /// An argument is out of its range.
        InvalidArgument = "invalid-argument",
        /// The source cannot be fetched.
        SourceUnavailable = "source-unavailable",
        /// The source is not an image that can be read.
        UnreadableSource = "unreadable-source",
        /// The source is smaller than the result.
        SourceTooSmall = "source-too-small",
        /// The source is not a valid SVG.
        InvalidSvg = "invalid-svg",
        /// The destination cannot be stored to.
        DestinationUnavailable = "destination-unavailable",
        /// A configured limit would be exceeded.
        LimitExceeded = "limit-exceeded",
        /// The operation itself failed.
        OperationFailed = "operation-failed",
        /// A plugin trapped or panicked.
        PluginTrapped = "plugin-trapped",
        /// A plugin wanted more memory than its limit.
        PluginOutOfMemory = "plugin-out-of-memory",
        /// A plugin was not done within its limit.
        PluginTimedOut = "plugin-timed-out",
        /// A plugin did what the contract does not allow.
        PluginContract = "plugin-contract",
        /// The operation's plugin has failed too often of late; try again later.
        OperationSuspended = "operation-suspended",
        /// Too much to do; try again later.
        Busy = "busy",
        /// This client has too much to do here; try again later.
        ClientBusy = "client-busy",
        /// Accepted jobs cannot be made durable; try again when the disk is well.
        JournalUnavailable = "journal-unavailable",
        /// The idempotency key was used for another request.
        KeyReused = "key-reused",
    }
}

/// Longest text of a fault, in bytes.
const MAX_TEXT: usize = 2000;

/// A fault: its kind and a text that says what, which, why and, where it can, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Fault {
    /// What sort it is.
    pub kind: FaultKind,
    /// For a person.
    pub text: String,
    /// The operation whose plugin is to blame, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The codec of `[codecs]` that is to blame, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// When it is worth trying again, in seconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Whether the same may succeed at another try.
    #[serde(default, skip_serializing_if = "Retry::is_never")]
    pub retry: Retry,
}

named! {
    /// Whether the same may succeed at another try, and who is to blame that it did not at this one.
    #[derive(Default)]
    pub enum Retry {
        /// The request, the image or the plugin is to blame, and will be again.
        #[default]
        Never = "never",
        /// Another server had trouble.
        Remote = "remote",
        /// A worker process died over it.
        Worker = "worker",
        /// Nobody: there was no time or room for it.
        Later = "later",
    }
}

impl Retry {
    fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

impl Fault {
    /// A fault of `kind`; `text` is lowercase and without a full stop. What plugins, files and other servers put into it
    /// makes it neither longer than can be read nor more than one line.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: one_line(&once(without_numbers(text.into())), MAX_TEXT),
            operation: None,
            codec: None,
            retry_after_s: None,
            retry: Retry::Never,
        }
    }

    /// The same, blamed on the plugin behind an operation.
    #[must_use]
    pub fn blamed_on(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// The same of what stands at `place` in the request, such as `outputs[1]` or `steps[0]`: an argument that the text names
    /// is named from there, and where it names none the place is said before it.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.text = match self.text.find(ARGUMENT) {
            Some(found) => {
                let (before, path) = self.text.split_at(found + ARGUMENT.len());
                format!("{before}{place}.args.{path}")
            }
            // A step of the operation at that place.
            None if self.text.starts_with("steps[") => format!("{place}.args.{}", self.text),
            None => format!("{place}: {}", self.text),
        };
        self
    }

    /// The same of an argument that came by another name than its own, which is what the text has: it is named as it was written,
    /// with its own name behind. `written` is by own names.
    #[must_use]
    pub fn as_written(mut self, written: &BTreeMap<String, String>) -> Self {
        let named = self.text.find(ARGUMENT).and_then(|found| {
            let begin = found + ARGUMENT.len();
            let (path, _) = self.text[begin..].split_once('`')?;
            let own = path.split(['.', '[']).next()?;
            let name = written.get(own)?;
            Some((begin..begin + path.len(), format!("{name}{}` (`{path}", &path[own.len()..])))
        });
        if let Some((place, named)) = named {
            self.text.replace_range(place.clone(), &named);
            self.text.insert(place.start + named.len() + 1, ')');
        }
        self
    }

    /// The same, with whether another try may help.
    #[must_use]
    pub fn retried(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// A fault whose text is an error's with all its causes.
    pub fn of(kind: FaultKind, error: &dyn std::error::Error) -> Self {
        Self::new(kind, chain(error))
    }
}

/// An error's text with those of its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        cause = error.source();
        let next = error.to_string();
        if cause.is_none() || !LAYERS.contains(&next.as_str()) {
            add(&mut text, &next);
        }
    }
    text
}

/// What libraries say of themselves on the way to what went wrong.
const LAYERS: [&str; 8] = [
    "error sending request",
    "client error (Connect)",
    "client error (SendRequest)",
    "tcp connect error",
    "connection error",
    "request or response body error",
    "error reading a body from connection",
    "error decoding response body",
];

/// Adds a cause's text to an error's. Libraries often repeat the one in the other, whole or in part: it is said once.
fn add(text: &mut String, cause: &str) {
    if text.contains(cause) {
        return;
    }
    // Its beginning may be what the error ends with.
    let said = (1..=cause.len())
        .rev()
        .filter(|&end| cause.is_char_boundary(end) && cause[end..].starts_with(": "))
        .find(|&end| text.ends_with(&cause[..end]));
    if said.is_none() {
        text.push_str(": ");
    }
    text.push_str(&cause[said.unwrap_or(0)..]);
}

/// A text without the numbers that the system's errors have beside their words.
fn without_numbers(mut text: String) -> String {
    const BEGIN: &str = " (os error ";
    while let Some(begin) = text.find(BEGIN)
        && let Some(end) = text[begin..].find(')')
    {
        text.replace_range(begin..=begin + end, "");
    }
    text
}

/// A text without a reason that stands twice in a row, as it does where two layers say the same.
fn once(text: String) -> String {
    let parts: Vec<&str> = text.split(": ").collect();
    if parts.windows(2).all(|pair| pair[0] != pair[1]) {
        return text;
    }
    let mut kept: Vec<&str> = Vec::with_capacity(parts.len());
    for part in parts {
        if kept.last() != Some(&part) {
            kept.push(part);
        }
    }
    kept.join(": ")
}

/// A stranger's text as one line of at most about `most` bytes: nothing in it can look like a line of its own.
pub fn one_line(text: &str, most: usize) -> String {
    let cut = text.floor_char_boundary(most);
    let mut line = String::with_capacity(cut);
    for character in text[..cut].chars() {
        match character.is_control() {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    if cut < text.len() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_is_named_from_where_it_stands() {
        let at = |text: &str, place: &str| Fault::new(FaultKind::InvalidArgument, text).at(place).text;
        assert_eq!(
            at("argument `region.y` is missing", "steps[0]"),
            "argument `steps[0].args.region.y` is missing"
        );
        let step = at("resize 1: argument `width`: 0 is too small", "steps[1]");
        assert_eq!(
            at(&step, "outputs[2]"),
            "resize 1: argument `outputs[2].args.steps[1].args.width`: 0 is too small"
        );
        assert_eq!(at("resize 1: too small", "outputs[2]"), "outputs[2]: resize 1: too small");
        let step = at("resize 1: too small", "steps[1]");
        assert_eq!(at(&step, "outputs[2]"), "outputs[2].args.steps[1]: resize 1: too small");
    }

    #[test]
    fn an_argument_is_named_as_it_was_written() {
        let written = BTreeMap::from(
            [("width", "w"), ("crop", "extract")].map(|(own, came)| (own.into(), came.into())),
        );
        let told = |text: &str| Fault::new(FaultKind::InvalidArgument, text).as_written(&written);
        for (text, wanted) in [
            (
                "resize 1: argument `width`: 0 is too small",
                "resize 1: argument `w` (`width`): 0 is too small",
            ),
            ("argument `crop.x` is missing", "argument `extract.x` (`crop.x`) is missing"),
            ("argument `crop[0]`: no", "argument `extract[0]` (`crop[0]`): no"),
            ("argument `height`: no `width`", "argument `height`: no `width`"),
            ("argument `widths`: no", "argument `widths`: no"),
            ("no `width`", "no `width`"),
            ("argument `width", "argument `width"),
        ] {
            assert_eq!(told(text).text, wanted);
        }
        let text = told("argument `width`: no").at("steps[0]").at("outputs[1]").text;
        assert_eq!(text, "argument `outputs[1].args.steps[0].args.w` (`width`): no");
    }

    #[test]
    fn a_reason_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);
        let layers = |texts: &[&'static str]| {
            texts.iter().rev().fold(None, |cause, text| Some(Box::new(Layer(text, cause)))).unwrap()
        };
        for (texts, told) in [
            (&["a", "b"][..], "a: b"),
            (&["a: b", "b"], "a: b"),
            (&["a: b", "b: c", "c"], "a: b: c"),
            (&["a: b: c", "b", "c"], "a: b: c"),
            (
                &["cannot connect", "connect error: refused", "refused"],
                "cannot connect: connect error: refused",
            ),
        ] {
            assert_eq!(Fault::of(FaultKind::Busy, &*layers(texts)).text, told);
        }
        let layers = layers(&[
            "cannot connect",
            "error sending request",
            "tcp connect error",
            "refused (os error 111)",
        ]);
        assert_eq!(Fault::of(FaultKind::Busy, &*layers).text, "cannot connect: refused");
        assert_eq!(Fault::new(FaultKind::Busy, "x: x: y: y").text, "x: y");
        assert_eq!(Fault::new(FaultKind::Busy, "x: y: x").text, "x: y: x");
    }

    #[test]
    fn a_strangers_text_is_one_line_and_short() {
        assert_eq!(one_line("größer\nFAKE", 100), "größer\\nFAKE");
        assert_eq!(one_line("größer", 3), "gr…", "not cut within a letter");
        assert!(one_line(&"\u{1b}".repeat(100_000), 1000).len() < 7000);
    }
}
