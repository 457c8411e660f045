//! Formats of one picture a file, read and written: the frames and the sink that need no more than a function.

use imgserve_sdk::{Image, ImageRef};

use crate::codec::{DecodedFrame, Frames, Sink};
use crate::color::Converted;
use crate::error::CodecError;

/// A picture as it lies in its file.
#[derive(Debug)]
pub(crate) struct Still {
    /// Its pixels, in sRGB.
    pub(crate) image: Image,
    /// What was wrong with the file.
    pub(crate) damage: Option<String>,
    /// Why its colours are not in sRGB.
    pub(crate) unconverted: Option<String>,
}

impl From<Converted<Image>> for Still {
    fn from((image, unconverted): Converted<Image>) -> Self {
        Self { image, damage: None, unconverted }
    }
}

/// The one frame that `decode` gives, once it is asked for.
pub(crate) fn frames<'a, F>(decode: F) -> Box<dyn Frames + 'a>
where
    F: FnOnce() -> Result<Still, CodecError> + 'a,
{
    Box::new(OneFrame { decode: Some(decode), damage: None, unconverted: None })
}

struct OneFrame<F> {
    decode: Option<F>,
    damage: Option<String>,
    unconverted: Option<String>,
}

impl<F: FnOnce() -> Result<Still, CodecError>> Frames for OneFrame<F> {
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let Some(decode) = self.decode.take() else { return Ok(None) };
        let Still { image, damage, unconverted } = decode()?;
        (self.damage, self.unconverted) = (damage, unconverted);
        Ok(Some(DecodedFrame { image, delay_ms: 0 }))
    }

    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    fn unconverted(&self) -> Option<&str> {
        self.unconverted.as_deref()
    }
}

/// The file that `encode` makes of the first frame; later ones are ignored.
pub(crate) fn sink(encode: impl Fn(ImageRef<'_>) -> Result<Vec<u8>, CodecError> + 'static) -> Box<dyn Sink> {
    Box::new(FirstFrame { encode, file: None })
}

struct FirstFrame<F> {
    encode: F,
    file: Option<Vec<u8>>,
}

impl<F: Fn(ImageRef<'_>) -> Result<Vec<u8>, CodecError>> Sink for FirstFrame<F> {
    fn push(&mut self, image: ImageRef<'_>, _delay_ms: u32) -> Result<(), CodecError> {
        if self.file.is_none() {
            self.file = Some((self.encode)(image)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Vec<u8>>, CodecError> {
        Ok(self.file)
    }
}
