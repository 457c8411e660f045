//! Colours of CSS Color Level 4 that the parser does not know, as it knows them: `color()` of the predefined spaces, `lab()`,
//! `lch()`, `oklab()`, `oklch()`, and `rgb()`, `hsl()`, `hwb()` in all their spellings. What sRGB cannot show is clipped channel by
//! channel, as browsers do for a display that shows no more.

/// Numbers, matrices and curves are those of the specification's sample code.
type Matrix = [[f64; 3]; 3];

/// A space whose channels are those of a display.
struct Space {
    name: &'static str,
    to_xyz: Matrix,
    linear: fn(f64) -> f64,
    /// Whether its white is D50.
    warm: bool,
}

const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
const SRGB: Matrix = [
    [0.41239079926595934, 0.357584339383878, 0.1804807884018343],
    [0.21263900587151027, 0.715168678767756, 0.07219231536073371],
    [0.01933081871559182, 0.11919477979462598, 0.9505321522496607],
];
const DISPLAY_P3: Matrix = [
    [0.4865709486482162, 0.26566769316909306, 0.1982172852343625],
    [0.2289745640697488, 0.6917385218365064, 0.079286914093745],
    [0.0, 0.04511338185890264, 1.043944368900976],
];
static SPACES: [Space; 10] = [
    Space { name: "srgb", to_xyz: SRGB, linear: srgb_linear, warm: false },
    Space { name: "srgb-linear", to_xyz: SRGB, linear: |value| value, warm: false },
    Space { name: "display-p3", to_xyz: DISPLAY_P3, linear: srgb_linear, warm: false },
    Space { name: "display-p3-linear", to_xyz: DISPLAY_P3, linear: |value| value, warm: false },
    Space {
        name: "a98-rgb",
        to_xyz: [
            [0.5766690429101305, 0.1855582379065463, 0.1882286462349947],
            [0.29734497525053605, 0.6273635662554661, 0.07529145849399788],
            [0.02703136138641234, 0.07068885253582723, 0.9913375368376388],
        ],
        linear: |value| value.signum() * value.abs().powf(563.0 / 256.0),
        warm: false,
    },
    Space {
        name: "prophoto-rgb",
        to_xyz: [
            [0.7977666449006423, 0.13518129740053308, 0.0313477341283922],
            [0.2880748288194013, 0.711835234241873, 0.00008993693872564],
            [0.0, 0.0, 0.8251046025104602],
        ],
        linear: prophoto_linear,
        warm: true,
    },
    Space {
        name: "rec2020",
        to_xyz: [
            [0.6369580483012914, 0.14461690358620832, 0.1688809751641721],
            [0.2627002120112671, 0.6779980715188708, 0.05930171646986196],
            [0.0, 0.028072693049087428, 1.060985057710791],
        ],
        linear: rec2020_linear,
        warm: false,
    },
    Space { name: "xyz", to_xyz: IDENTITY, linear: |value| value, warm: false },
    Space { name: "xyz-d65", to_xyz: IDENTITY, linear: |value| value, warm: false },
    Space { name: "xyz-d50", to_xyz: IDENTITY, linear: |value| value, warm: true },
];
const D50_TO_D65: Matrix = [
    [0.955473421488075, -0.02309845494876471, 0.06325924320057072],
    [-0.0283697093338637, 1.0099953980813041, 0.021041441191917323],
    [0.012314014864481998, -0.020507649298898964, 1.330365926242124],
];
const XYZ_TO_SRGB: Matrix = [
    [3.2409699419045213, -1.5373831775700935, -0.4986107602930033],
    [-0.9692436362808798, 1.8759675015077206, 0.04155505740717561],
    [0.05563007969699361, -0.20397695888897657, 1.0569715142428786],
];
/// The white of CIE Lab.
const D50: [f64; 3] = [0.3457 / 0.3585, 1.0, (1.0 - 0.3457 - 0.3585) / 0.3585];
const OKLAB_TO_LMS: Matrix = [
    [1.0, 0.3963377773761749, 0.2158037573099136],
    [1.0, -0.1055613458156586, -0.0638541728258133],
    [1.0, -0.0894841775298119, -1.2914855480194092],
];
const LMS_TO_XYZ: Matrix = [
    [1.2268798758459243, -0.5578149944602171, 0.2813910456659647],
    [-0.0405757452148008, 1.112286803280317, -0.0717110580655164],
    [-0.0763729366746601, -0.4214933324022432, 1.5869240198367816],
];

