//! The colours of the frames of a GIF: as they are while they are few, otherwise the nearest of 255 that a neural network finds
//! (Dekker, "Kohonen neural networks for optimal colour quantization", 1994).

use std::collections::HashMap;

use color_quant::NeuQuant;

use super::CLEAR;

/// Colours of a table.
const MOST: usize = 256;
/// In tables that have a transparent colour, this one is it.
pub(super) const TRANSPARENT: u8 = 0;
/// Of the quantizer, 1 (best) to 30; its documentation calls 10 a good compromise.
const QUANTIZER_SPEED: i32 = 10;
/// A frame does without a table of its own if its pixels are, on average, no more than this off shared colours, or four times as much as
/// those of the frame that these were made for; and none by more than the other: squared distances in RGB.
const NEAR: (u64, u64) = (64, 160 * 160);

/// The colours that frames share.
#[derive(Default)]
pub(super) struct Colors {
    /// Where there are more frames than one, the first is the transparent one.
    list: Vec<[u8; 3]>,
    numbers: HashMap<[u8; 3], u8>,
    /// The nearest of them, for colours that are none of them; only once there is no room for more.
    nearest: HashMap<[u8; 3], (u8, u64)>,
    /// How far off they are of the first frame, on average.
    off: u64,
}

/// The pixels of a frame.
pub(super) struct Numbers {
    /// A colour's number for each.
    pub(super) list: Vec<u8>,
    pub(super) table: Table,
    /// Colours of the table, when it is shared: there may be more of them later.
    pub(super) count: usize,
    /// Whether the table has a transparent colour.
    pub(super) transparent: bool,
}

pub(super) enum Table {
    Shared,
    Own(Vec<[u8; 3]>),
}

impl Colors {
    pub(super) fn shared(&self) -> &[[u8; 3]] {
        &self.list
    }

    /// The first frame, whose colours become the shared ones.
    pub(super) fn first(&mut self, pixels: &[[u8; 4]], others: bool) -> Numbers {
        let transparent = others || pixels.iter().any(|&pixel| is_clear(pixel));
        let own = Own::of(pixels.iter().copied(), transparent);
        self.list = own.list.clone();
        let known = own.list.iter().enumerate().skip(usize::from(transparent));
        self.numbers = known.map(|(number, &color)| (color, number as u8)).collect();
        let off = pixels.iter().filter(|&&pixel| !is_clear(pixel)).map(|&pixel| {
            let color = own.list[usize::from(own.number(pixel))];
            distance(rgb(pixel), color)
        });
        self.off = off.sum::<u64>() / pixels.len().max(1) as u64;
        self.numbered(pixels.iter().copied(), |_, pixel| own.number(pixel), transparent)
    }

    /// A later frame; transparent where it changes nothing.
    pub(super) fn of(&mut self, pixels: impl Iterator<Item = [u8; 4]> + Clone) -> Numbers {
        if self.join(pixels.clone()) {
            return self.numbered(
                pixels,
                |shared, pixel| shared.numbers.get(&rgb(pixel)).copied().unwrap_or(0),
                true,
            );
        }
        if self.is_near(pixels.clone()) {
            return self.numbered(pixels, |shared, pixel| shared.near(rgb(pixel)).0, true);
        }
        let own = Own::of(pixels.clone(), true);
        let list =
            pixels.map(|pixel| if is_clear(pixel) { TRANSPARENT } else { own.number(pixel) }).collect();
        let count = own.list.len();
        Numbers { list, table: Table::Own(own.list), count, transparent: true }
    }

    fn numbered(
        &mut self,
        pixels: impl Iterator<Item = [u8; 4]>,
        number: impl Fn(&mut Self, [u8; 4]) -> u8,
        transparent: bool,
    ) -> Numbers {
        let list =
            pixels.map(|pixel| if is_clear(pixel) { TRANSPARENT } else { number(self, pixel) }).collect();
        Numbers { list, table: Table::Shared, count: self.list.len(), transparent }
    }

