//! From the values that cursors have found to samples, by the same sums that the usual way makes.

use std::ops::Range;

use fearless_simd::Simd;

use super::part::Part;
use super::scheme::{FOUR, Scheme, TWO, VALUES};
use crate::decode::bits::Bits;
use crate::decode::kernel::{self, Basis, Images};
use crate::decode::sequential::Unit;

/// Values that are gone through component by component while they are at hand.
const AT_HAND: usize = 2048;

/// Stores the samples of these MCUs of a part: the picture's from `mcu` on, which has so many `across`. Leaves out what is not
/// needed. `data`: what the part's bits are in.
#[inline(never)]
pub(super) fn run<S: Simd>(
    simd: S,
    (scheme, data): (&Scheme, &[u8]),
    (part, piece): (&mut Part, Range<usize>),
    (mcu, across): (usize, usize),
    units: &mut [Unit<'_>],
) {
    let values = &mut part.values[piece.start * scheme.length..piece.end * scheme.length];
    simd.vectorize(
        #[inline(always)]
        || {
            let (mut mcu, batch) = (mcu, (AT_HAND / scheme.length).max(1));
            let mut floats = [0.0; AT_HAND];
            for values in values.chunks_mut(batch * scheme.length) {
                let floats = &mut floats[..values.len()];
                floats.iter_mut().zip(&*values).for_each(|(float, value)| *float = f32::from(*value));
                let mut first = 0;
                for unit in &mut *units {
                    let records = Records { values, floats, mcu: scheme.length, first };
                    component(simd, unit, records, (mcu, across));
                    first += unit.blocks.0 * unit.blocks.1 * (VALUES + unit.layout.side.pow(2));
                }
                mcu += batch;
            }
        },
    );
    let blocks = piece.start * scheme.blocks..piece.end * scheme.blocks;
    for &(block, bit) in part.doubtful.iter().filter(|(block, _)| blocks.contains(block)) {
        let (own, number) = (block / scheme.blocks, block % scheme.blocks);
        let dc = values[(own - piece.start) * scheme.length + scheme.records[number] + VALUES];
        let at = mcu + own - piece.start;
        judge(simd, units, (at % across, at / across, number), dc, Bits::from_bit(data, bit as usize));
    }
}

/// Looks closer at a block: the one with this number in the MCU at (`column`, `row`), whose DC is known, and which begins with
/// these bits.
fn judge<S: Simd>(
    simd: S,
    units: &mut [Unit<'_>],
    (column, row, mut number): (usize, usize, usize),
    dc: i16,
    bits: Bits<'_>,
) {
    for unit in units {
        let (across, down) = unit.blocks;
        if number < across * down {
            let (x, y) = (column * across + number % across, row * down + number / across);
            if let Some(place) = unit.place(x, y) {
                unit.judge(simd, bits, dc.into(), place);
            }
            return;
        }
        number -= across * down;
    }
}

/// The records of MCUs.
struct Records<'r> {
    values: &'r mut [i16],
    /// The same.
    floats: &'r [f32],
    /// From one MCU to the next.
    mcu: usize,
    /// Where a component's begin in an MCU.
    first: usize,
}

/// Stores a component's samples of MCUs from `place` on. Its DCs become what they are in the picture.
#[inline(always)]
fn component<S: Simd>(simd: S, unit: &mut Unit<'_>, records: Records<'_>, place: (usize, usize)) {
    match &unit.basis.images {
        Images::One => blocks::<S, One, 3>(simd, unit, records, place),
        Images::Two(_) => blocks::<S, Two, 6>(simd, unit, records, place),
        Images::Four(_) => blocks::<S, Four, 18>(simd, unit, records, place),
        Images::Eight(_) | Images::Exact => {}
    }
}

/// Goes through a component's blocks.
#[inline(always)]
fn blocks<S: Simd, K: Kernel<N>, const N: usize>(
    simd: S,
    unit: &mut Unit<'_>,
    records: Records<'_>,
    (mcu, columns): (usize, usize),
) {
    let ((across, down), stride, side) = (unit.blocks, unit.layout.stride(), unit.layout.side);
    // Where each block of an MCU begins in the plane, of which there are at most 10.
    let mut places = [0; 10];
    let count = places.len().min(across * down);
    for (number, place) in places[..count].iter_mut().enumerate() {
        *place = (number / across * stride + number % across) * side;
    }
    let (mut column, mut row, mut dc) = (mcu % columns, mcu / columns, unit.dc_before);
    let Records { values, floats, mcu, first } = records;
    for (values, floats) in values.chunks_exact_mut(mcu).zip(floats.chunks_exact(mcu)) {
        let (values, _) = values[first..].as_chunks_mut::<N>();
        let (floats, _) = floats[first..].as_chunks::<N>();
        // All of an MCU is needed, or nothing.
        let to = unit.place(column * across, row * down);
        for ((values, floats), place) in values.iter_mut().zip(floats).zip(&places[..count]) {
            dc = dc.wrapping_add(values[VALUES].into());
            values[VALUES] = dc as i16;
            if let Some(to) = to {
                K::store(simd, unit.basis, dc, floats, (&mut unit.plane[to + place..], stride));
            }
        }
        column += 1;
        if column == columns {
            (column, row) = (0, row + 1);
        }
    }
    unit.dc_before = dc;
}

/// Makes a block's samples of its DC and the values in its record, which has `N` places.
trait Kernel<const N: usize> {
    fn store<S: Simd>(simd: S, basis: &Basis, dc: i32, record: &[f32; N], to: (&mut [u8], usize));
}

struct One;
struct Two;
struct Four;

impl Kernel<3> for One {
    #[inline(always)]
    fn store<S: Simd>(_: S, basis: &Basis, dc: i32, _: &[f32; 3], (to, _): (&mut [u8], usize)) {
        to[0] = basis.flat(dc);
    }
}

// Coefficients that are 0 change nothing, as if they were not there.

impl Kernel<6> for Two {
    #[inline(always)]
    fn store<S: Simd>(simd: S, basis: &Basis, dc: i32, record: &[f32; 6], (to, stride): (&mut [u8], usize)) {
        let Images::Two(images) = &basis.images else { return };
        let mut sum = kernel::Two::new(simd, images, basis.start(dc));
        for slot in 1..TWO.len() {
            sum.add(TWO[slot], record[VALUES + slot]);
        }
        sum.store(to, stride);
    }
}

impl Kernel<18> for Four {
    #[inline(always)]
    fn store<S: Simd>(simd: S, basis: &Basis, dc: i32, record: &[f32; 18], (to, stride): (&mut [u8], usize)) {
        let Images::Four(images) = &basis.images else { return };
        let mut sum = kernel::Four::new(simd, images, basis.start(dc));
        for slot in 1..FOUR.len() / 2 {
            sum.add(FOUR[slot], record[VALUES + slot]);
        }
        // Most blocks have no others.
        if record[VALUES + FOUR.len() / 2..] != [0.0; FOUR.len() / 2] {
            for slot in FOUR.len() / 2..FOUR.len() {
                sum.add(FOUR[slot], record[VALUES + slot]);
            }
        }
        sum.store(to, stride);
    }
}
