//! The contract itself: the [`Operation`] trait, what `run` is given and what it gives.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Description, Error, Frame, Image, ImageRef, Plan, SourceHeader, Window, arguments};

/// An image operation: three functions, whatever kind of plugin it becomes.
pub trait Operation: 'static {
    /// The arguments a request gives. Doc comments become the schema's descriptions; fields with
    /// `#[serde(default)]` are optional. The names `format`, `quality`, `field_name` and `field_file` are the host's own.
    type Args: DeserializeOwned + JsonSchema;

    /// What the operation is and takes. Called once, when the plugin is registered.
    fn describe() -> Description;

    /// What `run` will produce from a source with this header. Called before the client is answered, so it must
    /// be quick and must not need a pixel; the same arguments, header and configuration must give the same plan.
    ///
    /// # Errors
    /// Any [`Error`]; the client is told its kind and text at once.
    fn plan(args: &Self::Args, source: &SourceHeader, host: &dyn Host) -> Result<Plan, Error>;

    /// Does the work. The result must have the size that `plan` promised for the same arguments and header.
    ///
    /// # Errors
    /// Any [`Error`]; the job fails with its text.
    fn run(args: &Self::Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error>;
}

/// What `run` is given.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The header that `plan` was given.
    pub header: &'a SourceHeader,
    /// The source itself, in the form that `describe` asked for.
    pub input: Input<'a>,
}

/// The source in one of its forms.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// One image, decoded as the plan's hint allows.
    Pixels {
        /// The decoded pixels, upright and sRGB.
        image: Pixels<'a>,
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

/// Decoded pixels: a view of the host's, or, where they had to be copied into a sandbox, a copy that is the plugin's.
#[derive(Clone, Debug)]
pub enum Pixels<'a> {
    /// Lent by the host for the length of the call.
    Borrowed(ImageRef<'a>),
    /// The plugin's own.
    Owned(Image),
}

impl Pixels<'_> {
    /// The pixels, to read.
    pub fn as_ref(&self) -> ImageRef<'_> {
        match self {
            Self::Borrowed(image) => *image,
            Self::Owned(image) => image.as_ref(),
        }
    }

    /// The pixels, to change in place; copies them only if they are the host's.
    pub fn into_image(self) -> Image {
        match self {
            Self::Borrowed(image) => image.to_image(),
            Self::Owned(image) => image,
        }
    }
}

impl Source<'_> {
    /// The one image of a source given as pixels, and which part of the source it shows.
    ///
    /// # Errors
    /// `failed` when the source was given in another form than `describe` asked for.
    pub fn pixels(&self) -> Result<(ImageRef<'_>, Window), Error> {
        match &self.input {
            Input::Pixels { image, window } => Ok((image.as_ref(), *window)),
            _ => Err(not_pixels()),
        }
    }

    /// The one image of a source given as pixels, to change in place, and which part of the source it shows. In a
    /// sandbox this copies nothing.
    ///
    /// # Errors
    /// `failed` when the source was given in another form than `describe` asked for.
    pub fn into_pixels(self) -> Result<(Image, Window), Error> {
        match self.input {
            Input::Pixels { image, window } => Ok((image.into_image(), window)),
            _ => Err(not_pixels()),
        }
    }

    /// The bytes of a source given encoded.
    ///
    /// # Errors
    /// `failed` when the source was given in another form than `describe` asked for.
    pub fn encoded(&self) -> Result<&[u8], Error> {
        match self.input {
            Input::Encoded(bytes) => Ok(bytes),
            _ => Err(Error::failed("the host gave the source decoded instead of encoded")),
        }
    }
}

fn not_pixels() -> Error {
    Error::failed("the host gave the source in another form than pixels")
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

/// What an operation may ask of its host.
pub trait Host {
    /// Writes a line to the host's log, under the operation's name. Long lines are cut, and after many lines in one
    /// job the rest is dropped.
    fn log(&self, level: Level, message: &str);

    /// Reports how much is done, from 0 to 1, and learns whether to go on.
    fn progress(&self, done: f32) -> Flow;

    /// The next of a sequence of random numbers, evenly spread over all values. The same job gets the same sequence
    /// whenever it is done again; it is not fit for secrets.
    fn random(&self) -> u64;

    /// The `config` table of the operation's section in the host's configuration, as the JSON text of an object.
    /// [`parse_config`](trait.Host.html#method.parse_config) makes a structure of it.
    fn config(&self) -> &str;
}

impl dyn Host + '_ {
    /// The operation's `config` table as a structure of the plugin's own.
    ///
    /// # Errors
    /// `failed`, naming the key, when the table does not fit; that is the operator's to mend.
    pub fn parse_config<T: DeserializeOwned>(&self) -> Result<T, Error> {
        arguments::parse(self.config().as_bytes()).map_err(|error| {
            let text = error.message().replace("argument", "key");
            Error::failed(format!("the operation's `config` in imgserve's configuration: {text}"))
        })
    }
}
