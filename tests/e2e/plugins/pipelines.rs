//! Pipelines: several operations without a file in between, and those that cannot be.

use std::io::Cursor;

use image::{AnimationDecoder as _, ImageFormat};
use imgserve_peers::{Web, samples};
use serde_json::{Value, json};

use super::{error, is_brown, png, rgb};
use crate::harness::{Server, is_placeholder, look, plugin, section};

fn pipeline(steps: &[(&str, Value)]) -> Value {
    let steps: Vec<Value> =
        steps.iter().map(|(name, args)| json!({ "operationType": name, "args": args })).collect();
    json!({ "steps": steps })
}

fn size(width: u32, height: u32) -> Value {
    json!({ "width": width, "height": height })
}

/// All operations that a chain of this file names, and two presets.
fn chained() -> Server {
    let sections: Vec<String> = ["sepia", "blurhash", "qoi"]
        .iter()
        .map(|name| section(name, &plugin(&format!("{name}.wasm")), ""))
        .collect();
    Server::start(&format!(
        "{}
[operations.card]
kind = 'builtin'
plugin = 'pipeline'
args = {{ steps = [{{ operationType = 'resize', args = {{ width = 40, height = 40 }} }}, {{ operationType = 'sepia' }}] }}
[operations.endless]
kind = 'builtin'
plugin = 'pipeline'
args = {{ steps = [{{ operationType = 'card' }}] }}",
        sections.concat()
    ))
}

#[tokio::test]
async fn a_pipeline_runs_without_a_file_in_between() {
    let server = chained();
    let drawing = server.write("in.svg", samples::DRAWING);
    let steps = pipeline(&[
        ("rasterize", size(400, 200)),
        ("resize", size(100, 60)),
        ("sepia", json!({ "strength": 1.0 })),
    ]);
    let web = Web::start(None).await;
    let record = server.succeed("pipeline", &drawing, &web.file("out.png"), steps).await;
    assert_eq!((&record["output"]["width"], &record["output"]["format"]), (&json!(100), &json!("png")));
    let [placeholder, out] = &web.versions("out.png")[..] else { panic!("a placeholder, then the result") };
    assert_eq!(look(placeholder), (100, 60, ImageFormat::Png));
    assert_eq!(look(out), (100, 60, ImageFormat::Png));
    assert!(is_placeholder(placeholder) && is_brown(&rgb(out)));

    let photo = server.write("in.jpg", samples::encoded(300, 200, ImageFormat::Jpeg));
    let steps = pipeline(&[("resize", size(100, 60)), ("blurhash", json!({}))]);
    server.succeed("pipeline", &photo, &server.file_url("hash.txt"), steps).await;
    let hash = String::from_utf8(server.read("hash.txt")).unwrap();
    assert!(hash.trim().len() == 28 && hash.trim().is_ascii(), "{hash:?}");

    // A preset, and a preset within a pipeline.
    server.succeed("card", &photo, &server.file_url("card.jpg"), json!({})).await;
    assert_eq!(look(&server.read("card.jpg")), (40, 40, ImageFormat::Jpeg));
    let steps = pipeline(&[("card", json!({})), ("resize", size(20, 20))]);
    server.succeed("pipeline", &photo, &server.file_url("nested.jpg"), steps).await;
    assert_eq!(look(&server.read("nested.jpg")), (20, 20, ImageFormat::Jpeg));
    assert!(is_brown(&rgb(&server.read("nested.jpg"))));
    server.succeed("endless", &photo, &server.file_url("twice.jpg"), json!({})).await;
    assert!(is_brown(&rgb(&server.read("twice.jpg"))));
}

/// A QOI file of one colour: header, the pixel, runs of at most 62, the end.
fn qoi(width: u32, height: u32) -> Vec<u8> {
    let mut file = b"qoif".to_vec();
    file.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    file.extend([3, 0, 0xfe, 200, 100, 50]);
    let mut left = width * height - 1;
    while left > 0 {
        let run = left.min(62);
        file.push(0xc0 | (run as u8 - 1));
        left -= run;
    }
    file.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    file
}

#[tokio::test]
async fn a_plugin_that_reads_files_is_the_first_of_a_pipeline() {
    let server = chained();
    let source = server.write("in.qoi", qoi(50, 30));
    server.succeed("qoi", &source, &server.file_url("whole.png"), json!({})).await;
    assert_eq!(rgb(&server.read("whole.png")).get_pixel(49, 29).0, [200, 100, 50]);
    let steps = pipeline(&[("qoi", json!({})), ("resize", size(10, 6)), ("sepia", json!({ "strength": 0 }))]);
    server.succeed("pipeline", &source, &server.file_url("out.png"), steps).await;
    assert_eq!(look(&server.read("out.png")), (10, 6, ImageFormat::Png));
    assert_eq!(rgb(&server.read("out.png")).get_pixel(5, 3).0, [200, 100, 50]);
}

