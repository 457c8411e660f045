//! The pure-Rust decoders: ours, jpeg-decoder (scaled), zune-jpeg (in full).

use imgserve_jpeg::{ColorModel, DecodeOptions, Reduction, Region, Scale, Scratch};
use zune_jpeg::JpegDecoder as ZuneDecoder;
use zune_jpeg::zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};

use super::{Decode, Pixels, Window};

/// imgserve-jpeg, with one of its two ways of reduction.
#[derive(Debug)]
pub(super) struct Ours {
    name: &'static str,
    reduction: Reduction,
    scratch: Scratch,
    pixels: Vec<u8>,
}

impl Ours {
    /// libjpeg's way, and the faster one.
    pub(super) fn both() -> [Self; 2] {
        let one = |name, reduction| Self { name, reduction, scratch: Scratch::default(), pixels: Vec::new() };
        [one("imgserve", Reduction::Mean), one("imgserve, lowest", Reduction::Lowest)]
    }
}

impl Decode for Ours {
    fn name(&self) -> &'static str {
        self.name
    }

    fn decode(&mut self, file: &[u8], eighths: u8, window: Window) -> Result<Pixels<'_>, String> {
        let scale = match eighths {
            1 => Scale::Eighth,
            2 => Scale::Quarter,
            4 => Scale::Half,
            _ => Scale::Full,
        };
        let options = DecodeOptions::at(scale).reduced_by(self.reduction).within(region(window));
        let picture = imgserve_jpeg::decode(file, &options, &mut self.scratch).map_err(|e| e.to_string())?;
        if picture.color != ColorModel::Rgb || picture.damage.is_some() {
            return Err(format!("{:?}, damage {:?}", picture.color, picture.damage));
        }
        self.pixels = picture.data;
        let factor = scale.factor();
        let origin = (f64::from(picture.left) / factor, f64::from(picture.top) / factor);
        Ok(Pixels { width: picture.width, height: picture.height, origin, scale: factor, data: &self.pixels })
    }
}

/// The whole pixels that hold the window.
fn region(window: Window) -> Region {
    let (x, y) = (window.x.floor(), window.y.floor());
    let end = |at: f64, length: f64| (at + length).ceil();
    Region {
        x: x as u32,
        y: y as u32,
        width: (end(window.x, window.width) - x) as u32,
        height: (end(window.y, window.height) - y) as u32,
    }
}

/// jpeg-decoder: what imgserve used at reduced scales before its own.
#[derive(Debug, Default)]
pub(super) struct JpegDecoder {
    pixels: Vec<u8>,
}

impl Decode for JpegDecoder {
    fn name(&self) -> &'static str {
        "jpeg-decoder"
    }

    fn decode(&mut self, file: &[u8], eighths: u8, _: Window) -> Result<Pixels<'_>, String> {
        let said = |error: jpeg_decoder::Error| error.to_string();
        let mut decoder = jpeg_decoder::Decoder::new(file);
        decoder.read_info().map_err(said)?;
        let info = decoder.info().ok_or("no header")?;
        let side = |side: u16| (u32::from(side) * u32::from(eighths)).div_ceil(8) as u16;
        let (width, height) = decoder.scale(side(info.width), side(info.height)).map_err(said)?;
        self.pixels = decoder.decode().map_err(said)?;
        let scale = f64::from(eighths) / 8.0;
        Ok(Pixels {
            width: width.into(),
            height: height.into(),
            origin: (0.0, 0.0),
            scale,
            data: &self.pixels,
        })
    }
}

/// zune-jpeg, which has no scales.
#[derive(Debug, Default)]
pub(super) struct Zune {
    pixels: Vec<u8>,
}

impl Decode for Zune {
    fn name(&self) -> &'static str {
        "zune-jpeg (full)"
    }

    fn decode(&mut self, file: &[u8], _: u8, _: Window) -> Result<Pixels<'_>, String> {
        let options = DecoderOptions::new_fast().jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = ZuneDecoder::new_with_options(ZCursor::new(file), options);
        decoder.decode_headers().map_err(|error| error.to_string())?;
        self.pixels.resize(decoder.output_buffer_size().ok_or("no header")?, 0);
        decoder.decode_into(&mut self.pixels).map_err(|error| error.to_string())?;
        let info = decoder.info().ok_or("no header")?;
        let (width, height) = (info.width.into(), info.height.into());
        Ok(Pixels { width, height, origin: (0.0, 0.0), scale: 1.0, data: &self.pixels })
    }
}