const XYZ_TO_LMS: Matrix = [
    [0.819022437996703, 0.3619062600528904, -0.1288737815209879],
    [0.0329836539323885, 0.9292868615863434, 0.0361446663506424],
    [0.0481771893596242, 0.2642395317527308, 0.6335478284694309],
];
const LMS_TO_OKLAB: Matrix = [
    [0.210454268309314, 0.7936177747023054, -0.0040720430116193],
    [1.9779985324311684, -2.42859224204858, 0.450593709617411],
    [0.0259040424655478, 0.7827717124575296, -0.8086757549230774],
];
/// Functions inside one another that are looked into.
const MAX_NESTED: usize = 8;

/// A colour: its channels in sRGB, which may be beyond 0 and 1, and its alpha.
#[derive(Clone, Copy, Debug)]
pub(super) struct Color {
    pub(super) channels: [f64; 3],
    pub(super) alpha: f64,
}

/// A colour as `#rrggbb` or `#rrggbbaa`; none for one that is not known here either.
pub(super) fn srgb(text: &str) -> Option<String> {
    let (name, arguments) = called(text)?;
    if name == "light-dark" {
        // Nobody has asked for the dark one.
        let light = super::syntax::listed(arguments).next()?.trim();
        if light.parse::<svgtypes::Color>().is_ok() {
            return Some(light.to_owned());
        }
    }
    function(&name, arguments, MAX_NESTED)?.written()
}

/// A colour of any kind that is known, with so many functions inside one another at most.
pub(super) fn read(text: &str, nested: usize) -> Option<Color> {
    if let Ok(color) = text.trim().parse::<svgtypes::Color>() {
        let part = |byte: u8| f64::from(byte) / 255.0;
        return Some(Color {
            channels: [color.red, color.green, color.blue].map(part),
            alpha: part(color.alpha),
        });
    }
    let (name, arguments) = called(text)?;
    function(&name, arguments, nested)
}

/// The name of a function, in lower case, and what stands between its brackets.
fn called(text: &str) -> Option<(String, &str)> {
    let (name, rest) = text.trim().split_once('(')?;
    Some((name.trim_end().to_ascii_lowercase(), rest.strip_suffix(')')?))
}

fn function(name: &str, arguments: &str, nested: usize) -> Option<Color> {
    match name {
        "light-dark" => read(super::syntax::listed(arguments).next()?, nested.checked_sub(1)?),
        "color-mix" => super::mix::mixed(arguments, nested.checked_sub(1)?),
        _ => plain(name, arguments),
    }
}

/// A function of numbers.
fn plain(name: &str, arguments: &str) -> Option<Color> {
    // With commas it is what CSS has had from its beginning, of which the parser knows all that it wants to.
    if arguments.contains('(') || name.starts_with("rgb") && arguments.contains(',') {
        return None;
    }
    let Arguments { space, channels: [first, second, third], alpha } = Arguments::of(name, arguments)?;
    let channels = match name {
        "color" => in_space(&space?, [first.in_all(1.0), second.in_all(1.0), third.in_all(1.0)])?,
        "rgb" | "rgba" => [first, second, third].map(|channel| channel.in_all(255.0) / 255.0),
        "hsl" | "hsla" => hsl(first.degrees()?, second.part(), third.part()),
        "hwb" => hwb(first.degrees()?, second.part(), third.part()),
        "lab" => lab([first.in_all(100.0), second.in_all(125.0), third.in_all(125.0)]),
        "lch" => lab(polar(first.in_all(100.0), second.in_all(150.0), third.degrees()?)),
        "oklab" => from_oklab([first.in_all(1.0), second.in_all(0.4), third.in_all(0.4)]),
        "oklch" => from_oklab(polar(first.in_all(1.0), second.in_all(0.4), third.degrees()?)),
        _ => return None,
    };
    let alpha = alpha.map_or(1.0, |alpha| alpha.in_all(1.0)).clamp(0.0, 1.0);
    Some(Color { channels, alpha })
}

impl Color {
    fn written(self) -> Option<String> {
        let Self { channels, alpha } = self;
        if !channels.iter().chain([&alpha]).all(|channel| channel.is_finite()) {
            return None;
        }
        let byte = |channel: f64| (channel.clamp(0.0, 1.0) * 255.0).round() as u8;
        let [red, green, blue] = channels.map(byte);
        Some(match byte(alpha) {
            255 => format!("#{red:02x}{green:02x}{blue:02x}"),
            alpha => format!("#{red:02x}{green:02x}{blue:02x}{alpha:02x}"),
        })
    }
}

/// What stands between the brackets.
struct Arguments {
    /// Of `color()`, in lower case.
    space: Option<String>,
    channels: [Number; 3],
    alpha: Option<Number>,
}

