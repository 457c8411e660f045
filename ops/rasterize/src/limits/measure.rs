//! Times of what is counted beside their counts, on request:
//! `cargo test --release -p imgserve-rasterize --lib -- --ignored --nocapture limits::measure`. It fails where a count is below what
//! is measured, or far above; [`super::costs`] is made of it.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a report, and the time of its own thread"
)]

use std::time::Duration;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::Tree;

use super::Renderer;
use super::outline::Outline;
use super::work::counted;
use crate::vello;

/// A million pixels.
const SIDE: u32 = 1000;
/// Counts as parts of what is measured, at least and at most.
const TOLERANCE: (f64, f64) = (0.8, 10.0);
const SQUARE: &str = "<rect width='1000' height='1000'/>";

/// What is drawn, by whom else than resvg, and how often.
struct Case {
    name: String,
    vello: bool,
    svg: String,
}

fn case(name: &str, defined: &str, shown: &str, times: usize) -> Case {
    let svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='{SIDE}' height='{SIDE}'><defs>{defined}</defs>{}</svg>",
        shown.repeat(times)
    );
    Case { name: name.to_owned(), vello: true, svg }
}

fn by_resvg(case: Case) -> Case {
    Case { vello: false, ..case }
}

fn stops(count: usize) -> String {
    (0..count)
        .map(|i| format!("<stop offset='{}' stop-color='#{:03x}'/>", i as f64 / count as f64, i % 4096))
        .collect()
}

fn zigzag(points: usize, height: u32) -> String {
    (0..points).map(|i| format!("L{} {} ", (i * 7) % 1000, if i % 2 == 0 { 0 } else { height })).collect()
}

fn shapes() -> Vec<Case> {
    let linear = |count| format!("<linearGradient id='g'>{}</linearGradient>", stops(count));
    let radial = |count| format!("<radialGradient id='g'>{}</radialGradient>", stops(count));
    let shaded = "<rect width='1000' height='1000' fill='url(#g)'/>";
    let rows: String = (0..1000).map(|i| format!("M{i} 0v1000h.5v-1000z")).collect();
    let waves: String =
        (0..20_000).map(|i| format!("Q{} {} {} {} ", i % 900, i % 700, i % 990, i % 310)).collect();
    let line = "<path fill='none' stroke='red' d='M0 0L1000 1000'";
    vec![
        case("elements", "", "<rect x='5' y='5' width='1' height='1'/>", 20_000),
        case("opaque squares", "", SQUARE, 200),
        case("translucent squares", "", "<rect width='1000' height='1000' fill-opacity='.5'/>", 50),
        case("gradient of 2 stops", &linear(2), shaded, 20),
        case("gradient of 40 stops", &linear(40), shaded, 20),
        case("radial gradient of 2 stops", &radial(2), shaded, 20),
        case("radial gradient of 40 stops", &radial(40), shaded, 20),
        case("zigzag of 3,000 lines", "", &format!("<path d='M0 0{}'/>", zigzag(3000, 1000)), 1),
        case("zigzag of 300 lines", "", &format!("<path d='M0 0{}'/>", zigzag(300, 1000)), 20),
        case("low zigzag of 20,000 lines", "", &format!("<path d='M0 0{}'/>", zigzag(20_000, 3)), 1),
        case("1,000 columns in one outline", "", &format!("<path d='{rows}'/>"), 1),
        case("20,000 curves", "", &format!("<path d='M0 0{waves}'/>"), 1),
        case("stroke of 20,000 curves", "", &format!("<path fill='none' stroke='red' d='M0 0{waves}'/>"), 1),
        case("100,000 dashes", "", &format!("{line} stroke-dasharray='.007'/>"), 1),
        case("4,000 dashes of 5 pixels", "", &format!("{line} stroke-dasharray='5' stroke-width='3'/>"), 30),
        case(
            "round joins",
            "",
            &format!(
                "<path fill='none' stroke='red' stroke-linejoin='round' stroke-linecap='round' stroke-width='9' d='M0 0{}'/>",
                zigzag(5000, 30)
            ),
            1,
        ),
        case(
            "circles",
            "",
            "<circle cx='500' cy='500' r='400' fill='red' stroke='blue' stroke-width='5'/>",
            50,
        ),
        case("letters", "", "<text y='200'>The quick brown fox jumps over it.</text>", 300),
    ]
}

