//! `[codec]`: how images are read and written, where there is a choice between time and quality.

use imgserve_base::format::Format;
use serde::{Deserialize, Serialize};

/// `[codec]`; documented in `defaults.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Codec {
    pub profile: Profile,
    pub damaged: Damaged,
    /// What `format=auto` gives to clients that name its media type among those they take, the best first.
    pub auto: Vec<Format>,
}

/// What an operation's work is done for. A request cannot choose: what it costs is the operator's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Time: pixels are averaged as they are, a JPEG is decoded at the smallest scale that suffices and written as baseline,
    /// a WebP is written with an effort of 2.
    #[default]
    Fast,
    /// Quality: pixels are averaged in linear light, a JPEG is decoded at a scale that leaves twice the target's pixels and
    /// written as progressive, a WebP is written with an effort of 4.
    Best,
}

/// What becomes of a source that is cut off or otherwise damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Damaged {
    /// It is unreadable.
    #[default]
    Refuse,
    /// What is there is shown, and the client is told.
    Repair,
}
