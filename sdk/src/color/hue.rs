//! Colours by their hue: `hsl()` and `hwb()` (CSS Color Module Level 4, sections 7 and 8).

use super::number;

/// An angle as a part of a whole turn: in degrees, or with its unit.
pub(super) fn turns(text: &str) -> Option<f64> {
    let units = [("deg", 360.0), ("grad", 400.0), ("rad", std::f64::consts::TAU), ("turn", 1.0)];
    let known = units.into_iter().find_map(|(unit, whole)| Some((text.strip_suffix(unit)?, whole)));
    let (digits, whole) = known.unwrap_or((text, 360.0));
    Some((number(digits)? / whole).rem_euclid(1.0))
}

/// Red, green and blue of a hue, a saturation and a lightness, all from 0 to 1.
pub(super) fn hsl(hue: f64, saturation: f64, lightness: f64) -> [f64; 3] {
    let reach = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset| {
        let place = (offset + hue * 12.0) % 12.0;
        lightness - reach * (place - 3.0).min(9.0 - place).clamp(-1.0, 1.0)
    })
}

/// Red, green and blue of a hue, a whiteness and a blackness, all from 0 to 1.
pub(super) fn hwb(hue: f64, white: f64, black: f64) -> [f64; 3] {
    let sum = white + black;
    if sum >= 1.0 { [white / sum; 3] } else { hsl(hue, 1.0, 0.5).map(|part| part * (1.0 - sum) + white) }
}
