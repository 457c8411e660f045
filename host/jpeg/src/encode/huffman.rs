//! Counts of symbols into the best code of at most 16 bits (T.81, annexes C and K.2), by package-merge (Larmore and
//! Hirschberg 1990), which, other than the procedure of annex K.2, finds the best one under that limit.

const MAX_LENGTH: usize = 16;

/// A Huffman code for symbols of a byte.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// How many codes there are of 1 to 16 bits.
    pub lengths: [u8; MAX_LENGTH],
    /// The symbols by their codes.
    pub symbols: Vec<u8>,
    /// By symbol: its code and that's length, 0 if it has none.
    pub words: [(u16, u8); 256],
}

impl Code {
    /// For 256 symbols that occur so often.
    pub(super) fn best(counts: &[u32]) -> Self {
        let mut used: Vec<(u32, u8)> =
            counts.iter().zip(0..=255).filter(|&(&count, _)| count > 0).map(|(&c, s)| (c, s)).collect();
        used.sort_unstable();
        // A code of ones alone is not allowed (T.81, section C): a symbol that never comes takes it.
        let weights: Vec<u32> = std::iter::once(0).chain(used.iter().map(|&(count, _)| count)).collect();
        let lengths = code_lengths(&weights);
        let mut code = Self { lengths: [0; MAX_LENGTH], symbols: Vec::new(), words: [(0, 0); 256] };
        // Frequent symbols have the short codes; the symbol that never comes is the last of the longest.
        code.symbols = used.iter().rev().map(|&(_, symbol)| symbol).collect();
        let mut word = 0;
        let mut last = 0;
        for (&symbol, &length) in code.symbols.iter().zip(lengths.iter().rev()) {
            word <<= length - last;
            last = length;
            code.words[usize::from(symbol)] = (word, length);
            code.lengths[usize::from(length) - 1] += 1;
            word += 1;
        }
        code
    }
}

/// The lengths of the best code for symbols that come so often, rare ones first.
///
/// Each length of 16 bits down to one has a list of its own: the symbols, and pairs out of the list for one bit more,
/// by weight. Of the shortest codes' list the first 2n − 2 are taken, and so of the others what these are made of; in
/// how many lists a symbol is taken is the length of its code.
fn code_lengths(weights: &[u32]) -> Vec<u8> {
    let symbols = weights.len();
    let mut is_symbol: [Vec<bool>; MAX_LENGTH] = Default::default();
    let mut list: Vec<u32> = Vec::new();
    for is_symbol in &mut is_symbol {
        let pairs: Vec<u32> = list.as_chunks::<2>().0.iter().map(|[a, b]| a + b).collect();
        let (mut left, mut right) = (weights.iter().peekable(), pairs.iter().peekable());
        list.clear();
        loop {
            let symbol = match (left.peek(), right.peek()) {
                (Some(symbol), Some(pair)) => symbol <= pair,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            list.extend(if symbol { left.next() } else { right.next() });
            is_symbol.push(symbol);
        }
    }
    let mut lengths = vec![0; symbols];
    let mut taken = 2 * symbols - 2;
    for is_symbol in is_symbol.iter().rev() {
        let single = is_symbol[..taken].iter().filter(|&&symbol| symbol).count();
        lengths[..single].iter_mut().for_each(|length| *length += 1);
        taken = 2 * (taken - single);
    }
    lengths
}
