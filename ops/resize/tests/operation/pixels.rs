//! What the pixels of a result are, for sources whose result is known beforehand. Tolerances are in steps of an
//! 8-bit channel.

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::{Image, ImageRef, PixelFormat, Window};

use crate::common::{header, image, pixel, plan, resize, resize_window};

const FILTERS: [&str; 7] =
    ["nearest", "bilinear", "hamming", "catmull-rom", "mitchell", "gaussian", "lanczos3"];

fn flat(format: PixelFormat, pixel: &[u8]) -> Image {
    Image::new(61, 43, format, pixel.repeat(61 * 43)).unwrap()
}

#[test]
fn a_flat_colour_stays_exactly_flat() {
    let colours: [(PixelFormat, &[u8]); 6] = [
        (PixelFormat::Gray8, &[77]),
        (PixelFormat::Rgb8, &[1, 128, 254]),
        (PixelFormat::Rgba8, &[1, 128, 254, 255]),
        (PixelFormat::Rgba8, &[0, 0, 0, 0]),
        (PixelFormat::Rgba16, &[1, 2, 3, 128, 253, 254, 255, 255]),
        (PixelFormat::Rgba16, &[255, 255, 0, 0, 255, 255, 0, 0x80]),
    ];
    for (format, colour) in colours {
        for filter in FILTERS {
            for fit in ["cover", "fill", "inside", "outside"] {
                let args = json!({ "width": 20, "height": 17, "fit": fit, "filter": filter });
                let result = resize(&args, &flat(format, colour));
                assert!(result.data().chunks(colour.len()).all(|p| p == colour), "{format:?} {args}");
            }
        }
    }
}

#[test]
fn sixteen_bit_pixels_at_an_odd_address_are_resampled_too() {
    let bytes: Vec<u8> = (0..128_usize).map(|at| (at * 83 % 251) as u8).collect();
    let mut moved = [0; 1 + 128];
    // Wherever the two begin, one of them is odd.
    let results = [0, 1].map(|start| {
        moved[start..][..128].copy_from_slice(&bytes);
        let image = ImageRef::new(4, 4, PixelFormat::Rgba16, &moved[start..][..128]).unwrap();
        let header = header(4, 4, PixelFormat::Rgba16);
        resize_window(&json!({ "width": 2, "height": 2 }), &header, image, Window::FULL)
    });
    assert_eq!(results[0].data(), results[1].data());
}

#[test]
fn a_flat_translucent_colour_stays_flat_and_within_what_its_alpha_can_hold() {
    let result = resize(&json!({ "width": 20, "height": 17 }), &flat(PixelFormat::Rgba8, &[200, 100, 0, 64]));
    assert!(result.data().chunks(4).all(|p| p == pixel(&result, 0, 0)));
    // A colour multiplied by an alpha of 64 keeps 6 bits, so it comes back within 2 steps.
    assert!(pixel(&result, 0, 0).iter().zip([200u8, 100, 0, 64]).all(|(&a, b)| a.abs_diff(b) <= 2));
}

#[test]
fn what_is_transparent_colours_nothing_beside_it() {
    // Opaque white beside invisible black: every pixel that shows at all must show white.
    let source = image(64, 16, PixelFormat::Rgba8, |x, _| if x < 31 { [255; 4] } else { [0; 4] });
    let deep = image(64, 16, PixelFormat::Rgba16, |x, _| if x < 31 { [255; 8] } else { [0; 8] });
    for filter in FILTERS {
        let args = json!({ "width": 16, "height": 16, "fit": "fill", "filter": filter });
        let result = resize(&args, &source);
        let visible = result.data().chunks(4).filter(|p| p[3] > 0).count();
        assert!((100..=9 * 16).contains(&visible), "{filter}: {visible}");
        for p in result.data().chunks(4).filter(|p| p[3] > 2) {
            assert!(p[..3].iter().all(|&channel| channel >= 252), "{filter}: a dark fringe, {p:?}");
        }
        for p in resize(&args, &deep).data().chunks(8).filter(|p| p[7] > 0) {
            assert!([p[1], p[3], p[5]].iter().all(|&high| high == 255), "{filter}: a dark fringe, {p:?}");
        }
    }
}

#[test]
fn left_and_right_are_cropped_alike_and_one_third_goes_off_the_top() {
    // Columns 0-19 and 80-99 go, so the kept middle is all white.
    let columns = image(100, 60, PixelFormat::Gray8, |x, _| if (20..80).contains(&x) { [255] } else { [0] });
    let args = json!({ "width": 30, "height": 30, "filter": "nearest" });
    assert!(resize(&args, &columns).data().iter().all(|&p| p == 255));
    // 90 rows too many: 30 off the top, 60 off the bottom.
    let rows = image(60, 150, PixelFormat::Gray8, |_, y| if (30..90).contains(&y) { [255] } else { [0] });
    assert!(resize(&args, &rows).data().iter().all(|&p| p == 255));
    // One row further up or down would show.
    let args = json!({ "width": 60, "height": 60 });
    let exact = resize(&args, &image(60, 150, PixelFormat::Gray8, |_, y| [y as u8]));
    assert_eq!((pixel(&exact, 0, 0), pixel(&exact, 59, 59)), (&[30][..], &[89][..]));
}

