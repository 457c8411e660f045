//! Which media a style is for (Media Queries Level 4): a drawing is shown on a screen that is light, and as large as the drawing says
//! that it is itself; of what is not known here the answer is no.

use std::str::FromStr;

use imgserve_drawing::Shape;
use svgtypes::{Length, LengthUnit};

use super::syntax::listed;

/// What a drawing is shown on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    width: f64,
    height: f64,
}

impl Screen {
    /// For a drawing of this size; one that does not say it is as large as can be.
    pub(super) fn of(shape: &Shape) -> Self {
        let side = |side: Option<f64>| side.unwrap_or(f64::INFINITY);
        Self { width: side(shape.width), height: side(shape.height) }
    }

    /// Whether a list of media is for it.
    pub(super) fn is_meant(&self, list: &str) -> bool {
        // Words may stand on lines of their own.
        let plain =
            |query: &str| query.split_ascii_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
        list.trim().is_empty() || listed(list).any(|query| self.answers(&plain(query)))
    }

    /// Whether what is in an `@` rule that groups others is for it.
    pub(super) fn is_in(&self, name: &str, condition: &str) -> bool {
        match name.to_ascii_lowercase().as_str() {
            "media" => self.is_meant(condition),
            // What is asked for is left out piece by piece, where it is not known.
            "supports" => !condition.trim().to_ascii_lowercase().starts_with("not"),
            "layer" => true,
            _ => false,
        }
    }

    fn answers(&self, query: &str) -> bool {
        match query.strip_prefix("not ") {
            Some(query) => !self.answers(query),
            None => {
                let query = query.strip_prefix("only ").unwrap_or(query);
                query.split(" or ").any(|all| all.split(" and ").all(|one| self.has(one.trim())))
            }
        }
    }

    /// A kind of media, or one of its features.
    fn has(&self, one: &str) -> bool {
        let Some(feature) = one.strip_prefix('(').and_then(|one| one.strip_suffix(')')) else {
            return matches!(one, "all" | "screen");
        };
        let (name, value) = feature.split_once(':').unwrap_or((feature, ""));
        let value = value.trim();
        let pixels = || match Length::from_str(value) {
            Ok(Length { number, unit: LengthUnit::None | LengthUnit::Px }) => number,
            Ok(Length { number, unit: LengthUnit::Em }) => number * 16.0,
            _ => f64::NAN,
        };
        match (name.trim(), value) {
            ("prefers-color-scheme", value) => value == "light",
            ("color-gamut", value) => value == "srgb",
            ("color", "") => true,
            ("min-width", _) => self.width >= pixels(),
            ("max-width", _) => self.width <= pixels(),
            ("min-height", _) => self.height >= pixels(),
            ("max-height", _) => self.height <= pixels(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_is_on_a_light_screen_of_its_own_size() {
        let screen = Screen::of(&Shape { width: Some(300.0), height: None, unusual: false });
        for (list, meant) in [
            ("", true),
            ("all", true),
            ("SCREEN", true),
            ("print", false),
            ("print, screen", true),
            ("only screen and (min-width: 100px)", true),
            ("screen and (max-width:100px)", false),
            ("screen\n  and\t(min-width:100px)", true),
            ("(min-width: 20em)", false),
            ("(min-height: 10000px)", true),
            ("not print", true),
            ("not all", false),
            ("(prefers-color-scheme: dark)", false),
            ("(prefers-color-scheme:light)", true),
            ("(prefers-color-scheme: dark) or (color)", true),
            ("(color-gamut: p3)", false),
            ("(nonsense)", false),
            ("(min-width: thick)", false),
        ] {
            assert_eq!(screen.is_meant(list), meant, "{list}");
        }
        assert!(screen.is_in("LAYER", "base") && screen.is_in("supports", "(fill: red)"));
        assert!(!screen.is_in("supports", " not (fill: red)") && !screen.is_in("font-face", ""));
    }
}
