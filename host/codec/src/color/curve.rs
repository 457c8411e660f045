//! A profile's curves of one channel (ICC.1:2022, sections 10.6 and 10.18).

use moxcms::ToneReprCurve;

use super::icc::{cut_off, fixed, half, number};

/// Most entries of a curve; 16-bit tables have 4096.
const MAX_ENTRIES: usize = 65_536;

/// From a number between 0 and 1 to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Curve {
    /// Entries at even steps, at least two.
    Table(Vec<f32>),
    /// Parameters of a function, as many as its kind has: 1, 3, 4, 5 or 7.
    Function(Vec<f32>),
}

impl Curve {
    pub(crate) fn gamma(exponent: f32) -> Self {
        Self::Function(vec![exponent])
    }

    pub(crate) fn table(entries: Vec<f32>) -> Self {
        Self::Table(entries)
    }

    /// The curve that `data` begins with, and its length in bytes.
    ///
    /// # Errors
    /// A text: what is wrong with it.
    pub(super) fn parse(data: &[u8]) -> Result<(Self, usize), String> {
        match data.get(..4) {
            Some(b"curv") => {
                let count = usize::try_from(number(data, 8)?).unwrap_or(usize::MAX);
                if count > MAX_ENTRIES {
                    return Err(format!("a curve has {count} entries, the limit is {MAX_ENTRIES}"));
                }
                let length = 12 + 2 * count;
                let words = data.get(12..length).ok_or_else(cut_off)?.as_chunks().0;
                let curve = match words {
                    [] => Self::gamma(1.0),
                    [exponent] => Self::gamma(f32::from(u16::from_be_bytes(*exponent)) / 256.0),
                    words => Self::Table(
                        words.iter().map(|&word| f32::from(u16::from_be_bytes(word)) / 65_535.0).collect(),
                    ),
                };
                Ok((curve, length))
            }
            Some(b"para") => {
                let count = match half(data, 8)? {
                    0 => 1,
                    1 => 3,
                    2 => 4,
                    3 => 5,
                    4 => 7,
                    kind => return Err(format!("a curve is of kind {kind}, and there are 0 to 4")),
                };
                let parameters =
                    (0..count).map(|index| fixed(data, 12 + 4 * index)).collect::<Result<_, _>>()?;
                Ok((Self::Function(parameters), 12 + 4 * count))
            }
            _ => Err("a curve is of no known type".to_owned()),
        }
    }

    /// Its value at `x`, both between 0 and 1.
    pub(crate) fn at(&self, x: f32) -> f32 {
        let x = x.clamp(0.0, 1.0);
        let y = match self {
            Self::Table(entries) => {
                let place = x * (entries.len() - 1) as f32;
                let index = (place as usize).min(entries.len() - 2);
                let (low, high) = (entries[index], entries[index + 1]);
                low + (high - low) * (place - index as f32)
            }
            Self::Function(parameters) => function(parameters, x),
        };
        // Of what is no number, such as a root of less than zero, nothing is left.
        if y.is_nan() { 0.0 } else { y.clamp(0.0, 1.0) }
    }
}

/// Table 68 of the standard.
fn function(parameters: &[f32], x: f32) -> f32 {
    let power = |g: f32, a: f32, b: f32| (a * x + b).max(0.0).powf(g);
    match *parameters {
        [g] => x.powf(g),
        [g, a, b] if a * x + b >= 0.0 => power(g, a, b),
        [_, _, _] => 0.0,
        [g, a, b, c] if a * x + b >= 0.0 => power(g, a, b) + c,
        [_, _, _, c] => c,
        [g, a, b, _, d] if x >= d => power(g, a, b),
        [_, _, _, c, _] => c * x,
        [g, a, b, _, d, e, _] if x >= d => power(g, a, b) + e,
        [_, _, _, c, _, _, f] => c * x + f,
        _ => x,
    }
}

impl From<&Curve> for ToneReprCurve {
    fn from(curve: &Curve) -> Self {
        match curve {
            Curve::Table(entries) => {
                Self::Lut(entries.iter().map(|entry| (entry * 65_535.0).round() as u16).collect())
            }
            Curve::Function(parameters) => Self::Parametric(parameters.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| ((value * 65_536.0).round() as i32).to_be_bytes()).collect()
    }

    #[test]
    fn a_curve_is_a_gamma_a_table_or_a_function() {
        let (gamma, length) = Curve::parse(b"curv\0\0\0\0\0\0\0\x01\x02\0..").unwrap();
        assert_eq!((gamma.at(0.5), length), (0.25, 14));
        let (none, length) = Curve::parse(b"curv\0\0\0\0\0\0\0\0").unwrap();
        assert_eq!((none.at(0.3), length), (0.3, 12));
        let (table, length) = Curve::parse(b"curv\0\0\0\0\0\0\0\x03\0\0\xFF\xFF\0\0").unwrap();
        assert_eq!((table.at(0.25), table.at(0.5), table.at(1.0), length), (0.5, 1.0, 0.0, 18));
        // sRGB's own, of kind 3.
        let srgb = [2.4, 1.0 / 1.055, 0.055 / 1.055, 1.0 / 12.92, 0.040_45];
        let (srgb, length) =
            Curve::parse(&[b"para\0\0\0\0\0\x03\0\0".as_slice(), &fixed(&srgb)].concat()).unwrap();
        assert!((srgb.at(0.5) - 0.214).abs() < 1e-3 && (srgb.at(0.02) - 0.00155).abs() < 1e-4);
        assert_eq!(length, 32);
    }

    #[test]
    fn a_broken_curve_is_said_to_be() {
        for broken in [
            &b"curv\0\0\0\0\xFF\xFF\xFF\xFF"[..],
            b"curv\0\0\0\0\0\0\0\x02\0\0",
            b"para\0\0\0\0\0\x07\0\0",
            b"para",
            b"",
            b"text",
        ] {
            assert!(Curve::parse(broken).is_err(), "{broken:?}");
        }
        assert_eq!(Curve::Function(vec![f32::NAN]).at(0.5), 0.0);
    }
}
