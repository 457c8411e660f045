//! `calc()` of plain amounts (CSS Values Level 4, section 10): what it comes to, where that does not depend on what it is used for.

use std::borrow::Cow;

use super::transform::written;

/// Brackets inside one another that are looked into.
const MAX_NESTED: usize = 16;
const BEGINS: &str = "calc(";

/// Units that are parts of another, and those that stay what they are: name, what it is in, how much.
const UNITS: [(&str, &str, f64); 16] = [
    ("", "", 1.0),
    ("px", "px", 1.0),
    ("in", "px", 96.0),
    ("cm", "px", 96.0 / 2.54),
    ("mm", "px", 96.0 / 25.4),
    ("q", "px", 96.0 / 101.6),
    ("pt", "px", 4.0 / 3.0),
    ("pc", "px", 16.0),
    ("rem", "px", 16.0),
    ("em", "em", 1.0),
    ("ex", "ex", 1.0),
    ("%", "%", 1.0),
    ("deg", "deg", 1.0),
    ("grad", "deg", 0.9),
    ("rad", "deg", 180.0 / std::f64::consts::PI),
    ("turn", "deg", 360.0),
];

/// A value with the amounts that its sums come to in their places; none where one is no sum, or of different units.
pub(super) fn settled(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if !value.bytes().any(|byte| byte == b'(') {
        return Some(value);
    }
    // Names of functions are the same in any case; nothing of a value becomes shorter or longer.
    let lower = value.to_ascii_lowercase();
    let (mut text, mut at) = (String::new(), 0);
    while let Some(found) = lower[at..].find(BEGINS) {
        let start = at + found;
        let longer = lower[..start].ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '-');
        let mut reader = Reader { rest: &lower[start + BEGINS.len()..] };
        let amount = reader.sum(MAX_NESTED)?;
        let rest = reader.rest.trim_start().strip_prefix(')').filter(|_| !longer)?;
        text += &value[at..start];
        text += &written(amount.number)?;
        text += amount.unit;
        at = lower.len() - rest.len();
    }
    Some(if at == 0 { value } else { Cow::Owned(text + &value[at..]) })
}

#[derive(Clone, Copy)]
struct Amount {
    number: f64,
    unit: &'static str,
}

struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn sum(&mut self, nested: usize) -> Option<Amount> {
        let mut all = self.product(nested)?;
        loop {
            // Without spaces it is a sign.
            let rest = self.rest.trim_start();
            let sign = match rest.as_bytes() {
                [b'+', next, ..] if rest.len() < self.rest.len() && next.is_ascii_whitespace() => 1.0,
                [b'-', next, ..] if rest.len() < self.rest.len() && next.is_ascii_whitespace() => -1.0,
                _ => return Some(all),
            };
            self.rest = &rest[1..];
            let next = self.product(nested)?;
            all.number += sign * next.number;
            (all.unit == next.unit).then_some(())?;
        }
    }

    fn product(&mut self, nested: usize) -> Option<Amount> {
        let mut all = self.amount(nested)?;
        loop {
            let rest = self.rest.trim_start();
            let divides = match rest.as_bytes().first() {
                Some(b'*') => false,
                Some(b'/') => true,
                _ => return Some(all),
            };
            self.rest = &rest[1..];
            let next = self.amount(nested)?;
            all = match (divides, all.unit, next.unit) {
                (true, _, "") => Amount { number: all.number / next.number, ..all },
                (false, _, "") => Amount { number: all.number * next.number, ..all },
                (false, "", _) => Amount { number: all.number * next.number, ..next },
                _ => return None,
            };
        }
    }

    fn amount(&mut self, nested: usize) -> Option<Amount> {
        let rest = self.rest.trim_start();
        if let Some(inside) = rest.strip_prefix(BEGINS).or_else(|| rest.strip_prefix('(')) {
            self.rest = inside;
            let amount = self.sum(nested.checked_sub(1)?)?;
            self.rest = self.rest.trim_start().strip_prefix(')')?;
            return Some(amount);
        }
        let end = |text: &str, part: fn(char) -> bool| {
            text.find(|letter: char| !part(letter)).unwrap_or(text.len())
        };
        let signed = usize::from(rest.starts_with(['+', '-']));
        let digits = signed + end(&rest[signed..], |letter| letter.is_ascii_digit() || letter == '.');
        let unit = digits + end(&rest[digits..], |letter| letter.is_ascii_alphabetic() || letter == '%');
        let (_, unit_of, factor) = UNITS.into_iter().find(|(name, ..)| *name == &rest[digits..unit])?;
        let number: f64 = rest[..digits].parse().ok()?;
        self.rest = &rest[unit..];
        Some(Amount { number: number * factor, unit: unit_of })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_one_unit_come_to_an_amount() {
        for (value, amount) in [
            ("calc(1px + 2px)", "3px"),
            ("calc(1px + 2px * 3 - 4px / 2)", "5px"),
            ("calc((1px + 2px) * 3)", "9px"),
            ("CALC( 2 * (1PX - -0.5px) )", "3px"),
            ("calc(1in + 3pt)", "100px"),
            ("calc(1rem / 2)", "8px"),
            ("calc(1 / 4)", "0.25"),
            ("calc(100% / 8)", "12.5%"),
            ("calc(2 * 1.5em)", "3em"),
            ("calc(.5turn + 45deg)", "225deg"),
            ("calc(calc(1px * 2) + 1px)", "3px"),
            ("translate(calc(1px + 1px), 3px) rotate(calc(2 * 45deg))", "translate(2px, 3px) rotate(90deg)"),
            ("rgb(1, 2, 3)", "rgb(1, 2, 3)"),
            ("5px", "5px"),
        ] {
            assert_eq!(settled(value.into()).as_deref(), Some(amount), "{value}");
        }
    }

    #[test]
    fn what_is_no_sum_or_depends_on_more_is_none() {
        let deep = format!("calc({}1px{})", "(".repeat(100), ")".repeat(100));
        for value in [
            "calc(1px + 2%)",
            "calc(1px+2px)",
            "calc(1px + 2)",
            "calc(1px * 2px)",
            "calc(1 / 2px)",
            "calc(1px / 0)",
            "calc(1px",
            "calc()",
            "calc(1px 2px)",
            "calc(1vw)",
            "calc(max(1px, 2px))",
            "calc(é)",
            "-webkit-calc(1px + 2px)",
            &deep,
        ] {
            assert_eq!(settled(value.into()), None, "{value}");
        }
    }
}
