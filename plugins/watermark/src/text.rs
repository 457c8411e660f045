//! A line of text, set in DejaVu Sans Bold and painted on pixels. Glyph by glyph with kerning; scripts that need shaping
//! do not come out right.

use ab_glyph::{Font, FontRef, OutlinedGlyph, PxScale, ScaleFont, point};
use imgserve_sdk::{Color, Image};

/// The letters of `text` in a line `height` pixels high, whose corner is at (0, 0), and how wide it is in pixels.
pub(crate) fn lay_out(text: &str, height: f32) -> (Vec<OutlinedGlyph>, f32) {
    let font = FontRef::try_from_slice(dejavu::sans::bold()).expect("the bundled font is a font");
    let font = font.as_scaled(PxScale::from(height));
    let (mut letters, mut width, mut last) = (Vec::new(), 0.0, None);
    for character in text.chars() {
        let mut glyph = font.scaled_glyph(character);
        width += last.map_or(0.0, |last| font.kern(last, glyph.id));
        glyph.position = point(width, font.ascent());
        width += font.h_advance(glyph.id);
        last = Some(glyph.id);
        letters.extend(font.font.outline_glyph(glyph));
    }
    (letters, width)
}

/// Paints a line with its corner at (`left`, `top`); what lies beyond the edges is cut off.
pub(crate) fn paint(image: &mut Image, line: &[OutlinedGlyph], (left, top): (f32, f32), color: Color) {
    let (width, height) = (image.width() as i32, image.height() as i32);
    let step = image.format().bytes_per_pixel();
    for letter in line {
        let corner = letter.px_bounds().min + point(left.round(), top.round());
        letter.draw(|x, y, coverage| {
            let (x, y) = (corner.x as i32 + x as i32, corner.y as i32 + y as i32);
            if (0..width).contains(&x) && (0..height).contains(&y) {
                let at = (y as usize * width as usize + x as usize) * step;
                let alpha = (f32::from(color.alpha) * coverage.min(1.0)).round() as u32;
                over(&mut image.data_mut()[at..at + step], color, alpha);
            }
        });
    }
}

/// A colour over one pixel of rgb8 or rgba8: W3C Compositing and Blending Level 1, section 5.1, with straight alpha.
fn over(pixel: &mut [u8], color: Color, alpha: u32) {
    let below = (255 - alpha) * pixel.get(3).map_or(255, |&below| u32::from(below));
    let both = alpha * 255 + below;
    for (sample, own) in pixel.iter_mut().zip([color.red, color.green, color.blue]) {
        let sum = u32::from(own) * alpha * 255 + u32::from(*sample) * below;
        // Where both are transparent there is no colour to mix.
        *sample = (sum + both / 2).checked_div(both).map_or(*sample, |mean| mean as u8);
    }
    pixel.iter_mut().skip(3).for_each(|alpha| *alpha = ((both + 127) / 255) as u8);
}