impl Arguments {
    fn of(function: &str, text: &str) -> Option<Self> {
        let (text, alpha) = match text.split_once('/') {
            Some((text, alpha)) => (text, Some(Number::of(alpha.trim())?)),
            None => (text, None),
        };
        let words = text.split(|letter: char| letter.is_ascii_whitespace() || letter == ',');
        let mut words = words.filter(|word| !word.is_empty());
        let space = if function == "color" { Some(words.next()?.to_ascii_lowercase()) } else { None };
        let mut number = || Number::of(words.next()?);
        let channels = [number()?, number()?, number()?];
        let alpha = match (alpha, words.next()) {
            (alpha, None) => alpha,
            // As it was before there was a slash.
            (None, Some(last)) if function != "color" => Some(Number::of(last)?),
            _ => return None,
        };
        words.next().is_none().then_some(Self { space, channels, alpha })
    }
}

#[derive(Clone, Copy)]
struct Number {
    value: f64,
    unit: Unit,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    None,
    Percent,
    /// What it is of a degree.
    Angle(f64),
}

impl Number {
    fn of(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        // A channel that is missing counts as none of it (section 4.4).
        if word == "none" {
            return Some(Self { value: 0.0, unit: Unit::None });
        }
        let units = [
            ("%", Unit::Percent),
            ("deg", Unit::Angle(1.0)),
            ("grad", Unit::Angle(0.9)),
            ("rad", Unit::Angle(180.0 / std::f64::consts::PI)),
            ("turn", Unit::Angle(360.0)),
        ];
        let found = units.into_iter().find_map(|(name, unit)| Some((word.strip_suffix(name)?, unit)));
        let (digits, unit) = found.unwrap_or((&word, Unit::None));
        let value: f64 = digits.parse().ok()?;
        let starts =
            digits.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '+' | '-'));
        (starts && value.is_finite()).then_some(Self { value, unit })
    }

    /// A number, or a percentage of `whole`.
    fn in_all(self, whole: f64) -> f64 {
        if self.unit == Unit::Percent { self.value / 100.0 * whole } else { self.value }
    }

    fn degrees(self) -> Option<f64> {
        match self.unit {
            Unit::None => Some(self.value),
            Unit::Angle(degrees) => Some(self.value * degrees),
            Unit::Percent => None,
        }
    }

    /// A percentage, with or without its sign, as a part of one.
    fn part(self) -> f64 {
        (self.value / 100.0).clamp(0.0, 1.0)
    }
}

fn times(matrix: &Matrix, vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(factor, value)| factor * value).sum())
}

fn in_space(name: &str, channels: [f64; 3]) -> Option<[f64; 3]> {
    let space = SPACES.iter().find(|space| space.name == name)?;
    if space.name == "srgb" {
        return Some(channels);
    }
    let xyz = times(&space.to_xyz, channels.map(space.linear));
    Some(from_xyz(if space.warm { times(&D50_TO_D65, xyz) } else { xyz }))
}

fn from_xyz(xyz: [f64; 3]) -> [f64; 3] {
    times(&XYZ_TO_SRGB, xyz).map(srgb_coded)
}

/// From linear light to what stands for it in sRGB.
pub(super) fn srgb_coded(value: f64) -> f64 {
    let part = value.abs();
    value.signum() * if part > 0.0031308 { 1.055 * part.powf(1.0 / 2.4) - 0.055 } else { 12.92 * part }
}

/// The linear light of sRGB.
pub(super) fn into_linear(color: [f64; 3]) -> [f64; 3] {
    color.map(srgb_linear)
}

fn srgb_linear(value: f64) -> f64 {
    let part = value.abs();
    value.signum() * if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
}

fn prophoto_linear(value: f64) -> f64 {
    let part = value.abs();
    value.signum() * if part <= 16.0 / 512.0 { part / 16.0 } else { part.powf(1.8) }
}

fn rec2020_linear(value: f64) -> f64 {
    const ALPHA: f64 = 1.09929682680944;
    const BETA: f64 = 0.018053968510807;
    let part = value.abs();
    value.signum()
        * if part < BETA * 4.5 { part / 4.5 } else { ((part + ALPHA - 1.0) / ALPHA).powf(1.0 / 0.45) }
}

fn polar(lightness: f64, chroma: f64, hue: f64) -> [f64; 3] {
    let (sine, cosine) = hue.to_radians().sin_cos();
    [lightness, chroma.max(0.0) * cosine, chroma.max(0.0) * sine]
}

fn lab([lightness, a, b]: [f64; 3]) -> [f64; 3] {
    const KAPPA: f64 = 24389.0 / 27.0;
    const EPSILON: f64 = 216.0 / 24389.0;
    let middle = (lightness.clamp(0.0, 100.0) + 16.0) / 116.0;
    let curve = |value: f64| {
        let cube = value.powi(3);
        if cube > EPSILON { cube } else { (116.0 * value - 16.0) / KAPPA }
    };
    let [x, y, z] = [middle + a / 500.0, middle, middle - b / 200.0].map(curve);
    from_xyz(times(&D50_TO_D65, [x * D50[0], y * D50[1], z * D50[2]]))
}

