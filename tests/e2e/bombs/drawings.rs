//! Drawings of few bytes, or of many that say the same, that ask for very much.

use super::Bomb;

fn svg(size: u32, content: &str) -> Vec<u8> {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='{size}' height='{size}'>{content}</svg>"
    )
    .into_bytes()
}

fn refused(name: &'static str, what: &'static str, content: &str) -> Bomb {
    Bomb { name, operation: "rasterize", bytes: svg(300, content), refused: Some(what) }
}

fn drawn(name: &'static str, content: &str) -> Bomb {
    Bomb { name, operation: "rasterize", bytes: svg(300, content), refused: None }
}

/// A filter with these primitives, on a square that fills the drawing.
fn filter(primitives: &str) -> String {
    format!(
        "<filter id='f' x='0' y='0' width='1' height='1'>{primitives}</filter>\
         <rect width='300' height='300' filter='url(#f)'/>"
    )
}

/// `levels` elements, each made of the one before it.
fn levels(levels: u32, level: impl Fn(u32, u32) -> String) -> String {
    (1..=levels).map(|index| level(index, index - 1)).collect()
}

const SQUARE: &str = "<rect width='300' height='300'/>";

/// Those of few bytes.
pub(super) fn small() -> Vec<Bomb> {
    [effects(), references(), shown()].into_iter().flatten().collect()
}

/// All of them.
pub(super) fn all() -> Vec<Bomb> {
    small().into_iter().chain(long()).collect()
}

fn effects() -> Vec<Bomb> {
    let light = "<feDiffuseLighting><fePointLight x='9' y='9' z='9'/></feDiffuseLighting>";
    vec![
        refused("morphology of radius 100", "morphology", &filter("<feMorphology radius='100'/>")),
        refused(
            "morphology of radius 7.3e6",
            "morphology",
            &filter("<feMorphology operator='dilate' radius='7300000.7'/>"),
        ),
        refused(
            "morphology of half the shape",
            "morphology",
            "<filter id='f' primitiveUnits='objectBoundingBox'><feMorphology radius='.5'/></filter>\
             <rect width='300' height='300' filter='url(#f)'/>",
        ),
        refused(
            "morphology scaled 90 times",
            "morphology",
            "<filter id='f'><feMorphology radius='1.7'/></filter><g transform='scale(90.5)'>\
             <rect width='4' height='4' filter='url(#f)'/></g>",
        ),
        refused(
            "turbulence of 10^9 octaves",
            "octaves",
            &filter("<feTurbulence baseFrequency='.9' numOctaves='1000000000'/>"),
        ),
        refused(
            "100 turbulences of 16 octaves",
            "turbulence",
            &filter(&"<feTurbulence baseFrequency='.9' numOctaves='16'/>".repeat(100)),
        ),
        refused(
            "convolution of order 60",
            "convolution",
            &filter(
                &format!("<feConvolveMatrix order='60' kernelMatrix='{}'/>", "1 ".repeat(3600)).repeat(12),
            ),
        ),
        refused(
            "499 light sources, 99 times",
            "light sources",
            &(filter(&light.repeat(499)) + &"<rect width='300' height='300' filter='url(#f)'/>".repeat(99)),
        ),
        refused(
            "10,000 primitives in one filter",
            "primitives in one filter",
            &filter(&"<feOffset dx='1'/>".repeat(10_000)),
        ),
        refused(
            "blur of 10^9 pixels",
            "deviation of a blur",
            &filter("<feGaussianBlur stdDeviation='1000000000'/>"),
        ),
        refused(
            "drop shadows of drop shadows",
            "blurs",
            &(filter(&"<feDropShadow stdDeviation='50' dx='9'/>".repeat(490))
                + "<rect width='300' height='300' filter='url(#f)'/>"),
        ),
        refused(
            "tiles of tiles",
            "filters",
            &(filter(&"<feTile/>".repeat(490))
                + &"<rect width='300' height='300' filter='url(#f)'/>".repeat(19)),
        ),
        refused(
            "blurs on blurs on a group of 600",
            "blurs",
            &format!(
                "<filter id='f'><feGaussianBlur stdDeviation='1.9'/></filter>{}",
                "<rect width='300' height='300' filter='url(#f)'/>".repeat(900)
            ),
        ),
    ]
}

