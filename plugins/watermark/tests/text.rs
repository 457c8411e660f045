//! Where `watermark` writes, in which colour, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::testing::{self, TestHost};
use imgserve_sdk::{Error, ErrorKind, Image, Operation, Output, PixelFormat};
use watermark::Watermark;

fn run_with(host: &TestHost, args: &Value, image: &Image) -> Result<Image, Error> {
    match testing::run::<Watermark>(args, image, host)? {
        Output::Pixels(image) => Ok(image),
        other => panic!("{other:?}"),
    }
}

fn run(args: &Value, image: &Image) -> Image {
    run_with(&TestHost::default(), args, image).unwrap()
}

fn plain(width: u32, height: u32, format: PixelFormat, pixel: &[u8]) -> Image {
    Image::new(width, height, format, pixel.repeat((width * height) as usize)).unwrap()
}

fn black(width: u32, height: u32) -> Image {
    plain(width, height, PixelFormat::Rgb8, &[0; 3])
}

/// Left, top, right and bottom of what is not black in an rgb8 image.
fn ink(image: &Image) -> Option<[u32; 4]> {
    let places = image.data().chunks_exact(3).enumerate().filter(|(_, pixel)| pixel.iter().any(|&s| s > 0));
    let places = places.map(|(at, _)| (at as u32 % image.width(), at as u32 / image.width()));
    places.fold(None, |found: Option<[u32; 4]>, (x, y)| {
        let [left, top, right, bottom] = found.unwrap_or([x, y, x, y]);
        Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
    })
}

#[test]
fn the_text_stands_where_it_is_asked() {
    for (position, column, row) in [
        ("northwest", 0, 0),
        ("north", 1, 0),
        ("northeast", 2, 0),
        ("west", 0, 1),
        ("center", 1, 1),
        ("east", 2, 1),
        ("southwest", 0, 2),
        ("south", 1, 2),
        ("southeast", 2, 2),
    ] {
        let args = json!({ "text": "HI", "position": position, "size": 0.1, "margin": 0.05 });
        let [left, top, right, bottom] = ink(&run(&args, &black(300, 300))).unwrap();
        assert_eq!(((left + right) / 2 / 100, (top + bottom) / 2 / 100), (column, row), "{position}");
        // The margin is 15 pixels, the line 30 high; letters fill neither their line nor their advance.
        let distance = [left, 299 - right][usize::from(column == 2)];
        assert!(column == 1 || (14..=20).contains(&distance), "{position}: {distance}");
        let distance = [top, 299 - bottom][usize::from(row == 2)];
        assert!(row == 1 || (14..=26).contains(&distance), "{position}: {distance}");
    }
    let default = run(&json!({ "text": "HI" }), &black(300, 300));
    assert_eq!(default, run(&json!({ "text": "HI", "position": "southeast" }), &black(300, 300)));
}

#[test]
fn size_is_a_share_of_the_height_and_a_long_text_is_made_to_fit() {
    let height = |args: &Value| {
        let [_, top, _, bottom] = ink(&run(args, &black(800, 400))).unwrap();
        bottom - top + 1
    };
    let (small, large) = (
        height(&json!({ "text": "H", "size": 0.1, "opacity": 1 })),
        height(&json!({ "text": "H", "size": 0.2, "opacity": 1 })),
    );
    assert!((23..=27).contains(&small) && large.abs_diff(2 * small) <= 1, "{small} {large}");
    let long = "a text of some length ".repeat(9);
    let [left, _, right, _] = ink(&run(&json!({ "text": long, "size": 0.5 }), &black(400, 100))).unwrap();
    assert!(left >= 2 && right <= 397 && right - left > 350, "{left} {right}");
}

#[test]
fn colour_and_opacity_are_blended_alpha_correctly() {
    // In the middle of a huge "■" every pixel is covered.
    let args = |opacity: f64| json!({ "text": "\u{25a0}", "size": 1, "margin": 0, "position": "center", "color": "#ff0000", "opacity": opacity });
    let middle = |image: &Image| {
        let step = image.format().bytes_per_pixel();
        image.data()[(60 * 120 + 60) * step..][..step].to_vec()
    };
    let blue = plain(120, 120, PixelFormat::Rgb8, &[0, 0, 200]);
    assert_eq!(middle(&run(&args(1.0), &blue)), [255, 0, 0]);
    assert_eq!(middle(&run(&args(0.5), &blue)), [128, 0, 100]);
    assert_eq!(run(&args(0.0), &blue), blue);
    // Over nothing, the colour is the text's alone; over half, it is mixed by both alphas.
    let nothing = plain(120, 120, PixelFormat::Rgba8, &[0, 255, 0, 0]);
    assert_eq!(middle(&run(&args(0.5), &nothing)), [255, 0, 0, 128]);
    let half = plain(120, 120, PixelFormat::Rgba8, &[0, 0, 200, 128]);
    // Alpha: 128 + 128 × 127/255 = 191.75; red: 255 × 128 / 191.75; blue: 200 × 63.75 / 191.75.
    assert_eq!(middle(&run(&args(0.5), &half)), [170, 0, 66, 192]);
    assert_eq!(run(&args(0.0), &half), half);
}