/// From sRGB to Oklab.
pub(super) fn into_oklab(color: [f64; 3]) -> [f64; 3] {
    let lms = times(&XYZ_TO_LMS, times(&SRGB, into_linear(color)));
    times(&LMS_TO_OKLAB, lms.map(f64::cbrt))
}

/// From Oklab to sRGB.
pub(super) fn from_oklab([lightness, a, b]: [f64; 3]) -> [f64; 3] {
    let lms = times(&OKLAB_TO_LMS, [lightness.clamp(0.0, 1.0), a, b]).map(|value| value.powi(3));
    from_xyz(times(&LMS_TO_XYZ, lms))
}

fn hsl(hue: f64, saturation: f64, lightness: f64) -> [f64; 3] {
    [0.0, 8.0, 4.0].map(|offset| {
        let place = (offset + hue.rem_euclid(360.0) / 30.0) % 12.0;
        let reach = saturation * lightness.min(1.0 - lightness);
        lightness - reach * (place - 3.0).min(9.0 - place).clamp(-1.0, 1.0)
    })
}

fn hwb(hue: f64, white: f64, black: f64) -> [f64; 3] {
    if white + black >= 1.0 {
        return [white / (white + black); 3];
    }
    hsl(hue, 1.0, 0.5).map(|channel| channel * (1.0 - white - black) + white)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_every_space_are_those_that_the_specification_says() {
        for (text, color) in [
            ("color(display-p3 1 0 0)", "#ff0000"),
            ("color(display-p3 1.0000 1.0000 1.0000)", "#ffffff"),
            ("color(display-p3 0.9176 0.2003 0.1386)", "#ff0000"),
            ("color(display-p3 0.502 0.502 0.502 / 50%)", "#80808080"),
            ("COLOR( Display-P3 50.2% 50.2% 50.2%/.5 )", "#80808080"),
            ("color(display-p3-linear 1 1 1)", "#ffffff"),
            ("color(srgb 1 0.5 none)", "#ff8000"),
            ("color(srgb-linear 0.214 0.214 0.214)", "#7f7f7f"),
            ("color(a98-rgb 0.281363 0.498012 0.116746)", "#008000"),
            ("color(prophoto-rgb 1 1 1)", "#ffffff"),
            ("color(prophoto-rgb 0.230479 0.395789 0.129968)", "#008000"),
            ("color(rec2020 0.235202 0.431704 0.085432)", "#008000"),
            ("color(xyz 0.07719 0.15438 0.02573)", "#008000"),
            ("color(xyz-d65 0.07719 0.15438 0.02573)", "#008000"),
            ("color(xyz-d50 0.08314 0.154747 0.020955)", "#008000"),
            ("lab(46.2775% -47.5621 48.5837)", "#008000"),
            ("lab(100% 0 0)", "#ffffff"),
            ("lch(46.2775% 67.9892 134.3912)", "#008000"),
            ("oklab(51.975% -0.1403 0.10768)", "#008000"),
            ("oklch(51.975% 0.17686 142.495)", "#008000"),
            ("oklch(0.51975 0.17686 142.495deg / 0)", "#00800000"),
            ("rgb(0 128 0 / 50%)", "#00800080"),
            ("rgb(0% 50% 0%)", "#008000"),
            ("rgb(none 128 none)", "#008000"),
            ("hsl(120deg none 50%)", "#808080"),
            ("hsl(0.3333333turn 100% 25.1%)", "#008000"),
            ("hwb(120 0% 49.8%)", "#008000"),
            ("light-dark(#123456, white)", "#123456"),
            ("light-dark(lab(100% 0 0), black)", "#ffffff"),
            ("light-dark(rgb(1, 2, 3), black)", "rgb(1, 2, 3)"),
        ] {
            assert_eq!(srgb(text).as_deref(), Some(color), "{text}");
        }
    }

    #[test]
    fn what_is_no_colour_stays_none() {
        for text in [
            "red",
            "#f00",
            "",
            "color(nonsense 1 0 0)",
            "color(display-p3 1 0)",
            "color(display-p3 1 0 0 0)",
            "color(display-p3 1 0 0",
            "color(display-p3 1 0 infinity)",
            "color(from red srgb r g b)",
            "rgb(calc(1) 2 3)",
            "rgb(1px 2 3)",
            "rgba(0, 50%, 0, 0.5)",
            "lch(50% 20 30%)",
            "var(--a)",
            "url(#a)",
        ] {
            assert_eq!(srgb(text), None, "{text}");
        }
    }
}
