//! Sequential scans (SOF0, SOF1): each block's samples are made as its coefficients come.

use std::marker::PhantomData;

use fearless_simd::Simd;

use super::bits::{Bits, Unstuffed};
use super::error::Damage;
use super::exact;
use super::geometry::Layout;
use super::huffman::{AcTable, DcTable, END_OF_BLOCK, LOOKUP_BITS, SKIP_BITS, SkipTable, long_code};
use super::kernel::{self, Basis, Images, Sink};
use super::strong::{Judge, SIZE_SHIFT, Strong, size_class};
use super::walk::{Blocks, Place, Walk};

/// One component of a scan, with where its samples go.
pub(super) struct Unit<'p> {
    pub(super) layout: &'p Layout,
    /// Its blocks in an MCU, across and down.
    pub(super) blocks: (usize, usize),
    pub(super) dc: &'p DcTable,
    pub(super) ac: &'p AcTable,
    pub(super) skip: &'p SkipTable,
    pub(super) basis: &'p Basis,
    pub(super) plane: &'p mut [u8],
    /// The last block's DC.
    pub(super) dc_before: i32,
}

/// A scan in the making: its first component, by kernel `A`, and the others, by kernel `B`. Naming the kernels as types
/// keeps each loop small enough for the registers.
struct Sequential<'u, 'p, S, A, B> {
    simd: S,
    first: &'u mut Unit<'p>,
    others: &'u mut [Unit<'p>],
    kernels: PhantomData<(A, B)>,
}

impl<S: Simd, A: Kernel, B: Kernel> Blocks for Sequential<'_, '_, S, A, B> {
    #[inline(always)]
    fn restart(&mut self) {
        self.first.dc_before = 0;
        self.others.iter_mut().for_each(|unit| unit.dc_before = 0);
    }

    #[inline(always)]
    fn mcu(&mut self, bits: &mut Bits<'_>, column: usize, row: usize) {
        self.first.mcu::<S, A>(self.simd, bits, column, row);
        for unit in &mut *self.others {
            unit.mcu::<S, B>(self.simd, bits, column, row);
        }
    }
}

impl Unit<'_> {
    /// Where a block's samples begin in the plane; none for a block that is not needed.
    #[inline(always)]
    pub(super) fn place(&self, x: usize, y: usize) -> Option<usize> {
        let (window, side) = (&self.layout.window, self.layout.side);
        (window.x.contains(&x) && window.y.contains(&y))
            .then(|| ((y - window.y.start) * self.layout.stride() + (x - window.x.start)) * side)
    }

    /// Stores the mean of the block that begins with these bits, if it is too strong for its lowest frequencies alone.
    pub(super) fn judge<S: Simd>(&mut self, simd: S, mut bits: Bits<'_>, dc: i32, place: usize) {
        self.dc.next(&mut bits);
        let (tables, to) = ((self.ac, self.skip), (&mut self.plane[place..], self.layout.stride()));
        match self.layout.side {
            2 => mean_of_two(bits, tables, self.basis, dc, to),
            4 => mean_of_four(simd, bits, tables, self.basis, dc, to),
            _ => false,
        };
    }

    #[inline(always)]
    fn mcu<S: Simd, K: Kernel>(&mut self, simd: S, bits: &mut Bits<'_>, column: usize, row: usize) {
        let (across, down) = self.blocks;
        let stride = self.layout.stride();
        for y in row * down..(row + 1) * down {
            for x in column * across..(column + 1) * across {
                self.dc_before = self.dc_before.wrapping_add(self.dc.next(bits));
                if let Some(to) = self.place(x, y) {
                    let tables = (self.ac, self.skip);
                    K::block(simd, bits, tables, self.basis, self.dc_before, (&mut self.plane[to..], stride));
                } else {
                    skip(bits, self.skip, 1, &self.basis.strong);
                }
            }
        }
    }
}