#[test]
fn bars_have_the_background_and_surround_the_picture() {
    let source = flat(PixelFormat::Rgb8, &[10, 20, 30]); // 61 × 43
    let with = |background: &str| json!({ "width": 40, "height": 40, "fit": "contain", "gravity": "center", "background": background });
    // 61 × 43 in 40 × 40 is 40 × 28, with 6 rows above and below.
    let result = resize(&with("#ff8000"), &source);
    let row = |y| pixel(&result, 20, y);
    assert_eq!((row(0), row(5), row(6)), (&[255, 128, 0][..], &[255, 128, 0][..], &[10, 20, 30][..]));
    assert_eq!((row(33), row(34), row(39)), (&[10, 20, 30][..], &[255, 128, 0][..], &[255, 128, 0][..]));
    let result = resize(&with("transparent"), &source);
    assert_eq!(result.format(), PixelFormat::Rgba8);
    assert_eq!((pixel(&result, 0, 5), pixel(&result, 0, 6)), (&[0; 4][..], &[10, 20, 30, 255][..]));
    let gray = resize(&with("#ff8000"), &flat(PixelFormat::Gray8, &[9]));
    assert_eq!((pixel(&gray, 0, 5), pixel(&gray, 0, 6)), (&[255, 128, 0][..], &[9, 9, 9][..]));
}

#[test]
fn an_opaque_background_lies_under_the_pictures_transparency() {
    let source = flat(PixelFormat::Rgba8, &[0, 0, 0, 0]);
    let result = resize(&json!({ "width": 20, "height": 17, "background": "#0a141e" }), &source);
    assert!(result.data().chunks(4).all(|p| p == [10, 20, 30, 255]));
    let result = resize(&json!({ "width": 20, "height": 17, "background": "#0a141e80" }), &source);
    assert!(result.data().iter().all(|&byte| byte == 0), "a translucent one does not");
}

#[test]
fn a_gradient_stays_upright_and_monotonic() {
    let source = image(256, 256, PixelFormat::Rgb8, |x, y| [x as u8, y as u8, 0]);
    for filter in FILTERS {
        let result = resize(&json!({ "width": 100, "height": 50, "fit": "fill", "filter": filter }), &source);
        for step in 1..50 {
            assert!(pixel(&result, step, 0)[0] > pixel(&result, step - 1, 0)[0], "{filter}: left to right");
            assert!(pixel(&result, 0, step)[1] > pixel(&result, 0, step - 1)[1], "{filter}: top to bottom");
        }
    }
}

/// A picture smooth enough that an eighth of its pixels still tells it all.
fn smooth(x: f64, y: f64) -> [u8; 3] {
    let wave = |t: f64| (127.5 + 120.0 * (t / 150.0).sin()) as u8;
    [wave(x), wave(y), wave(x + y)]
}

/// `smooth` as a decoder gives it at 1/`by`, which shows pixels from `left` and `top` on.
fn decoded(width: u32, height: u32, by: u32, left: u32, top: u32) -> Image {
    let centre = |i: u32, start: u32| (f64::from(i) + 0.5) * f64::from(by) + f64::from(start);
    image(width, height, PixelFormat::Rgb8, |x, y| smooth(centre(x, left), centre(y, top)))
}

fn largest_difference(a: &Image, b: &Image) -> u8 {
    assert_eq!(a.data().len(), b.data().len());
    a.data().iter().zip(b.data()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_reduced_decode_gives_the_same_picture() {
    // 1003 and 701 are no multiples of 8: the decoder rounds up to 126 × 88.
    let header = header(1003, 701, PixelFormat::Rgb8);
    let reduced = decoded(126, 88, 8, 0, 0);
    let window = Window { x: 0.0, y: 0.0, scale: 0.125 };
    for fit in ["cover", "fill", "contain", "inside"] {
        let args: Value = json!({ "width": 60, "height": 80, "fit": fit, "background": "black" });
        let full = resize(&args, &decoded(1003, 701, 1, 0, 0));
        let fast = resize_window(&args, &header, reduced.as_ref(), window);
        assert!(largest_difference(&full, &fast) <= 4, "{fit}: {}", largest_difference(&full, &fast));
    }
}

#[test]
fn a_decoded_region_gives_the_same_picture() {
    let header = header(1000, 700, PixelFormat::Rgb8);
    let args = json!({ "width": 60, "height": 80 });
    let region = plan(&args, &header).unwrap().decode.region.unwrap();
    assert_eq!((region.x, region.y, region.width, region.height), (211.25, 0.0, 577.5, 700.0));
    let full = resize(&args, &decoded(1000, 700, 1, 0, 0));
    let part = decoded(578, 700, 1, 211, 0);
    let window = Window { x: 211.0, y: 0.0, scale: 1.0 };
    let fast = resize_window(&args, &header, part.as_ref(), window);
    assert!(largest_difference(&full, &fast) <= 4, "{}", largest_difference(&full, &fast));
}

#[test]
fn one_pixel_can_become_many_and_many_one() {
    let args = json!({ "width": 300, "height": 2, "enlarge": true });
    let result = resize(&args, &Image::new(1, 1, PixelFormat::Rgb8, vec![4, 5, 6]).unwrap());
    assert!(result.data().chunks(3).all(|p| p == [4, 5, 6]));
    let result = resize(&json!({ "width": 1, "height": 1 }), &flat(PixelFormat::Gray8, &[9]));
    assert_eq!(result.data(), [9]);
}

#[test]
fn pixel_art_is_enlarged_pixel_by_pixel() {
    let source = Image::new(2, 2, PixelFormat::Gray8, vec![1, 2, 3, 4]).unwrap();
    let result = resize(&json!({ "width": 4, "height": 4, "enlarge": true, "filter": "nearest" }), &source);
    assert_eq!(result.data(), [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4]);
}
