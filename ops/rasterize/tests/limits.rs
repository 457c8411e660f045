//! What a drawing may ask for: products out of all bounds are refused, and what people draw is not.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

mod common;

use common::{draw, header, pixel, plugin, svg, try_draw};
use imgserve_sdk::abi::PluginError;
use imgserve_sdk::serde_json::json;
use imgserve_sdk::testing::TestHost;
use imgserve_sdk::{Error, ErrorKind, Plan, SourceHeader};

fn planned(side: u32, content: &str, host: &TestHost) -> Result<Plan, Error> {
    let text = svg(100, 100, content);
    let header = SourceHeader { head: text.into_bytes(), ..header(100, 100) };
    let args = json!({ "width": side, "height": side }).to_string();
    plugin().plan(args.as_bytes(), &header, host).map_err(|error| match error {
        PluginError::Operation(error) => error,
        other => panic!("{other}"),
    })
}

#[track_caller]
fn passes(side: u32, content: &str) {
    if let Err(error) = planned(side, content, &TestHost::default()) {
        panic!("{content:.80}: {error}");
    }
}

#[track_caller]
fn is_refused(content: &str, what: &str) {
    let error = planned(100, content, &TestHost::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded, "{content:.80}: {error}");
    assert!(error.message().contains(what), "{content:.80}: {error}");
}

#[test]
fn a_plot_of_many_clipped_lines_is_drawn() {
    let line =
        "<g clip-path='url(#axes)'><path d='M10 20L40 60L70 30L90 80' fill='none' stroke='#1f77b4'/></g>";
    let area = "<g clip-path='url(#axes)'><path d='M10 20L90 20L90 90L10 90z' fill='#ff7f0e' fill-opacity='.5'/></g>";
    let axes = "<clipPath id='axes'><rect x='10' y='10' width='80' height='80'/></clipPath>";
    passes(1600, &format!("{axes}{}{}", line.repeat(200), area.repeat(60)));
}

#[test]
fn an_export_with_many_classes_is_drawn() {
    let rules: String = (0..600).map(|i| format!(".cls-{i}{{fill:#{i:06x};stroke-width:.5px}}")).collect();
    let paths: String =
        (0..25_000).map(|i| format!("<path class='cls-{}' d='M1 1h2v{}z'/>", i % 600, i % 9)).collect();
    passes(500, &format!("<style>{rules}</style>{paths}"));
}

#[test]
fn noise_on_a_megapixel_is_drawn() {
    let filter = "<filter id='f'><feTurbulence baseFrequency='.05' numOctaves='9'/></filter>";
    passes(1000, &format!("{filter}<rect width='100' height='100' filter='url(#f)'/>"));
}

#[test]
fn arcs_are_counted_by_what_is_made_of_them() {
    passes(500, &format!("<path d='M0 0{}'/>", "a5 5 0 01 1 1".repeat(50_000)));
    is_refused(&format!("<path d='M0 0{}'/>", "a9e8 9e8 0 11 1 1".repeat(40_000)), "points of outlines");
    is_refused(&"<ellipse rx='9e8' ry='9e8'/>".repeat(36_000), "points of outlines");
    is_refused("<path d='M1e300 0A1 1 0 0 1 0 0'/>", "a radius");
    is_refused("<g font-size='1e36'><circle r='9em'/></g>", "points of outlines");
    let nested = "<g font-size='1000em'>".repeat(12);
    is_refused(&format!("{nested}<circle r='1em'/>{}", "</g>".repeat(12)), "points of outlines");
    passes(500, &"<g font-size='1.2em'><circle r='1em'/></g>".repeat(50));
}

