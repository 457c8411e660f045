//! The words that all rooms share. Uses no other crate of the workspace.
//!
//! # Layout
//! - [`fault`]: why a request is refused or a job fails
//! - [`mod@format`]: the file formats' names; [`kept`]: what a result's file keeps of its picture
//! - [`job`]: a job's states, which may follow which, and its story
//! - [`clock`]: the clock that nobody sets; [`lease`]: until when, by it, something may be done
//! - [`lock`]: which process has a file
//! - [`fair`]: turns between clients
//! - [`named`]: enums whose values have names
//! - [`crash`]: where the crash test ends the process
//! - [`units`]: bytes of a KiB and a MiB
//! - [`database`]: addresses of databases, and how they are shown
//! - [`secret`]: which values are secrets, and how they are shown
//! - [`depth`]: how deep JSON may be nested; [`digest`]: what tells sources apart; [`version`]: the same without reading them

#![forbid(unsafe_code)]

pub mod clock;
pub mod crash;
pub mod database;
pub mod depth;
pub mod digest;
pub mod fair;
pub mod fault;
pub mod format;
pub mod job;
pub mod kept;
pub mod lease;
pub mod lock;
mod named;
pub mod secret;
pub mod units;
pub mod version;