    /// Takes in all colours that are new, if there is room for all of them.
    fn join(&mut self, pixels: impl Iterator<Item = [u8; 4]>) -> bool {
        let known = self.list.len();
        for pixel in pixels.filter(|&pixel| !is_clear(pixel)) {
            if self.numbers.contains_key(&rgb(pixel)) {
                continue;
            }
            if self.list.len() == MOST {
                // Those that came now are no use without the rest.
                for color in self.list.drain(known..) {
                    self.numbers.remove(&color);
                }
                return false;
            }
            self.numbers.insert(rgb(pixel), self.list.len() as u8);
            self.list.push(rgb(pixel));
            self.nearest.clear();
        }
        true
    }

    fn is_near(&mut self, pixels: impl Iterator<Item = [u8; 4]>) -> bool {
        let (mut count, mut sum) = (0, 0);
        for pixel in pixels.filter(|&pixel| !is_clear(pixel)) {
            let (_, off) = self.near(rgb(pixel));
            if off > NEAR.1 {
                return false;
            }
            (count, sum) = (count + 1, sum + off);
        }
        // A table has 768 bytes: fewer pixels than that are not worth one.
        count < 3 * MOST as u64 || sum <= NEAR.0.max(4 * self.off) * count
    }

    /// The shared colour next to this one, and the square of its distance.
    fn near(&mut self, color: [u8; 3]) -> (u8, u64) {
        let list = &self.list;
        *self.nearest.entry(color).or_insert_with(|| nearest(color, list))
    }
}

/// The colours of one frame.
struct Own {
    list: Vec<[u8; 3]>,
    numbers: HashMap<[u8; 3], u8>,
}

impl Own {
    /// As they are, if they are few enough; `transparent`: the first is kept for what is transparent.
    fn of(pixels: impl Iterator<Item = [u8; 4]> + Clone, transparent: bool) -> Self {
        let first = if transparent { vec![rgb(CLEAR)] } else { Vec::new() };
        let opaque = pixels.filter(|&pixel| !is_clear(pixel));
        let mut own = Self { list: first.clone(), numbers: HashMap::new() };
        for pixel in opaque.clone() {
            if own.numbers.contains_key(&rgb(pixel)) {
                continue;
            }
            if own.list.len() == MOST {
                return Self::quantized(opaque, first);
            }
            own.numbers.insert(rgb(pixel), own.list.len() as u8);
            own.list.push(rgb(pixel));
        }
        own
    }

    fn quantized(opaque: impl Iterator<Item = [u8; 4]> + Clone, mut list: Vec<[u8; 3]>) -> Self {
        let colors = MOST - list.len();
        let bytes: Vec<u8> = opaque.clone().flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 0xFF]).collect();
        let network = NeuQuant::new(QUANTIZER_SPEED, colors, &bytes);
        let first = list.len();
        list.extend_from_slice(network.color_map_rgb().as_chunks::<3>().0);
        let mut numbers = HashMap::new();
        for pixel in opaque {
            let number = || (first + network.index_of(&[pixel[0], pixel[1], pixel[2], 0xFF])) as u8;
            numbers.entry(rgb(pixel)).or_insert_with(number);
        }
        Self { list, numbers }
    }

    fn number(&self, pixel: [u8; 4]) -> u8 {
        self.numbers.get(&rgb(pixel)).copied().unwrap_or(TRANSPARENT)
    }
}

/// The nearest of the shared colours; the transparent one is none.
fn nearest(color: [u8; 3], list: &[[u8; 3]]) -> (u8, u64) {
    let colors = list.iter().enumerate().skip(1);
    let found = colors.map(|(number, &other)| (distance(color, other), number)).min();
    found.map_or((TRANSPARENT, u64::MAX), |(off, number)| (number as u8, off))
}

/// Squared, in RGB.
fn distance(one: [u8; 3], other: [u8; 3]) -> u64 {
    let square = |at: usize| u64::from(one[at].abs_diff(other[at])).pow(2);
    square(0) + square(1) + square(2)
}

fn is_clear(pixel: [u8; 4]) -> bool {
    pixel == CLEAR
}

fn rgb([r, g, b, _]: [u8; 4]) -> [u8; 3] {
    [r, g, b]
}
