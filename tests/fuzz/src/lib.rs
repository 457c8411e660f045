//! Fuzz targets in short. A target is a function of any bytes that panics where what it promises of them does not hold; a
//! fuzzer calls it for hours (`tests/fuzz/run`), an ordinary test for a second: with each of the stored seeds, and with some
//! hundreds of changes of each, the same ones every time.
//!
//! Seeds are text, one a line: a name, a blank, the bytes, of which those that are not printable ASCII, and backslashes, stand
//! as `\xNN`. Lines that begin with `#` are comments. What a fuzzer finds becomes a line.

mod edit;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// One call of a target may not take longer, whatever it is given: small inputs, on a busy machine, not optimised.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many changes are made to a seed at most.
const EDITS: usize = 5;

/// A stored seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// What it is.
    pub name: String,
    /// What a target is called with.
    pub bytes: Vec<u8>,
}

/// The seeds in a text.
///
/// # Panics
/// For a text that is none of seeds.
pub fn seeds(text: &str) -> Vec<Seed> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, escaped) = line.split_once(' ').unwrap_or_else(|| panic!("no seed: {line}"));
            Seed { name: name.to_owned(), bytes: unescape(escaped) }
        })
        .collect()
}

/// Bytes as they stand in a seed's line.
pub fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b' '..=b'~' if byte != b'\\' => text.push(char::from(byte)),
            // Writing to a string never fails.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
        text
    })
}

fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or_else(|| panic!("no two hexadecimal digits: \\x{part}")));
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// Calls a target with each seed, and with so many changes of each.
///
/// # Panics
/// When the target does, or takes too long; tells with which bytes, as a line to be stored.
pub fn short_run(seeds: &[Seed], changes: u32, target: impl Fn(&[u8])) {
    let timed = |bytes: &[u8]| {
        let start = Instant::now();
        target(bytes);
        assert!(start.elapsed() < PATIENCE, "it took {:?}", start.elapsed());
    };
    let config = Config { cases: changes, failure_persistence: None, ..Config::default() };
    for (number, seed) in seeds.iter().enumerate() {
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[number as u8; 32]);
        let mut runner = TestRunner::new_with_rng(config.clone(), random);
        let others: Vec<&[u8]> = seeds.iter().map(|seed| seed.bytes.as_slice()).collect();
        timed(&seed.bytes);
        let found = runner.run(&vec(edit::any(), 1..=EDITS), |edits| {
            timed(&edit::all(&edits, &seed.bytes, &others));
            Ok(())
        });
        if let Err(TestError::Fail(reason, edits)) = found {
            let bytes = escape(&edit::all(&edits, &seed.bytes, &others));
            panic!("{}: {reason}\nthe seed's line: {}-changed {bytes}", seed.name, seed.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_read_as_they_are_written() {
        let bytes: Vec<u8> = (0..=255).chain(*b"\\x41").collect();
        let text = format!("# a comment\n\nall {}\nnone \n", escape(&bytes));
        let read = seeds(&text);
        assert_eq!(read[0], Seed { name: "all".to_owned(), bytes });
        assert_eq!(read[1], Seed { name: "none".to_owned(), bytes: Vec::new() });
    }

    #[test]
    #[should_panic(expected = "a-changed ")]
    fn what_a_change_brings_to_light_is_told_as_a_line() {
        short_run(&seeds("a 0000000000\nb 1111"), 300, |bytes| {
            assert!(!bytes.contains(&b'1') || bytes[0] == b'1')
        });
    }

    #[test]
    fn every_run_is_the_same() {
        let run = || {
            let seen = std::cell::RefCell::new(Vec::new());
            short_run(&seeds("a 0123456789\nb "), 50, |bytes| seen.borrow_mut().push(bytes.to_vec()));
            seen.into_inner()
        };
        let first = run();
        assert_eq!(first, run());
        assert_eq!(first.len(), 2 * 51);
    }
}
