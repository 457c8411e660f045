//! SVGs made from a seed, each of them heavy in one thing that drawings are made of.

use std::fmt::Write as _;

/// A drawing's name and text; all have a square view box of 1024.
pub fn drawings() -> Vec<(&'static str, String)> {
    vec![
        ("paths", wrapped(&paths(&mut Seed(1), 260))),
        ("gradients", wrapped(&gradients(&mut Seed(2), 90))),
        ("icons", wrapped(&icons(&mut Seed(3), 576))),
        ("text", wrapped(&text(&mut Seed(4), 120))),
        ("blur", wrapped(&blurs(&mut Seed(5), 14))),
    ]
}

fn wrapped(content: &str) -> String {
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="1024" height="1024" viewBox="0 0 1024 1024"><rect width="1024" height="1024" fill="#fdfaf3"/>{content}</svg>"##
    )
}

/// Numbers that are always the same (Marsaglia's xorshift).
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        // Small seeds begin with many zeros, which the first rounds would show.
        let mut bits = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        self.0 = bits;
        bits.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `low` to `high`.
    fn number(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn point(&mut self, (x, y): (f64, f64), reach: f64) -> (f64, f64) {
        (x + self.number(-reach, reach), y + self.number(-reach, reach))
    }

    fn color(&mut self) -> String {
        format!("#{:06x}", self.next() & 0xff_ffff)
    }
}

/// A closed outline of curves around a point.
fn outline(seed: &mut Seed, center: (f64, f64), reach: f64, curves: usize) -> String {
    let (x, y) = seed.point(center, reach);
    let mut path = format!("M{x:.1} {y:.1}");
    for _ in 0..curves {
        let [a, b, c] = [(); 3].map(|()| seed.point(center, reach));
        // Writing to a string cannot fail.
        let _ = write!(path, "C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}", a.0, a.1, b.0, b.1, c.0, c.1);
    }
    path + "z"
}

fn place(seed: &mut Seed) -> (f64, f64) {
    (seed.number(40.0, 984.0), seed.number(40.0, 984.0))
}

/// Like the tiger that every SVG library is shown with: outlines of many curves, filled and stroked.
fn paths(seed: &mut Seed, count: usize) -> String {
    (0..count).fold(String::new(), |mut svg, _| {
        let center = place(seed);
        let (reach, curves) = (seed.number(12.0, 130.0), 4 + (seed.next() % 14) as usize);
        let path = outline(seed, center, reach, curves);
        let (fill, stroke, width) = (seed.color(), seed.color(), seed.number(0.3, 3.0));
        let _ =
            write!(svg, r#"<path d="{path}" fill="{fill}" stroke="{stroke}" stroke-width="{width:.2}"/>"#);
        svg
    })
}

fn gradients(seed: &mut Seed, count: usize) -> String {
    (0..count).fold(String::new(), |mut svg, number| {
        let [one, two, three] = [(); 3].map(|()| seed.color());
        let stops = format!(
            r#"<stop offset="0" stop-color="{one}"/><stop offset=".6" stop-color="{two}"/><stop offset="1" stop-color="{three}" stop-opacity=".2"/>"#
        );
        let gradient = if number % 2 == 0 { "linearGradient" } else { "radialGradient" };
        let ((x, y), reach) = (place(seed), seed.number(40.0, 220.0));
        let _ = write!(
            svg,
            r#"<defs><{gradient} id="g{number}">{stops}</{gradient}></defs><ellipse cx="{x:.1}" cy="{y:.1}" rx="{reach:.1}" ry="{:.1}" fill="url(#g{number})" opacity=".8"/>"#,
            reach * 0.7
        );
        svg
    })
}

/// A page of small pictures of straight lines and circles, each drawn again and again.
fn icons(seed: &mut Seed, count: usize) -> String {
    let shapes = [
        "M3 3h18v18h-18zM7 7v10h10v-10z",
        "M12 2l3 7h7l-5.5 4.5 2 7.5-6.5-4.5-6.5 4.5 2-7.5-5.5-4.5h7z",
        "M4 12a8 8 0 1 0 16 0a8 8 0 1 0-16 0M12 7v5l4 2",
    ];
    let mut svg = String::from("<defs>");
    for (number, shape) in shapes.iter().enumerate() {
        let _ = write!(svg, r#"<path id="i{number}" d="{shape}" stroke-width="1.5" fill-rule="evenodd"/>"#);
    }
    svg += "</defs>";
    for number in 0..count {
        let (x, y) = (16 + number % 24 * 42, 16 + number / 24 * 42);
        let (fill, stroke) = (seed.color(), seed.color());
        let _ = write!(
            svg,
            r##"<use href="#i{}" transform="translate({x} {y}) scale(1.5)" fill="{fill}" stroke="{stroke}"/>"##,
            number % shapes.len()
        );
    }
    svg
}

fn text(seed: &mut Seed, count: usize) -> String {
    const WORDS: [&str; 8] =
        ["Thumbnail", "quality", "240 ms", "Quarter 3", "median", "Übersicht", "50 %", "server"];
    (0..count).fold(String::new(), |mut svg, number| {
        let (x, y) = (20 + number % 4 * 250, 40 + number / 4 * 33);
        let (size, color) = (seed.number(11.0, 26.0), seed.color());
        let word = |seed: &mut Seed| WORDS[seed.next() as usize % WORDS.len()];
        let (one, two) = (word(seed), word(seed));
        let _ = write!(
            svg,
            r#"<text x="{x}" y="{y}" font-family="DejaVu Sans" font-size="{size:.1}" fill="{color}">{one} {two}</text>"#
        );
        svg
    })
}

fn blurs(seed: &mut Seed, count: usize) -> String {
    (0..count).fold(String::new(), |mut svg, number| {
        let (center, deviation, reach) = (place(seed), seed.number(3.0, 24.0), seed.number(40.0, 160.0));
        let (path, color) = (outline(seed, center, reach, 5), seed.color());
        let _ = write!(
            svg,
            r#"<filter id="b{number}" x="-.5" y="-.5" width="2" height="2"><feGaussianBlur stdDeviation="{deviation:.1}"/></filter><path d="{path}" fill="{color}" filter="url(#b{number})"/>"#
        );
        svg
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawings_are_the_same_every_time_and_hold_what_they_are_named_for() {
        let all = drawings();
        assert_eq!(all, drawings());
        let count = |name: &str, what: &str| {
            all.iter().find(|(known, _)| *known == name).unwrap().1.matches(what).count()
        };
        assert_eq!(count("paths", "<path"), 260);
        assert_eq!(count("gradients", "url(#g"), 90);
        assert_eq!(count("icons", "<use"), 576);
        assert_eq!(count("text", "<text"), 120);
        assert_eq!(count("blur", "url(#b"), 14);
    }
}
