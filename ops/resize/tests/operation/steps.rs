//! What is done to a picture beside scaling it: parts, turns, borders, effects, frames; each in its place in the order.

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::{ErrorKind, Image, PixelFormat, Rect, Window};

use crate::common::{header, image, pixel, plan, resize, resize_window};

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const WHITE: [u8; 3] = [255; 3];

/// Red, green, blue and white quarters, from left to right and top to bottom.
fn quarters(width: u32, height: u32) -> Image {
    image(width, height, PixelFormat::Rgb8, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => RED,
        (false, true) => GREEN,
        (true, false) => BLUE,
        (false, false) => WHITE,
    })
}

/// The colours in the middles of a picture's quarters.
fn seen(image: &Image) -> [[u8; 3]; 4] {
    let (width, height) = (image.width(), image.height());
    let at = |x: u32, y: u32| {
        let pixel = pixel(image, width * x / 4, height * y / 4);
        [pixel[0], *pixel.get(1).unwrap_or(&pixel[0]), *pixel.get(2).unwrap_or(&pixel[0])]
    };
    [at(1, 1), at(3, 1), at(1, 3), at(3, 3)]
}

fn size(image: &Image) -> (u32, u32) {
    (image.width(), image.height())
}

#[test]
fn a_part_is_cut_out_before_all_else_and_nothing_beside_it_shows() {
    let source = quarters(80, 60);
    let cut = resize(&json!({ "crop": [40, 0, 40, 30] }), &source);
    assert_eq!((size(&cut), seen(&cut)), ((40, 30), [GREEN; 4]));
    for crop in [json!(["50%", "50%", "50%", "50%"]), json!({ "x": "50%", "y": 30 }), json!("40,30,40,30")] {
        let cut = resize(&json!({ "crop": crop, "width": 10 }), &source);
        assert_eq!(size(&cut), (10, 8), "{crop}");
        assert!(cut.data().iter().all(|byte| *byte == 255), "{crop}: the neighbours show at an edge");
    }
    // Unscaled, the very pixels.
    let noise = image(40, 30, PixelFormat::Rgba8, |x, y| {
        [(x * 7) as u8, (y * 5) as u8, (x * y) as u8, (x + y) as u8]
    });
    let cut = resize(&json!({ "crop": [3, 5, 7, 9] }), &noise);
    for (y, x) in (0..9).flat_map(|y| (0..7).map(move |x| (y, x))) {
        assert_eq!(pixel(&cut, x, y), pixel(&noise, x + 3, y + 5));
    }
    let plain = resize(&json!({}), &noise);
    assert_eq!(plain, noise, "what is neither cut nor scaled stays what it is");
}

#[test]
fn of_a_part_no_more_is_decoded() {
    let source = header(4000, 3000, PixelFormat::Rgb8);
    let hint =
        plan(&json!({ "crop": [1000, 600, 800, 600], "width": 200, "height": 150 }), &source).unwrap().decode;
    assert_eq!(hint.min_scale, Some(0.25));
    assert_eq!(hint.region, Some(Rect { x: 1000.0, y: 600.0, width: 800.0, height: 600.0 }));
    let turned = json!({ "crop": [1000, 600, 800, 600], "width": 150, "height": 100, "rotate": 90, "gravity": "north" });
    let hint = plan(&turned, &source).unwrap().decode;
    // Of 600 × 800, 600 × 400 at the top are shown, which is the left of what is turned; and what the filter reaches.
    assert_eq!(hint.region, Some(Rect { x: 1000.0, y: 600.0, width: 412.0, height: 600.0 }));
    assert_eq!(hint.min_scale, Some(0.25));
    let plain = plan(&json!({ "width": 400 }), &source).unwrap().decode;
    assert_eq!((plain.min_scale, plain.region), (Some(0.1), None));
}