fn references() -> Vec<Bomb> {
    let twice = "elements with references followed";
    vec![
        refused(
            "use of use, 2^40",
            twice,
            &(format!("<g id='i0'>{SQUARE}</g>")
                + &levels(40, |i, before| {
                    format!("<g id='i{i}'><use href='#i{before}'/><use xlink:href='#i{before}'/></g>")
                })),
        ),
        refused(
            "patterns in patterns",
            twice,
            &(levels(25, |i, before| {
                format!(
                    "<pattern id='p{i}' width='9' height='9' patternUnits='userSpaceOnUse'><rect width='9' height='9' fill='url(#p{before})'/>\
                     <rect y='4' width='9' height='9' fill='url(#p{before})'/></pattern>"
                )
            }) + "<rect width='300' height='300' fill='url(#p25)'/>"),
        ),
        refused(
            "masks in masks",
            twice,
            &(levels(25, |i, before| {
                format!(
                    "<mask id='m{i}'><rect width='300' height='300' mask='url(#m{before})'/><rect width='9' height='9' style='mask:url(#m{before})'/></mask>"
                )
            }) + "<rect width='300' height='300' mask='url(#m25)'/>"),
        ),
        refused(
            "clip paths in clip paths",
            twice,
            &(levels(25, |i, before| {
                format!(
                    "<clipPath id='c{i}'><rect width='300' height='300' clip-path='url(#c{before})'/><circle r='9' clip-path='url(#c{before})'/></clipPath>"
                )
            }) + "<rect width='300' height='300' clip-path='url(#c25)'/>"),
        ),
        refused(
            "markers on markers",
            twice,
            &(levels(25, |i, before| {
                format!(
                    "<marker id='k{i}'><path d='M0 0L9 9L0 9' marker-end='url(#k{before})' marker-start='url(#k{before})'/></marker>"
                )
            }) + "<path d='M0 0L99 99' marker-start='url(#k25)'/>"),
        ),
        refused(
            "a marker at 200,000 points",
            twice,
            &format!(
                "<marker id='k'>{}</marker><path marker-mid='url(#k)' d='M0 0{}'/>",
                SQUARE.repeat(9),
                "L9 9".repeat(200_000)
            ),
        ),
        refused(
            "a chain of 90 masks",
            "references in one another",
            &levels(90, |i, before| format!("<mask id='m{i}' mask='url(#m{before})'>{SQUARE}</mask>")),
        ),
        refused(
            "10,000 stops, 300 times",
            "stops of gradients",
            &format!(
                "<linearGradient id='g'>{}</linearGradient><g fill='url(#g)'>{}</g>",
                "<stop offset='.5'/>".repeat(10_000),
                SQUARE.repeat(300)
            ),
        ),
        refused(
            "dashes for 1,000 shapes",
            "bytes of styles",
            &format!(
                "<g stroke-dasharray='{}'>{}</g>",
                "1 ".repeat(150_000),
                "<path d='M0 0L9 9'/>".repeat(1000)
            ),
        ),
    ]
}

