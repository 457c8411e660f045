//! The canvas of an animation: what the frames so far have drawn. Which frame draws and clears what is its format's.

use imgserve_sdk::{Image, PixelFormat};

/// RGBA with straight alpha; transparent at first.
pub(crate) struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 4]>,
}

/// A part of a canvas, cut off at its edges.
#[derive(Clone, Copy)]
pub(crate) struct Area {
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
}

impl Area {
    pub(crate) fn new(canvas: &Canvas, left: u32, top: u32, width: u32, height: u32) -> Self {
        let within = |position: u32, limit: usize| (position as usize).min(limit);
        Self {
            left: within(left, canvas.width),
            top: within(top, canvas.height),
            right: within(left.saturating_add(width), canvas.width),
            bottom: within(top.saturating_add(height), canvas.height),
        }
    }

    /// What is left of it on the canvas.
    pub(crate) fn size(self) -> (usize, usize) {
        (self.right - self.left, self.bottom - self.top)
    }
}

impl Canvas {
    /// Sides are at least 1.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, pixels: vec![[0; 4]; width * height] }
    }

    pub(crate) fn rows(&mut self, part: Area) -> impl Iterator<Item = &mut [[u8; 4]]> {
        let rows = self.pixels.chunks_exact_mut(self.width).take(part.bottom).skip(part.top);
        rows.map(move |row| &mut row[part.left..part.right])
    }

    /// Makes the part transparent, as browsers do, whatever background colour the file names.
    pub(crate) fn clear(&mut self, part: Area) {
        self.rows(part).for_each(|row| row.fill([0; 4]));
    }

    /// The pixels of the part as they are now.
    pub(crate) fn copy(&mut self, part: Area) -> Vec<[u8; 4]> {
        let (width, height) = part.size();
        let mut copy = Vec::with_capacity(width * height);
        self.rows(part).for_each(|row| copy.extend_from_slice(row));
        copy
    }

    /// Makes the part what it was when `saved` was copied.
    pub(crate) fn put_back(&mut self, part: Area, saved: &[[u8; 4]]) {
        let rows = saved.chunks_exact(part.size().0.max(1));
        self.rows(part).zip(rows).for_each(|(row, saved)| row.copy_from_slice(saved));
    }

    /// A copy of it as it is now.
    pub(crate) fn image(&self) -> Image {
        let data = self.pixels.as_flattened().to_vec();
        Image::new(self.width as u32, self.height as u32, PixelFormat::Rgba8, data)
            .expect("the canvas has an area and four bytes a pixel")
    }
}