fn layers() -> Vec<Case> {
    let group = |attribute: &str| format!("<g {attribute}>{SQUARE}<rect width='9' height='9'/></g>");
    let rect = "<clipPath id='c'><rect x='100' y='100' width='800' height='800'/></clipPath>";
    let small = "<clipPath id='c'><rect x='100' y='100' width='80' height='80'/></clipPath>";
    let circle = "<clipPath id='c'><circle cx='500' cy='500' r='500'/></clipPath>";
    let two =
        "<clipPath id='c'><circle cx='300' cy='300' r='300'/><circle cx='600' cy='600' r='400'/></clipPath>";
    let mask = format!("<mask id='m' maskUnits='userSpaceOnUse' width='1000' height='1000'>{SQUARE}</mask>");
    vec![
        case("layers", "", &group("opacity='.5'"), 20),
        case("nested layers", "", &("<g opacity='.9'>".repeat(40) + SQUARE + &"</g>".repeat(40)), 1),
        case("multiplied layers", "", &group("style='mix-blend-mode:multiply'"), 20),
        case("luminous layers", "", &group("style='mix-blend-mode:luminosity'"), 10),
        case("rectangular clip paths", rect, &group("clip-path='url(#c)'"), 100),
        case("small rectangular clip paths", small, &group("clip-path='url(#c)'"), 300),
        case(
            "small shapes in large clip paths",
            rect,
            "<g clip-path='url(#c)'><rect x='200' y='200' width='9' height='9'/></g>",
            2000,
        ),
        case(
            "nested rectangular clip paths",
            rect,
            &("<g clip-path='url(#c)'>".repeat(30) + SQUARE + &"</g>".repeat(30)),
            3,
        ),
        case("round clip paths", circle, &group("clip-path='url(#c)'"), 50),
        case("clip paths of two parts", two, &group("clip-path='url(#c)'"), 50),
        case("masks", &mask, &group("mask='url(#m)'"), 10),
    ]
}

fn pictures() -> Vec<Case> {
    let pattern = |size: u32| {
        format!(
            "<pattern id='p' width='{size}' height='{size}' patternUnits='userSpaceOnUse'>{SQUARE}</pattern>"
        )
    };
    let filled = "<rect width='1000' height='1000' fill='url(#p)'/>";
    let mut pixmap = Pixmap::new(SIDE, SIDE).unwrap();
    for (index, byte) in pixmap.data_mut().chunks_exact_mut(4).enumerate() {
        byte.copy_from_slice(&[(index * 7) as u8, (index / 1000) as u8, (index >> 7) as u8, 255]);
    }
    let url: String = pixmap.encode_png().unwrap().iter().map(|byte| format!("%{byte:02x}")).collect();
    let image = |side: u32| format!("<image width='{side}' height='{side}' href='data:image/png,{url}'/>");
    vec![
        case("patterns of 10 pixels", &pattern(10), filled, 20),
        case("patterns of 900 pixels", &pattern(900), filled, 20),
        case("patterns of 9000 pixels", &pattern(9000), filled, 20),
        case("images", "", &image(1000), 3),
        case("images made small", "", &image(100), 3),
    ]
}

fn filters() -> Vec<Case> {
    let one = |primitive: &str| {
        let filter = format!("<filter id='f' x='0' y='0' width='1' height='1'>{primitive}</filter>");
        case(
            primitive.split(' ').next().unwrap(),
            &filter,
            "<rect width='1000' height='1000' filter='url(#f)'/>",
            1,
        )
    };
    let named = |name: &str, primitive: &str| by_resvg(Case { name: name.to_owned(), ..one(primitive) });
    let light = "<fePointLight x='50' y='60' z='200'/>";
    let kernel = |order: usize| {
        format!("<feConvolveMatrix order='{order}' kernelMatrix='{}'/>", "1 ".repeat(order * order))
    };
    let tables = "<feFuncR type='table' tableValues='0 1 .5'/><feFuncG type='gamma' exponent='2'/>";
    vec![
        named("blur of 1", "<feGaussianBlur stdDeviation='1'/>"),
        named("blur of 1.9", "<feGaussianBlur stdDeviation='1.9'/>"),
        named("blur of 2", "<feGaussianBlur stdDeviation='2'/>"),
        named("blur of 50", "<feGaussianBlur stdDeviation='50'/>"),
        named("shadow", "<feDropShadow stdDeviation='5' dx='9'/>"),
        named("morphology of 1", "<feMorphology radius='1'/>"),
        named("morphology of 5", "<feMorphology radius='5'/>"),
        named("morphology of 15", "<feMorphology operator='dilate' radius='15'/>"),
        named("turbulence of 1", "<feTurbulence baseFrequency='.05' numOctaves='1'/>"),
        named("turbulence of 4", "<feTurbulence baseFrequency='.05' numOctaves='4'/>"),
        named("turbulence of 9", "<feTurbulence baseFrequency='.05' numOctaves='9'/>"),
        named(
            "noise of 9",
            "<feTurbulence type='fractalNoise' baseFrequency='.9' numOctaves='9' stitchTiles='stitch'/>",
        ),
        named("convolution of 3", &kernel(3)),
        named("convolution of 9", &kernel(9)),
        named("diffuse light", &format!("<feDiffuseLighting>{light}</feDiffuseLighting>")),
        named(
            "specular light",
            &format!("<feSpecularLighting specularExponent='20'>{light}</feSpecularLighting>"),
        ),
        named(
            "spot light",
            "<feSpecularLighting specularExponent='20'><feSpotLight x='9' y='9' z='99' limitingConeAngle='30'/></feSpecularLighting>",
        ),
        named("tile", "<feFlood x='0' y='0' width='30' height='30'/><feTile/>"),
        named("merge of 5", &format!("<feMerge>{}</feMerge>", "<feMergeNode in='SourceGraphic'/>".repeat(5))),
        named("colour matrix", "<feColorMatrix type='hueRotate' values='30'/>"),
        named("transfer", &format!("<feComponentTransfer>{tables}</feComponentTransfer>")),
        named("displacement", "<feDisplacementMap in2='SourceGraphic' scale='20'/>"),
        named("blend", "<feBlend in2='SourceGraphic' mode='multiply'/>"),
        named("luminous blend", "<feBlend in2='SourceGraphic' mode='luminosity'/>"),
        named("composite", "<feComposite in2='SourceAlpha' operator='arithmetic' k1='.5' k2='.5'/>"),
        named("flood", "<feFlood flood-color='red'/>"),
        named("offset", "<feOffset dx='9'/>"),
        named("20 offsets", &"<feOffset dx='9'/>".repeat(20)),
    ]
}