/// The parser's reader of style looks where in the text it is at each value and each number.
#[test]
fn styles_of_very_many_values_are_refused() {
    let again = "bytes of styles that are read again";
    is_refused(&format!("<g style='{}'/>", "a:b;".repeat(60_000)), again);
    is_refused(&format!("<g style='stroke-dasharray:{}'/>", "1 ".repeat(80_000)), again);
    is_refused(&format!("<g style='x/y;{}'/>", "a:b;".repeat(60_000)), again);
    is_refused(&format!("<style>.a{{{}}}</style>", "a:b;".repeat(60_000)), again);
    let rules: String = (0..20_000).map(|i| format!(".c{i}{{a:b;c:d}}")).collect();
    let twice = format!("<s:style xmlns:s='http://www.w3.org/2000/svg'>{rules}{rules}</s:style>");
    is_refused(&twice, again);
    let hundred = format!("<g id='g'>{}</g>", format!("<g style='{}'/>", "a:b;".repeat(900)).repeat(100));
    is_refused(&(hundred.clone() + &"<use href='#g'/>".repeat(30)), again);
    passes(100, &hundred);
    passes(100, &format!("<style>{rules}</style>"));
    let drawn = "fill:#ff0000;fill-opacity:1;stroke:#000000;stroke-width:0.26458332px;stroke-linecap:butt;stroke-linejoin:miter;\
                 stroke-miterlimit:4;stroke-dasharray:none;stroke-opacity:1;font-variant-ligatures:normal;paint-order:normal";
    passes(100, &format!("<path style='{drawn}' d='M1 1h2v3z'/>").repeat(30_000));
}

/// A few letters may stand for a kibibyte each time that they are used.
#[test]
fn variables_that_stand_for_too_much_are_refused() {
    let made = "values that are made of them";
    let long = format!("<style>*{{--a:{}}}</style>", "1 ".repeat(450));
    let used = "<g stroke-dasharray='var(--a)'/>";
    is_refused(&format!("{long}{}", used.repeat(20_000)), made);
    passes(100, &format!("{long}{}", used.repeat(1000)));
    let set = |count: usize, value: &str| {
        let rules: String = (0..count).map(|i| format!("*{{--v{i}:{value}}}")).collect();
        format!("{long}<style>{rules}</style>")
    };
    is_refused(&set(20_000, "var(--a)"), made);
    is_refused(&set(200_000, "b"), made);
    passes(100, &set(2000, "var(--a)"));
}

/// For each piece of a path the parser goes through all letters that have no place on it yet.
#[test]
fn letters_along_a_path_are_counted_by_its_points() {
    let along = |letters: usize, points: usize| {
        format!(
            "<path id='p' fill='none' d='M0 0{}'/><text><textPath href='#p'>{}</textPath></text>",
            "l9 9".repeat(points),
            "W".repeat(letters)
        )
    };
    is_refused(&along(10_000, 150_000), "letters times points of the paths");
    passes(100, &along(300, 2000));
}

/// At so large a scale that single precision has none the parser measures each piece of a path in a million parts.
#[test]
fn letters_along_a_path_have_a_scale() {
    let path = "<path id='p' fill='none' d='M0 0l1 1l1 1l1 1l1 1'/>";
    let text = |size: &str| format!("<text font-size='{size}'><textPath href='#p'>ab</textPath></text>");
    let enlarged = "times that letters along a path are enlarged";
    for group in ["transform='scale(1e20)'", "style='transform:scale(1e20)'", "class='a'"] {
        let styled = "<style>.a{transform:scale(1e20)}</style>";
        is_refused(&format!("{styled}{path}<g {group}>{}</g>", text("1e-20")), enlarged);
    }
    let nested = "<g transform='scale(1000)'>".repeat(7);
    is_refused(&format!("{path}{nested}{}{}", text("1"), "</g>".repeat(7)), enlarged);
    is_refused(&format!("{path}<svg viewBox='0 0 1e-20 1'>{}</svg>", text("1")), enlarged);
    is_refused(
        &format!("{path}<g id='g'>{}</g><use href='#g' transform='scale(1e20)'/>", text("1")),
        enlarged,
    );
    passes(100, &format!("{path}<g transform='scale(1000)'>{}</g><g transform='scale(1e20)'/>", text(".01")));
}