#[test]
fn turns_and_mirrors_come_before_the_size() {
    let source = quarters(80, 60);
    for (args, wanted, colours) in [
        (json!({ "rotate": 90 }), (60, 80), [BLUE, RED, WHITE, GREEN]),
        (json!({ "rotate": -270 }), (60, 80), [BLUE, RED, WHITE, GREEN]),
        (json!({ "rotate": 180 }), (80, 60), [WHITE, BLUE, GREEN, RED]),
        (json!({ "rotate": 270, "width": 30 }), (30, 40), [GREEN, WHITE, RED, BLUE]),
        (json!({ "rotate": 360 }), (80, 60), [RED, GREEN, BLUE, WHITE]),
        (json!({ "flip": "horizontal" }), (80, 60), [GREEN, RED, WHITE, BLUE]),
        (json!({ "flip": "vertical" }), (80, 60), [BLUE, WHITE, RED, GREEN]),
        (json!({ "flip": "both" }), (80, 60), [WHITE, BLUE, GREEN, RED]),
        (json!({ "rotate": 90, "flip": "horizontal" }), (60, 80), [RED, BLUE, GREEN, WHITE]),
    ] {
        let turned = resize(&args, &source);
        assert_eq!((size(&turned), seen(&turned)), (wanted, colours), "{args}");
    }
    // What gravity means is the picture as it then stands: the top of what is turned was the left.
    let top = resize(&json!({ "rotate": 90, "width": 20, "height": 10, "gravity": "north" }), &source);
    assert_eq!(seen(&top), [BLUE, RED, BLUE, RED]);
    let part = resize(
        &json!({ "crop": ["50%", 0, "50%", "100%"], "rotate": 90, "width": 20, "height": 10, "fit": "fill" }),
        &source,
    );
    assert_eq!(seen(&part), [WHITE, GREEN, WHITE, GREEN]);
}

#[test]
fn by_any_other_angle_the_corners_have_the_background() {
    let source = quarters(80, 80);
    let turned = resize(&json!({ "rotate": 45, "background": "rgb(10 20 30)" }), &source);
    assert_eq!((size(&turned), turned.format()), ((113, 113), PixelFormat::Rgb8));
    assert_eq!(pixel(&turned, 0, 0), [10, 20, 30]);
    // What was in the middle of the top left quarter is straight above the middle.
    for (x, y, colour) in [(56, 28, RED), (84, 56, GREEN), (28, 56, BLUE), (56, 84, WHITE)] {
        assert_eq!(pixel(&turned, x, y), colour, "at {x}, {y}");
    }
    let clear = resize(&json!({ "rotate": 45, "width": 50, "height": 50 }), &source);
    assert_eq!((clear.format(), pixel(&clear, 0, 0)), (PixelFormat::Rgba8, &[0, 0, 0, 0][..]));
    assert_eq!(pixel(&clear, 25, 13), [255, 0, 0, 255]);
    let gray = Image::new(40, 40, PixelFormat::Gray8, vec![9; 1600]).unwrap();
    assert_eq!(resize(&json!({ "rotate": 10, "background": "white" }), &gray).format(), PixelFormat::Gray8);
    // From a reduced decode, the same picture.
    let header = header(800, 800, PixelFormat::Rgb8);
    let window = Window { x: 0.0, y: 0.0, scale: 0.1 };
    let reduced = resize_window(
        &json!({ "rotate": 45, "width": 113, "background": "red" }),
        &header,
        source.as_ref(),
        window,
    );
    assert_eq!((size(&reduced), pixel(&reduced, 84, 56)), ((113, 113), &GREEN[..]));
}

