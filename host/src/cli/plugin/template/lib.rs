//! Operation `{{name}}`: blends an image towards a colour. Written to be changed into yours.

use imgserve_sdk::{
    Color, Description, Error, Frames, Host, InputKind, Operation, Output, PixelFormat, Plan,
    Source, SourceHeader,
};
use imgserve_sdk::{schemars::JsonSchema, serde::Deserialize, serde_json::json};

/// What a request may say in `args`. The comments become the published schema's descriptions.
#[derive(Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
struct Args {
    /// The colour, such as "#704214".
    color: Color,
    /// How much of it, from 0 (none) to 1 (nothing else).
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    amount: f32,
}

fn half() -> f32 {
    0.5
}

struct Tint;

impl Operation for Tint {
    type Args = Args;

    fn describe() -> Description {
        let summary = "Blends an image towards a colour.";
        let mut description =
            Description::new::<Args>(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), summary)
                .example("an old photograph", json!({ "color": "#704214" }))
                .example(
                    "a little cold",
                    json!({ "color": "#4080ff", "amount": 0.15 }),
                );
        // The host converts what the source has to the first of these that loses nothing, else to the last.
        description.input = InputKind::Pixels {
            formats: vec![PixelFormat::Rgb8, PixelFormat::Rgba8],
            frames: Frames::Each,
        };
        description
    }

    /// Called before the client is answered: what cannot be done is refused here, and no pixel is touched.
    fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
        if !(0.0..=1.0).contains(&args.amount) {
            return Err(Error::invalid_argument("amount", "must be from 0 to 1"));
        }
        Ok(Plan::new(source.width, source.height, source.pixels))
    }

    fn run(args: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
        let (mut image, _) = source.into_pixels()?;
        let tables = args.color.rgba().map(|to| blend_table(to, args.amount));
        let bytes = image.format().bytes_per_pixel();
        for pixel in image.data_mut().chunks_exact_mut(bytes) {
            // Red, green, blue; alpha, where there is one, is kept.
            for (sample, table) in pixel.iter_mut().zip(&tables[..3]) {
                *sample = table[usize::from(*sample)];
            }
        }
        Ok(Output::Pixels(image))
    }
}

/// What becomes of each of the 256 values of a sample: computed once, instead of for every pixel.
fn blend_table(to: u8, amount: f32) -> [u8; 256] {
    std::array::from_fn(|from| {
        let from = from as f32;
        (from + (f32::from(to) - from) * amount).round() as u8
    })
}

imgserve_sdk::export_operation!(Tint);

#[cfg(test)]
mod tests {
    use imgserve_sdk::testing::{self, TestHost, header};
    use imgserve_sdk::{ErrorKind, Image};

    use super::*;

    #[test]
    fn colours_move_half_of_the_way_and_alpha_stays() {
        let image = Image::new(1, 1, PixelFormat::Rgba8, vec![0, 100, 200, 7]).unwrap();
        let args = json!({ "color": "#ffff00" });
        let output = testing::run::<Tint>(&args, &image, &TestHost::default()).unwrap();
        let wanted = Image::new(1, 1, PixelFormat::Rgba8, vec![128, 178, 100, 7]).unwrap();
        assert_eq!(output, Output::Pixels(wanted));
    }

    #[test]
    fn an_impossible_amount_is_refused_by_name() {
        let args = json!({ "color": "white", "amount": 1.5 });
        let source = header(4, 4, PixelFormat::Rgb8);
        let error = testing::plan::<Tint>(&args, &source, &TestHost::default()).unwrap_err();
        assert_eq!(
            (error.kind(), error.argument()),
            (ErrorKind::InvalidArgument, Some("amount"))
        );
    }
}
