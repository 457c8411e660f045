//! How many of something each has.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Numbers by name. Nothing is kept of whom nothing is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<N: Eq + Hash>(HashMap<N, usize>);

impl<N: Eq + Hash> Default for Counts<N> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<N: Clone + Eq + Hash> Counts<N> {
    /// How many this one has.
    pub fn of<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> usize
    where
        N: Borrow<Q>,
    {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// This one has so many more, or fewer.
    pub fn add(&mut self, name: &N, by: isize) {
        let count = self.0.entry(name.clone()).or_default();
        *count = count.saturating_add_signed(by);
        if *count == 0 {
            self.0.remove(name);
        }
    }

    /// All that have any.
    pub fn iter(&self) -> impl Iterator<Item = (&N, usize)> {
        self.0.iter().map(|(name, count)| (name, *count))
    }

    /// Whether nobody has any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_whom_nothing_is_counted() {
        let mut counts = Counts::<String>::default();
        for (name, by) in [("a", 2), ("b", 1), ("a", -1), ("b", -1), ("c", -1)] {
            counts.add(&name.to_owned(), by);
        }
        assert_eq!((counts.of("a"), counts.of("b"), counts.of("c")), (1, 0, 0));
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(&"a".to_owned(), 1)]);
        counts.add(&"a".to_owned(), -1);
        assert!(counts.is_empty());
    }
}
