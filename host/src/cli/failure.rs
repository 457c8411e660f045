//! Why a command failed, and the exit code that says it.

use std::process::ExitCode;

/// Exit code for a configuration that is refused.
const BAD_CONFIGURATION: u8 = 64;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] imgserve_config::ConfigError),
    /// A file or process could not be had.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Anything else; the text says what to do.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// What becomes of an I/O error while `what` was attempted.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The program's exit code.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(BAD_CONFIGURATION),
            Self::Other(_) | Self::Io { .. } => ExitCode::FAILURE,
        }
    }
}