/// Seconds of the processor that this thread has had; other work on the machine does not count.
fn seconds() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    told.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Seconds to draw, the least of a few tries; `None` for what vello_cpu leaves to resvg.
fn drawn(tree: &Tree, renderer: Renderer) -> Option<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let mut canvas = Pixmap::new(SIDE, SIDE).unwrap();
        let began = seconds();
        match renderer {
            Renderer::Resvg => resvg::render(tree, Transform::identity(), &mut canvas.as_mut()),
            Renderer::Vello => {
                vello::check(tree, Transform::identity(), (SIDE, SIDE)).ok()?;
                vello::render(tree, Transform::identity(), canvas.data_mut(), (SIDE, SIDE), &|| true).ok()?;
            }
        }
        let took = seconds() - began;
        least = least.min(took);
        if took > 0.3 {
            break;
        }
    }
    Some(least)
}

/// What the parser takes for one of what it does very often; the limits of [`super::census`] are by this.
#[test]
#[ignore = "a measurement, for release code"]
fn parsing() {
    let rules = |count: usize, selector: fn(usize) -> String| -> String {
        (0..count).map(|i| format!("{}{{fill:#{i:03x}}}", selector(i))).collect()
    };
    let rects =
        "<rect class='c7 d' fill='red' stroke='blue' x='1' y='2' width='3' height='4'/>".repeat(20_000);
    let words =
        "<text y='20' font-family='sans-serif'>The quick brown fox jumps over it.</text>".repeat(1000);
    let path = format!("<path d='M0 0{}'/>", "l1.5 2.5".repeat(1_000_000));
    for (name, svg, often) in [
        ("elements", rects.clone(), 20_000),
        ("classes", format!("<style>{}</style>{rects}", rules(500, |i| format!(".c{i}"))), 10_000_000),
        ("tags", format!("<style>{}</style>{rects}", rules(500, |i| format!("g{i}"))), 10_000_000),
        ("children", format!("<style>{}</style>{rects}", rules(500, |i| format!("svg > .c{i}"))), 20_000_000),
        ("letters", words, 34_000),
        ("points", path, 1_000_000),
    ] {
        let text = format!("<svg xmlns='http://www.w3.org/2000/svg' width='100' height='100'>{svg}</svg>");
        let began = seconds();
        Tree::from_str(&text, &crate::options()).unwrap();
        let all = seconds() - began;
        println!("{name:12} {:8.1} ms, {:8.1} ns each", all * 1e3, all * 1e9 / f64::from(often));
    }
}

#[test]
#[ignore = "a measurement, for release code"]
fn counts_are_above_what_is_measured_and_not_far() {
    println!("{:34} {:6} {:>9} {:>9} {:>6}", "drawing", "by", "ms", "counted", "ratio");
    let mut wrong = Vec::new();
    let all = [shapes(), layers(), pictures(), filters()].into_iter().flatten();
    for Case { name, vello, svg } in all {
        let tree = Tree::from_str(&svg, &crate::options()).unwrap();
        for renderer in [Renderer::Resvg, Renderer::Vello].into_iter().take(1 + usize::from(vello)) {
            let Some(seconds) = drawn(&tree, renderer) else { continue };
            let by = (renderer, Outline::of as _);
            let work = counted(&tree, Transform::identity(), (SIDE, SIDE), by, Duration::MAX).unwrap();
            let ratio = work.nanoseconds / 1e9 / seconds;
            let line = format!(
                "{name:34} {:6} {:9.2} {:9.2} {ratio:6.2}",
                format!("{renderer:?}"),
                seconds * 1e3,
                work.nanoseconds / 1e6
            );
            println!("{line}");
            if !(TOLERANCE.0..=TOLERANCE.1).contains(&ratio) {
                wrong.push(line);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
