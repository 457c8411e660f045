//! Which part of a picture is decoded, and at which scale.

use imgserve_jpeg::Region;

/// What is decoded of a picture, as it lies in its file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// 1, or less: at which scale.
    pub(crate) scale: f64,
    /// Which pixels of the scaled picture.
    pub(crate) pixels: Region,
}

impl Part {
    /// All of a picture that lies as `width` × `height` in its file.
    pub(crate) fn whole((width, height): (u32, u32)) -> Self {
        Self { scale: 1.0, pixels: Region { x: 0, y: 0, width, height } }
    }
}
