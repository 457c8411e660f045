//! Where `smartcrop` crops, how large the result is, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::testing::{self, TestHost};
use imgserve_sdk::{
    Error, ErrorKind, Frame, Image, Input, InputKind, Operation, Output, PixelFormat, SourceHeader, Window,
};
use smartcrop::Smartcrop;

fn image(width: u32, height: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Image {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Image::new(width, height, PixelFormat::Rgb8, places.flat_map(|(x, y)| pixel(x, y)).collect()).unwrap()
}

/// A gray wall with `pixel`'s colours in a square of `side` pixels around the place.
fn wall(size: (u32, u32), (left, top): (u32, u32), side: u32, pixel: impl Fn(u32, u32) -> [u8; 3]) -> Image {
    image(size.0, size.1, |x, y| {
        let inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
        if inside { pixel(x, y) } else { [128; 3] }
    })
}

fn checks(x: u32, y: u32) -> [u8; 3] {
    if (x / 4 + y / 4).is_multiple_of(2) { [240; 3] } else { [20; 3] }
}

fn run_all(
    args: &Value,
    header: &SourceHeader,
    images: &[&Image],
    window: Window,
    host: &TestHost,
) -> Result<Vec<Frame>, Error> {
    let frames: Vec<_> = images.iter().map(|image| (image.as_ref(), 40)).collect();
    match testing::run_input::<Smartcrop>(args, header, Input::Frames { frames: &frames, window }, host)? {
        Output::Frames(frames) => Ok(frames),
        other => panic!("{other:?}"),
    }
}

fn run(args: &Value, image: &Image) -> Image {
    let header = testing::header(image.width(), image.height(), image.format());
    run_all(args, &header, &[image], Window::FULL, &TestHost::default()).unwrap().remove(0).image
}

/// How many pixels differ from the wall.
fn seen(image: &Image) -> usize {
    image.data().chunks_exact(3).filter(|pixel| pixel.iter().any(|sample| sample.abs_diff(128) > 24)).count()
}

#[test]
fn the_crop_goes_where_the_edges_are() {
    for (size, place) in
        [((600, 200), (20, 60)), ((600, 200), (500, 90)), ((200, 600), (60, 30)), ((200, 600), (100, 500))]
    {
        let cropped = run(&json!({ "width": 200, "height": 200 }), &wall(size, place, 80, checks));
        assert_eq!((cropped.width(), cropped.height()), (200, 200));
        // As large as the crop, so every pixel of the square is there if the crop has all of it.
        assert!(seen(&cropped) >= 80 * 80 - 80, "{} of {size:?} at {place:?}", seen(&cropped));
    }
}

#[test]
fn skin_outweighs_grayish_texture_of_the_same_strength() {
    let texture = |x: u32, y: u32, low: [u8; 3], high: [u8; 3]| {
        if (x / 4 + y / 4).is_multiple_of(2) { low } else { high }
    };
    let source = image(600, 200, |x, y| match (x, y) {
        (40..120, 60..140) => texture(x, y, [120; 3], [165; 3]),
        (480..560, 60..140) => texture(x, y, [190, 137, 108], [227, 167, 131]),
        _ => [128; 3],
    });
    let cropped = run(&json!({ "width": 200, "height": 200 }), &source);
    let skin = cropped.data().chunks_exact(3).filter(|pixel| pixel[0] > pixel[2] + 40).count();
    assert!(skin >= 80 * 80 - 80, "{skin}");
}

#[test]
fn where_nothing_is_to_see_the_middle_is_kept() {
    // The wall is lighter to the right by one level every 20 pixels: too little to be of interest, enough to tell where.
    let source = image(400, 100, |x, _| [100 + (x / 20) as u8; 3]);
    let cropped = run(&json!({ "width": 100, "height": 100 }), &source);
    let (first, last) = (cropped.data()[0], cropped.data()[99 * 3]);
    assert!((106..=108).contains(&first) && (111..=113).contains(&last), "{first} {last}");
}

#[test]
fn tightness_frames_the_subject_closer_and_never_enlarges() {
    let source = wall((400, 400), (260, 120), 90, checks);
    let share = |tightness: f64, side: u32| {
        let args = json!({ "width": side, "height": side, "tightness": tightness });
        seen(&run(&args, &source)) as f64 / f64::from(side * side)
    };
    let (loose, tight) = (share(0.0, 100), share(0.5, 100));
    assert!((loose - 0.05).abs() < 0.01 && tight > 0.18, "{loose} {tight}");
    // The result needs 300 pixels of the source, so the crop cannot be tighter than three quarters.
    assert!(share(0.75, 300) < 0.0506 / 0.75 / 0.75 + 0.005, "{}", share(0.75, 300));
}

#[test]
fn a_source_of_the_results_size_is_returned_as_it_is() {
    let source = image(30, 20, |x, y| [(x * 8) as u8, (y * 12) as u8, (x * y % 256) as u8]);
    assert_eq!(run(&json!({ "width": 30, "height": 20 }), &source), source);
    let pixel = image(1, 1, |_, _| [1, 2, 3]);
    assert_eq!(run(&json!({ "width": 1, "height": 1 }), &pixel), pixel);
}

#[test]
fn thin_sources_and_results_have_their_sizes() {
    for (source, result) in
        [((3000, 1), (10, 1)), ((1, 3000), (1, 1)), ((500, 7), (3, 7)), ((301, 299), (301, 2))]
    {
        let source = image(source.0, source.1, |x, y| [(x % 251) as u8, (y % 13) as u8, 0]);
        let cropped = run(&json!({ "width": result.0, "height": result.1, "tightness": 0.75 }), &source);
        assert_eq!((cropped.width(), cropped.height()), result);
    }
}

#[test]
fn what_is_transparent_is_of_no_interest() {
    let checked = wall((600, 200), (500, 60), 80, checks);
    let pixels = checked.data().chunks_exact(3).enumerate();
    // All detail is in the transparent right half; a faint line is in the left.
    let data = pixels.flat_map(|(at, p)| match at as u32 % 600 {
        300.. => [p[0], p[1], p[2], 0],
        100..104 => [90, 90, 90, 255],
        _ => [p[0], p[1], p[2], 255],
    });
    let source = Image::new(600, 200, PixelFormat::Rgba8, data.collect()).unwrap();
    let cropped = run(&json!({ "width": 200, "height": 200 }), &source);
    assert_eq!(cropped.format(), PixelFormat::Rgba8);
    assert!(
        cropped.data().chunks_exact(4).all(|pixel| pixel[3] == 255),
        "the crop shows the transparent half"
    );
}

#[test]
fn a_scaled_decode_shows_the_same_part() {
    let full = wall((800, 300), (640, 100), 80, checks);
    let header = testing::header(800, 300, PixelFormat::Rgb8);
    let args = json!({ "width": 75, "height": 75 });
    assert_eq!(
        testing::plan::<Smartcrop>(&args, &header, &TestHost::default()).unwrap().decode.min_scale,
        Some(0.25)
    );
    // Half size by averaging, as a codec does it.
    let half = image(400, 150, |x, y| {
        let at = |x: u32, y: u32| u32::from(full.data()[(y * 800 + x) as usize * 3]);
        let (x, y) = (2 * x, 2 * y);
        [((at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1)) / 4) as u8; 3]
    });
    let window = Window { x: 0.0, y: 0.0, scale: 0.5 };
    let scaled = run_all(&args, &header, &[&half], window, &TestHost::default()).unwrap();
    let (from_half, from_full) = (&scaled[0].image, run(&args, &full));
    let difference: u64 =
        from_half.data().iter().zip(from_full.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    assert!(difference / (75 * 75 * 3) <= 4, "{difference}");
}

#[test]
fn an_animation_is_cropped_alike_in_all_frames() {
    let header = testing::header(300, 100, PixelFormat::Rgb8);
    let (left, right) = (wall((300, 100), (10, 20), 60, checks), wall((300, 100), (230, 20), 60, checks));
    let args = json!({ "width": 100, "height": 100 });
    let frames = run_all(&args, &header, &[&left, &right], Window::FULL, &TestHost::default()).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.delay_ms).collect::<Vec<_>>(), [40, 40]);
    assert!(seen(&frames[0].image) > 3000);
    assert_eq!(seen(&frames[1].image), 0, "the second frame was cropped at a place of its own");
    let error =
        run_all(&args, &header, &[&left], Window::FULL, &TestHost::default().cancelled()).unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Failed, "cancelled"));
    assert!(run_all(&args, &header, &[], Window::FULL, &TestHost::default()).is_err());
}