#[test]
fn a_border_is_cut_off_and_the_size_is_what_was_planned() {
    // A red square of 20 on white, at (60, 10) of 100 × 50.
    let framed = |x: u32, y: u32| (60..80).contains(&x) && (10..30).contains(&y);
    let source = image(100, 50, PixelFormat::Rgb8, |x, y| if framed(x, y) { RED } else { WHITE });
    for (args, red) in [
        (json!({ "width": 20, "height": 20, "trim": true }), 400),
        (json!({ "width": 10, "height": 20, "fit": "fill", "trim": 5 }), 200),
        (json!({ "width": 40, "height": 40, "trim": true, "enlarge": "always" }), 1600),
        // Not enlarged: as much of the border stays as is needed.
        (json!({ "width": 40, "height": 40, "trim": true }), 400),
        (json!({ "width": 40, "height": 30, "fit": "contain", "trim": true }), 400),
        (json!({ "width": 20, "height": 20, "trim": true, "rotate": 90, "pad": 3 }), 400),
    ] {
        let result = resize(&args, &source);
        let found = (0..result.height()).flat_map(|y| (0..result.width()).map(move |x| (x, y)));
        let count = found
            .filter(|(x, y)| pixel(&result, *x, *y)[..3] == RED && pixel(&result, *x, *y).get(3) != Some(&0));
        assert_eq!(count.count(), red, "{args}");
    }
    let refused = |args: Value| {
        let error = plan(&args, &header(100, 50, PixelFormat::Rgb8)).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::InvalidArgument, Some("trim")), "{args}");
    };
    refused(json!({ "trim": true }));
    refused(json!({ "trim": true, "width": 10 }));
    refused(json!({ "trim": true, "width": 10, "height": 10, "fit": "inside" }));
    refused(json!({ "trim": true, "width": 10, "height": 10, "rotate": 10 }));
    refused(json!({ "trim": 300, "width": 10, "height": 10 }));
    let mut animation = header(100, 50, PixelFormat::Rgb8);
    animation.frames = Some(2);
    let args = json!({ "trim": true, "width": 10, "height": 10 });
    assert_eq!(plan(&args, &animation).unwrap_err().argument(), Some("trim"));
}

#[test]
fn what_is_interesting_is_kept() {
    let checks = |x: u32, y: u32| if (x / 4 + y / 4).is_multiple_of(2) { [240; 3] } else { [20; 3] };
    let wall = |left: u32, top: u32, width: u32, height: u32| {
        image(width, height, PixelFormat::Rgb8, |x, y| {
            let inside = (left..left + 80).contains(&x) && (top..top + 80).contains(&y);
            if inside { checks(x, y) } else { [128; 3] }
        })
    };
    let count =
        |image: &Image| image.data().chunks_exact(3).filter(|pixel| pixel[0].abs_diff(128) > 24).count();
    for (left, top, width, height) in [(20, 60, 600, 200), (500, 90, 600, 200), (60, 500, 200, 600)] {
        let source = wall(left, top, width, height);
        let smart = resize(&json!({ "width": 200, "height": 200, "gravity": "smart" }), &source);
        assert!(count(&smart) > 6300, "{} of the square at {left}, {top}", count(&smart));
        // The picture as it stands then.
        let turned =
            json!({ "width": 100, "height": 100, "gravity": "smart", "rotate": 90, "flip": "horizontal" });
        assert!(count(&resize(&turned, &source)) > 1200);
    }
    for format in [PixelFormat::Gray8, PixelFormat::Rgba16] {
        let step = format.bytes_per_pixel();
        let plain = wall(500, 90, 600, 200);
        let data = plain.data().chunks_exact(3).flat_map(|pixel| {
            let mut pixel = vec![pixel[0]; step];
            if step == 8 {
                pixel[6..].fill(255);
            }
            pixel
        });
        let source = Image::new(600, 200, format, data.collect()).unwrap();
        let smart = resize(&json!({ "width": 200, "height": 200, "gravity": "smart" }), &source);
        assert!(
            smart.data().chunks_exact(step).filter(|pixel| pixel[0].abs_diff(128) > 24).count() > 6300,
            "{format:?}"
        );
    }
    // An animation's pictures must not each be cropped elsewhere.
    let mut header = header(600, 200, PixelFormat::Rgb8);
    header.frames = Some(2);
    let args = json!({ "width": 200, "height": 200, "gravity": "smart" });
    let source = wall(500, 90, 600, 200);
    assert_eq!(count(&resize_window(&args, &header, source.as_ref(), Window::FULL)), 0, "the middle");
    let hint = plan(&args, &crate::common::header(6000, 2000, PixelFormat::Rgb8)).unwrap().decode;
    assert_eq!((hint.min_scale, hint.region), (Some(0.1), None), "all of it is looked at");
}

#[test]
fn a_point_of_the_picture_is_kept() {
    let source = image(300, 100, PixelFormat::Gray8, |x, _| [(x / 100) as u8]);
    let crop = |gravity: Value| resize(&json!({ "width": 100, "height": 100, "gravity": gravity }), &source);
    assert!(crop(json!([0.1, 0.5])).data().iter().all(|pixel| *pixel == 0));
    assert!(crop(json!([0.5, 0.5])).data().iter().all(|pixel| *pixel == 1));
    assert!(crop(json!("0.9,0.1")).data().iter().all(|pixel| *pixel == 2));
}

