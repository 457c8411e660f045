//! The text `blurhash` gives, against the reference, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use blurhash::Blurhash;
use imgserve_sdk::serde_json::json;
use imgserve_sdk::testing::{self, TestHost};
use imgserve_sdk::{ErrorKind, Image, Operation, Output, PixelFormat};

fn hash(across: u32, down: u32, (width, height): (u32, u32), pixel: impl Fn(u32, u32) -> [u8; 3]) -> String {
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let data = places.flat_map(|(x, y)| pixel(x, y)).collect();
    let image = Image::new(width, height, PixelFormat::Rgb8, data).unwrap();
    let args = json!({ "components_x": across, "components_y": down });
    match testing::run::<Blurhash>(&args, &image, &TestHost::default()).unwrap() {
        Output::Encoded(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Expected texts were computed in Python from the formulas of the reference's encoder, C/encode.c.
#[test]
fn hashes_are_those_of_the_reference() {
    for (across, down, size, expected) in [
        (4, 3, (20, 12), "L$HoOE2?wybvqSR*jre:f~fifPfi"),
        (
            9,
            9,
            (33, 17),
            "|$Hezh2swzX8a|ofWpofWqqRWBjraffPe;fPjGa{gJfifPfifPfifQfjfRsqWojta|fPfPfPjra_eqfRfQfRfRfRfRfRfQt7\
             W.jubFfRfifRj?a~epf6fQf6fQf6fPf6fPt7W.jtbGfQfjfQj?a|epf7fQf7fQf8fQf8fQ",
        ),
        (1, 1, (7, 5), "00IF6m"),
        (3, 1, (16, 1), "2$Hs3f2Bwt"),
        (1, 9, (1, 40), "=$05todKgZe-fgfge[f$e."),
    ] {
        let (w, h) = (size.0 - 1, size.1 - 1);
        let pattern = |x: u32, y: u32| {
            [x * 255 / w.max(1), y * 255 / h.max(1), (x * 37 + y * 91) % 256].map(|sample| sample as u8)
        };
        assert_eq!(hash(across, down, size, pattern), expected, "{across}x{down} of {size:?}");
    }
}

#[test]
fn plain_colours_are_kept_to_the_level() {
    assert_eq!(hash(4, 3, (8, 8), |_, _| [255; 3]), "LfTSUA~qfQ~q~qt7fQt7fQfQfQfQ");
    assert_eq!(hash(4, 3, (8, 8), |_, _| [0; 3]), "L00000fQfQfQfQfQfQfQfQfQfQfQ");
    assert_eq!(hash(1, 1, (8, 8), |_, _| [128, 64, 32]), "00Ew5T");
    let colors: std::collections::HashSet<String> =
        (0..=255).map(|level| hash(1, 1, (3, 2), |_, _| [level; 3])).collect();
    assert_eq!(colors.len(), 256);
}

#[test]
fn one_pixel_has_a_hash_of_the_full_length() {
    assert_eq!(hash(9, 9, (1, 1), |_, _| [9, 200, 30]).len(), 4 + 2 * 81);
    assert_eq!(hash(4, 3, (1, 1), |_, _| [9, 200, 30]).len(), 28);
}

#[test]
fn the_default_is_four_by_three() {
    let image = Image::new(2, 2, PixelFormat::Rgb8, (0..12).collect()).unwrap();
    let run = |args| testing::run::<Blurhash>(&args, &image, &TestHost::default()).unwrap();
    assert_eq!(run(json!({})), run(json!({ "components_x": 4, "components_y": 3 })));
}

#[test]
fn the_plan_asks_for_few_pixels() {
    let plan = |width, height| {
        let header = testing::header(width, height, PixelFormat::Rgba16);
        testing::plan::<Blurhash>(&json!({}), &header, &TestHost::default()).unwrap()
    };
    let large = plan(6400, 3200);
    assert_eq!((large.width, large.height), (32, 16));
    assert_eq!(large.decode.min_scale, Some(0.02));
    let thin = plan(9000, 1);
    assert_eq!((thin.width, thin.height, thin.decode.min_scale), (32, 1, Some(1.0)));
}

#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let header = testing::header(640, 480, PixelFormat::Rgb8);
    for name in ["components_x", "components_y"] {
        for value in [0, 10] {
            let error = testing::plan::<Blurhash>(&json!({ name: value }), &header, &TestHost::default())
                .unwrap_err();
            assert_eq!((error.kind(), error.argument()), (ErrorKind::InvalidArgument, Some(name)), "{error}");
        }
    }
    for example in Blurhash::describe().examples {
        testing::plan::<Blurhash>(&example.arguments, &header, &TestHost::default()).unwrap();
    }
}