fn shown() -> Vec<Bomb> {
    let big = "<rect width='3000' height='3000'";
    vec![
        refused(
            "arc of absurd size",
            "a radius or a view box",
            "<path d='M1e38 1e38L-1e38 -1e38A1e38 1e38 0 0 0 1e-38 1e-38z'/>",
        ),
        refused("an arc from far away", "a radius or a view box", "<path d='M1e300 0A1 1 0 0 1 0 0'/>"),
        refused(
            "a circle of 10^36 letters",
            "points of outlines",
            "<g font-size='1e36'><circle r='9em'/></g>",
        ),
        refused("circles of absurd size", "a radius or a view box", &"<circle r='1e35'/>".repeat(50)),
        refused(
            "300 nested layers",
            "layers inside one another",
            &format!("{}{SQUARE}{}", "<g opacity='.9'>".repeat(300), "</g>".repeat(300)),
        ),
        refused(
            "501 nested groups",
            "elements inside one another",
            &format!("{}{SQUARE}{}", "<g>".repeat(501), "</g>".repeat(501)),
        ),
        refused(
            "30,000 dashes in each of 300 lines",
            "dashes",
            &"<path d='M0 0L300 300' stroke='red' stroke-dasharray='.005'/>".repeat(300),
        ),
        refused(
            "90,000 half-transparent squares",
            "shapes",
            &"<rect width='300' height='300' fill-opacity='.5'/>".repeat(90_000),
        ),
        refused(
            "50,000 half-transparent groups",
            "layers",
            &"<g opacity='.5'><rect width='300' height='300'/><rect/></g>".repeat(50_000),
        ),
        refused(
            "5,000 masked squares",
            "masks",
            &format!(
                "<mask id='m'>{SQUARE}</mask>{}",
                "<rect width='300' height='300' mask='url(#m)'/>".repeat(5000)
            ),
        ),
        refused(
            "30,000 shapes with a gradient of 20 stops",
            "gradients",
            &format!(
                "<radialGradient id='g'>{}</radialGradient><g fill='url(#g)'>{}</g>",
                (0..20).map(|i| format!("<stop offset='{i}%'/>")).collect::<String>(),
                SQUARE.repeat(30_000)
            ),
        ),
        refused(
            "a zigzag of 400,000 lines",
            "outlines",
            &format!(
                "<path d='M0 0{}'/>",
                (0..200_000).map(|i| format!("L{} 300L{} 0", i % 300, (i * 7) % 300)).collect::<String>()
            ),
        ),
        drawn(
            "a pattern of a million pixels a side, moved",
            "<filter id='f'><feOffset dx='1'/></filter><pattern id='p' width='1e6' height='1e6' patternUnits='userSpaceOnUse'>\
             <rect width='9' height='9'/></pattern><rect width='300' height='300' fill='url(#p)' filter='url(#f)'/>",
        ),
        drawn(
            "pattern without patternUnits",
            "<pattern id='p' width='200' height='200'><rect width='9' height='9'/></pattern><rect width='300' height='300' fill='url(#p)'/>",
        ),
        drawn(
            "a pattern of a million pixels a side",
            "<pattern id='p' width='1e6' height='1e6' patternUnits='userSpaceOnUse'><rect width='9' height='9'/></pattern><rect width='300' height='300' fill='url(#p)'/>",
        ),
        drawn(
            "2,000 patterns without patternUnits",
            &(0..2000)
                .map(|i| {
                    format!(
                        "<pattern id='p{i}' width='200' height='200'><rect width='9' height='9'/></pattern>\
                         <rect width='9' height='9' fill='url(#p{i})'/>"
                    )
                })
                .chain([
                    "<filter id='f'><feOffset dx='1'/></filter><rect width='9' height='9' filter='url(#f)'/>"
                        .to_owned(),
                ])
                .collect::<String>(),
        ),
        drawn("a stroke a million wide", "<path d='M0 0L300 300' stroke='red' stroke-width='1000000'/>"),
        drawn("a square scaled a million times", &format!("<g transform='scale(1e6)'>{SQUARE}</g>")),
        drawn(
            "a shape far larger than the drawing, blurred",
            &format!("<filter id='f'><feGaussianBlur stdDeviation='9'/></filter>{big} filter='url(#f)'/>"),
        ),
        drawn(
            "200 clipped lines",
            &format!(
                "<clipPath id='c'><rect x='9' y='9' width='280' height='280'/></clipPath>{}",
                "<g clip-path='url(#c)'><path d='M0 9L90 200L300 50' fill='none' stroke='red'/></g>"
                    .repeat(200)
            ),
        ),
        drawn(
            "a chart of 2,000 shapes",
            &"<rect x='20' y='30' width='40' height='9' fill='red' stroke='blue'/>".repeat(2000),
        ),
    ]
}