/// Goes through a scan.
pub(super) fn run<S: Simd>(
    simd: S,
    walk: &Walk,
    data: (&Unstuffed, Place),
    units: &mut [Unit<'_>],
) -> Option<Damage> {
    let images = |unit: &Unit<'_>| match unit.basis.images {
        Images::One => 1,
        Images::Two(_) => 2,
        Images::Four(_) => 4,
        Images::Eight(_) => 8,
        Images::Exact => 10 * unit.basis.side,
    };
    let (first, others) = units.split_first_mut()?;
    let kinds = (images(first), others.first().map_or(images(first), images));
    let alike = others.iter().all(|unit| images(unit) == kinds.1);
    match kinds {
        _ if !alike => run_with::<S, Any, Any>(simd, walk, data, first, others),
        (1, 1) => run_with::<S, One, One>(simd, walk, data, first, others),
        (1, 2) => run_with::<S, One, Two>(simd, walk, data, first, others),
        (1, 20) => run_with::<S, One, TwoExact>(simd, walk, data, first, others),
        (20, 20) => run_with::<S, TwoExact, TwoExact>(simd, walk, data, first, others),
        (20, 40) => run_with::<S, TwoExact, FourExact>(simd, walk, data, first, others),
        (40, 40) => run_with::<S, FourExact, FourExact>(simd, walk, data, first, others),
        (40, 80) => run_with::<S, FourExact, EightExact>(simd, walk, data, first, others),
        (80, 80) => run_with::<S, EightExact, EightExact>(simd, walk, data, first, others),
        (2, 20) => run_with::<S, Two, TwoExact>(simd, walk, data, first, others),
        (2, 40) => run_with::<S, Two, FourExact>(simd, walk, data, first, others),
        (4, 40) => run_with::<S, Four, FourExact>(simd, walk, data, first, others),
        (4, 80) => run_with::<S, Four, EightExact>(simd, walk, data, first, others),
        (8, 80) => run_with::<S, Eight, EightExact>(simd, walk, data, first, others),
        (2, 2) => run_with::<S, Two, Two>(simd, walk, data, first, others),
        (2, 4) => run_with::<S, Two, Four>(simd, walk, data, first, others),
        (4, 4) => run_with::<S, Four, Four>(simd, walk, data, first, others),
        (4, 8) => run_with::<S, Four, Eight>(simd, walk, data, first, others),
        (8, 8) => run_with::<S, Eight, Eight>(simd, walk, data, first, others),
        _ => run_with::<S, Any, Any>(simd, walk, data, first, others),
    }
}

#[inline(never)]
fn run_with<'p, S: Simd, A: Kernel, B: Kernel>(
    simd: S,
    walk: &Walk,
    (data, from): (&Unstuffed, Place),
    first: &mut Unit<'p>,
    others: &mut [Unit<'p>],
) -> Option<Damage> {
    simd.vectorize(
        #[inline(always)]
        || walk.run(data, from, &mut Sequential { simd, first, others, kernels: PhantomData::<(A, B)> }),
    )
}

/// Makes a block's samples of its coefficients.
trait Kernel {
    /// Reads the AC coefficients, of which 35 bits are there, and stores the samples at the place and with the stride of `to`.
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        tables: (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        to: (&mut [u8], usize),
    );
}

struct One;
struct Any;

impl Kernel for One {
    #[inline(always)]
    fn block<S: Simd>(
        _: S,
        bits: &mut Bits<'_>,
        (_, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, _): (&mut [u8], usize),
    ) {
        to[0] = basis.flat(dc);
        skip(bits, skipped, 1, &basis.strong);
    }
}

struct Two;

impl Kernel for Two {
    #[inline(always)]
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        (ac, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, stride): (&mut [u8], usize),
    ) {
        let Images::Two(images) = &basis.images else { return };
        let mut sum = kernel::Two::new(simd, images, basis.start(dc));
        let before = *bits;
        let doubtful = coefficients(bits, (ac, skipped), basis, &mut sum);
        if doubtful && mean_of_two(before, (ac, skipped), basis, dc, (&mut *to, stride)) {
            return;
        }
        sum.store(to, stride);
    }
}

struct TwoExact;

