//! Whatever is asked for, what comes has the size and the pixel format that were planned, from a source that is decoded in full and
//! from as little of it as the plan allows.

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::{DecodeHint, Image, ImageRef, PixelFormat, Rect, SourceHeader, Window};
use proptest::prelude::*;

use crate::common::{header, image, plan, resize_window};

/// A value for some of the arguments.
fn arguments() -> impl Strategy<Value = Value> {
    let table = [
        ("width", json!([1, 2, 20, 77, 200])),
        ("height", json!([1, 3, 13, 50, 199])),
        ("fit", json!(["cover", "contain", "fill", "inside", "outside"])),
        ("gravity", json!(["smart", "north", "southeast", [0.2, 0.9], [1, 0]])),
        ("enlarge", json!(["refuse", "never", "always"])),
        ("crop", json!([["10%", "10%", "80%", "70%"], [0, 0, 1, 1], [3, 5, 40, 9], { "x": "50%" }])),
        ("rotate", json!([90, 180, 270, -90, 33.3, -7, 0.001])),
        ("flip", json!(["horizontal", "vertical", "both"])),
        ("dpr", json!([0.1, 0.5, 1.5, 2])),
        ("blur", json!([0.5, 40])),
        ("sharpen", json!([1])),
        ("pad", json!([3, [0, 1], [1, 2, 3, 4]])),
        ("trim", json!([true, 0, 255])),
        ("background", json!(["white", "red", "#12345678", "#777"])),
        ("linear", json!([true])),
        ("filter", json!(["nearest", "mitchell", "bilinear"])),
    ];
    let one = |(name, values): (&'static str, Value)| {
        (Just(name), prop::option::weighted(0.4, prop::sample::select(values.as_array().unwrap().clone())))
    };
    table.map(one).to_vec().prop_map(|chosen| {
        let chosen = chosen.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(chosen.collect())
    })
}

fn side() -> impl Strategy<Value = u32> {
    prop_oneof![Just(1), 1..=9u32, 1..=150u32]
}

/// A picture with a border of one colour.
fn framed(width: u32, height: u32, format: PixelFormat) -> Image {
    let frame = |x: u32, y: u32| x * 4 < width || y * 3 < height || x * 5 > width * 4;
    let bytes =
        |x, y| if frame(x, y) { [200; 8] } else { [(x * 7) as u8, (y * 5) as u8, 9, 255, 3, 80, 255, 255] };
    match format {
        PixelFormat::Gray8 => image(width, height, format, |x, y| [bytes(x, y)[0]]),
        PixelFormat::Rgb8 => image(width, height, format, |x, y| *bytes(x, y).first_chunk::<3>().unwrap()),
        PixelFormat::Rgba8 => image(width, height, format, |x, y| *bytes(x, y).first_chunk::<4>().unwrap()),
        PixelFormat::Rgba16 => image(width, height, format, bytes),
    }
}

/// What a host decodes of a source that is hinted so: blocks of `block` pixels, each side made `shrink` times smaller, as far as that
/// is allowed.
fn decoded(source: &Image, hint: &DecodeHint, shrink: u32, block: u32) -> (Image, Window) {
    let shrink = match hint.min_scale {
        Some(least) => [shrink, 4, 2].into_iter().find(|by| 1.0 / f64::from(*by) >= least).unwrap_or(1),
        None => 1,
    };
    let (width, height) = (source.width(), source.height());
    let whole = Rect { x: 0.0, y: 0.0, width: width.into(), height: height.into() };
    let region = hint.region.unwrap_or(whole);
    let blocks = |start: f64, length: f64, side: u32| {
        let first = (start as u32 / block * block).min(side - 1);
        let last = (((start + length).ceil() as u32).div_ceil(block) * block).clamp(first + 1, side);
        (first, last - first)
    };
    let (left, across) = blocks(region.x, region.width, width);
    let (top, down) = blocks(region.y, region.height, height);
    let pixel = |x: u32, y: u32| {
        let (x, y) = ((left + x * shrink).min(width - 1), (top + y * shrink).min(height - 1));
        crate::common::pixel(source, x, y).to_vec()
    };
    let (columns, rows) = (across.div_ceil(shrink), down.div_ceil(shrink));
    let data = (0..rows).flat_map(|y| (0..columns).flat_map(move |x| pixel(x, y))).collect();
    let window = Window { x: left.into(), y: top.into(), scale: 1.0 / f64::from(shrink) };
    (Image::new(columns, rows, source.format(), data).unwrap(), window)
}

/// Does what is asked for, if it can be planned; `resize_window` holds the result to its plan.
fn hold(args: &Value, header: &SourceHeader, source: ImageRef<'_>, window: Window) -> bool {
    let planned = plan(args, header).is_ok();
    if planned {
        resize_window(args, header, source, window);
    }
    planned
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_planned_is_what_comes(
        args in arguments(), width in side(), height in side(),
        format in prop::sample::select(PixelFormat::ALL.to_vec()),
        frames in prop::sample::select(vec![Some(1), Some(3), None]),
        shrink in prop::sample::select(vec![1, 2, 4, 8]), block in prop::sample::select(vec![1, 8, 16]),
    ) {
        let source = framed(width, height, format);
        let header = SourceHeader { frames, ..header(width, height, format) };
        if hold(&args, &header, source.as_ref(), Window::FULL) {
            let hint = plan(&args, &header).unwrap().decode;
            let (part, window) = decoded(&source, &hint, shrink, block);
            hold(&args, &header, part.as_ref(), window);
        }
    }
}

/// A border decides the shape of what is left, and so whether there are bars: the format must not follow.
#[test]
fn what_a_border_leaves_has_the_planned_format() {
    let mut tried = 0;
    for format in PixelFormat::ALL {
        let source = framed(60, 40, format);
        let header = header(60, 40, format);
        for (width, height) in [(30, 20), (20, 20), (8, 30), (100, 10), (90, 60), (1, 1)] {
            for (fit, enlarge) in
                [("contain", "never"), ("contain", "always"), ("cover", "always"), ("fill", "never")]
            {
                for background in ["transparent", "red", "#12345678"] {
                    let args = json!({
                        "width": width, "height": height, "fit": fit, "enlarge": enlarge, "trim": true, "background": background,
                    });
                    tried += usize::from(hold(&args, &header, source.as_ref(), Window::FULL));
                }
            }
        }
    }
    assert_eq!(tried, 4 * 6 * 4 * 3);
}
