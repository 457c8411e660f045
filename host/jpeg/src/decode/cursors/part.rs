//! What one cursor has decoded of a window.

use fearless_simd::Simd;

use super::cursor::{Cursor, Found, Job, value};
use super::scheme::NEXT_BEGINS;

/// A cursor's part of the data.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) cursor: Cursor,
    /// The records of its MCUs, by their values: DCs as the differences that they are there, and nonsense where a record has no
    /// value.
    pub(super) values: Vec<i16>,
    /// The bit where each MCU begins.
    pub(super) begins: Vec<u32>,
    /// The bit where the next one begins.
    pub(super) end: u32,
    /// Blocks that may be too strong for their lowest frequencies alone, by their number and the bit where they begin.
    pub(super) doubtful: Vec<(usize, u32)>,
    /// Up to which MCU something was corrupt.
    pub(super) corrupt: usize,
    /// Whether it began in data that repeats itself.
    pub(super) repeats: bool,
    /// Whether it goes no further.
    pub(super) done: bool,
}

impl Part {
    /// Begins anew at a bit.
    pub(super) fn begin(&mut self, at: u32, job: &Job<'_>, found: &mut Found) {
        self.cursor = Cursor::new(at, job.scheme);
        self.end = at;
        self.values.clear();
        self.begins.clear();
        self.doubtful.clear();
        (self.corrupt, self.repeats, self.done) = (0, false, false);
        found.long = 0;
        clear(found, &job.scheme.empty);
    }

    /// Takes what was found of all whole MCUs.
    #[inline(never)]
    pub(super) fn take<S: Simd>(&mut self, simd: S, job: &Job<'_>, found: &mut Found) {
        let scheme = job.scheme;
        let (mcus, before) = (self.cursor.record / scheme.length, self.begins.len());
        let records = &found.records[..mcus * scheme.length];
        let from = self.values.len();
        self.values.resize(from + records.len(), 0);
        simd.vectorize(
            #[inline(always)]
            || values(records, &mut self.values[from..]),
        );
        let begins =
            |record: Option<usize>| record.map_or(self.end, |record| found.records[record + NEXT_BEGINS]);
        for &record in &found.doubtful {
            if record < records.len() {
                let (block, last) = scheme.block(record);
                self.doubtful.push((before * scheme.blocks + block, begins(last)));
            }
        }
        if let Some(record) = found.corrupt {
            self.corrupt = before + mcus.min(record / scheme.length + 1);
        }
        for mcu in 0..mcus {
            self.begins.push(self.end);
            self.end = found.records[mcu * scheme.length + scheme.records[scheme.blocks - 1] + NEXT_BEGINS];
        }
        self.cursor = Cursor::new(self.end, scheme);
        clear(found, &scheme.empty);
    }

    /// Memory that it holds.
    pub(super) fn bytes(&self) -> usize {
        2 * self.values.capacity() + 4 * self.begins.capacity() + 16 * self.doubtful.capacity()
    }
}

#[inline(always)]
fn values(records: &[u32], to: &mut [i16]) {
    for (to, &recorded) in to.iter_mut().zip(records) {
        *to = value(recorded);
    }
}

/// Forgets what was found.
fn clear(found: &mut Found, empty: &[u32]) {
    found.records[..empty.len()].copy_from_slice(empty);
    found.doubtful.clear();
    found.corrupt = None;
}
