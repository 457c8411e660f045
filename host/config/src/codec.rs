//! `[codec]`: how images are read and written, where there is a choice between time and quality.

use imgserve_base::format::Format;
use serde::{Deserialize, Serialize};

use super::error::{ConfigError, value_error};

/// `[codec]`; documented in `defaults.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Codec {
    pub profile: Profile,
    pub damaged: Damaged,
    /// Names of formats, which [`Codec::auto`] tells: those of codecs that are plugins are not known before these are loaded.
    pub auto: Vec<String>,
}

impl Codec {
    /// What `format=auto` gives to clients that name its media type among those they take, the best first. `plugged` are the formats
    /// of the codecs that are plugins.
    ///
    /// # Errors
    /// [`ConfigError`] where one is unknown, or nothing that can be chosen.
    pub fn auto(&self, plugged: &[Format]) -> Result<Vec<Format>, ConfigError> {
        self.auto.iter().map(|name| choosable(name, plugged)).collect()
    }

    /// Refuses what [`Codec::auto`] will, as far as it can be known before codecs are loaded, if there are `any`.
    pub(super) fn check(&self, any: bool) -> Result<(), ConfigError> {
        let later = |name: &&String| any && !Format::ALL.iter().any(|format| format.name() == **name);
        self.auto.iter().filter(|name| !later(name)).try_for_each(|name| choosable(name, &[]).map(drop))
    }
}

/// A format that `format=auto` may give. One by plugin has to be for browsers: a picture with a loss, of a media type for images. What
/// writes without loss would be chosen for photographs, too.
fn choosable(name: &str, plugged: &[Format]) -> Result<Format, ConfigError> {
    let refuse = |text: String| Err(value_error("codec.auto", &text));
    let all: Vec<Format> = Format::ALL.iter().chain(plugged).copied().collect();
    let Some(format) = all.iter().copied().find(|format| format.name() == name) else {
        let written: Vec<&str> =
            all.iter().filter(|format| format.can_encode()).map(|format| format.name()).collect();
        return refuse(format!("{name:?} is none of {}", written.join(", ")));
    };
    if !format.can_encode() {
        return refuse(format!("{format} is only read"));
    }
    match format {
        Format::Plugged(_) if !format.is_lossy() => refuse(format!(
            "{format} is not written with a loss, as its codec says: `format` alone asks for it"
        )),
        Format::Plugged(_) if !format.media_type().starts_with("image/") => refuse(format!(
            "{format} is {}, which no client names among the images that it takes",
            format.media_type()
        )),
        _ => Ok(format),
    }
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
