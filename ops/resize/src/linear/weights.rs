//! Which source pixels make a pixel of the result, and how much of each: the filters, and windows of normalised weights along
//! one direction. Everything is as fast_image_resize (and Pillow) has it, so that averaging in linear light or not is the
//! only difference.

use std::f64::consts::PI;
use std::ops::Range;

use crate::args::Filter;

/// The windows of all pixels along one direction.
#[derive(Debug)]
pub(crate) struct Windows {
    /// The source pixel that each window begins with.
    firsts: Vec<usize>,
    /// One window's after the other's.
    weights: Vec<f32>,
    /// Weights of each window: as many as the longest needs, some of them 0.
    length: usize,
}

impl Windows {
    /// The windows of `count` pixels that show `length` source pixels from `start` on, of a source that has `all`.
    pub(crate) fn new(filter: Filter, (start, length): (f64, f64), all: u32, count: u32) -> Self {
        let scale = length / f64::from(count);
        let widened = scale.max(1.0);
        let radius = support(filter) * widened;
        let centre = |index: u32| start + (f64::from(index) + 0.5) * scale;
        let bounds = |index: u32| {
            let first = (centre(index) - radius).floor().clamp(0.0, f64::from(all - 1));
            let end = (centre(index) + radius).ceil().clamp(first + 1.0, f64::from(all));
            (first as usize, end as usize)
        };
        let longest = (0..count).map(bounds).map(|(first, end)| end - first).max().unwrap_or(1);
        // The last window's end: beyond it nothing needs to be there.
        let end = bounds(count.saturating_sub(1)).1.max(longest);
        let mut windows = Self { firsts: Vec::new(), weights: Vec::new(), length: longest };
        windows.firsts.reserve_exact(count as usize);
        windows.weights.reserve_exact(count as usize * longest);
        let (step, mut values) = (1.0 / widened, vec![0.0; longest]);
        let turn = Turn::new(step);
        for index in 0..count {
            let first = bounds(index).0.min(end - longest);
            let distance = (first as f64 + 0.5 - centre(index)) * step;
            let at = values
                .iter_mut()
                .zip(0..)
                .map(|(value, number)| (value, distance + f64::from(number) * step));
            match filter {
                Filter::Lanczos3 => turn.lanczos3(distance, at),
                _ => at.for_each(|(to, distance)| *to = value(filter, distance)),
            }
            let whole = 1.0 / values.iter().sum::<f64>();
            windows.firsts.push(first);
            windows.weights.extend(values.iter().map(|value| (value * whole) as f32));
        }
        windows
    }

    /// Windows of the means of each two neighbours; the last pixel, where it has none, is its own.
    pub(crate) fn in_pairs(&self) -> Self {
        let (count, end) = (self.count(), self.span().end);
        let pairs = || (0..count).step_by(2).map(|index| [index, (index + 1).min(count - 1)]);
        let reach = |[one, other]: [usize; 2]| self.firsts[other] + self.length - self.firsts[one];
        let length = pairs().map(reach).max().unwrap_or(1);
        let mut paired = Self { firsts: Vec::new(), weights: Vec::new(), length };
        paired.firsts.reserve_exact(count.div_ceil(2));
        paired.weights.reserve_exact(count.div_ceil(2) * length);
        for pair in pairs() {
            let first = self.firsts[pair[0]].min(end - length);
            let from = paired.weights.len();
            paired.weights.resize(from + length, 0.0);
            for index in pair {
                let (own, weights) = self.at(index);
                for (sum, weight) in paired.weights[from + own - first..].iter_mut().zip(weights) {
                    *sum += 0.5 * weight;
                }
            }
            paired.firsts.push(first);
        }
        paired
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<usize>() * self.firsts.capacity() + 4 * self.weights.capacity()
    }

    /// How many pixels.
    pub(crate) fn count(&self) -> usize {
        self.firsts.len()
    }

    /// Weights of each window.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The first source pixel of a pixel's window, and the weights from there on.
    #[inline(always)]
    pub(crate) fn at(&self, index: usize) -> (usize, &[f32]) {
        (self.firsts[index], &self.weights[index * self.length..][..self.length])
    }

    /// All source pixels that are in a window.
    pub(crate) fn span(&self) -> Range<usize> {
        let last = |first: &usize| first + self.length;
        self.firsts.first().copied().unwrap_or_default()..self.firsts.last().map_or(0, last)
    }
}

/// Most weights that a window has.
pub(crate) fn most_weights(filter: Filter, length: f64, count: u32) -> u64 {
    2 * (support(filter) * (length / f64::from(count)).max(1.0)).ceil() as u64 + 1
}

/// From how far away a filter takes pixels, in pixels of the result (of the source, if it is enlarged).
fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Nearest => 0.5,
        Filter::Bilinear | Filter::Hamming => 1.0,
        Filter::CatmullRom | Filter::Mitchell => 2.0,
        Filter::Gaussian | Filter::Lanczos3 => 3.0,
    }
}

