//! What `resize` says, plans and refuses, as a host sees it.

use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::{DecodeHint, ErrorKind, Frames, InputKind, OutputKind, PixelFormat};

use crate::common::{header, plan, plugin};

#[test]
fn describes_itself_and_its_arguments() {
    let description = plugin().describe().unwrap();
    assert_eq!(description.name, "resize");
    assert_eq!(description.output, OutputKind::Source);
    assert!(matches!(description.input, InputKind::Pixels { frames: Frames::Each, .. }));
    let schema = &description.arguments;
    assert_eq!(schema["required"], Value::Null);
    assert_eq!(schema["properties"]["width"]["type"], "integer");
    assert_eq!(schema["properties"]["width"]["x-aliases"], json!({ "w": {} }));
    assert_eq!(schema["properties"]["width"]["minimum"], 1);
    assert_eq!(schema["properties"]["width"]["maximum"], 65_535);
    for property in ["width", "height", "fit", "gravity", "enlarge", "filter", "background"] {
        assert!(schema["properties"][property]["description"].is_string(), "{property} is explained");
    }
    for (property, default) in [
        ("fit", json!("cover")),
        ("gravity", json!("upper")),
        ("enlarge", json!("never")),
        ("filter", json!("lanczos3")),
        ("background", json!("#00000000")),
    ] {
        assert_eq!(schema["properties"][property]["default"], default, "{property}");
    }
}

#[test]
fn every_example_can_be_planned() {
    let description = plugin().describe().unwrap();
    assert!(description.examples.len() >= 3);
    for example in description.examples {
        plan(&example.arguments, &header(3000, 2000, PixelFormat::Rgb8)).expect(&example.name);
    }
}

#[test]
fn impossible_arguments_are_refused_by_name() {
    for (args, argument) in [
        (json!({ "width": 0, "height": 5 }), "width"),
        (json!({ "width": 5, "height": 65_536 }), "height"),
        (json!({ "width": -5, "height": 5 }), "width"),
        (json!({ "width": 5, "height": 5, "fit": "coverr" }), "fit"),
        (json!({ "width": 5, "height": 5, "gravity": "up" }), "gravity"),
        (json!({ "width": 5, "height": 5, "gravity": [0.3, 1.7] }), "gravity"),
        (json!({ "width": 5, "height": 5, "gravity": [0.3] }), "gravity"),
        (json!({ "width": 5, "height": 5, "enlarge": "yes" }), "enlarge"),
        (json!({ "width": 5, "height": 5, "filter": "sinc" }), "filter"),
        (json!({ "width": 5, "height": 5, "background": "reddish" }), "background"),
    ] {
        let error = plan(&args, &header(100, 100, PixelFormat::Rgb8)).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::InvalidArgument, Some(argument)), "{args}");
        assert!(error.message().contains(argument), "{error}");
    }
    let error = plan(&json!({ "width": 0, "height": 5 }), &header(9, 9, PixelFormat::Rgb8)).unwrap_err();
    assert_eq!(error.message(), "argument `width`: 0 is not from 1 to 65535");
}

fn sized(fit: &str, width: u32, height: u32) -> Value {
    json!({ "width": width, "height": height, "fit": fit })
}

#[test]
fn a_source_smaller_than_the_result_in_either_direction_is_refused() {
    let source = header(100, 200, PixelFormat::Rgb8);
    for args in [
        sized("cover", 101, 50),
        sized("cover", 50, 201),
        sized("contain", 101, 300),
        sized("fill", 50, 201),
        sized("inside", 101, 300),
        sized("outside", 99, 201),
        sized("outside", 101, 1),
        json!({ "width": 101 }),
        json!({ "height": 201 }),
    ] {
        for (enlarge, refused) in [("refuse", true), ("never", false), ("always", false)] {
            let mut args = args.clone();
            args["enlarge"] = json!(enlarge);
            let planned = plan(&args, &source);
            assert_eq!(planned.is_err(), refused, "{args}");
            if let Err(error) = planned {
                assert_eq!(error.kind(), ErrorKind::SourceTooSmall, "{args}");
            }
            // As it was said before there was a third way.
            if enlarge != "never" {
                args["enlarge"] = json!(enlarge == "always");
                assert_eq!(plan(&args, &source).is_err(), refused, "{args}");
            }
        }
    }
    for mut args in [
        sized("cover", 100, 200),
        sized("contain", 100, 200),
        sized("contain", 101, 50),
        sized("contain", 1000, 200),
        sized("fill", 100, 200),
        sized("inside", 500, 200),
        sized("inside", 100, 500),
        sized("outside", 100, 1),
        json!({ "width": 100 }),
        json!({}),
    ] {
        args["enlarge"] = json!("refuse");
        plan(&args, &source).expect("no pixel has to be made up");
    }
}

#[test]
fn one_side_or_none_is_enough() {
    let source = header(3000, 2000, PixelFormat::Rgb8);
    for (args, width, height) in [
        (json!({ "width": 1600 }), 1600, 1067),
        (json!({ "height": 500, "fit": "inside" }), 750, 500),
        (json!({ "width": 9000 }), 3000, 2000),
        (json!({ "width": 9000, "enlarge": "always" }), 9000, 6000),
        (json!({}), 3000, 2000),
        (json!({ "fit": "contain", "enlarge": true }), 3000, 2000),
        (json!({ "width": 4000, "height": 1000 }), 3000, 1000),
    ] {
        let planned = plan(&args, &source).unwrap();
        assert_eq!((planned.width, planned.height), (width, height), "{args}");
    }
}

#[test]
fn a_result_no_format_could_hold_is_refused() {
    let args = json!({ "width": 60_000, "height": 60_000, "fit": "outside", "enlarge": true });
    let error = plan(&args, &header(50_000, 1, PixelFormat::Rgb8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_source_of_unknown_size_is_refused() {
    let error = plan(&sized("cover", 5, 5), &header(0, 0, PixelFormat::Rgb8)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedSource);
}

#[test]
fn plans_size_format_hint_and_memory() {
    let planned = plan(&sized("cover", 200, 120), &header(3000, 2000, PixelFormat::Rgba8)).unwrap();
    assert_eq!((planned.width, planned.height, planned.pixels), (200, 120, PixelFormat::Rgba8));
    assert!((planned.decode.min_scale.unwrap() - 200.0 / 3000.0).abs() < 1e-9);
    // What is kept, and what the filter reaches on either side: 3 pixels of the result.
    assert_eq!(planned.decode.region.unwrap().height, 1800.0 + 2.0 * 3.0 * 15.0);
    let copy_of_source = 3000 * 2000 * 4;
    assert!((copy_of_source..2 * copy_of_source).contains(&planned.peak_bytes), "{}", planned.peak_bytes);

    let nearest = json!({ "width": 200, "height": 120, "fit": "fill", "filter": "nearest" });
    let planned = plan(&nearest, &header(3000, 2000, PixelFormat::Rgb8)).unwrap();
    assert_eq!(planned.decode, DecodeHint::default(), "nearest needs every pixel");
}
