//! What server and worker say to each other: messages, each with a payload of encoded bytes; pixels never cross. How they
//! cross is `frame`'s to say.

use std::collections::BTreeMap;

use imgserve_base::fault::Fault;
use imgserve_base::kept::Kept;
use imgserve_config::{Codec, CodecSettings, OperationSettings, Profile};
use imgserve_sdk::{Description, codec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::plugin::{Artifact, Usage};

/// How many of the largest result the results of one run may take together: in bytes, and in the pixels that are made for
/// them.
pub(super) const RESULTS_TOGETHER: u64 = 4;

/// Server to worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// The first frame: what to load and how to limit oneself.
    Setup(Setup),
    /// Probe, plan and draw the placeholder. Payload: the source's first bytes.
    Prepare {
        /// What is to be done.
        task: Task,
        /// Whether the payload is the whole source.
        complete: bool,
        /// Whether a placeholder is wanted.
        draw: bool,
        /// How long it may take before the server ends the worker.
        time_ms: u64,
    },
    /// Decode once, then run and encode for each task. Payload: the source.
    Run {
        /// What is to be done.
        tasks: Vec<Task>,
        /// How long all of it may take before the server ends the worker.
        time_ms: u64,
    },
    /// Plan, and if the work takes no more than it may unplanned, do it at once. Payload: the source.
    Direct {
        /// What is to be done.
        task: Task,
        /// Memory that is admitted before anybody knows how much it takes, the source included, in bytes.
        within: u64,
        /// Pixels that it may have, if that matters.
        most_pixels: Option<u64>,
        /// Whether the source's digest is wanted.
        digest: bool,
        /// How long a plugin in a sandbox may plan.
        plan_ms: u64,
        /// How long all of it may take before the server ends the worker.
        time_ms: u64,
    },
    /// Draw a placeholder. No payload.
    Draw(Placeholder),
    /// Nobody waits for the request under way any more; the one frame that may come before its answer. It has no answer
    /// of its own, and is ignored when it comes too late.
    Cancel,
}

/// The worker's settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// What to load.
    pub operations: Vec<Registered>,
    /// Codecs that are plugins.
    pub codecs: Vec<RegisteredCodec>,
    /// The core to be pinned to.
    pub core: Option<usize>,
    /// RLIMIT_DATA in bytes.
    pub memory_limit: u64,
    /// `[limits]`.
    pub limits: imgserve_config::Limits,
    /// `[codec]`.
    pub codec: Codec,
    /// How large a sandboxed plugin may be, by `[plugins]`.
    pub guest_size: imgserve_config::GuestSize,
    /// Whether a plugin that cannot be loaded is left out: when a worker is replaced, the others must go on.
    pub lenient: bool,
}

/// An operation of the configuration and the file of its plugin, made ready to load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Registered {
    /// Its name in the registry.
    pub name: String,
    /// Its section of the configuration.
    pub settings: OperationSettings,
    /// None for a builtin plugin.
    pub artifact: Option<Artifact>,
}

/// The same of a codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RegisteredCodec {
    /// The name of its section.
    pub name: String,
    /// Its section of the configuration.
    pub settings: CodecSettings,
    /// Its file.
    pub artifact: Artifact,
}

/// What is to be done with one source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The operations, one after the other; at least one.
    pub steps: Vec<Step>,
    /// The source's extension, for formats that the host cannot recognise by content.
    pub extension: String,
    /// The result's file format, or none for output that the operation encodes itself.
    pub format: Option<imgserve_base::format::Format>,
    /// Encoding quality, 1 to 100.
    pub quality: u8,
    /// What the result's file keeps.
    #[serde(default)]
    pub kept: Kept,
    /// Where the operations' random numbers begin.
    pub seed: u64,
}

/// One operation of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The operation's name in the registry.
    pub operation: String,
    /// Its arguments, defaults applied, the host's own taken out.
    pub args: Map<String, Value>,
    /// Whether what is done for it is for time or quality.
    #[serde(default)]
    pub profile: Profile,
    /// Where it stands in the request, such as `steps[1]`; empty for an operation by itself, or where nobody knows any more.
    #[serde(default)]
    pub at: String,
    /// By which other names arguments came, by their own; none where nobody knows any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub written: BTreeMap<String, String>,
}

/// The argument of a builtin operation that can average pixels in linear light, which is what quality wants.
pub const LINEAR: &str = "linear";

/// A placeholder to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placeholder {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Its file format.
    pub format: imgserve_base::format::Format,
    /// Whether it says that the work failed, rather than that it is under way.
    pub failed: bool,
}

