//! Why a request is refused or a job fails: a closed list of kinds, each with a text for a person. Who answers
//! it how (0.2's code, a v1 problem, the job's record) is decided in `http` and `journal`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What sort of fault it is, in the order in which 0.2's checks happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The body is not a JSON object.
    NotJson,
    /// The members are not exactly the four.
    WrongMembers,
    /// `operationType` names no operation.
    UnknownOperation,
    /// `args` is not an object.
    ArgsNotObject,
    /// `srcURL` is empty.
    EmptySource,
    /// `dstURL` is empty.
    EmptyDestination,
    /// A required argument is missing.
    MissingArgument,
    /// An argument has the wrong type.
    WrongType,
    /// The operation does not take sources with this extension.
    SourceExtension,
    /// The scheme of `srcURL` is not supported.
    SourceScheme,
    /// The scheme of `dstURL` is not supported.
    DestinationScheme,
    /// Form upload: the field's name is missing.
    MissingFieldName,
    /// Form upload: the field's name is not a string.
    FieldNameType,
    /// The destination's extension does not fit what the operation gives.
    DestinationExtension,
    /// An argument is out of its range.
    InvalidArgument,
    /// The source cannot be fetched.
    SourceUnavailable,
    /// The source is not an image that can be read.
    UnreadableSource,
    /// The source is smaller than the result.
    SourceTooSmall,
    /// The source is not a valid SVG.
    InvalidSvg,
    /// The destination cannot be stored to.
    DestinationUnavailable,
    /// A configured limit would be exceeded.
    LimitExceeded,
    /// The operation itself failed.
    OperationFailed,
    /// A plugin trapped or panicked.
    PluginTrapped,
    /// A plugin wanted more memory than its limit.
    PluginOutOfMemory,
    /// A plugin was not done within its limit.
    PluginTimedOut,
    /// A plugin did what the contract does not allow.
    PluginContract,
    /// The operation's plugin has failed too often of late; try again later.
    OperationSuspended,
    /// Too much to do; try again later.
    Busy,
    /// This client has too much to do here; try again later.
    ClientBusy,
    /// Accepted jobs cannot be made durable; try again when the disk is well.
    JournalUnavailable,
    /// The idempotency key was used for another request.
    KeyReused,
}

impl FaultKind {
    /// The kind as it is written in headers, JSON and logs, such as `source-too-small`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::WrongMembers => "wrong-members",
            Self::UnknownOperation => "unknown-operation",
            Self::ArgsNotObject => "args-not-object",
            Self::EmptySource => "empty-source",
            Self::EmptyDestination => "empty-destination",
            Self::MissingArgument => "missing-argument",
            Self::WrongType => "wrong-type",
            Self::SourceExtension => "source-extension",
            Self::SourceScheme => "source-scheme",
            Self::DestinationScheme => "destination-scheme",
            Self::MissingFieldName => "missing-field-name",
            Self::FieldNameType => "field-name-type",
            Self::DestinationExtension => "destination-extension",
            Self::InvalidArgument => "invalid-argument",
            Self::SourceUnavailable => "source-unavailable",
            Self::UnreadableSource => "unreadable-source",
            Self::SourceTooSmall => "source-too-small",
            Self::InvalidSvg => "invalid-svg",
            Self::DestinationUnavailable => "destination-unavailable",
            Self::LimitExceeded => "limit-exceeded",
            Self::OperationFailed => "operation-failed",
            Self::PluginTrapped => "plugin-trapped",
            Self::PluginOutOfMemory => "plugin-out-of-memory",
            Self::PluginTimedOut => "plugin-timed-out",
            Self::PluginContract => "plugin-contract",
            Self::OperationSuspended => "operation-suspended",
            Self::Busy => "busy",
            Self::ClientBusy => "client-busy",
            Self::JournalUnavailable => "journal-unavailable",
            Self::KeyReused => "key-reused",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
    /// When it is worth trying again, in seconds, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// Whether the same may succeed at another try.
    #[serde(default, skip_serializing_if = "Retry::is_never")]
    pub retry: Retry,
}

/// Whether the same may succeed at another try, and who is to blame that it did not at this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retry {
    /// The request, the image or the plugin is to blame, and will be again.
    #[default]
    Never,
    /// Another server had trouble.
    Remote,
    /// A worker process died over it.
    Worker,
    /// Nobody: there was no time or room for it.
    Later,
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
            text: one_line(&text.into(), MAX_TEXT),
            operation: None,
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
        let next = error.to_string();
        // Libraries often repeat a cause's text in their own; say it once.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
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
    use super::one_line;

    #[test]
    fn a_strangers_text_is_one_line_and_short() {
        assert_eq!(one_line("größer\nFAKE", 100), "größer\\nFAKE");
        assert_eq!(one_line("größer", 3), "gr…", "not cut within a letter");
        assert!(one_line(&"\u{1b}".repeat(100_000), 1000).len() < 7000);
    }
}