#[tokio::test]
async fn an_animation_stays_one_through_a_pipeline() {
    let server = chained();
    let source = server.write("in.gif", samples::animation(80, 60, 5));
    let steps = pipeline(&[("resize", size(40, 30)), ("sepia", json!({}))]);
    server.succeed("pipeline", &source, &server.file_url("out.gif"), steps).await;
    let decoder = image::codecs::gif::GifDecoder::new(Cursor::new(server.read("out.gif"))).unwrap();
    let frames = decoder.into_frames().collect_frames().unwrap();
    assert_eq!(frames.len(), 5);
    let mut red_from = Vec::new();
    for frame in &frames {
        let buffer = frame.buffer();
        assert_eq!((buffer.dimensions(), frame.delay().numer_denom_ms().0), ((40, 30), 100));
        let left = (0..40).find(|&x| buffer.get_pixel(x, 15).0[3] > 0).unwrap();
        let [red, green, blue, _] = buffer.get_pixel(left + 4, 15).0;
        assert!(red >= green && green >= blue && green > 40, "red was not toned: {red} {green} {blue}");
        red_from.push(left);
    }
    assert!(red_from.is_sorted_by(|a, b| a < b), "the square moves right: {red_from:?}");
}

#[tokio::test]
async fn a_pipeline_that_cannot_be_is_refused_before_anything_is_fetched() {
    let server = chained();
    let many = |count: usize| pipeline(&vec![("sepia", json!({})); count]);
    let small = || ("resize", size(10, 10));
    for (steps, code, texts) in [
        (json!({}), 106, &["argument `steps` is missing"][..]),
        (json!({ "steps": 5 }), 107, &["argument `steps`"]),
        (json!({ "steps": [] }), 114, &["argument `steps`: at least one step is needed"]),
        (json!({ "steps": [{ "args": {} }] }), 106, &["argument `steps[0].operationType` is missing"]),
        (json!({ "steps": [5] }), 107, &["argument `steps[0]`"]),
        (
            pipeline(&[small(), ("rotate", json!({}))]),
            114,
            &["argument `steps[1].operationType`: \"rotate\" is none of", "sepia"],
        ),
        (pipeline(&[("pipeline", json!({})), small()]), 106, &["argument `steps[0].args.steps` is missing"]),
        (
            pipeline(&[small(), ("resize", json!({ "width": "9", "height": 9 }))]),
            107,
            &["argument `steps[1].args.width`"],
        ),
        (
            pipeline(&[small(), ("sepia", json!({ "quality": 9 }))]),
            114,
            &["argument `steps[1].args.quality` belongs into the args of the whole pipeline"],
        ),
        (
            pipeline(&[small(), ("sepia", json!({ "Q": 9 }))]),
            114,
            &["argument `steps[1].args.quality` belongs into the args of the whole pipeline"],
        ),
        (
            pipeline(&[("blurhash", json!({})), small()]),
            114,
            &["argument `steps[0]`: `blurhash` gives text/plain: it can only be the last"],
        ),
        (
            pipeline(&[small(), ("rasterize", size(9, 9))]),
            114,
            &["argument `steps[1]`: `rasterize` takes svg files: it can only be the first"],
        ),
        (many(17), 114, &["argument `steps`: more than 16 steps"]),
        (pipeline(&vec![("card", json!({})); 9]), 114, &["more than 16 steps"]),
    ] {
        let reply =
            server.post("pipeline", "http://127.0.0.1:1/a.png", "http://127.0.0.1:1/b.png", steps).await;
        let (found, text) = error(&reply);
        assert_eq!(found, code, "{text}");
        for wanted in texts {
            assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
        }
    }
    // What only the source can tell names its step as well.
    let source = server.write("in.png", png(60, 40));
    let steps = pipeline(&[small(), ("sepia", json!({ "strength": 7 }))]);
    let reply = server.post("pipeline", &source, &server.file_url("out.png"), steps).await;
    let (code, text) = error(&reply);
    assert!(code == 114 && text.contains("argument `steps[1].args.strength`"), "{text}");
    let longest = server.submit("pipeline", &source, &server.file_url("out.png"), many(16)).await;
    assert_eq!(server.ended(&longest).await["state"], "succeeded");
}

#[test]
fn a_pipeline_within_itself_refuses_the_start() {
    let section = "[operations.snake]\nkind = 'builtin'\nplugin = 'pipeline'
args = { steps = [{ operationType = 'snake' }] }";
    let log = Server::refuses(section);
    assert!(log.contains("operation `snake`: ") && log.contains("without end"), "{log}");
}
