//! What drawings look like: exact pixels where the geometry says so, counts and orders where antialiasing or
//! glyph outlines decide. Channels are exact unless a tolerance is said.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::{Image, SourceHeader};

use crate::common::{data_url, draw, draw_with, header, pixel, png, svg, try_draw};

const RED: [u8; 4] = [255, 0, 0, 255];
const BLUE: [u8; 4] = [0, 0, 255, 255];
const WHITE: [u8; 4] = [255; 4];
const CLEAR: [u8; 4] = [0; 4];

/// The left half red, the right half blue.
const HALVES: &str =
    r#"<rect width="50" height="100" fill="red"/><rect x="50" width="50" height="100" fill="blue"/>"#;

fn count(image: &Image, wanted: impl Fn([u8; 4]) -> bool) -> usize {
    image.data().chunks(4).filter(|p| wanted([p[0], p[1], p[2], p[3]])).count()
}

#[test]
fn a_drawing_is_stretched_to_exactly_the_size() {
    let image = draw(40, 10, HALVES);
    for y in 0..10 {
        for x in 0..40 {
            assert_eq!(pixel(&image, x, y), if x < 20 { RED } else { BLUE }, "({x}, {y})");
        }
    }
    let circle = draw(200, 50, r#"<circle cx="50" cy="50" r="50"/>"#);
    // An ellipse that touches all four edges in their middles and fills π/4 of the box, within one percent.
    for (x, y) in [(100, 0), (100, 49), (0, 25), (199, 25)] {
        assert!(pixel(&circle, x, y)[3] > 60, "({x}, {y})");
    }
    let filled = count(&circle, |p| p[3] > 127) as f64 / (200.0 * 50.0);
    assert!((filled - std::f64::consts::FRAC_PI_4).abs() < 0.01, "{filled}");
}

#[test]
fn what_is_not_drawn_is_transparent_and_alpha_is_straight() {
    let image = draw(20, 20, r##"<rect width="50" height="100" fill="#f08040" fill-opacity="0.5"/>"##);
    assert_eq!(pixel(&image, 15, 5), CLEAR);
    // Half transparent, and the colour as written, within the 2 steps that premultiplying costs.
    let expected = [0xf0, 0x80, 0x40, 128];
    assert!(pixel(&image, 5, 5).iter().zip(expected).all(|(a, b): (&u8, u8)| a.abs_diff(b) <= 2));
}

#[test]
fn a_background_lies_under_all_of_it_and_blending_does_not_see_it() {
    let content = r#"<rect width="50" height="100" fill="white" style="mix-blend-mode: difference"/>"#;
    let args = json!({ "width": 20, "height": 20, "background": "white" });
    let image = draw_with(&args, 100, 100, content);
    assert_eq!(count(&image, |p| p == WHITE), 400);
}

#[test]
fn contain_centres_between_bars_and_cuts_what_overflows() {
    let overflowing = r#"<rect x="-500" y="-500" width="2000" height="2000" fill="red"/>"#;
    let args = json!({ "width": 50, "height": 30, "fit": "contain", "background": "#0000ff" });
    let image = draw_with(&args, 100, 100, overflowing);
    for x in 0..50 {
        assert_eq!(pixel(&image, x, 15), if (10..40).contains(&x) { RED } else { BLUE }, "{x}");
    }
    assert_eq!(count(&image, |p| p == RED), 30 * 30);
    let bare = draw_with(&json!({ "width": 50, "height": 30, "fit": "contain" }), 100, 100, overflowing);
    assert_eq!(pixel(&bare, 0, 0), CLEAR);
    let exact = draw_with(&json!({ "width": 30, "height": 30, "fit": "contain" }), 100, 100, overflowing);
    assert_eq!(count(&exact, |p| p == RED), 30 * 30);
}

#[test]
fn cover_crops_both_sides_alike() {
    // 100 × 100 covers 40 × 20 as 40 × 40: the top and bottom quarter go.
    let bands = r#"<rect width="100" height="25" fill="blue"/><rect y="75" width="100" height="25" fill="blue"/>
        <rect y="25" width="100" height="50" fill="red"/>"#;
    let image = draw_with(&json!({ "width": 40, "height": 20, "fit": "cover" }), 100, 100, bands);
    assert_eq!(count(&image, |p| p == RED), 40 * 20);
    let sides = draw_with(&json!({ "width": 20, "height": 40, "fit": "cover" }), 100, 100, HALVES);
    assert_eq!((pixel(&sides, 9, 20), pixel(&sides, 10, 20)), (RED, BLUE));
}

#[test]
fn inside_is_smaller_where_the_shape_says_so() {
    let args = json!({ "width": 60, "height": 60, "fit": "inside" });
    let image = draw_with(&args, 300, 100, r#"<rect width="300" height="100" fill="red"/>"#);
    assert_eq!((image.width(), image.height()), (60, 20));
    assert_eq!(count(&image, |p| p == RED), 60 * 20);
}

#[test]
fn a_gradient_runs_evenly() {
    let image = draw(
        100,
        4,
        r#"<linearGradient id="g"><stop stop-color="black"/><stop offset="1" stop-color="white"/></linearGradient>
           <rect width="100" height="100" fill="url(#g)"/>"#,
    );
    for x in 0..100u32 {
        let expected = (255.0 * (f64::from(x) + 0.5) / 100.0) as u8;
        let got = pixel(&image, x, 2);
        assert!(got[0].abs_diff(expected) <= 2 && got[3] == 255, "{x}: {got:?} for {expected}");
    }
}

fn text(attributes: &str, words: &str) -> Image {
    let args = json!({ "width": 300, "height": 60, "background": "white" });
    draw_with(&args, 300, 60, &format!(r#"<text x="5" y="45" font-size="40" {attributes}>{words}</text>"#))
}

fn ink(image: &Image) -> usize {
    count(image, |p| p[0] < 128)
}

#[test]
fn text_is_set_in_the_bundled_fonts() {
    let words = "Hamburg Iil";
    let [sans, serif, mono] = ["sans-serif", "serif", "monospace"].map(|family| {
        let image = text(&format!("font-family='{family}'"), words);
        assert!((900..5000).contains(&ink(&image)), "{family}: {} dark pixels", ink(&image));
        image
    });
    assert!(sans != serif && serif != mono && mono != sans);
    for (attributes, same) in [
        ("", &sans),
        ("font-family='No Such Font'", &sans),
        ("font-family='cursive'", &sans),
        ("font-family='Arial, Helvetica, sans-serif'", &sans),
        ("font-family='Georgia'", &serif),
        ("font-family='Nowhere, serif'", &serif),
        ("font-family='Courier New'", &mono),
    ] {
        assert_eq!(text(attributes, words), *same, "{attributes}");
    }
    assert!(ink(&text("font-weight='bold'", words)) > ink(&sans) * 5 / 4);
    assert_ne!(text("font-style='italic'", words), sans);
}

#[test]
fn letters_a_family_lacks_come_from_another_font() {
    // DejaVu Serif has no Arabic, DejaVu Sans has.
    let image = text("font-family='serif'", "\u{633}\u{644}\u{627}\u{645}");
    assert!(ink(&image) > 200, "{}", ink(&image));
}

#[test]
fn embedded_images_are_drawn_whatever_their_media_type_says() {
    let png = png(8, 8, [255, 0, 0]);
    for media_type in ["image/png", "image/jpeg", "text/plain"] {
        let url = data_url(media_type, &png);
        let image = draw(
            20,
            20,
            &format!(r#"<image width="50" height="100" preserveAspectRatio="none" href="{url}"/>"#),
        );
        assert_eq!((pixel(&image, 4, 10), pixel(&image, 15, 10)), (RED, CLEAR), "{media_type}");
    }
}

#[test]
fn an_embedded_drawing_is_drawn() {
    let url =
        data_url("image/svg+xml", svg(10, 10, r#"<rect width="10" height="10" fill="red"/>"#).as_bytes());
    let image = draw(20, 20, &format!(r#"<image width="50" height="50" href="{url}"/>"#));
    assert_eq!((pixel(&image, 5, 5), pixel(&image, 15, 15)), (RED, CLEAR));
}

#[test]
fn blurs_masks_and_clips_are_drawn() {
    let image = draw(
        100,
        100,
        r#"<filter id="f"><feGaussianBlur stdDeviation="5"/></filter>
           <clipPath id="c"><rect width="50" height="100"/></clipPath>
           <mask id="m"><rect y="50" width="100" height="50" fill="white"/></mask>
           <g clip-path="url(#c)" mask="url(#m)"><rect x="20" y="20" width="60" height="60" fill="red"
             filter="url(#f)"/></g>"#,
    );
    assert_eq!(pixel(&image, 40, 60), RED, "inside");
    assert_eq!(pixel(&image, 60, 60), CLEAR, "clipped");
    assert_eq!(pixel(&image, 40, 40), CLEAR, "masked");
    assert!((60..200).contains(&pixel(&image, 20, 60)[3]), "blurred");
}

/// Draws a whole text as it is, for which a host has read this size.
fn as_it_is(args: &Value, (width, height): (u32, u32), bytes: &[u8]) -> Image {
    let header = SourceHeader { head: bytes.to_vec(), ..header(width, height) };
    try_draw(args, &header, bytes).unwrap()
}

#[test]
fn a_drawing_is_drawn_whatever_it_is_written_in_and_leaves_out() {
    let red = "<rect width='100' height='100' fill='#f00'/>";
    let bare = format!("<svg width='100' height='100'>{red}</svg>");
    let declared = |name: &str| {
        format!("<?xml version='1.0' encoding='{name}'?>{}", bare.replace("<rect", "<title>é</title><rect"))
    };
    let latin = |name: &str| declared(name).chars().map(|letter| letter as u8).collect::<Vec<u8>>();
    let wide: Vec<u8> = declared("UTF-16").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let long = format!("<!--{}-->\n{bare}", "x".repeat(200_000));
    let linked = "<svg width='100' height='100'><g id='a'><use href='#a'/><rect id='b' width='100' height='50' fill='#f00'/></g>\
         <use xlink:href='#b' y='50'/></svg>";
    let inside = format!(
        "<svg width='100' height='100'><image width='100' height='100' href='{}'/></svg>",
        data_url("image/svg+xml", &gzip(&latin("windows-1252")))
    );
    for (name, bytes) in [
        ("without a namespace", bare.clone().into_bytes()),
        ("behind spaces", format!(" \n{}", declared("UTF-8")).into_bytes()),
        ("latin 1", latin("ISO-8859-1")),
        ("windows-1252", latin("windows-1252")),
        ("UTF-16 without a mark", wide.clone()),
        ("UTF-16", [b"\xfe\xff".as_slice(), &wide].concat()),
        ("compressed", gzip(bare.as_bytes())),
        ("compressed UTF-16", gzip(&wide)),
        ("behind a long comment", long.clone().into_bytes()),
        ("behind a long comment, compressed", gzip(long.as_bytes())),
        ("with links of no namespace", linked.into()),
        ("inside another", inside.into_bytes()),
    ] {
        for fit in ["fill", "inside", "contain"] {
            let image = as_it_is(&json!({ "width": 20, "height": 20, "fit": fit }), (100, 100), &bytes);
            assert_eq!((pixel(&image, 1, 1), pixel(&image, 18, 18)), (RED, RED), "{name}, {fit}");
        }
    }
}

#[test]
fn a_drawing_without_a_size_has_that_of_what_it_shows() {
    let whole = |attributes: &str, content: &str| {
        format!("<svg xmlns='http://www.w3.org/2000/svg' {attributes}>{content}</svg>").into_bytes()
    };
    let rect = "<rect width='50' height='20' fill='#f00'/>";
    for (attributes, content, size, ends) in [
        ("", rect, (100, 40), RED),
        ("width='100%' height='100%'", rect, (100, 40), RED),
        ("width='10vw' height='20vw'", rect, (100, 40), RED),
        ("viewBox='0 0 0 0'", rect, (100, 40), RED),
        ("width='25'", rect, (100, 80), RED),
        ("height='50'", rect, (100, 100), CLEAR),
        ("style='width:50px;height:20px'", "<rect width='9' height='9' fill='#f00'/>", (100, 40), CLEAR),
        ("", "<rect x='-50' y='-20' width='50' height='20' fill='#f00'/>", (100, 40), RED),
        ("", "<g transform='scale(5)'><rect width='10' height='4' fill='#f00'/></g>", (100, 40), RED),
        ("", "<path d='M0 10H50' stroke='#f00' stroke-width='20'/>", (100, 40), RED),
        ("viewBox='0 0 1 0.4'", rect, (100, 40), RED),
        ("width='4em' height='16' font-size='10'", rect, (100, 40), RED),
    ] {
        // As a host has read it that knows neither, and rounds.
        let args = json!({ "width": 100, "height": 100, "fit": "inside" });
        let image = as_it_is(&args, (0, 0), &whole(attributes, content));
        assert_eq!((image.width(), image.height()), size, "{attributes} {content}");
        assert_eq!(
            (pixel(&image, 1, 1), pixel(&image, image.width() - 2, image.height() - 2)),
            (RED, ends),
            "{attributes} {content}"
        );
        let args = json!({ "width": 200, "height": 40, "fit": "contain" });
        let image = as_it_is(&args, (0, 0), &whole(attributes, content));
        let bar = (200 - 40 * size.0 / size.1) / 2;
        assert_eq!(
            (pixel(&image, bar + 1, 1), pixel(&image, bar.max(1) - 1, 1)[3]),
            (RED, if bar > 0 { 0 } else { 255 }),
            "{attributes}"
        );
    }
    let nothing = as_it_is(&json!({ "width": 10, "height": 20, "fit": "inside" }), (0, 0), &whole("", ""));
    assert_eq!((nothing.width(), nothing.height()), (10, 10));
}

#[test]
fn colours_and_style_that_are_not_known_take_nothing_along() {
    for (content, color) in [
        (
            r##"<rect width="100" height="100" fill="#f00" style="fill:#f00;fill:color(display-p3 1 0 0);fill-opacity:1"/>"##,
            RED,
        ),
        (
            r##"<path d="M0 50H100" style="stroke:#f00;stroke:color(display-p3 1 0 0);stroke-width:100"/>"##,
            RED,
        ),
        (r##"<path d="M0 50H100" style="stroke:#f00;stroke:color(nonsense 1 0 0);stroke-width:100"/>"##, RED),
        (r##"<rect width="100" height="100" fill="color(display-p3 1 0 0)"/>"##, RED),
        (r##"<g fill="red"><rect width="100" height="100" fill="nonsense"/></g>"##, RED),
        (r##"<rect width="100" height="100" style="filter:progid:A.B(c=1);fill:red"/>"##, RED),
        (
            r##"<style>.a::before,.b{fill:blue}.c{x:calc(1px + (2px));fill:red;fill:color(nonsense)}</style><rect class="c" width="100" height="100"/>"##,
            RED,
        ),
        (
            r##"<style>@import url(a;b);@media print{.c{fill:blue}}<!-- c -->.c{fill:red}</style><rect class="c" width="100" height="100"/>"##,
            RED,
        ),
        (r##"<rect width="100" height="100" style="transform:translate(0px,0px) scale(1);fill:RED"/>"##, RED),
    ] {
        assert_eq!(pixel(&draw(20, 20, content), 10, 10), color, "{content}");
    }
}
