//! Drawings that want more than to be drawn: to read files, to reach servers, to take all memory or time.
#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use imgserve_sdk::serde_json::json;
use imgserve_sdk::{Error, ErrorKind, Image};

use crate::common::{data_url, draw, header, pixel, png, svg, try_draw};

fn refusal(svg: &[u8]) -> Error {
    let error = try_draw(&json!({ "width": 10, "height": 10 }), &header(10, 10), svg).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnsupportedSource, "{error}");
    error
}

/// A file that would show, if it were read.
fn file(name: &str, content: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).unwrap();
    path
}

fn is_blank(image: &Image) -> bool {
    image.data().iter().all(|&byte| byte == 0)
}

#[test]
fn no_file_and_no_server_is_reached() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    let red = svg(100, 100, r#"<rect id="r" width="100" height="100" fill="red"/>"#);
    let red_png = file("red.png", &png(100, 100, [255, 0, 0]));
    let red_svg = file("red.svg", red.as_bytes());
    let mut targets = vec![format!("http://{address}/red.png"), format!("http://{address}/red.svg")];
    for path in [&red_png, &red_svg] {
        targets.push(path.display().to_string());
        targets.push(format!("file://{}", path.display()));
        targets.push(relative(path));
    }
    targets.push("file:///etc/passwd".to_owned());
    for target in targets {
        for content in [
            format!(r#"<image width="100" height="100" href="{target}"/>"#),
            format!(r#"<image width="100" height="100" xlink:href="{target}"/>"#),
            format!(r#"<use href="{target}#r"/><use xlink:href="{target}#r"/>"#),
            fe_image(&target),
            format!(r#"<style>@import url("{target}");</style>"#),
            format!(r#"<link rel="stylesheet" href="{target}"/><script href="{target}"/>"#),
            format!(r#"<foreignObject width="100" height="100"><img src="{target}"/></foreignObject>"#),
        ] {
            assert!(is_blank(&draw(10, 10, &content)), "{content}");
        }
        // The same from within an embedded drawing.
        let inner = svg(100, 100, &format!(r#"<image width="100" height="100" href="{target}"/>"#));
        let url = data_url("image/svg+xml", inner.as_bytes());
        assert!(is_blank(&draw(10, 10, &format!(r#"<image width="100" height="100" href="{url}"/>"#))));
        // And from the document's prologue: an external entity is no text.
        let document = format!(
            r#"<!DOCTYPE svg [<!ENTITY x SYSTEM "{target}">]>{}"#,
            svg(100, 100, r#"<text y="50" font-size="50">&x;</text>"#)
        );
        let args = json!({ "width": 10, "height": 10 });
        assert!(
            try_draw(&args, &header(100, 100), document.as_bytes()).is_ok_and(|image| is_blank(&image))
                || refusal(document.as_bytes()).message().contains("entity")
        );
    }
    assert!(server.accept().is_err(), "somebody connected");
}

/// A rectangle painted over by an image through a filter.
fn fe_image(target: &str) -> String {
    format!(
        r#"<filter id="f" x="0" y="0" width="1" height="1"><feImage href="{target}"/></filter>
           <rect width="100" height="100" filter="url(#f)"/>"#
    )
}

/// `path` as seen from the directory that tests run in.
fn relative(path: &std::path::Path) -> String {
    let up = std::env::current_dir().unwrap().components().count() - 1;
    format!("{}{}", "../".repeat(up), path.strip_prefix("/").unwrap().display())
}

#[test]
fn the_files_of_the_test_above_would_show() {
    let bytes = fs::read(file("shown.png", &png(100, 100, [255, 0, 0]))).unwrap();
    let url = data_url("image/png", &bytes);
    for content in [format!(r#"<image width="100" height="100" href="{url}"/>"#), fe_image(&url)] {
        assert_eq!(pixel(&draw(10, 10, &content), 5, 5), [255, 0, 0, 255], "{content:.60}");
    }
}

#[test]
fn entities_that_multiply_are_refused_at_once() {
    let mut entities = r#"<!ENTITY l0 "lollollollol">"#.to_owned();
    for level in 1..20 {
        let references = format!("&l{};", level - 1).repeat(10);
        entities += &format!(r#"<!ENTITY l{level} "{references}">"#);
    }
    let document = format!("<!DOCTYPE svg [{entities}]>{}", svg(10, 10, "<text y='9'>&l19;</text>"));
    let loops =
        r#"<!DOCTYPE svg [<!ENTITY a "&b;"><!ENTITY b "&a;">]>"#.to_owned() + &svg(9, 9, "<g>&a;</g>");
    let start = Instant::now();
    for document in [document, loops] {
        let args = json!({ "width": 10, "height": 10 });
        let error = try_draw(&args, &header(10, 10), document.as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
        assert!(error.message().contains("entities inside one another"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// What an embedded drawing would cost its parser is looked at as well, and by the same rules.
#[test]
fn an_embedded_drawing_is_looked_through_before_it_is_parsed() {
    let embedded = |content: &str| {
        let url = data_url("image/svg+xml", svg(100, 100, content).as_bytes());
        draw(10, 10, &format!(r#"<image width="100" height="100" href="{url}"/>"#))
    };
    let rect = r#"<rect width="100" height="100" fill="red"/>"#;
    assert!(!is_blank(&embedded(&format!("<!-- {} -->{rect}", "=".repeat(5000)))));
    let attributes: String = (0..20_000).map(|i| format!(" a{i}='1'")).collect();
    let start = Instant::now();
    assert!(is_blank(&embedded(&format!("{rect}<g{attributes}/>"))));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

/// What is within bounds in each of many is not in all of them.
#[test]
fn embedded_drawings_are_held_to_one_bound_together() {
    let rect = r#"<rect width="100" height="100" fill="red"/>"#;
    let shown = |inner: &str, others: usize| {
        let url = data_url("image/svg+xml", svg(100, 100, inner).as_bytes());
        let last = data_url("image/svg+xml", svg(100, 100, rect).as_bytes());
        let image = |url: &str| format!(r#"<image width="100" height="100" href="{url}"/>"#);
        let many = format!(r#"<g id="i" opacity="0">{}</g>"#, image(&url));
        let uses = r##"<use href="#i"/>"##.repeat(others);
        !is_blank(&draw(10, 10, &format!("{many}{uses}{}", image(&last))))
    };
    let texts = format!("<text>{}</text>", "W".repeat(100)).repeat(150);
    let points = format!("<path d='M0 0{}'/>", "l1 1".repeat(700_000));
    let pairs = format!("<g {}/>", (0..900).map(|i| format!("a{i}='' ")).collect::<String>()).repeat(30);
    let start = Instant::now();
    for inner in [texts, points, pairs] {
        assert!(shown(&inner, 1), "{inner:.30}");
        assert!(!shown(&inner, 10), "{inner:.30}");
    }
    assert!(shown(rect, 60));
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn elements_that_multiply_by_use_end() {
    let mut content = r#"<g id="g0"><rect width="1" height="1"/></g>"#.to_owned();
    for level in 1..12 {
        let uses = format!(r##"<use href="#g{}"/>"##, level - 1).repeat(10);
        content += &format!(r#"<g id="g{level}">{uses}</g>"#);
    }
    let own = r##"<g id="a"><use href="#a"/><use href="#b"/></g><g id="b"><use href="#a"/></g>"##;
    assert!(is_blank(&draw(10, 10, own)));
    let args = json!({ "width": 10, "height": 10 });
    let error = try_draw(&args, &header(10, 10), svg(10, 10, &content).as_bytes()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(error.message().contains("elements with references followed"), "{error}");
}

#[test]
fn an_image_that_would_not_fit_is_left_out_and_the_rest_drawn() {
    // A PNG whose header promises 60000 × 60000 pixels.
    let mut bomb = png(8, 8, [255, 0, 0]);
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let url = data_url("image/png", &bomb);
    let rect = r#"<rect x="50" width="50" height="100" fill="blue"/>"#;
    let image = draw(10, 10, &format!(r#"<image width="50" height="100" href="{url}"/>{rect}"#));
    assert_eq!((pixel(&image, 2, 5), pixel(&image, 7, 5)), ([0; 4], [0, 0, 255, 255]));
}

#[test]
fn drawings_inside_drawings_end_somewhere() {
    let mut content = r#"<rect width="100" height="100" fill="red"/>"#.to_owned();
    let mut shown = 0;
    for depth in 1..=3 {
        let url = data_url("image/svg+xml", svg(100, 100, &content).as_bytes());
        content = format!(r#"<image width="100" height="100" href="{url}"/>"#);
        if !is_blank(&draw(10, 10, &content)) {
            shown = depth;
        }
    }
    assert_eq!(shown, 2);
}

#[test]
fn a_compressed_drawing_has_a_limit() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(svg(10, 10, &" ".repeat(40 << 20)).as_bytes()).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let start = Instant::now();
    let error = try_draw(&json!({ "width": 10, "height": 10 }), &header(10, 10), &bomb).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn a_long_style_sheet_takes_no_longer_than_its_length() {
    let rules: String = (0..30_000).map(|i| format!(".c{i}{{fill:red;stroke:blue}}\n")).collect();
    let content =
        format!("<style>{rules}.d{{stroke:none}}</style><rect class='c9 d' width='10' height='10'/>");
    // In one piece it takes minutes where nothing is optimised.
    let start = Instant::now();
    let args = json!({ "width": 10, "height": 10 });
    let image = try_draw(&args, &header(10, 10), svg(10, 10, &content).as_bytes()).unwrap();
    assert_eq!(pixel(&image, 5, 5), [255, 0, 0, 255]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn style_that_is_spelled_anew_is_what_is_counted() {
    // Understood only after it is mended, and then too much.
    let levels: String = (1..=24)
        .map(|i| {
            format!(
                "<mask id='i{i}'><rect style='x/y;mask:url(#i{0})'/><g style='x/y;mask:url(#i{0})'/></mask>",
                i - 1
            )
        })
        .collect();
    let args = json!({ "width": 10, "height": 10 });
    let error = try_draw(&args, &header(10, 10), svg(10, 10, &levels).as_bytes()).unwrap_err();
    assert!(error.message().contains("elements with references followed"), "{error}");
    for deep in ["var(--a,", "light-dark(", "url(a) ", "color(", "(", "[", "{", "calc("] {
        let style = format!("fill:red;fill:{}", deep.repeat(200_000));
        let content =
            format!("<rect width='10' height='10' style='{style}'/><rect fill='{}'/>", deep.repeat(200_000));
        let image = try_draw(&args, &header(10, 10), svg(10, 10, &content).as_bytes()).unwrap();
        assert_eq!(pixel(&image, 5, 5), [255, 0, 0, 255], "{deep}");
    }
}

#[test]
fn deep_nesting_is_refused_and_never_overflows_the_stack() {
    for depth in [501, 2_000, 200_000] {
        let content = format!("{}<rect/>{}", "<g opacity='0.9'>".repeat(depth), "</g>".repeat(depth));
        let result = try_draw(
            &json!({ "width": 10, "height": 10 }),
            &header(10, 10),
            svg(10, 10, &content).as_bytes(),
        );
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{depth}: {error}");
    }
}

#[test]
fn what_is_no_svg_is_refused_with_the_reason() {
    for (bytes, reason) in [
        (&b""[..], "not a valid SVG: "),
        (b"GIF89a", "not a valid SVG: "),
        (b"<svg", "not a valid SVG: "),
        (b"<html></html>", "not a valid SVG: "),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='0' height='5'/>", "width, height or viewBox"),
        (b"<svg>\xff</svg>", "not UTF-8"),
        (b"\xff\xfe<\0s\0\0\xd8", "not UTF-16LE"),
        (b"\x1f\x8b\x08\0", "compressed data is damaged"),
    ] {
        let error = refusal(bytes);
        assert!(error.message().contains(reason), "{error}");
    }
}