#[test]
fn tiles_are_everywhere() {
    let args = json!({ "text": "TILE", "tile": true, "size": 0.05 });
    let tiled = run(&args, &black(600, 400));
    let inked = |column: u32, row: u32| {
        (0..100 * 100).any(|at| {
            let (x, y) = (column * 100 + at % 100, row * 100 + at / 100);
            tiled.data()[(y * 600 + x) as usize * 3] > 0
        })
    };
    assert!((0..4).all(|row| (0..6).all(|column| inked(column, row))));
    let once = run(&json!({ "text": "TILE", "size": 0.05 }), &black(600, 400));
    let [left, top, ..] = ink(&once).unwrap();
    assert!(left > 500 && top > 350, "one text is in its corner alone");
}

#[test]
fn images_smaller_than_any_letter_are_written_on_all_the_same() {
    for (width, height) in [(1, 1), (1, 90), (90, 1), (3, 2)] {
        for tile in [false, true] {
            let args = json!({ "text": "WWW", "size": 1, "margin": 1, "tile": tile });
            let image = run(&args, &black(width, height));
            assert_eq!((image.width(), image.height()), (width, height));
        }
    }
    assert_eq!(ink(&run(&json!({ "text": " " , "tile": true }), &black(90, 90))), None);
    // A mark without width, as close together as can be.
    run(&json!({ "text": "\u{200b}", "size": 0, "margin": 0, "tile": true }), &black(300, 300));
}

#[test]
fn the_operator_sets_what_a_request_leaves_out() {
    let host = TestHost::default().config(&json!({ "text": "OURS", "color": "#00ff00" }));
    let image = run_with(&host, &json!({}), &black(200, 200)).unwrap();
    assert!(image.data().chunks_exact(3).all(|pixel| pixel[0] == 0 && pixel[2] == 0));
    assert!(image.data().iter().any(|&sample| sample > 100));
    let own = json!({ "text": "MINE", "color": "#ff0000" });
    assert_eq!(run_with(&host, &own, &black(200, 200)).unwrap(), run(&own, &black(200, 200)));
    let host = TestHost::default().config(&json!({ "colour": "red" }));
    let error = run_with(&host, &own, &black(9, 9)).unwrap_err();
    assert!(error.kind() == ErrorKind::Failed && error.message().contains("colour"), "{error}");
}

#[test]
fn refusals_are_typed() {
    let header = testing::header(640, 480, PixelFormat::Rgb8);
    for (args, kind, argument) in [
        (json!({}), ErrorKind::MissingArgument, "text"),
        (json!({ "text": 7 }), ErrorKind::WrongType, "text"),
        (json!({ "text": "" }), ErrorKind::InvalidArgument, "text"),
        (json!({ "text": "ä".repeat(201) }), ErrorKind::InvalidArgument, "text"),
        (json!({ "text": "two\nlines" }), ErrorKind::InvalidArgument, "text"),
        (json!({ "text": "x", "size": 1.5 }), ErrorKind::InvalidArgument, "size"),
        (json!({ "text": "x", "margin": -0.1 }), ErrorKind::InvalidArgument, "margin"),
        (json!({ "text": "x", "opacity": 2 }), ErrorKind::InvalidArgument, "opacity"),
        (json!({ "text": "x", "position": "left" }), ErrorKind::InvalidArgument, "position"),
        (json!({ "text": "x", "color": "mauve" }), ErrorKind::InvalidArgument, "color"),
    ] {
        let error = testing::plan::<Watermark>(&args, &header, &TestHost::default()).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (kind, Some(argument)), "{args}: {error}");
    }
    testing::plan::<Watermark>(&json!({ "text": "ä".repeat(200) }), &header, &TestHost::default()).unwrap();
}

#[test]
fn plans_keep_size_and_format() {
    for format in [PixelFormat::Rgb8, PixelFormat::Rgba8] {
        let header = testing::header(640, 480, format);
        for example in Watermark::describe().examples {
            let plan = testing::plan::<Watermark>(&example.arguments, &header, &TestHost::default()).unwrap();
            assert_eq!((plan.width, plan.height, plan.pixels), (640, 480, format));
        }
    }
}