/// A filter's value at a distance.
fn value(filter: Filter, distance: f64) -> f64 {
    let x = distance.abs();
    if x >= support(filter) {
        return 0.0;
    }
    match filter {
        Filter::Nearest => 1.0,
        Filter::Bilinear => 1.0 - x,
        Filter::Hamming => (0.54 + 0.46 * (PI * x).cos()) * sinc(x),
        Filter::CatmullRom if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Filter::CatmullRom => ((2.5 - 0.5 * x) * x - 4.0) * x + 2.0,
        Filter::Mitchell if x < 1.0 => (7.0 / 6.0 * x - 2.0) * x * x + 8.0 / 9.0,
        Filter::Mitchell => ((2.0 - 7.0 / 18.0 * x) * x - 10.0 / 3.0) * x + 16.0 / 9.0,
        // A standard deviation of half a pixel.
        Filter::Gaussian => (-2.0 * x * x).exp(),
        Filter::Lanczos3 => sinc(x) * sinc(x / 3.0),
    }
}

/// The sine and cosine of what the angle of [`Filter::Lanczos3`], a third of a distance times π, grows by from one pixel to the next:
/// computed once, and each further angle's from those of the one before.
struct Turn {
    sin: f64,
    cos: f64,
}

impl Turn {
    fn new(step: f64) -> Self {
        let (sin, cos) = (PI / 3.0 * step).sin_cos();
        Self { sin, cos }
    }

    /// [`value`]s of Lanczos3 at distances that begin with `first` and grow by the step.
    #[inline(always)]
    fn lanczos3<'v>(&self, first: f64, values: impl Iterator<Item = (&'v mut f64, f64)>) {
        let (mut sin, mut cos) = (PI / 3.0 * first).sin_cos();
        for (to, distance) in values {
            // sin 3a = 3 sin a − 4 sin³ a
            let (own, square) = (sin * sin, (PI * distance) * (PI * distance));
            *to = match distance.abs() {
                3.0.. => 0.0,
                // Nearer the quotient loses more digits than it differs from 1.
                ..1e-5 => 1.0,
                _ => 3.0 * own * (3.0 - 4.0 * own) / square,
            };
            (sin, cos) = (sin * self.cos + cos * self.sin, cos * self.cos - sin * self.sin);
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTERS: [Filter; 6] = [
        Filter::Bilinear,
        Filter::Hamming,
        Filter::CatmullRom,
        Filter::Mitchell,
        Filter::Gaussian,
        Filter::Lanczos3,
    ];

    #[test]
    fn weights_add_up_to_one_and_stay_inside() {
        for filter in FILTERS {
            for (start, length, all, count) in [
                (0.0, 100.0, 100, 7),
                (0.0, 3.0, 3, 50),
                (10.25, 40.5, 100, 40),
                (0.0, 1.0, 1, 1),
                (99.5, 0.5, 100, 1),
            ] {
                let windows = Windows::new(filter, (start, length), all, count);
                for index in 0..count as usize {
                    let (first, weights) = windows.at(index);
                    let sum: f32 = weights.iter().sum();
                    assert!((sum - 1.0).abs() < 1e-5, "{filter:?} {start} {length} {count}: {sum}");
                    assert!(first + weights.len() <= all as usize && !weights.is_empty());
                    assert!(weights.len() as u64 <= most_weights(filter, length, count));
                    assert!(windows.span().contains(&first));
                }
            }
        }
    }

    #[test]
    fn pairs_are_the_means_of_two_neighbours() {
        for (length, all, count) in [(100.0, 100, 7), (100.0, 100, 8), (3.0, 3, 50), (1.0, 1, 1), (9.0, 9, 9)]
        {
            let windows = Windows::new(Filter::Lanczos3, (0.0, length), all, count);
            let pairs = windows.in_pairs();
            assert_eq!(pairs.count(), (count as usize).div_ceil(2));
            let spread = |windows: &Windows, index: usize| {
                let (first, weights) = windows.at(index);
                let mut all = vec![0.0; all as usize];
                all[first..first + weights.len()].copy_from_slice(weights);
                all
            };
            for index in 0..pairs.count() {
                let [one, other] = [2 * index, (2 * index + 1).min(count as usize - 1)];
                let (one, other) = (spread(&windows, one), spread(&windows, other));
                let means = one.iter().zip(&other).map(|(one, other)| f32::midpoint(*one, *other));
                let pair = spread(&pairs, index);
                assert!(
                    pair.iter().zip(means).all(|(pair, mean)| (pair - mean).abs() < 1e-6),
                    "{count} {index}"
                );
            }
        }
    }

    #[test]
    fn lanczos3_by_turns_is_what_its_definition_says() {
        for step in [1.0, 0.97, 0.5, 0.31, 1.0 / 64.0, 1.0 / 1000.0] {
            for first in [-3.0, -3.4, -2.999, -1e-9, 0.0, 1e-7, -0.5, 2.0] {
                let mut values = vec![0.0; (6.5 / step) as usize];
                let at = |number: usize| first + number as f64 * step;
                Turn::new(step).lanczos3(first, values.iter_mut().enumerate().map(|(n, to)| (to, at(n))));
                for (number, got) in values.iter().enumerate() {
                    let wanted = value(Filter::Lanczos3, at(number));
                    assert!((got - wanted).abs() < 1e-9, "{step} {first} {number}: {got} for {wanted}");
                }
            }
        }
    }

    #[test]
    fn a_window_lies_around_its_pixels_centre() {
        for filter in FILTERS {
            let windows = Windows::new(filter, (0.0, 300.0), 300, 100);
            let (first, weights) = windows.at(50);
            let weighted = |(index, weight): (usize, &f32)| (first + index) as f64 * f64::from(*weight);
            let centre: f64 = weights.iter().enumerate().map(weighted).sum();
            assert!((centre - 151.0).abs() < 1e-3, "{filter:?}: {centre}");
        }
    }
}
