//! What `rasterize` says, plans and refuses, as a host sees it.

use imgserve_sdk::serde_json::json;
use imgserve_sdk::{DecodeHint, ErrorKind, InputKind, OutputKind, PixelFormat, SourceHeader};

use crate::common::{header, plan, plugin};

#[test]
fn describes_itself_and_its_arguments() {
    let description = plugin().describe().unwrap();
    assert_eq!(description.name, "rasterize");
    assert_eq!(description.input, InputKind::Encoded { formats: vec!["svg".to_owned()] });
    assert_eq!(description.output, OutputKind::Image { format: "png".to_owned() });
    let schema = &description.arguments;
    assert_eq!(schema["required"], json!(null));
    assert_eq!(schema["properties"]["width"]["x-aliases"], json!({ "w": {} }));
    assert_eq!(schema["properties"]["fit"]["default"], "fill");
    assert_eq!(schema["properties"]["background"]["default"], "#00000000");
    assert_eq!(schema["properties"]["height"]["maximum"], 65_535);
    assert!(description.examples.len() >= 3);
    for example in description.examples {
        plan(&example.arguments, &header(30, 20)).expect(&example.name);
    }
}

#[test]
fn impossible_arguments_are_refused_by_name() {
    for (args, argument) in [
        (json!({ "width": 0, "height": 5 }), "width"),
        (json!({ "width": 5, "height": 65_536 }), "height"),
        (json!({ "width": 5, "height": 5, "fit": "outside" }), "fit"),
        (json!({ "width": 5, "height": 5, "background": "#12345" }), "background"),
    ] {
        let error = plan(&args, &header(100, 100)).unwrap_err();
        assert_eq!((error.kind(), error.argument()), (ErrorKind::InvalidArgument, Some(argument)), "{args}");
    }
}

#[test]
fn plans_the_size_without_the_drawings_own_unless_it_is_needed() {
    for fit in ["fill", "contain", "cover"] {
        let args = json!({ "width": 50, "height": 40, "fit": fit });
        let planned = plan(&args, &header(0, 0)).unwrap();
        assert_eq!((planned.width, planned.height, planned.pixels), (50, 40, PixelFormat::Rgba8), "{fit}");
        assert_eq!(planned.decode, DecodeHint::default());
        assert!(planned.peak_bytes > 50 * 40 * 4);
    }
    let args = json!({ "width": 50, "height": 40, "fit": "inside" });
    assert_eq!(plan(&args, &header(0, 0)).unwrap_err().kind(), ErrorKind::UnsupportedSource);
    let planned = plan(&args, &header(1000, 10)).unwrap();
    assert_eq!((planned.width, planned.height), (50, 1));
}

#[test]
fn one_side_keeps_the_shape_and_none_the_size() {
    for (args, size) in [
        (json!({}), (300, 200)),
        (json!({ "width": 60 }), (60, 40)),
        (json!({ "height": 1, "fit": "contain" }), (2, 1)),
        (json!({ "width": 60, "fit": "inside" }), (60, 40)),
        (json!({ "height": 4000, "fit": "cover" }), (6000, 4000)),
    ] {
        let planned = plan(&args, &header(300, 200)).unwrap();
        assert_eq!((planned.width, planned.height), size, "{args}");
    }
    let long = plan(&json!({ "width": 1000 }), &header(1, 100)).unwrap_err();
    assert_eq!(long.kind(), ErrorKind::LimitExceeded, "{long}");
    let unknown = plan(&json!({ "width": 50 }), &header(0, 0)).unwrap_err();
    assert_eq!((unknown.kind(), unknown.argument()), (ErrorKind::UnsupportedSource, Some("height")));
}

#[test]
fn what_begins_as_no_svg_is_refused_before_it_is_fetched_whole() {
    let begins = |head: &[u8]| {
        let header = SourceHeader { head: head.to_vec(), ..header(10, 10) };
        plan(&json!({ "width": 5, "height": 5 }), &header).map_err(|error| error.kind())
    };
    for head in [&b""[..], b"<svg", b"\xef\xbb\xbf<?xml", b" \n<!-- drawn -->", b"\x1f\x8b\x08"] {
        assert!(begins(head).is_ok(), "{head:?}");
    }
    for head in [&b"\x89PNG"[..], b"{}"] {
        assert_eq!(begins(head), Err(ErrorKind::UnsupportedSource), "{head:?}");
    }
}
