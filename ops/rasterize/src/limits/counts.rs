//! What an element comes to, with what is in it and what it refers to, and how much of it there may be.

use imgserve_sdk::Error;

use super::within;

/// Most elements, references followed. Each takes about a kibibyte.
const MAX_ELEMENTS: u64 = 500_000;
/// Most stops, references followed.
const MAX_STOPS: u64 = 2_000_000;
/// Most letters, references followed.
const MAX_LETTERS: u64 = 100_000;
/// Most letters times the pieces of the text that they are in, which the parser goes through for each.
const MAX_PLACES: u64 = 5_000_000;
/// Most letters times the points of the path that they stand along: for each piece of it the parser goes through all letters that
/// have no place yet.
const MAX_ALONG: u64 = 1_000_000_000;
/// Most times that letters along a path may be enlarged; at 10^19 the path is measured without end.
const MAX_SCALE: u64 = 1_000_000_000_000;
/// Most points of outlines, references followed.
const MAX_POINTS: u64 = 5_000_000;
/// Most bytes of declarations that elements get from style sheets, and shapes from the attributes of groups.
const MAX_COPIED: u64 = 128 << 20;
/// Most bytes of style that are gone through again and again, as [`super::style::reading`] tells.
pub(super) const MAX_READ: u64 = 2_000_000_000;
/// Most levels of all elements together, which the parser climbs for each property that an element does not have itself; attributes
/// that it goes through there are levels as well.
const MAX_LEVELS: u64 = 25_000_000;

/// What an element comes to, with what is in it and what it refers to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) elements: u64,
    pub(super) stops: u64,
    pub(super) letters: u64,
    pub(super) places: u64,
    pub(super) along: u64,
    /// How many times larger than in itself letters along a path are drawn, from above; 0 where there are none.
    pub(super) scale: f64,
    pub(super) points: u64,
    pub(super) copied: u64,
    pub(super) read: u64,
    /// Elements by `use` alone, which are copied before anything else is looked at; what there is to match with them, and the
    /// levels that they are at.
    pub(super) nodes: u64,
    pub(super) matches: u64,
    pub(super) levels: u64,
    /// Shapes, and points of shapes, that inherit from it.
    pub(super) shapes: u64,
    pub(super) vertices: u64,
    /// How deep it goes.
    pub(super) depth: u64,
    /// The outermost of the elements with an `id` around it at which a reference in it was cut off, by their number there: what it
    /// comes to holds only there.
    pub(super) cut: Option<usize>,
}

impl Counts {
    /// Adds what is in an element, or in its place by `use`.
    pub(super) fn add(&mut self, inner: &Self, depth: u64) {
        self.refer(inner, 1, depth);
        self.nodes = self.nodes.saturating_add(inner.nodes);
        self.matches = self.matches.saturating_add(inner.matches);
        self.read = self.read.saturating_add(inner.read);
        self.levels = self.levels.saturating_add(inner.levels).saturating_add(inner.nodes);
        self.shapes = self.shapes.saturating_add(inner.shapes);
        self.vertices = self.vertices.saturating_add(inner.vertices);
    }

    /// Adds what is made `times` times for a reference.
    pub(super) fn refer(&mut self, inner: &Self, times: u64, depth: u64) {
        let add = |sum: &mut u64, count: u64| *sum = sum.saturating_add(count.saturating_mul(times));
        add(&mut self.elements, inner.elements);
        add(&mut self.stops, inner.stops);
        add(&mut self.letters, inner.letters);
        add(&mut self.places, inner.places);
        add(&mut self.along, inner.along);
        add(&mut self.points, inner.points);
        add(&mut self.copied, inner.copied);
        self.scale = self.scale.max(inner.scale);
        self.depth = self.depth.max(inner.depth + depth);
        self.cut = [self.cut, inner.cut].into_iter().flatten().min();
    }

    /// What is counted, how much of it there is, and how much there may be.
    fn all(&self) -> [(&'static str, u64, u64); 10] {
        [
            ("elements with references followed", self.elements.max(self.nodes), MAX_ELEMENTS),
            ("stops of gradients with references followed", self.stops, MAX_STOPS),
            ("letters with references followed", self.letters, MAX_LETTERS),
            ("points of outlines with references followed", self.points, MAX_POINTS),
            ("letters times pieces of their texts", self.places, MAX_PLACES),
            ("letters times points of the paths that they stand along", self.along, MAX_ALONG),
            ("times that letters along a path are enlarged", self.scale as u64, MAX_SCALE),
            ("bytes of styles for its elements", self.copied, MAX_COPIED),
            ("bytes of styles that are read again for each of their values", self.read, MAX_READ),
            ("levels of elements inside one another in all", self.levels, MAX_LEVELS),
        ]
    }

    /// Holds each against its limit.
    ///
    /// # Errors
    /// `limit-exceeded`, with what was counted.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.all().into_iter().try_for_each(|(what, count, limit)| within(what, count, limit))
    }

    /// The largest part of its limit that there is of anything.
    pub(super) fn share(&self) -> f64 {
        self.all().into_iter().map(|(_, count, limit)| count as f64 / limit as f64).fold(0.0, f64::max)
    }
}
