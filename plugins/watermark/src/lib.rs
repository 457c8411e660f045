//! Text over a picture, once or all over it.
//!
//! # Layout
//! - here: arguments, the operator's configuration, where the text goes
//! - `text`: a line of text, set in DejaVu Sans Bold and painted on pixels

mod text;

use imgserve_sdk::{
    Color, Description, Error, ErrorKind, Frames, Host, InputKind, Operation, Output, PixelFormat, Plan,
    Source, SourceHeader,
};
use imgserve_sdk::{schemars::JsonSchema, serde::Deserialize, serde_json::json};

/// Arguments of `watermark`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// One line of 1 to 200 characters. May be absent if the operator has configured a text.
    #[schemars(length(min = 1, max = 200))]
    pub text: Option<String>,
    /// Height of the line as a share of the picture's height, 0 to 1 (default 0.06), at least 8 pixels. A text that
    /// would be wider than the picture is made smaller.
    #[serde(default = "percent::<6>")]
    #[schemars(range(min = 0, max = 1))]
    pub size: f64,
    /// Where the text stands.
    #[serde(default)]
    pub position: Position,
    /// Distance from the picture's edges as a share of its height, 0 to 1 (default 0.03); with `tile` also half the
    /// distance from one text to the next.
    #[serde(default = "percent::<3>")]
    #[schemars(range(min = 0, max = 1))]
    pub margin: f64,
    /// Colour of the text: `#rgb`, `#rgba`, `#rrggbb`, `#rrggbbaa`, `white` or `black`. Without it the operator's
    /// colour, else white.
    pub color: Option<Color>,
    /// How much of the picture the text hides: 0 is invisible, 1 hides all (default 0.5).
    #[serde(default = "percent::<50>")]
    #[schemars(range(min = 0, max = 1))]
    pub opacity: f64,
    /// Whether the text is repeated all over the picture, in rows from its position.
    #[serde(default)]
    pub tile: bool,
}

fn percent<const N: u8>() -> f64 {
    f64::from(N) / 100.0
}

/// Where the text stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "lowercase")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub enum Position {
    /// The top left corner.
    Northwest,
    /// The middle of the top edge.
    North,
    /// The top right corner.
    Northeast,
    /// The middle of the left edge.
    West,
    /// The middle.
    Center,
    /// The middle of the right edge.
    East,
    /// The bottom left corner.
    Southwest,
    /// The middle of the bottom edge.
    South,
    /// The bottom right corner. The default.
    #[default]
    Southeast,
}

/// The `config` table of the operation's section.
#[derive(Debug, Deserialize)]
#[serde(crate = "imgserve_sdk::serde", deny_unknown_fields)]
struct Config {
    /// The text of requests that have none.
    text: Option<String>,
    /// The colour of requests that have none.
    color: Option<Color>,
}

/// Writes text over a picture.
#[derive(Debug)]
pub struct Watermark;

impl Operation for Watermark {
    type Args = Args;

    fn describe() -> Description {
        let formats = vec![PixelFormat::Rgb8, PixelFormat::Rgba8];
        Description {
            input: InputKind::Pixels { formats, frames: Frames::Each },
            ..Description::new::<Args>("watermark", env!("CARGO_PKG_VERSION"), "Writes text over a picture.")
        }
        .example("a name in the corner", json!({ "text": "\u{a9} Ada Lovelace" }))
        .example("all over the picture", json!({ "text": "SAMPLE", "tile": true, "opacity": 0.25 }))
    }

    fn plan(args: &Args, source: &SourceHeader, host: &dyn Host) -> Result<Plan, Error> {
        for (name, value) in [("size", args.size), ("margin", args.margin), ("opacity", args.opacity)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::invalid_argument(name, format!("{value} is not from 0 to 1")));
            }
        }
        wording(args, host.parse_config()?)?;
        Ok(Plan::new(source.width, source.height, source.pixels))
    }

    fn run(args: &Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error> {
        let (text, mut color) = wording(args, host.parse_config()?)?;
        color.alpha = (f64::from(color.alpha) * args.opacity).round() as u8;
        let (mut image, _) = source.into_pixels()?;
        let (width, height) = (image.width() as f32, image.height() as f32);
        let (margin, size) = (height * args.margin as f32, (height * args.size as f32).max(SMALLEST));
        let (_, natural) = text::lay_out(&text, size);
        let size = size * ((width - 2.0 * margin).max(1.0) / natural).min(1.0);
        let (line, length) = text::lay_out(&text, size);
        let place = |free: f32, third: u8| margin + (free - 2.0 * margin) * f32::from(third) / 2.0;
        let (column, row) = (args.position as u8 % 3, args.position as u8 / 3);
        let (x, y) = (place(width - length, column), place(height - size, row));
        let (across, down) = ((length + 2.0 * margin).max(SMALLEST), (size + 2.0 * margin).max(SMALLEST));
        let around = |side: f32, step: f32| if args.tile { (side / step) as i32 + 1 } else { 0 };
        let (columns, rows) = (around(width, across), around(height, down));
        for (j, i) in (-rows..=rows).flat_map(|j| (-columns..=columns).map(move |i| (j, i))) {
            // Every other row is shifted by half a text.
            let (left, top) = (x + (i as f32 + (j & 1) as f32 / 2.0) * across, y + j as f32 * down);
            if left < width && left + length > 0.0 && top < height && top + size > 0.0 {
                text::paint(&mut image, &line, (left, top), color);
            }
        }
        Ok(Output::Pixels(image))
    }
}

imgserve_sdk::export_operation!(Watermark);

/// Lines lower than this many pixels cannot be read, and ever smaller texts would be tiled ever more often.
const SMALLEST: f32 = 8.0;

/// What to write, and in which colour.
fn wording(args: &Args, config: Config) -> Result<(String, Color), Error> {
    let missing = Error::new(ErrorKind::MissingArgument, "argument `text` is missing").about_argument("text");
    let text = args.text.clone().or(config.text).ok_or(missing)?;
    if !(1..=200).contains(&text.chars().count()) || text.contains(char::is_control) {
        return Err(Error::invalid_argument("text", "it is not one line of 1 to 200 characters"));
    }
    Ok((text, args.color.or(config.color).unwrap_or(Color::WHITE)))
}