#[test]
fn pad_and_dpr_are_in_the_planned_size() {
    let source = quarters(80, 60);
    for (args, wanted) in [
        (json!({ "pad": 5 }), (90, 70)),
        (json!({ "width": 20, "height": 20, "pad": [1, 2, 3, 4] }), (26, 24)),
        (json!({ "width": 20, "height": 10, "dpr": 2, "pad": [1, 2] }), (48, 24)),
        (json!({ "width": 20, "dpr": 1.5 }), (30, 23)),
        (json!({ "width": 40, "dpr": 3 }), (80, 60)),
        (json!({ "width": 40, "dpr": 3, "enlarge": "always" }), (120, 90)),
        (json!({ "dpr": 2 }), (80, 60)),
    ] {
        assert_eq!(size(&resize(&args, &source)), wanted, "{args}");
    }
    let padded =
        resize(&json!({ "width": 20, "height": 20, "pad": [1, 2, 3, 4], "background": "orange" }), &source);
    let orange = [255, 165, 0];
    for (x, y) in [(0, 0), (3, 10), (24, 10), (12, 0), (12, 21), (25, 23)] {
        assert_eq!(pixel(&padded, x, y), orange, "{x}, {y}");
    }
    assert_eq!((pixel(&padded, 4, 1), pixel(&padded, 23, 20)), (&RED[..], &WHITE[..]));
    let framed = resize(&json!({ "width": 30, "height": 30, "fit": "contain", "pad": 5 }), &source);
    assert_eq!((size(&framed), framed.format()), ((40, 40), PixelFormat::Rgba8));
}

#[test]
fn effects_are_of_the_result() {
    let edge = image(80, 80, PixelFormat::Rgb8, |x, _| if x < 40 { [50; 3] } else { [200; 3] });
    let soft = resize(&json!({ "width": 40, "blur": 3, "filter": "bilinear" }), &edge);
    let row: Vec<u8> = (0..40).map(|x| pixel(&soft, x, 20)[0]).collect();
    assert!(row.is_sorted() && row[0] == 50 && row[39] == 200 && row[16] > 60 && row[23] < 190, "{row:?}");
    let clear = resize(&json!({ "sharpen": 1 }), &edge);
    assert!(
        pixel(&clear, 39, 20)[0] < 40 && pixel(&clear, 40, 20)[0] > 210 && pixel(&clear, 20, 20)[0] == 50
    );
    // Of the picture, and not of what is added around it.
    let padded = resize(&json!({ "width": 20, "blur": 5, "pad": 4, "background": "black" }), &edge);
    assert_eq!((pixel(&padded, 3, 10), pixel(&padded, 4, 10)[0] > 49), (&[0; 3][..], true));
}

#[test]
fn what_is_out_of_range_is_named() {
    for (args, argument) in [
        (json!({ "rotate": 361 }), "rotate"),
        (json!({ "flip": "sideways" }), "flip"),
        (json!({ "dpr": 0 }), "dpr"),
        (json!({ "dpr": 10, "width": 60_000 }), "width"),
        (json!({ "blur": -1 }), "blur"),
        (json!({ "sharpen": 11 }), "sharpen"),
        (json!({ "pad": 70_000 }), "pad"),
        (json!({ "pad": [1, 2, 3] }), "pad"),
        (json!({ "crop": [100, 0, 10, 10] }), "crop"),
        (json!({ "crop": "10,10" }), "crop"),
        (json!({ "trim": -1, "width": 1, "height": 1 }), "trim"),
    ] {
        let error = plan(&args, &header(100, 100, PixelFormat::Rgb8)).unwrap_err();
        assert_eq!(
            (error.kind(), error.argument()),
            (ErrorKind::InvalidArgument, Some(argument)),
            "{args}: {error}"
        );
    }
    let error = plan(&json!({ "pad": 40_000 }), &header(100, 100, PixelFormat::Rgb8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}
