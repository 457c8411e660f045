//! Why a configuration is refused: the key's full path, and what is possible.

use std::path::PathBuf;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not TOML. The line itself is not repeated: there may be a secret in it.
    #[error("configuration is not TOML: line {line}, column {column}: {text}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What is wrong there.
        text: String,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}`{hint}")]
    UnknownKey {
        /// The key's full path.
        key: String,
        /// ": did you mean …?", or empty.
        hint: String,
    },
    /// A value of the wrong type or out of range.
    #[error("{key}: {text}")]
    Value {
        /// The key's full path.
        key: String,
        /// What is wrong and what is possible.
        text: String,
    },
}

/// A value of the wrong type or out of range.
pub(super) fn value_error(key: &str, text: &str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), text: text.to_owned() }
}
