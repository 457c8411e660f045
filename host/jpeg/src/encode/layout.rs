//! What pixels are, and how a picture is divided into blocks.

/// What a pixel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// One byte: luminance.
    Gray,
    /// Three bytes: red, green, blue.
    Rgb,
}

impl Color {
    pub(super) fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Gray => 1,
            Self::Rgb => 3,
        }
    }
}

/// How the picture is divided (T.81, section A.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) color: Color,
    /// Blocks of luminance along each side of an MCU: 2 if the chroma is subsampled. Chroma always has one.
    pub(super) luma_blocks: usize,
    pub(super) mcus_across: usize,
    pub(super) mcus_down: usize,
}

impl Layout {
    pub(super) fn new(width: u16, height: u16, color: Color, subsample_chroma: bool) -> Self {
        let (width, height) = (usize::from(width), usize::from(height));
        let luma_blocks = if color == Color::Rgb && subsample_chroma { 2 } else { 1 };
        let side = 8 * luma_blocks;
        let (mcus_across, mcus_down) = (width.div_ceil(side), height.div_ceil(side));
        Self { width, height, color, luma_blocks, mcus_across, mcus_down }
    }

    pub(super) fn components(&self) -> usize {
        self.color.bytes_per_pixel()
    }

    /// Blocks of a component along each side of an MCU.
    pub(super) fn blocks(&self, component: usize) -> usize {
        if component == 0 { self.luma_blocks } else { 1 }
    }

    /// Blocks of a component that show a part of the picture, across and down; MCUs may have more.
    pub(super) fn shown_blocks(&self, component: usize) -> (usize, usize) {
        let subsampled = self.luma_blocks / self.blocks(component);
        let count = |side: usize| side.div_ceil(subsampled).div_ceil(8);
        (count(self.width), count(self.height))
    }
}