/// Worker to server.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    /// The plugins are loaded.
    Ready {
        /// The operations.
        loaded: Vec<Loaded>,
        /// The codecs that are plugins.
        codecs: Vec<LoadedCodec>,
        /// What the kernel cannot enforce of the worker's sandbox.
        unenforced: Vec<String>,
    },
    /// The plugins cannot be loaded.
    Unready(Fault),
    /// The source's header is not in these bytes yet.
    NeedMore,
    /// The plan; of a direct call, that no more than the plan was made. Payload: the placeholder (none where none is
    /// wanted, and for output that is no image).
    Prepared(Prepared),
    /// How much of the request is done, 0 to 1. More replies follow.
    Progress(f32),
    /// The direct call under way has more pixels than a small one. More replies follow.
    Large,
    /// A line of a plugin's. More replies follow.
    Log {
        /// The operation's name in the registry.
        operation: String,
        /// How important it is.
        level: LogLevel,
        /// One line.
        text: String,
    },
    /// A third-party plugin is being called: should the worker end, it is to blame. More replies follow.
    Calls(String),
    /// It has returned. More replies follow.
    Returned,
    /// It was not done in time, and its code can only be ended with the worker, which ends itself. Nothing follows.
    Late,
    /// The run is over. Payload: the results, one after the other.
    Done {
        /// What became of each task.
        results: Vec<Result<Made, Fault>>,
        /// Frames of the source that were decoded, for all tasks together.
        decoded: u32,
        /// The source's digest, of a direct call that wants it.
        digest: Option<u128>,
        /// Wall time of a direct call's planning, in microseconds.
        plan_us: u64,
        /// Wall time from then, or from when the request was read, until this reply is written, in microseconds.
        work_us: u64,
    },
    /// Payload: the placeholder.
    Drawn,
    /// The request was refused or failed as a whole.
    Refused(Fault),
}

/// A task's result, as it is announced; its bytes are part of the payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Length in bytes.
    pub bytes: u64,
    /// What its operations took.
    pub usage: Usage,
    /// What is wrong with the part of the source that it shows.
    pub damage: Option<String>,
    /// Why the source's colours could not be converted to sRGB.
    pub unconverted: Option<String>,
    /// What of the source it does not keep though it was asked for.
    pub left_out: Vec<String>,
}

/// An operation whose plugin is loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// The operation's name in the registry.
    pub name: String,
    /// What its plugin says of itself.
    pub description: Description,
    /// Its plugin's file; none for a builtin one.
    pub artifact: Option<Artifact>,
}

/// A codec that is a plugin, loaded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadedCodec {
    /// The name of its section.
    pub name: String,
    /// What it says of itself.
    pub description: codec::Description,
    /// Its file.
    pub artifact: Artifact,
}

/// How important a plugin's log line is; as [`imgserve_sdk::Level`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// For whoever writes the plugin.
    Debug,
    /// For whoever runs it.
    Info,
    /// Something is not as it should be.
    Warn,
    /// The result is not right.
    Error,
}

/// The outcome of planning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The result's width in pixels.
    pub width: u32,
    /// The result's height in pixels.
    pub height: u32,
    /// Estimated peak memory of the run in a worker, in bytes; the source's own bytes come on top.
    pub own_bytes: u64,
    /// Estimated memory of sandboxed plugins beside it, in bytes.
    pub guest_bytes: u64,
    /// What is worked on: pixels of the source, as far as its decoder cannot spare them, and of all that is made of it.
    /// 0 where nobody remembers.
    pub pixels: u64,
    /// The source's file format; none for one that only a plugin reads.
    pub source_format: Option<imgserve_base::format::Format>,
    /// Pixels that all operations make, of all frames; 0 for a plan of an earlier program, which did not count them.
    #[serde(default)]
    pub made_pixels: u64,
}

impl Prepared {
    /// What one run for several plans costs, in pixels: the source is decoded once, for the one that needs most of it.
    pub fn pixels_together(all: &[Self]) -> u64 {
        let made = |plan: &Self| u64::from(plan.width) * u64::from(plan.height);
        let most = all
            .iter()
            .max_by_key(|plan| plan.pixels)
            .map_or(0, |plan| plan.pixels - made(plan).min(plan.pixels));
        all.iter().map(made).fold(most, u64::saturating_add)
    }

    /// Estimated memory of one run for several plans, as `own_bytes` and `guest_bytes`: they are worked off one after the
    /// other on the same decoded source, while an encoder of each may hold a picture twice.
    pub fn together(all: &[Self]) -> (u64, u64) {
        let largest = |bytes: fn(&Self) -> u64| all.iter().map(bytes).max().unwrap_or_default();
        let encoder = |plan: &Self| 2 * imgserve_sdk::PixelFormat::Rgba8.bytes(plan.width, plan.height);
        // The largest estimate holds its own encoder already.
        let encoders = all.iter().map(encoder).fold(0, u64::saturating_add);
        let counted = all.iter().max_by_key(|plan| plan.own_bytes).map_or(0, encoder);
        (largest(|plan| plan.own_bytes).saturating_add(encoders - counted), largest(|plan| plan.guest_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_together_share_the_decoded_source() {
        let plan = |width, own_bytes, guest_bytes| Prepared {
            width,
            height: 10,
            own_bytes,
            guest_bytes,
            pixels: 0,
            source_format: None,
            made_pixels: 0,
        };
        assert_eq!(Prepared::together(&[plan(10, 5000, 7)]), (5000, 7), "one alone as it is");
        let (own, guests) = Prepared::together(&[plan(10, 5000, 7), plan(20, 9000, 0), plan(1, 3000, 9)]);
        assert_eq!((own, guests), (9000 + 8 * 100 + 8 * 10, 9));
        assert_eq!(Prepared::together(&[]), (0, 0));
        let plan = |width, pixels| Prepared { pixels, ..plan(width, 0, 0) };
        assert_eq!(Prepared::pixels_together(&[plan(10, 5000)]), 5000, "one alone as it is");
        assert_eq!(Prepared::pixels_together(&[plan(10, 5000), plan(20, 5900)]), 5900 + 100);
        assert_eq!(Prepared::pixels_together(&[]), 0);
    }
}