impl Kernel for TwoExact {
    #[inline(always)]
    fn block<S: Simd>(
        _: S,
        bits: &mut Bits<'_>,
        (ac, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, stride): (&mut [u8], usize),
    ) {
        let mut sum = exact::TwoExact::new(&basis.quantization, basis.dequantized(dc));
        coefficients(bits, (ac, skipped), basis, &mut sum);
        sum.store(to, stride);
    }
}

struct Four;

impl Kernel for Four {
    #[inline(always)]
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        (ac, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, stride): (&mut [u8], usize),
    ) {
        let Images::Four(images) = &basis.images else { return };
        let mut sum = kernel::Four::new(simd, images, basis.start(dc));
        let before = *bits;
        let doubtful = coefficients(bits, (ac, skipped), basis, &mut sum);
        if doubtful && mean_of_four(simd, before, (ac, skipped), basis, dc, (&mut *to, stride)) {
            return;
        }
        sum.store(to, stride);
    }
}

struct Eight;

impl Kernel for Eight {
    #[inline(always)]
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        (ac, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, stride): (&mut [u8], usize),
    ) {
        let Images::Eight(images) = &basis.images else { return };
        let mut sum = kernel::Eight::new(simd, images, basis.start(dc));
        coefficients(bits, (ac, skipped), basis, &mut sum);
        sum.store(to, stride);
    }
}

struct FourExact;

impl Kernel for FourExact {
    #[inline(always)]
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        (ac, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, stride): (&mut [u8], usize),
    ) {
        let mut block = exact::Exact::<S, 4>::new(simd, &basis.quantization, basis.dequantized(dc));
        coefficients(bits, (ac, skipped), basis, &mut block);
        block.store(to, stride);
    }
}

struct EightExact;

impl Kernel for EightExact {
    #[inline(always)]
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        (ac, skipped): (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        (to, stride): (&mut [u8], usize),
    ) {
        let mut block = exact::Exact::<S, 8>::new(simd, &basis.quantization, basis.dequantized(dc));
        coefficients(bits, (ac, skipped), basis, &mut block);
        block.store(to, stride);
    }
}

impl Kernel for Any {
    #[inline(always)]
    fn block<S: Simd>(
        simd: S,
        bits: &mut Bits<'_>,
        tables: (&AcTable, &SkipTable),
        basis: &Basis,
        dc: i32,
        to: (&mut [u8], usize),
    ) {
        match &basis.images {
            Images::One => One::block(simd, bits, tables, basis, dc, to),
            Images::Two(_) => Two::block(simd, bits, tables, basis, dc, to),
            Images::Four(_) => Four::block(simd, bits, tables, basis, dc, to),
            Images::Eight(_) => Eight::block(simd, bits, tables, basis, dc, to),
            Images::Exact => match basis.side {
                2 => TwoExact::block(simd, bits, tables, basis, dc, to),
                4 => FourExact::block(simd, bits, tables, basis, dc, to),
                _ => EightExact::block(simd, bits, tables, basis, dc, to),
            },
        }
    }
}

/// Stores the mean of a block that is too strong for its lowest frequencies alone, from where its AC coefficients begin. Whether
/// it is.
#[cold]
#[inline(never)]
fn mean_of_two(
    mut bits: Bits<'_>,
    tables: (&AcTable, &SkipTable),
    basis: &Basis,
    dc: i32,
    (to, stride): (&mut [u8], usize),
) -> bool {
    let sink = exact::TwoExact::new(&basis.quantization, basis.dequantized(dc));
    judged(&mut bits, tables, basis, sink).map(|sink| sink.store(to, stride)).is_some()
}

/// The same for 4 × 4 samples.
#[cold]
#[inline(never)]
fn mean_of_four<S: Simd>(
    simd: S,
    mut bits: Bits<'_>,
    tables: (&AcTable, &SkipTable),
    basis: &Basis,
    dc: i32,
    (to, stride): (&mut [u8], usize),
) -> bool {
    simd.vectorize(
        #[inline(always)]
        || {
            let sink = exact::Exact::<S, 4>::new(simd, &basis.quantization, basis.dequantized(dc));
            match judged(&mut bits, tables, basis, sink) {
                Some(sink) => {
                    sink.store(to, stride);
                    true
                }
                None => false,
            }
        },
    )
}

