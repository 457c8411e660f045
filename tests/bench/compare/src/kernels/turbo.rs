//! libjpeg-turbo (C and assembly) as the crate `turbojpeg` compiles it in.

use turbojpeg::{Decompressor, Image, PixelFormat, ScalingFactor};

use super::{Decode, Pixels, Window};

/// A decompressor with its output buffer.
pub(super) struct Turbo {
    decompressor: Decompressor,
    pixels: Vec<u8>,
}

impl Turbo {
    pub(super) fn new() -> Result<Self, String> {
        let decompressor = Decompressor::new().map_err(|error| error.to_string())?;
        Ok(Self { decompressor, pixels: Vec::new() })
    }
}

impl Decode for Turbo {
    fn name(&self) -> &'static str {
        "libjpeg-turbo"
    }

    fn decode(&mut self, file: &[u8], eighths: u8, _: Window) -> Result<Pixels<'_>, String> {
        let said = |error: turbojpeg::Error| error.to_string();
        let factor = ScalingFactor::new(eighths.into(), 8);
        let size = self.decompressor.read_header(file).map_err(said)?.scaled(factor);
        self.decompressor.set_scaling_factor(factor).map_err(said)?;
        self.pixels.resize(3 * size.width * size.height, 0);
        let target = Image {
            pixels: self.pixels.as_mut_slice(),
            width: size.width,
            pitch: 3 * size.width,
            height: size.height,
            format: PixelFormat::RGB,
        };
        self.decompressor.decompress(file, target).map_err(said)?;
        let scale = f64::from(eighths) / 8.0;
        let (width, height) = (size.width as u32, size.height as u32);
        Ok(Pixels { width, height, origin: (0.0, 0.0), scale, data: &self.pixels })
    }
}
