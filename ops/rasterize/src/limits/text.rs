//! A look at the text of a drawing before it is parsed: the parser compares each attribute of an element with all before it. The
//! host has looked closer at a drawing that comes as a source; one that is embedded in another has only this.

use imgserve_sdk::Error;

use super::within;

/// Most attributes of one element.
const MAX_ATTRIBUTES: u64 = 1000;
/// Most comparisons of attributes in all.
const MAX_PAIRS: u64 = 100_000_000;

/// Refuses elements of too many attributes, by the equals signs between one `<` and the next `>`.
///
/// # Errors
/// `limit-exceeded`.
pub(crate) fn check(text: &str) -> Result<(), Error> {
    let mut pairs = 0_u64;
    for piece in text.as_bytes().split(|byte| *byte == b'<').skip(1) {
        let mut quote = None;
        let mut signs = 0_u64;
        for &byte in piece {
            match (quote, byte) {
                (Some(open), byte) if open == byte => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, b'>') => break,
                (None, b'=') => signs += 1,
                (None, _) => {}
            }
        }
        pairs += signs * signs / 2;
        within("attributes in one element", signs, MAX_ATTRIBUTES)?;
        within("pairs of attributes in one element", pairs, MAX_PAIRS)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_counted_and_what_looks_like_them_is_not() {
        let element = |count| format!("<svg><rect {}/></svg>", "a='1' ".repeat(count));
        assert!(check(&element(1000)).is_ok());
        let refused = check(&element(100_000)).unwrap_err();
        assert_eq!(
            refused.message(),
            "the drawing has 100000 attributes in one element, at most 1000 are drawn"
        );
        assert!(check(&format!("<text>{}</text>", "= ".repeat(5000))).is_ok());
        assert!(check(&format!("<svg a='{}'>", "=".repeat(5000))).is_ok());
        assert!(check(&format!("<g {}/>", "a='1' ".repeat(900)).repeat(300)).is_err());
    }
}
