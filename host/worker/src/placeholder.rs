//! The stand-in image that a destination holds until the result is there: white, with black words in the middle. Results of one
//! size come many in a row; their placeholder is drawn once.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_codec::{EncodeOptions, Encoder};
use imgserve_sdk::{Image, PixelFormat};

use super::fault::codec_fault;
use super::protocol::Placeholder;

/// Height of the letters in pixels, as in 0.2.
const TEXT_SIZE: f32 = 16.0;
const UNDER_WAY: &str = "Image being processed";
const FAILED: &str = "Image Processing failed";

/// How many placeholders are kept.
const KEPT: usize = 16;
/// Larger ones, in bytes, are not.
const LARGEST_KEPT: usize = 64 * 1024;

/// The placeholders asked for last, the latest at the end.
#[derive(Default)]
struct Drawn(VecDeque<(Placeholder, Vec<u8>)>);

impl Drawn {
    fn get(&mut self, placeholder: Placeholder) -> Option<Vec<u8>> {
        let at = self.0.iter().position(|(drawn, _)| *drawn == placeholder)?;
        let latest = self.0.remove(at)?;
        let bytes = latest.1.clone();
        self.0.push_back(latest);
        Some(bytes)
    }

    fn keep(&mut self, placeholder: Placeholder, bytes: &[u8]) {
        if bytes.len() > LARGEST_KEPT {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((placeholder, bytes.to_vec()));
    }
}

/// The encoded placeholder, drawn or kept.
pub(super) fn of(placeholder: Placeholder) -> Result<Vec<u8>, Fault> {
    static DRAWN: Mutex<Drawn> = Mutex::new(Drawn(VecDeque::new()));
    let mut drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = drawn.get(placeholder) {
        return Ok(bytes);
    }
    let bytes = draw(placeholder)?;
    drawn.keep(placeholder, &bytes);
    Ok(bytes)
}

fn draw(placeholder: Placeholder) -> Result<Vec<u8>, Fault> {
    let Placeholder { width, height, format, failed } = placeholder;
    let fault = |error: imgserve_sdk::Error| Fault::of(FaultKind::OperationFailed, &error);
    let mut image = Image::zeroed(width, height, PixelFormat::Rgb8).map_err(fault)?;
    image.data_mut().fill(255);
    write(&mut image, if failed { FAILED } else { UNDER_WAY });
    let mut encoder = Encoder::new(format, &EncodeOptions::default(), width, height).map_err(codec_fault)?;
    encoder.push(image.as_ref(), 0).map_err(codec_fault)?;
    encoder.finish().map_err(codec_fault)
}

fn font() -> &'static FontRef<'static> {
    static FONT: OnceLock<FontRef<'static>> = OnceLock::new();
    FONT.get_or_init(|| FontRef::try_from_slice(dejavu::sans::regular()).expect("the bundled font is a font"))
}

/// Writes `text` in the middle; what does not fit is cut off at the edges.
fn write(image: &mut Image, text: &str) {
    let (glyphs, text_width) = lay_out(text);
    let font = font().as_scaled(PxScale::from(TEXT_SIZE));
    let left = (image.width() as f32 - text_width) / 2.0;
    let baseline = (image.height() as f32 + font.ascent() + font.descent()) / 2.0;
    for mut glyph in glyphs {
        glyph.position = point((glyph.position.x + left).round(), baseline.round());
        if let Some(outline) = font.font.outline_glyph(glyph) {
            let bounds = outline.px_bounds();
            outline.draw(|x, y, coverage| {
                darken(
                    image,
                    bounds.min.x as i64 + i64::from(x),
                    bounds.min.y as i64 + i64::from(y),
                    coverage,
                );
            });
        }
    }
}

/// The glyphs of one line from x = 0, and how wide it is.
fn lay_out(text: &str) -> (Vec<Glyph>, f32) {
    let font = font().as_scaled(PxScale::from(TEXT_SIZE));
    let mut glyphs: Vec<Glyph> = Vec::new();
    let mut x = 0.0;
    for character in text.chars() {
        let mut glyph = font.scaled_glyph(character);
        if let Some(last) = glyphs.last() {
            x += font.kern(last.id, glyph.id);
        }
        glyph.position = point(x, 0.0);
        x += font.h_advance(glyph.id);
        glyphs.push(glyph);
    }
    (glyphs, x)
}

fn darken(image: &mut Image, x: i64, y: i64, coverage: f32) {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    if (0..width).contains(&x) && (0..height).contains(&y) {
        let at = 3 * (y * width + x) as usize;
        let grey = 255 - (coverage.clamp(0.0, 1.0) * 255.0) as u8;
        for byte in &mut image.data_mut()[at..at + 3] {
            *byte = (*byte).min(grey);
        }
    }
}

#[cfg(test)]
mod tests {
    use imgserve_base::format::Format;

    use super::*;

    #[test]
    fn the_words_stand_in_the_middle_of_white() {
        let mut image = Image::zeroed(300, 100, PixelFormat::Rgb8).unwrap();
        image.data_mut().fill(255);
        write(&mut image, UNDER_WAY);
        let dark: Vec<(usize, usize)> = (0..300 * 100)
            .filter(|&pixel| image.data()[pixel * 3] < 128)
            .map(|pixel| (pixel % 300, pixel / 300))
            .collect();
        let (left, right) =
            (dark.iter().map(|p| p.0).min().unwrap(), dark.iter().map(|p| p.0).max().unwrap());
        let (top, bottom) =
            (dark.iter().map(|p| p.1).min().unwrap(), dark.iter().map(|p| p.1).max().unwrap());
        assert!(dark.len() > 300, "hardly any ink: {}", dark.len());
        assert!(left.abs_diff(299 - right) <= 4, "{left} {right}");
        assert!(top.abs_diff(99 - bottom) <= 8 && bottom - top < 20, "{top} {bottom}");
    }

    #[test]
    fn as_many_as_are_kept_are_drawn_once_and_the_latest_stay() {
        let one = |width| Placeholder { width, height: 2, format: Format::Png, failed: false };
        let mut drawn = Drawn::default();
        for width in 1..=KEPT as u32 {
            drawn.keep(one(width), &[width as u8]);
        }
        assert_eq!(drawn.get(one(1)), Some(vec![1]));
        drawn.keep(one(100), &[100]);
        drawn.keep(one(200), &vec![0; LARGEST_KEPT + 1]);
        let kept = [1, 2, 3, 100, 200].map(|width| drawn.get(one(width)).is_some());
        assert_eq!(kept, [true, false, true, true, false]);
        assert_eq!(drawn.get(Placeholder { failed: true, ..one(100) }), None);
    }

    #[test]
    fn a_kept_placeholder_is_the_one_that_was_drawn() {
        let one = |failed| Placeholder { width: 40, height: 30, format: Format::Jpeg, failed };
        for failed in [false, true, false, true] {
            assert_eq!(of(one(failed)).unwrap(), draw(one(failed)).unwrap());
        }
    }

    #[test]
    fn an_image_smaller_than_the_words_is_drawn_all_the_same() {
        for (width, height) in [(1, 1), (3, 200), (200, 2)] {
            let mut image = Image::zeroed(width, height, PixelFormat::Rgb8).unwrap();
            write(&mut image, FAILED);
        }
    }
}