/// The parser goes through all attributes of all that is around an element, for each property that it does not have itself.
#[test]
fn attributes_of_what_is_around_are_counted() {
    let around = |attributes: usize| {
        let attributes: String = (0..attributes).map(|i| format!(" a{i}=''")).collect();
        format!(
            "{}{}{}",
            format!("<g{attributes}>").repeat(300),
            "<rect/>".repeat(20_000),
            "</g>".repeat(300)
        )
    };
    is_refused(&around(60), "levels of elements");
    passes(100, &around(2));
}

/// Attributes are the parser's in each namespace of drawings.
#[test]
fn no_prefix_hides_an_attribute() {
    let points = " 1 1".repeat(5_100_000);
    let text = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:s='http://www.w3.org/2000/svg'><path s:d='M0 0{points}'/></svg>"
    );
    let error =
        try_draw(&json!({ "width": 9, "height": 9 }), &header(100, 100), text.as_bytes()).unwrap_err();
    assert!(error.message().contains("points of outlines"), "{error}");
}

#[test]
fn who_has_more_time_may_ask_for_more() {
    let squares = "<rect width='100' height='100' fill-opacity='.5' style='mix-blend-mode:hue'/>".repeat(600);
    let told = |milliseconds: u64| {
        planned(600, &squares, &TestHost::default().config(&json!({ "time_limit_ms": milliseconds })))
    };
    let error = planned(600, &squares, &TestHost::default()).unwrap_err();
    assert!(error.message().contains("4.0 s for drawing (time_limit_ms = 5000)"), "{error}");
    assert_eq!(told(5000).unwrap_err().message(), error.message());
    assert!(told(60_000).is_ok(), "{:?}", told(60_000));
    assert!(told(100).unwrap_err().message().contains("time_limit_ms = 100"));
}

/// What vello_cpu gives up is drawn by resvg, whose layers are in the plan.
#[test]
fn a_plan_has_room_for_the_layers_of_either_renderer() {
    let layers = |depth: usize| {
        let content = format!(
            "{}<rect width='100' height='100'/>{}",
            "<g opacity='.9'><rect width='99' height='99'/>".repeat(depth),
            "</g>".repeat(depth)
        );
        planned(1000, &content, &TestHost::default()).unwrap().peak_bytes
    };
    assert!(layers(40) >= layers(1) + 30 * 4_000_000, "{} {}", layers(40), layers(1));
    let unseen = SourceHeader { head: vec![b'<'; 64 << 10], ..header(100, 100) };
    let args = json!({ "width": 10, "height": 10 }).to_string();
    let plan = plugin().plan(args.as_bytes(), &unseen, &TestHost::default()).unwrap();
    assert!(plan.peak_bytes > 128 << 20, "{}", plan.peak_bytes);
}

/// Without `patternUnits` a tile is so many times the shape, which is a common mistake: it is drawn as far as it shows.
#[test]
fn a_tile_far_larger_than_what_it_fills_is_drawn() {
    let defined = "<mask id='m'><rect width='100' height='100' fill='white'/></mask><filter id='f'><feOffset dx='0'/></filter>";
    let tile = "<rect width='30' height='30' fill='red'/>";
    let sizes =
        ["width='200' height='200'", "width='1e6' height='1e6' patternUnits='userSpaceOnUse' x='10' y='10'"];
    for size in sizes {
        for drawn_by in ["", "mask='url(#m)'", "filter='url(#f)'"] {
            let pattern = format!("<pattern id='p' {size}>{tile}</pattern>");
            let rect = "<rect x='10' y='10' width='80' height='80' fill='url(#p)'/>";
            let image = draw(200, 200, &format!("{defined}{pattern}<g {drawn_by}>{rect}</g>"));
            let found = [
                pixel(&image, 40, 40),
                pixel(&image, 70, 70),
                pixel(&image, 120, 120),
                pixel(&image, 10, 10),
            ];
            let red = [255, 0, 0, 255];
            assert_eq!(found, [red, red, [0; 4], [0; 4]], "{size} {drawn_by}");
        }
    }
}
