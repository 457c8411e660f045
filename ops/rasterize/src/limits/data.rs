//! Numbers in the attributes of a drawing: the points of an outline, and radii, which say how many curves an arc is made of.

/// The largest radius of an arc, and side of a view box, in its own units. kurbo makes an arc of a number of curves that grows
/// with the sixth root of its radius, which is millions for those that single precision knows.
pub(super) const MAX_RADIUS: f64 = 1e9;

/// About how many points an outline's data have: what begins like a number, two of them a point, and commands that are one with
/// a single number or without any. Data may be as long as a source, so each byte is looked at once and nothing is parsed.
pub(super) fn points(data: &str) -> u64 {
    let (mut numbers, mut commands) = (0_u64, 0_u64);
    let (mut inside, mut fraction) = (false, false);
    for byte in data.bytes() {
        match byte {
            b'0'..=b'9' => {
                numbers += u64::from(!inside);
                fraction &= inside;
                inside = true;
            }
            b'.' => {
                numbers += u64::from(!inside || fraction);
                (inside, fraction) = (true, true);
            }
            _ => {
                inside = false;
                commands += u64::from(matches!(byte | 0x20, b'h' | b'v' | b'z'));
            }
        }
    }
    numbers / 2 + commands
}

/// The largest number that stands in an attribute, whatever unit it has.
pub(super) fn largest(data: &str) -> f64 {
    // A dot alone is no number.
    numbers(data).map(|number| number.parse().unwrap_or(0.0)).fold(0.0, f64::max)
}

/// The largest number in the arcs of an outline's data.
pub(super) fn largest_radius(data: &str) -> f64 {
    let arcs = data.split(['A', 'a']).skip(1);
    let command = |letter: char| letter.is_ascii_alphabetic() && !matches!(letter, 'e' | 'E');
    arcs.map(|arc| largest(&arc[..arc.find(command).unwrap_or(arc.len())])).fold(0.0, f64::max)
}

/// The numbers of a text without their signs (SVG 2, section 9.3.9): they need nothing between them.
fn numbers(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let start = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.')?;
        let text = &rest[start..];
        let digits = |from: usize| text[from..].bytes().take_while(u8::is_ascii_digit).count();
        let mut end = digits(0);
        if text[end..].starts_with('.') {
            end += 1 + digits(end + 1);
        }
        if text[end..].starts_with(['e', 'E']) {
            let signed = usize::from(text[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + signed);
            end += if exponent > 0 { 1 + signed + exponent } else { 0 };
        }
        rest = &text[end..];
        Some(&text[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_about_as_many_as_there_are() {
        assert_eq!(points("M10 20L30,40-5-6z"), 3 + 1);
        assert_eq!(points("M0 0h10v10h-10z"), 2 + 4);
        assert_eq!(points(""), 0);
        assert_eq!(points(&"1 1 ".repeat(1000)), 1000);
        assert_eq!(points(&".5.5".repeat(1000)), 1000);
    }

    #[test]
    fn radii_are_found_however_they_are_written() {
        assert_eq!(largest("0 0 300 150"), 300.0);
        assert_eq!(largest("5e9mm"), 5e9);
        assert_eq!(largest("1em . é"), 1.0);
        assert_eq!(largest_radius("M1e38 1e38L-1e38 5"), 0.0);
        for huge in [
            "M0 0A1e38 1e38 0 0 0 1 1",
            "M0 0 a 1E+38,5 0 0 0 1-1z",
            "M0 0a5-1e38 0 0 0 1 1",
            "m0 0a5 5 0 001 1-.5e12 7",
        ] {
            assert!(largest_radius(huge) > MAX_RADIUS, "{huge}: {}", largest_radius(huge));
        }
        assert_eq!(largest_radius("M0 0a5.5.5 0 01-1-1A300-200 0 0 0 1 1"), 300.0);
    }
}