/// Those whose length is part of it.
fn long() -> Vec<Bomb> {
    let attributes: String = (0..100_000).map(|i| format!(" a{i}='1'")).collect();
    let rules: String = (0..20_000).map(|i| format!(".c{i}{{fill:#00{:02}00}}", i % 100)).collect();
    let classes: String = (0..2000).map(|i| format!("<rect class='c{i}' width='9' height='9'/>")).collect();
    let entities: String =
        (1..12).map(|i| format!("<!ENTITY e{i} '{}'>", format!("&e{};", i - 1).repeat(10))).collect();
    let laughs = |entity: &str| {
        let text = format!(
            "<!DOCTYPE svg [<!ENTITY e0 'ha'>{entities}]><svg xmlns='http://www.w3.org/2000/svg'><!-- &e10; -->{entity}</svg>"
        );
        text.into_bytes()
    };
    vec![
        refused("100,000 attributes", "attributes in one element", &format!("<rect{attributes}/>")),
        refused(
            "900 attributes, 500 times",
            "pairs of attributes",
            &format!("<rect {}/>", (0..900).map(|i| format!("a{i}='1' ")).collect::<String>()).repeat(500),
        ),
        refused("20,000 style rules", "style rules", &format!("<style>{rules}</style>{classes}")),
        refused(
            "selectors of nine ancestors",
            "style rules",
            &format!(
                "<style>g g g g g g g g g x{{fill:red}}</style>{}{}{}",
                "<g>".repeat(300),
                "<rect/>".repeat(2000),
                "</g>".repeat(300)
            ),
        ),
        refused(
            "a style of 250,000 values",
            "bytes of styles that are read again",
            &format!("<g style='{}'/>", "a:b;".repeat(250_000)),
        ),
        refused(
            "20,000 letters along 150,000 points",
            "letters times points",
            &format!(
                "<path id='p' d='M0 0{}'/><text><textPath href='#p'>{}</textPath></text>",
                "l9 9".repeat(150_000),
                "W".repeat(20_000)
            ),
        ),
        refused(
            "60 attributes of each of 400 groups around 50,000 squares",
            "levels of elements",
            &format!(
                "{}{}{}",
                format!("<g{}>", (0..60).map(|i| format!(" a{i}=''")).collect::<String>()).repeat(400),
                "<rect/>".repeat(50_000),
                "</g>".repeat(400)
            ),
        ),
        refused("300,000 letters in one text", "letters", &format!("<text>{}</text>", "W".repeat(300_000))),
        refused(
            "letters by use",
            "letters",
            &format!("<text id='t'>{}</text>{}", "W".repeat(1000), "<use href='#t'/>".repeat(300)),
        ),
        refused(
            "500,000 half-transparent rectangles",
            "elements",
            &"<rect width='300' height='300' opacity='.5'/>".repeat(500_000),
        ),
        refused(
            "5,000,000 points",
            "points of outlines",
            &format!("<path d='M0 0{}'/>", " 1 1".repeat(5_000_001)),
        ),
        Bomb {
            name: "entities of entities",
            operation: "rasterize",
            bytes: laughs("&e9;"),
            refused: Some("bytes that its entities stand for"),
        },
        Bomb {
            name: "entities deep in entities",
            operation: "rasterize",
            bytes: laughs("&e11;"),
            refused: Some("entities inside one another"),
        },
        refused(
            "9,000,000 equals signs",
            "bytes of its tree",
            &format!("<!-- {} -->", "=".repeat(9_000_000)),
        ),
        drawn(
            "text of 20,000 letters",
            &"<text y='20'>The quick brown fox jumps over it.</text>".repeat(600),
        ),
    ]
}
