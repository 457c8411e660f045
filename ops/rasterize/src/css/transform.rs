//! Transforms as CSS writes them (CSS Transforms Level 1, section 13), in numbers without units as attributes have them.

/// A list of transforms without units; none for one that is of three dimensions, or relative to a box.
pub(super) fn plain(value: &str) -> Option<String> {
    let mut all = Vec::new();
    let mut rest = value.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('(')?;
        let (arguments, behind) = behind.split_once(')')?;
        all.push(function(name.trim().trim_start_matches(',').trim(), arguments)?);
        rest = behind.trim_start();
    }
    (!all.is_empty()).then(|| all.join(" "))
}

fn function(name: &str, arguments: &str) -> Option<String> {
    let words = arguments.split(|letter: char| letter.is_ascii_whitespace() || letter == ',');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let lower = name.to_ascii_lowercase();
    let (name, read): (&str, fn(&str) -> Option<f64>) = match (lower.as_str(), words.len()) {
        ("matrix", 6) => ("matrix", number),
        ("translate", 1 | 2) => ("translate", length),
        ("translatex" | "translatey", 1) => ("translate", length),
        ("scale", 1 | 2) => ("scale", number),
        ("scalex" | "scaley", 1) => ("scale", number),
        ("rotate", 1) => ("rotate", angle),
        ("skewx", 1) => ("skewX", angle),
        ("skewy", 1) => ("skewY", angle),
        _ => return None,
    };
    let numbers: Vec<f64> = words.into_iter().map(read).collect::<Option<_>>()?;
    let numbers = match lower.as_str() {
        "translatey" => [&[0.0][..], &numbers[..]].concat(),
        "scalex" => [&numbers[..], &[1.0][..]].concat(),
        "scaley" => [&[1.0][..], &numbers[..]].concat(),
        _ => numbers,
    };
    let numbers: Vec<String> = numbers.into_iter().map(written).collect::<Option<_>>()?;
    Some(format!("{name}({})", numbers.join(" ")))
}

/// A number of a size that drawings have, without an exponent; none for any other, which could take hundreds of digits.
pub(super) fn written(number: f64) -> Option<String> {
    let usual = number == 0.0 || (1e-9..=1e9).contains(&number.abs());
    usual.then(|| number.to_string())
}

fn number(word: &str) -> Option<f64> {
    word.parse().ok().filter(|number: &f64| number.is_finite())
}

fn length(word: &str) -> Option<f64> {
    let lower = word.to_ascii_lowercase();
    number(lower.strip_suffix("px").unwrap_or(&lower))
}

fn angle(word: &str) -> Option<f64> {
    let lower = word.to_ascii_lowercase();
    let units = [("deg", 1.0), ("grad", 0.9), ("rad", 180.0 / std::f64::consts::PI), ("turn", 360.0)];
    let known =
        units.into_iter().find_map(|(unit, degrees)| Some(number(lower.strip_suffix(unit)?)? * degrees));
    known.or_else(|| number(&lower))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_lose_their_units_and_nothing_else() {
        for (value, spelled) in [
            ("rotate(45deg)", "rotate(45)"),
            ("rotate(0.25turn)", "rotate(90)"),
            ("rotate(100grad) scale(2)", "rotate(90) scale(2)"),
            ("translate(10px,-2.5px)", "translate(10 -2.5)"),
            ("translateX(10px) translateY( 5px )", "translate(10) translate(0 5)"),
            ("scaleX(2) scaleY(3), skewX(10deg)", "scale(2 1) scale(1 3) skewX(10)"),
            ("matrix(1,0,0,1,5,6)", "matrix(1 0 0 1 5 6)"),
        ] {
            assert_eq!(plain(value).as_deref(), Some(spelled), "{value}");
        }
        for value in [
            "",
            "none",
            "translate(50%, 0)",
            "rotate3d(1,1,1,45deg)",
            "rotate(a)",
            "scale(1 2 3)",
            "rotate(1",
        ] {
            assert_eq!(plain(value), None, "{value}");
        }
    }
}
