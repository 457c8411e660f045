//! The pictures that the demo sends through imgserve, made anew each time: a photo, a picture with transparency, an
//! animation and a drawing. What they show is painted by `landscape` and `ball`.

use bytes::Bytes;
use imgserve_base::format::Format;
use imgserve_codec::{CodecError, EncodeOptions, Encoder, Loops, convert};
use imgserve_sdk::{Image, PixelFormat};

use super::{ball, landscape};

/// Frames of the animation.
const FRAMES: u32 = 16;
/// How long each is shown, in milliseconds.
const FRAME_MS: u32 = 120;
/// Quality of the photo, as cameras choose it.
const PHOTO_QUALITY: u8 = 92;

/// A source.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// The file's name.
    pub(super) name: &'static str,
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
    /// The file.
    pub(super) bytes: Bytes,
    /// What was painted, before it was encoded, as straight RGBA; nothing for the drawing.
    pub(super) frames: Vec<Image>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    pub(super) photo: Sample,
    pub(super) ball: Sample,
    pub(super) day: Sample,
    pub(super) poster: Sample,
}

impl Samples {
    /// Paints and encodes; takes some tenths of a second.
    ///
    /// # Errors
    /// When a picture cannot be encoded.
    pub(super) fn make() -> Result<Self, CodecError> {
        std::thread::scope(|scope| {
            let photo = scope.spawn(photo);
            let day = scope.spawn(day);
            let ball = ball()?;
            let join = "painting does not panic";
            Ok(Self {
                photo: photo.join().expect(join)?,
                ball,
                day: day.join().expect(join)?,
                poster: poster(),
            })
        })
    }

    pub(super) fn all(&self) -> [&Sample; 4] {
        [&self.photo, &self.ball, &self.day, &self.poster]
    }
}

fn photo() -> Result<Sample, CodecError> {
    encode("photo.jpg", Format::Jpeg, vec![landscape::paint(3000, 2000, 0.24)])
}

fn ball() -> Result<Sample, CodecError> {
    encode("ball.png", Format::Png, vec![ball::paint(800)])
}

/// The sun sets.
fn day() -> Result<Sample, CodecError> {
    let elevation = |frame: u32| 0.8 - 1.05 * frame as f32 / (FRAMES - 1) as f32;
    let frames = (0..FRAMES).map(|frame| landscape::paint(360, 240, elevation(frame))).collect();
    encode("day.gif", Format::Gif, frames)
}

fn poster() -> Sample {
    let bytes = Bytes::from_static(include_bytes!("poster.svg"));
    Sample { name: "poster.svg", format: Format::Svg, width: 800, height: 400, bytes, frames: Vec::new() }
}

fn encode(name: &'static str, format: Format, frames: Vec<Image>) -> Result<Sample, CodecError> {
    let (width, height) = frames.first().map_or((0, 0), |frame| (frame.width(), frame.height()));
    let options = EncodeOptions { quality: PHOTO_QUALITY, loops: Loops::Forever, ..EncodeOptions::default() };
    let mut encoder = Encoder::new(format, &options, width, height)?;
    for frame in &frames {
        encoder.push(frame.as_ref(), FRAME_MS)?;
    }
    let frames = frames.iter().map(|frame| convert(frame.as_ref(), PixelFormat::Rgba8)).collect();
    Ok(Sample { name, format, width, height, bytes: encoder.finish()?.into(), frames })
}
