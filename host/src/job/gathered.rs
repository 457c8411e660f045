//! Bytes that come in pieces, put together in memory that may be refused: then they are not kept, and nothing else breaks.

use bytes::Bytes;
use imgserve_base::units::MIB;

/// The most bytes that room is made for because the other end says that they will come.
const MOST_EXPECTED: u64 = 8 * MIB;
/// Many bytes grow by so many, as twice as many may not be had. What is so large the system moves without copying it.
const MOST_AT_ONCE: usize = 8 * MIB as usize;

/// The system gives no memory for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// Bytes that have come so far.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// How many are likely to come.
    expected: usize,
    /// All of them, while one piece is: it is not copied.
    one: Bytes,
    /// All of them, else.
    many: Vec<u8>,
}

impl Gathered {
    /// None yet, of as many as the other end says.
    pub(crate) fn new(expected: Option<u64>) -> Self {
        let expected = expected.unwrap_or_default().min(MOST_EXPECTED) as usize;
        Self { expected, one: Bytes::new(), many: Vec::new() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.one.len().max(self.many.len())
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// When there is no memory for it; what was there before still is.
    pub(crate) fn add(&mut self, piece: Bytes) -> Result<(), NoMemory> {
        if self.len() == 0 && piece.len() >= self.expected {
            self.one = piece;
            return Ok(());
        }
        let needed = self.len() + piece.len();
        if needed > self.many.capacity() {
            let ahead = needed.saturating_mul(2).min(needed.saturating_add(MOST_AT_ONCE));
            let wanted = if needed <= self.expected { self.expected } else { ahead };
            self.make_room(wanted).or_else(|NoMemory| self.make_room(needed))?;
        }
        if !self.one.is_empty() {
            self.many.extend_from_slice(&std::mem::take(&mut self.one));
        }
        self.many.extend_from_slice(&piece);
        Ok(())
    }

    fn make_room(&mut self, wanted: usize) -> Result<(), NoMemory> {
        self.many.try_reserve_exact(wanted.saturating_sub(self.many.len())).map_err(|_| NoMemory)
    }

    /// A copy of all there are.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub(super) fn copy(&self) -> Result<Bytes, NoMemory> {
        if !self.one.is_empty() {
            return Ok(self.one.clone());
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.many.len()).map_err(|_| NoMemory)?;
        copy.extend_from_slice(&self.many);
        Ok(copy.into())
    }

    /// All that have come; none are left.
    pub(crate) fn whole(&mut self) -> Bytes {
        match self.one.is_empty() {
            true => std::mem::take(&mut self.many).into(),
            false => std::mem::take(&mut self.one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together_and_one_that_is_all_is_not_copied() {
        let piece = Bytes::from(vec![7; 100]);
        let mut gathered = Gathered::new(Some(100));
        gathered.add(piece.clone()).unwrap();
        assert_eq!(gathered.copy().unwrap().as_ptr(), piece.as_ptr());
        // More than were announced come.
        gathered.add(Bytes::from_static(b"more")).unwrap();
        assert_eq!((gathered.len(), &gathered.copy().unwrap()[100..]), (104, &b"more"[..]));
        assert_eq!((gathered.whole().len(), gathered.len()), (104, 0));
        let mut gathered = Gathered::new(None);
        gathered.add(piece.clone()).unwrap();
        assert_eq!(gathered.whole().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn many_grow_by_no_more_than_they_need() {
        let mut gathered = Gathered::new(Some(u64::MAX));
        let piece = Bytes::from(vec![7; 1 << 20]);
        for _ in 0..33 {
            gathered.add(piece.clone()).unwrap();
        }
        assert_eq!(gathered.len(), 33 << 20);
        assert!(gathered.many.capacity() <= gathered.len() + MOST_AT_ONCE, "{}", gathered.many.capacity());
    }
}
