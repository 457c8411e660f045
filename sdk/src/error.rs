//! Why an operation refuses or fails: a closed list of kinds, and a text for a person.
//! The host adds the plugin's name and version and maps a kind to its reply code.

use serde::{Deserialize, Serialize};

/// What sort of refusal or failure it is. Part of the contract: hosts map each to a reply code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// A required argument is absent.
    MissingArgument,
    /// An argument has another JSON type than the schema's.
    WrongType,
    /// An argument has the right type and an impossible value: out of range, or an unknown name.
    InvalidArgument,
    /// The source is of a kind this operation cannot work on.
    UnsupportedSource,
    /// The source has fewer pixels than the result needs.
    SourceTooSmall,
    /// The work would exceed a limit of the host's or the plugin's.
    LimitExceeded,
    /// Anything else that went wrong in the operation itself.
    Failed,
}

impl ErrorKind {
    /// The kind as it is written in JSON, in headers and in logs, such as `source-too-small`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingArgument => "missing-argument",
            Self::WrongType => "wrong-type",
            Self::InvalidArgument => "invalid-argument",
            Self::UnsupportedSource => "unsupported-source",
            Self::SourceTooSmall => "source-too-small",
            Self::LimitExceeded => "limit-exceeded",
            Self::Failed => "failed",
        }
    }
}

/// A refusal or failure: its kind, the argument concerned if one is, and a text for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
}

impl Error {
    /// An error of `kind`; `message` is lowercase, without a full stop, and names what was wrong.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), argument: None }
    }

    /// The named argument has an impossible value; `message` says which values are possible.
    pub fn invalid_argument(argument: &str, message: impl std::fmt::Display) -> Self {
        Self::new(ErrorKind::InvalidArgument, format!("argument `{argument}`: {message}"))
            .about_argument(argument)
    }

    /// The operation itself went wrong.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// Records which argument the error is about; the text should name it too.
    #[must_use]
    pub fn about_argument(mut self, argument: &str) -> Self {
        self.argument = Some(argument.to_owned());
        self
    }

    /// What sort of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text for a person.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The argument concerned, as a path such as `width` or `steps[1].args`.
    pub fn argument(&self) -> Option<&str> {
        self.argument.as_deref()
    }
}
