//! Why a request is refused or a job fails: a closed list of kinds, each with a text for a person. Who answers
//! it how (0.2's code, a v1 problem, the job's record) is decided in `http` and `journal`.

use serde::{Deserialize, Serialize};

use crate::named;

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
