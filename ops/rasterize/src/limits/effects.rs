//! What a filter takes, primitive by primitive, by resvg's loops.

use imgserve_sdk::Error;
use resvg::tiny_skia::Transform;
use resvg::usvg::filter::{Filter, Kind, Primitive};

use super::area::Area;
use super::costs::filter::{
    AROUND, BLUR, COLOUR, COMPOSED, DIFFUSE_LIGHT, KERNEL, NEIGHBOUR, NOISE, SMALL_BLUR, SPECULAR_LIGHT,
    TILED,
};
use super::within;
use super::work::{Count, Sums};

/// The largest deviation of a blur in pixels; resvg's sums have 32 bits.
const MAX_BLUR: f32 = 1e6;
/// The most octaves of a turbulence. Each adds half of what the one before it does, the ninth less than colours have steps; and
/// resvg's coordinates have 32 bits, which are doubled each time.
const MAX_OCTAVES: u32 = 16;
/// The most primitives of one filter.
const MAX_PRIMITIVES: u64 = 500;

/// Adds what a filter on a layer takes, all at its end, and tells how many bytes it holds.
///
/// # Errors
/// `limit-exceeded`, with what was counted.
pub(super) fn filter(
    filter: &Filter,
    transform: Transform,
    layer: Area,
    sums: &mut Sums,
) -> Result<u64, Error> {
    let primitives = filter.primitives();
    within("primitives in one filter", primitives.len() as u64, MAX_PRIMITIVES)?;
    let Some(region) =
        Area::of_solid(filter.rect(), transform).and_then(|region| region.grown(1.0).within(layer))
    else {
        return Ok(0);
    };
    let pixels = region.pixels();
    for primitive in primitives {
        self::primitive(primitive, transform, region, sums)?;
    }
    // Each result is held to the end; three more while one is made.
    Ok((4.0 * pixels * (primitives.len() + 3) as f64) as u64)
}

fn primitive(
    primitive: &Primitive,
    transform: Transform,
    region: Area,
    sums: &mut Sums,
) -> Result<(), Error> {
    let (across, down) = transform.get_scale();
    let pixels = region.pixels();
    let (count, each) = match primitive.kind() {
        Kind::Morphology(of) => {
            let side = |radius: f32, length: f32| {
                f64::from(2.0 * radius.round().min(length) + 1.0).min(f64::from(length))
            };
            let width = side(of.radius_x().get() * across, region.width());
            let height = side(of.radius_y().get() * down, region.height());
            (Count::Morphology, NEIGHBOUR * width * height)
        }
        Kind::Turbulence(of) => {
            within("octaves in one turbulence", of.num_octaves().into(), MAX_OCTAVES.into())?;
            (Count::Turbulence, NOISE * f64::from(of.num_octaves()))
        }
        Kind::ConvolveMatrix(of) => {
            let matrix = of.matrix();
            (Count::Convolution, KERNEL * f64::from(matrix.columns()) * f64::from(matrix.rows()))
        }
        Kind::GaussianBlur(of) => {
            let blurred = blur(of.std_dev_x().get() * across, of.std_dev_y().get() * down)?;
            (Count::Blur, blurred)
        }
        Kind::DropShadow(of) => {
            let blurred = blur(of.std_dev_x().get() * across, of.std_dev_y().get() * down)?;
            (Count::Blur, blurred + 2.0 * COLOUR + 2.0 * COMPOSED)
        }
        Kind::DiffuseLighting(_) => (Count::Lighting, DIFFUSE_LIGHT),
        Kind::SpecularLighting(_) => (Count::Lighting, SPECULAR_LIGHT),
        Kind::Tile(_) => (Count::Filters, TILED),
        Kind::Merge(of) => (Count::Filters, (AROUND + COMPOSED) * of.inputs().len() as f64),
        Kind::ColorMatrix(_) | Kind::ComponentTransfer(_) | Kind::DisplacementMap(_) => {
            (Count::Filters, COLOUR)
        }
        Kind::Blend(_) | Kind::Composite(_) => (Count::Filters, 2.0 * COMPOSED),
        // What an image shows is drawn, and counted, like anything else.
        Kind::Image(_) | Kind::Flood(_) | Kind::Offset(_) => (Count::Filters, 0.0),
    };
    sums.add(count, pixels * (AROUND + each))
}

/// For a pixel of a blur with these deviations in pixels: a small one is another loop of resvg's, and the slower one.
fn blur(across: f32, down: f32) -> Result<f64, Error> {
    let deviation = across.max(down);
    within("pixels in the deviation of a blur", deviation as u64, MAX_BLUR as u64)?;
    Ok(if deviation < 2.0 { SMALL_BLUR } else { BLUR })
}
