//! The tolerance between the renderers, and that the corpus keeps it.
//!
//! Per drawing, premultiplied, of 255: a channel differs by [`MEAN`] on average; at most [`SOME`] of the pixels differ
//! by more than 16 and [`MANY`] by more than 40; no block of 8 × 8 pixels differs by more than [`BLOCK`] on average.
//! The first three say that edges are smoothed a little differently, the last that nothing is missing, moved or of
//! another colour. A single pixel may differ by anything: at a gradient's hard stop, or where lines lie upon one another.

use std::path::PathBuf;

use resvg::tiny_skia::{Pixmap, PremultipliedColorU8};

use super::{Unsuited, corpus, fast, parse, reference};

const MEAN: f64 = 1.5;
const SOME: f64 = 0.03;
const MANY: f64 = 0.01;
const BLOCK: f64 = 24.0;

/// How two pictures of the same size differ.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) mean: f64,
    /// Shares of pixels in which a channel differs by more than 16, and by more than 40.
    pub(super) some: f64,
    pub(super) many: f64,
    /// The largest difference of a block's average.
    pub(super) block: f64,
    /// Where that block begins.
    #[allow(dead_code, reason = "shown by Debug")]
    place: (u32, u32),
}

impl Difference {
    pub(super) fn between(one: &Pixmap, other: &Pixmap) -> Self {
        assert_eq!((one.width(), one.height()), (other.width(), other.height()));
        let pixels = f64::from(one.width()) * f64::from(one.height());
        let apart = |(a, b): (&u8, &u8)| a.abs_diff(*b);
        let sum: u64 = one.data().iter().zip(other.data()).map(|pair| u64::from(apart(pair))).sum();
        let over = |limit: u8| {
            let pairs = one.data().chunks(4).zip(other.data().chunks(4));
            let over = pairs.filter(|(a, b)| a.iter().zip(*b).any(|pair| apart(pair) > limit));
            over.count() as f64 / pixels
        };
        let (block, place) = worst_block(one, other);
        Self { mean: sum as f64 / (4.0 * pixels), some: over(16), many: over(40), block, place }
    }

    fn is_tolerated(&self) -> bool {
        self.mean <= MEAN && self.some <= SOME && self.many <= MANY && self.block <= BLOCK
    }
}

fn worst_block(one: &Pixmap, other: &Pixmap) -> (f64, (u32, u32)) {
    let mut worst = (0.0, (0, 0));
    for top in (0..one.height()).step_by(8) {
        for left in (0..one.width()).step_by(8) {
            let averages = average(one, left, top).into_iter().zip(average(other, left, top));
            let apart = averages.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            if apart > worst.0 {
                worst = (apart, (left, top));
            }
        }
    }
    worst
}

/// The average of a block. One at the border counts as a whole one, as if it went on in black.
fn average(picture: &Pixmap, left: u32, top: u32) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for y in top..(top + 8).min(picture.height()) {
        for x in left..(left + 8).min(picture.width()) {
            let start = (y as usize * picture.width() as usize + x as usize) * 4;
            let pixel = &picture.data()[start..start + 4];
            sums.iter_mut().zip(pixel).for_each(|(sum, channel)| *sum += f64::from(*channel) / 64.0);
        }
    }
    sums
}

/// resvg's picture, vello_cpu's, and four times the difference, side by side in a file.
fn save(name: &str, wanted: &Pixmap, got: &Pixmap) -> PathBuf {
    let (width, height) = (wanted.width(), wanted.height());
    let mut panels = Pixmap::new(3 * width, height).unwrap();
    for y in 0..height {
        for x in 0..width {
            let at = |picture: &Pixmap| picture.pixel(x, y).unwrap();
            let (a, b) = (at(wanted), at(got));
            let apart = |a: u8, b: u8| a.abs_diff(b).saturating_mul(4);
            let (red, green, blue) =
                (apart(a.red(), b.red()), apart(a.green(), b.green()), apart(a.blue(), b.blue()));
            let difference = PremultipliedColorU8::from_rgba(red, green, blue, 255).unwrap();
            for (panel, pixel) in [a, b, difference].into_iter().enumerate() {
                let place = (y * 3 * width + panel as u32 * width + x) as usize;
                panels.pixels_mut()[place] = pixel;
            }
        }
    }
    let path = std::env::temp_dir().join(format!("rasterize-{}.png", name.replace([' ', '/'], "_")));
    panels.save_png(&path).unwrap();
    path
}

/// What is wrong with a drawing, if anything is.
fn complaint(name: &str, svg: &str, side: u32) -> Option<String> {
    let tree = parse(svg);
    let wanted = reference(&tree, side);
    let got = match fast(&tree, side) {
        Ok(got) => got,
        Err(reason) => return Some(format!("{name}: not drawn: {reason:?}")),
    };
    let difference = Difference::between(&wanted, &got);
    if difference.is_tolerated() {
        return None;
    }
    let path = save(&format!("{name}-{side}"), &wanted, &got);
    Some(format!("{name} at {side}: {difference:?}, see {}", path.display()))
}

fn assert_same(drawings: impl Iterator<Item = corpus::Drawing>, sides: &[u32]) {
    let mut complaints = Vec::new();
    for (name, svg) in drawings {
        complaints.extend(sides.iter().filter_map(|&side| complaint(&name, &svg, side)));
    }
    assert!(complaints.is_empty(), "{}\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn written_drawings_are_the_same_picture() {
    assert_same(corpus::written().into_iter(), &[200, 333]);
}

#[test]
fn generated_drawings_are_the_same_picture() {
    assert_same((0..400).map(corpus::generated), &[150]);
}

#[test]
fn small_drawings_are_the_same_picture() {
    // Of 16 pixels a side nearly all are edges, so that shares mean little: what is left is the average and the block.
    for (name, svg) in corpus::written() {
        let tree = parse(&svg);
        for side in [1, 2, 3, 16] {
            let got = match fast(&tree, side) {
                Ok(got) => got,
                // A blur so small is another one.
                Err(Unsuited::Filter) if name.starts_with("blur") => continue,
                Err(reason) => panic!("{name} at {side}: {reason:?}"),
            };
            let difference = Difference::between(&reference(&tree, side), &got);
            let tolerated = side < 16 || difference.mean <= 8.0 && difference.block <= BLOCK;
            assert!(tolerated, "{name}: {difference:?}");
        }
    }
}

/// A test that cannot fail is worse than none: these are other pictures.
#[test]
fn other_pictures_are_not_the_same() {
    let base = "<rect x='20' y='20' width='60' height='60' fill='#c60'/>";
    for other in [
        "<rect x='22' y='20' width='60' height='60' fill='#c60'/>",
        "<rect x='20' y='20' width='60' height='60' fill='#a60'/>",
        "<rect x='20' y='20' width='60' height='60' fill='#c60' opacity='.9'/>",
        "<rect x='20' y='20' width='60' height='60' rx='12' fill='#c60'/>",
        "<rect x='20' y='20' width='60' height='60' fill='#c60'/><rect x='90' y='90' width='4' height='4'/>",
    ] {
        let [one, other] = [base, other].map(|content| reference(&parse(&corpus::svg(content)), 200));
        assert!(!Difference::between(&one, &other).is_tolerated());
    }
}
