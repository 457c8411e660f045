//! Memory and lookup tables that outlive a picture: fresh pages cost as much as the work on them, and most files have the
//! same Huffman tables as the one before.

use std::sync::Arc;

use super::bits::Unstuffed;
use super::cursors::{self, Codes};
use super::error::DecodeError;
use super::geometry::Geometry;
use super::huffman::{AcTable, DcTable, SkipTable, Spec};
use super::progressive::Coefficients;
use super::segments::Frame;

/// What is kept from one picture to the next. [`Scratch::release`] bounds it.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) unstuffed: Unstuffed,
    /// Samples by component.
    pub(super) planes: Vec<Vec<u8>>,
    pub(super) coefficients: Vec<Coefficients>,
    pub(super) cursors: cursors::Kept,
    pub(super) cache: Cache,
}

impl Scratch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives back buffers of more than `kept` bytes each.
    pub fn release(&mut self, kept: usize) {
        if self.unstuffed.bytes() > kept {
            self.unstuffed = Unstuffed::default();
        }
        if self.cursors.bytes() > kept {
            self.cursors = cursors::Kept::default();
        }
        self.planes.iter_mut().filter(|plane| plane.capacity() > kept).for_each(|plane| *plane = Vec::new());
        self.coefficients.iter_mut().for_each(|coefficients| coefficients.release(kept));
    }

    /// Bytes that it holds, lookup tables not counted (they are less than 1 MB).
    pub fn bytes(&self) -> usize {
        let planes: usize = self.planes.iter().map(Vec::capacity).sum();
        let coefficients: usize = self.coefficients.iter().map(Coefficients::bytes).sum();
        self.unstuffed.bytes() + planes + coefficients + self.cursors.bytes()
    }

    /// Gray planes, and coefficients of zero.
    pub(super) fn begin(&mut self, frame: &Frame, geometry: &Geometry, depths: Vec<usize>) {
        let count = frame.components.len();
        self.planes.resize_with(count.max(self.planes.len()), Vec::new);
        self.coefficients.resize_with(count.max(self.coefficients.len()), Coefficients::default);
        for (index, (layout, depth)) in geometry.components.iter().zip(depths).enumerate() {
            let plane = &mut self.planes[index];
            plane.clear();
            plane.resize(layout.stride() * layout.rows(), 128);
            if depth > 0 {
                self.coefficients[index].reset(layout, geometry.mcus.0, depth);
            }
        }
    }
}

/// Lookup tables by the tables they are made from, a few of each kind.
#[derive(Debug, Default)]
pub(super) struct Cache {
    dc: Kind<Spec, DcTable>,
    ac: Kind<Spec, AcTable>,
    skip: Kind<Spec, SkipTable>,
    codes: Kind<Vec<(Spec, Spec)>, Codes>,
}

type Kind<K, T> = Vec<(K, Arc<T>)>;

/// Four per file at most.
const KEPT: usize = 8;

impl Cache {
    pub(super) fn dc(&mut self, spec: &Spec) -> Result<Arc<DcTable>, DecodeError> {
        if !spec.suits_dc() {
            return Err(DecodeError::Malformed("bad Huffman table"));
        }
        Ok(find(&mut self.dc, spec, DcTable::new))
    }

    pub(super) fn ac(&mut self, spec: &Spec) -> Arc<AcTable> {
        find(&mut self.ac, spec, AcTable::new)
    }

    pub(super) fn skip(&mut self, spec: &Spec) -> Arc<SkipTable> {
        find(&mut self.skip, spec, SkipTable::new)
    }

    /// Of pairs of DC and AC tables.
    pub(super) fn codes(&mut self, pairs: &Vec<(Spec, Spec)>) -> Arc<Codes> {
        find(&mut self.codes, pairs, |pairs| Codes::new(pairs))
    }
}

fn find<K: Clone + PartialEq, T>(kept: &mut Kind<K, T>, key: &K, make: impl FnOnce(&K) -> T) -> Arc<T> {
    if let Some((_, table)) = kept.iter().find(|(known, _)| known == key) {
        return table.clone();
    }
    if kept.len() == KEPT {
        kept.remove(0);
    }
    let table = Arc::new(make(key));
    kept.push((key.clone(), table.clone()));
    table
}