/// `sink` with all of the block's AC coefficients, if one of them is too strong.
#[inline(always)]
fn judged<K: Sink>(bits: &mut Bits<'_>, tables: (&AcTable, &SkipTable), basis: &Basis, sink: K) -> Option<K> {
    let mut judge = Judge { sink, strong: &basis.strong, any: false };
    coefficients_to(63, bits, tables, basis, &mut judge);
    judge.any.then_some(judge.sink)
}

/// The block's AC coefficients up to the last that matters go to `sink`, the others nowhere. Whether one of the others may be
/// too strong for that.
#[inline(always)]
fn coefficients(
    bits: &mut Bits<'_>,
    tables: (&AcTable, &SkipTable),
    basis: &Basis,
    sink: &mut impl Sink,
) -> bool {
    coefficients_to(basis.last, bits, tables, basis, sink)
}

#[inline(always)]
fn coefficients_to(
    last: usize,
    bits: &mut Bits<'_>,
    (table, skipped): (&AcTable, &SkipTable),
    basis: &Basis,
    sink: &mut impl Sink,
) -> bool {
    let (mut k, mut value) = (1, 0);
    // 35 bits are enough for a long code.
    let mut codes = 1;
    'refill: while k <= last {
        for _ in 0..codes {
            let entry = table.entries[bits.peek(LOOKUP_BITS) & (table.entries.len() - 1)];
            let length = entry & 0xFF;
            if length == 0 {
                let (after, symbol, long) = long_code(*bits, &table.symbols);
                (*bits, value) = (after, long);
                let run = usize::from(symbol >> 4);
                if symbol & 15 == 0 && run != 15 {
                    return false;
                }
                // A value behind a run beyond the end is libjpeg's last coefficient.
                k += run;
                bits.corrupt |= k > 63;
                sink.put(k.min(63), value);
                k += 1;
                break;
            }
            value = bits.value(length, entry >> 16);
            bits.consume(length);
            let run = (entry >> 8 & 0xFF) as usize;
            k += run;
            if k > 63 {
                if run != END_OF_BLOCK {
                    bits.corrupt = true;
                    sink.put(63, value);
                }
                return false;
            }
            sink.put(k, value);
            k += 1;
            if k > last {
                break 'refill;
            }
        }
        bits.refill();
        // 56 bits are enough for a short code and a long one.
        codes = 2;
    }
    // The last value may lie beyond those that matter.
    let strong = basis.strong.is_level(k - 1, value);
    if k >= 64 {
        return strong;
    }
    bits.refill();
    skip(bits, skipped, k, &basis.strong) || strong
}

/// Passes over the block's coefficients from position `k` on, and tells whether one of them may be too strong for that. At least
/// 28 bits must be there.
#[inline(always)]
fn skip(bits: &mut Bits<'_>, table: &SkipTable, mut k: usize, strong: &Strong) -> bool {
    let mut weighed = 0;
    loop {
        let entry = u32::from(table.entries[bits.peek(SKIP_BITS) & (table.entries.len() - 1)]);
        let (length, ends, count) = (entry & 31, (entry >> 5 & 1) as usize, (entry >> 9) as usize);
        // Once the block is full, no end of block follows: what looks like one is the next block's.
        if length == 0 || k + count + ends > 64 {
            bits.refill();
            let (after, symbol, _) = long_code(*bits, &table.symbols);
            *bits = after;
            let run = usize::from(symbol >> 4);
            if symbol & 15 == 0 && run != 15 {
                return Strong::any(weighed);
            }
            k += run + 1;
            weighed |= strong.weighed(size_class(u32::from(symbol & 15)) << SIZE_SHIFT, k);
            bits.corrupt |= k > 64;
        } else {
            bits.consume(length);
            k += count;
            weighed |= strong.weighed(entry, k);
            if ends != 0 {
                return Strong::any(weighed);
            }
        }
        if k >= 64 {
            return Strong::any(weighed);
        }
        bits.refill();
    }
}
