//! The contract itself: the [`Operation`] trait, what `run` is given and what it gives.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Description, Error, Frame, Image, ImageRef, Plan, SourceHeader, Window};

/// An image operation: three functions, whatever kind of plugin it becomes.
pub trait Operation: 'static {
    /// The arguments a request gives. Doc comments become the schema's descriptions; fields with
    /// `#[serde(default)]` are optional.
    type Args: DeserializeOwned + JsonSchema;

    /// What the operation is and takes. Called once, when the plugin is registered.
    fn describe() -> Description;

    /// What `run` will produce from a source with this header. Called before the client is answered, so it must
    /// be quick and must not need a pixel.
    ///
    /// # Errors
    /// Any [`Error`]; the client is told its kind and text at once.
    fn plan(args: &Self::Args, source: &SourceHeader) -> Result<Plan, Error>;

    /// Does the work. The result must have the size that `plan` promised for the same arguments and header.
    ///
    /// # Errors
    /// Any [`Error`]; the job fails with its text.
    fn run(args: &Self::Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error>;
}

/// What `run` is given.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The header that `plan` was given.
    pub header: &'a SourceHeader,
    /// The source itself, in the form that `describe` asked for.
    pub input: Input<'a>,
}

/// The source in one of its forms.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// One image, decoded as the plan's hint allows.
    Pixels {
        /// The decoded pixels, upright and sRGB.
        image: ImageRef<'a>,
        /// Which part of the source they show.
        window: Window,
    },
    /// All frames of an animation, each decoded as the plan's hint allows.
    Frames {
        /// Pixels and how long they are shown, in milliseconds; at least one.
        frames: &'a [(ImageRef<'a>, u32)],
        /// Which part of the source they show.
        window: Window,
    },
    /// The source's bytes as they were fetched.
    Encoded(&'a [u8]),
}

impl<'a> Source<'a> {
    /// The one image of a source given as pixels, and which part of the source it shows.
    ///
    /// # Errors
    /// `failed` when the source was given in another form than `describe` asked for.
    pub fn pixels(&self) -> Result<(ImageRef<'a>, Window), Error> {
        match self.input {
            Input::Pixels { image, window } => Ok((image, window)),
            _ => Err(Error::failed("the host gave the source in another form than pixels")),
        }
    }

    /// The bytes of a source given encoded.
    ///
    /// # Errors
    /// `failed` when the source was given in another form than `describe` asked for.
    pub fn encoded(&self) -> Result<&'a [u8], Error> {
        match self.input {
            Input::Encoded(bytes) => Ok(bytes),
            _ => Err(Error::failed("the host gave the source decoded instead of encoded")),
        }
    }
}

/// What `run` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// One image of the planned size.
    Pixels(Image),
    /// An animation; every frame of the planned size, at least one.
    Frames(Vec<Frame>),
    /// Bytes that are stored as they are.
    Encoded(Vec<u8>),
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever writes the plugin.
    Debug,
    /// For whoever runs it.
    Info,
    /// Something is not as it should be, and the result is still right.
    Warn,
    /// The result is not right.
    Error,
}

/// Whether to go on, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Nobody wants the result any more: return soon, with any error.
    Cancelled,
}

/// What an operation may ask of its host while it runs.
pub trait Host {
    /// Writes a line to the host's log, under the plugin's name. Long lines are cut.
    fn log(&self, level: Level, message: &str);

    /// Reports how much is done, from 0 to 1, and learns whether to go on.
    fn progress(&self, done: f32) -> Flow;
}
