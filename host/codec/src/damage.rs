//! What is shown where a damaged file has nothing to show: opaque gray, in every format.

use imgserve_sdk::Image;

/// Each byte of a sample, of 8 bits and of 16.
pub(crate) const GRAY: u8 = 0x80;

/// Makes a part of the picture gray; as much of it as lies within.
pub(crate) fn gray(image: &mut Image, left: usize, top: usize, width: usize, height: usize) {
    let (across, down) = (image.width() as usize, image.height() as usize);
    let format = image.format();
    let bytes = format.bytes_per_pixel();
    let (right, bottom) = (left.saturating_add(width).min(across), top.saturating_add(height).min(down));
    let opaque = if format.has_alpha() { bytes / 4 } else { 0 };
    for row in image.data_mut().chunks_exact_mut(across * bytes).take(bottom).skip(top) {
        for pixel in row[left.min(right) * bytes..right * bytes].chunks_exact_mut(bytes) {
            let (colors, alpha) = pixel.split_at_mut(bytes - opaque);
            colors.fill(GRAY);
            alpha.fill(0xFF);
        }
    }
}