#[test]
fn refusals_are_typed() {
    let header = testing::header(640, 480, PixelFormat::Gray8);
    for (args, kind, argument) in [
        (json!({ "width": 0, "height": 10 }), ErrorKind::InvalidArgument, Some("width")),
        (json!({ "width": 10, "height": 65_536 }), ErrorKind::InvalidArgument, Some("height")),
        (
            json!({ "width": 10, "height": 10, "tightness": 0.8 }),
            ErrorKind::InvalidArgument,
            Some("tightness"),
        ),
        (
            json!({ "width": 10, "height": 10, "tightness": -1 }),
            ErrorKind::InvalidArgument,
            Some("tightness"),
        ),
        (json!({ "width": 10 }), ErrorKind::MissingArgument, Some("height")),
        (json!({ "width": "10", "height": 10 }), ErrorKind::WrongType, Some("width")),
        (json!({ "width": 641, "height": 10 }), ErrorKind::SourceTooSmall, None),
        (json!({ "width": 10, "height": 481 }), ErrorKind::SourceTooSmall, None),
    ] {
        let error = testing::plan::<Smartcrop>(&args, &header, &TestHost::default()).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (kind, argument), "{args}: {error}");
    }
}

#[test]
fn plans_are_of_the_asked_size_in_the_format_that_is_given() {
    let InputKind::Pixels { formats, .. } = Smartcrop::describe().input else { panic!("no pixels") };
    for format in formats {
        let header = testing::header(640, 480, format);
        for example in Smartcrop::describe().examples {
            let plan = testing::plan::<Smartcrop>(&example.arguments, &header, &TestHost::default()).unwrap();
            assert_eq!(Value::from(plan.width), example.arguments["width"]);
            assert_eq!(plan.pixels, format);
        }
    }
}
