//! `color-mix()` of two colours (CSS Color Level 5, section 3), in the spaces without a hue that drawings mix in.

use super::color::{Color, from_oklab, into_linear, into_oklab, read, srgb_coded};
use super::syntax::listed;

/// Where colours are mixed: from sRGB there, and back.
type Space = (fn([f64; 3]) -> [f64; 3], fn([f64; 3]) -> [f64; 3]);

/// What stands between the brackets, of which no colour has more than `nested` functions inside one another.
pub(super) fn mixed(arguments: &str, nested: usize) -> Option<Color> {
    let mut parts = listed(arguments);
    let (into, back) = space(parts.next()?)?;
    let ((one, first), (other, second)) = (part(parts.next()?, nested)?, part(parts.next()?, nested)?);
    if parts.next().is_some() {
        return None;
    }
    let (first, second) = match (first, second) {
        (None, None) => (0.5, 0.5),
        (Some(first), None) => (first, 1.0 - first),
        (None, Some(second)) => (1.0 - second, second),
        (Some(first), Some(second)) => (first, second),
    };
    let all = first + second;
    if all <= 0.0 {
        return None;
    }
    let (first, second) = (first / all * one.alpha, second / all * other.alpha);
    let alpha = first + second;
    let (from, to) = (into(one.channels), into(other.channels));
    let channel = |index: usize| (from[index] * first + to[index] * second) / alpha;
    let channels = if alpha > 0.0 { back([channel(0), channel(1), channel(2)]) } else { [0.0; 3] };
    Some(Color { channels, alpha: alpha * all.min(1.0) })
}

fn space(method: &str) -> Option<Space> {
    let mut words = method.split_ascii_whitespace().map(str::to_ascii_lowercase);
    let (first, name) = (words.next()?, words.next()?);
    if first != "in" || words.next().is_some() {
        return None;
    }
    let space: Space = match name.as_str() {
        "srgb" => (|color| color, |color| color),
        // What is mixed of light is the same whatever the primaries are.
        "srgb-linear" | "xyz" | "xyz-d65" => (into_linear, |light| light.map(srgb_coded)),
        "oklab" => (into_oklab, from_oklab),
        _ => return None,
    };
    Some(space)
}

/// A colour, and how much of it, before it or behind.
fn part(text: &str, nested: usize) -> Option<(Color, Option<f64>)> {
    let text = text.trim();
    let share = |word: &str| {
        word.strip_suffix('%')?.parse::<f64>().ok().filter(|share| (0.0..=100.0).contains(share))
    };
    let before = text.split_once(char::is_whitespace).and_then(|(word, rest)| Some((rest, share(word)?)));
    let behind = || text.rsplit_once(char::is_whitespace).and_then(|(rest, word)| Some((rest, share(word)?)));
    match before.or_else(behind) {
        Some((color, share)) => Some((read(color, nested)?, Some(share / 100.0))),
        None => Some((read(text, nested)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::color::srgb;

    #[test]
    fn colours_are_mixed_as_the_specification_says() {
        for (text, color) in [
            ("color-mix(in srgb, red, blue)", "#800080"),
            ("color-mix(in srgb, red 25%, blue)", "#4000bf"),
            ("COLOR-MIX(in sRGB,25% #f00 , blue)", "#4000bf"),
            ("color-mix(in srgb, red, 75% rgb(0, 0, 255))", "#4000bf"),
            ("color-mix(in srgb, white 30%, transparent)", "#ffffff4d"),
            ("color-mix(in srgb, red 20%, blue 20%)", "#80008066"),
            ("color-mix(in srgb, red 150%, blue)", ""),
            ("color-mix(in srgb, red 80%, blue 80%)", "#800080"),
            ("color-mix(in srgb, rgb(255 0 0 / 50%), blue)", "#5500aabf"),
            ("color-mix(in srgb, color-mix(in srgb, red, blue), white)", "#bf80bf"),
            ("color-mix(in srgb-linear, black, white)", "#bcbcbc"),
            ("color-mix(in xyz, black, white)", "#bcbcbc"),
            ("color-mix(in oklab, black, white)", "#636363"),
            ("color-mix(in oklab, #123456, #123456)", "#123456"),
            ("color-mix(in srgb, transparent, transparent)", "#00000000"),
            ("light-dark(color-mix(in srgb, red, blue), black)", "#800080"),
            ("color-mix(in hsl, red, blue)", ""),
            ("color-mix(in srgb, red)", ""),
            ("color-mix(in srgb, red, blue, green)", ""),
            ("color-mix(in srgb, red 0%, blue 0%)", ""),
            ("color-mix(in srgb, currentColor, blue)", ""),
            ("color-mix(red, blue)", ""),
        ] {
            assert_eq!(srgb(text).unwrap_or_default(), color, "{text}");
        }
        let deep = format!("{}red{}", "color-mix(in srgb, ".repeat(50), ", red)".repeat(50));
        assert_eq!(srgb(&deep), None);
    }
}
