//! Where a task's results go: into the destination's format, or out as they are.

use std::rc::Rc;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_codec::{self as codec, EncodeOptions, Encoder, Loops};
use imgserve_config::{Limits, Profile};
use imgserve_sdk::abi::Product;
use imgserve_sdk::{Image, ImageRef};

use super::beside::Beside;
use super::fault::codec_fault;
use super::protocol::Task;
use super::task::animates;

/// The result in the making.
pub(super) struct Sink<'a> {
    task: &'a Task,
    /// How often the source's animation is played.
    pub(super) loops: Loops,
    frames_left: u32,
    pixels_left: u64,
    encoder: Option<Encoder>,
    encoded: Option<Vec<u8>>,
    /// What the source says beside its pixels.
    pub(super) beside: Rc<Beside>,
    /// The source's profile, where what comes is in its colours.
    pub(super) profile: Option<Rc<[u8]>>,
    /// The same, where no result can keep it.
    unfit: Option<Rc<[u8]>>,
    /// What is not kept though it was asked for.
    left_out: Vec<String>,
}

/// A result that is written.
pub(super) struct Written {
    pub(super) bytes: Vec<u8>,
    /// What of the source it does not keep though it was asked for.
    pub(super) left_out: Vec<String>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(task: &'a Task, limits: &Limits) -> Self {
        let Limits { max_source_frames: frames_left, max_output_pixels: pixels_left, .. } = *limits;
        Self {
            task,
            loops: Loops::Times(1),
            frames_left,
            pixels_left,
            encoder: None,
            encoded: None,
            beside: Rc::default(),
            profile: None,
            unfit: None,
            left_out: Vec::new(),
        }
    }

    /// Whether the source's pixels are wanted in the colours of its own profile.
    pub(super) fn keeps_colors(&self) -> bool {
        self.beside.profile(self.task).is_some()
    }

    /// Whether more than one frame is of use.
    pub(super) fn animates(&self) -> bool {
        animates(self.task)
    }

    /// Takes one of the last operation's results; a frame without a delay of its own is shown for `delay_ms`.
    ///
    /// # Errors
    /// What is not as the operation's description promises, as a text; or the codec's fault.
    pub(super) fn take(&mut self, product: Product<'_>, delay_ms: u32) -> Result<(), SinkError> {
        match (product, self.task.format) {
            (Product::Encoded(bytes), None) if self.encoded.is_none() => {
                self.encoded = Some(bytes.to_vec());
                Ok(())
            }
            (Product::Encoded(_), None) => Err(SinkError::Contract("gave encoded bytes more than once")),
            (Product::Encoded(_), Some(_)) => {
                Err(SinkError::Contract("gave encoded bytes where pixels were described"))
            }
            (Product::Pixels(..), None) => {
                Err(SinkError::Contract("gave pixels where encoded bytes were described"))
            }
            (Product::Pixels(image, own_delay), Some(format)) => {
                Ok(self.push(format, image, own_delay.max(delay_ms))?)
            }
        }
    }

    fn push(&mut self, format: Format, image: ImageRef<'_>, delay_ms: u32) -> Result<(), Fault> {
        self.frames_left = self.frames_left.checked_sub(1).ok_or_else(|| {
            let text = "the result has more frames than [limits] max_source_frames";
            Fault::new(FaultKind::LimitExceeded, text)
        })?;
        let pixels = u64::from(image.width()) * u64::from(image.height());
        self.pixels_left = self.pixels_left.checked_sub(pixels).ok_or_else(|| {
            let text = "the result has more pixels in all its frames than [limits] max_output_pixels";
            Fault::new(FaultKind::LimitExceeded, text)
        })?;
        let in_srgb = self.in_srgb(image);
        let image = in_srgb.as_ref().map_or(image, Image::as_ref);
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            None => {
                let (loops, as_given) = (self.loops, self.profile.is_some());
                let display_p3 = self.profile.as_deref().is_some_and(codec::is_display_p3);
                let options = EncodeOptions { loops, as_given, display_p3, ..self.options() };
                let new =
                    Encoder::new(format, &options, image.width(), image.height()).map_err(codec_fault)?;
                self.encoder.insert(new)
            }
        };
        encoder.push(image, delay_ms).map_err(codec_fault)
    }

    /// The image in sRGB, where an operation has made of the source's pixels what its profile is not for; then no result keeps that.
    fn in_srgb(&mut self, image: ImageRef<'_>) -> Option<Image> {
        if self.encoder.is_none()
            && self.profile.as_ref().is_some_and(|profile| !codec::fits(profile, image.format()))
        {
            self.unfit = self.profile.take();
        }
        let profile = self.unfit.as_ref()?;
        let (image, why) = codec::to_srgb(image.to_image(), Some(profile));
        if self.encoder.is_none() {
            self.left_out.extend(why.map(|why| format!("its colours are shown as if they were sRGB: {why}")));
        }
        Some(image)
    }

    /// The format that a result is encoded in, and how; none where the operation encodes it.
    pub(super) fn encodes(&self) -> Option<(Format, EncodeOptions)> {
        Some((self.task.format?, self.options()))
    }

    fn options(&self) -> EncodeOptions {
        let thorough = self.task.steps.last().is_some_and(|step| step.profile == Profile::Best);
        let (quality, lossless) = (self.task.quality, self.task.kept.lossless);
        EncodeOptions { quality, lossless, thorough, ..EncodeOptions::default() }
    }

    /// Takes a result that is encoded already.
    pub(super) fn put(&mut self, file: Vec<u8>) {
        self.encoded = Some(file);
    }

    /// The encoded result.
    ///
    /// # Errors
    /// The codec's fault, or that there was nothing to encode.
    pub(super) fn finish(self, size: (u32, u32)) -> Result<Written, Fault> {
        let bytes = match (self.encoder, self.encoded) {
            (Some(encoder), _) => encoder.finish().map_err(codec_fault)?,
            (None, Some(bytes)) => bytes,
            (None, None) => {
                return Err(Fault::new(FaultKind::UnreadableSource, "the source has no picture"));
            }
        };
        let Some(format) = self.task.format else { return Ok(Written { bytes, left_out: Vec::new() }) };
        let task = (self.task, format);
        let (bytes, more) = self.beside.put_into(bytes, task, size, self.profile.as_deref())?;
        Ok(Written { bytes, left_out: [self.left_out, more].concat() })
    }
}

/// Why a result is not taken.
pub(super) enum SinkError {
    /// The plugin's mistake.
    Contract(&'static str),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for SinkError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
