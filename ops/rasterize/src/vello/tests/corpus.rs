//! The drawings that both renderers draw: each element, attribute and combination that [`super::super::suits`] lets
//! pass, alone and together, and a generator of as many more as one likes.

use std::fmt::Write;

/// A drawing's name and its text.
pub(super) type Drawing = (String, String);

const STAR: &str = "M50 5 78 92 4 38 96 38 22 92z";
const CURVES: &str = "M10 50C10 10 45 5 50 40S90 20 90 55 70 95 50 80Q40 60 25 85T10 50z";
const OPEN: &str = "M8 12C40 95 60 -20 92 70L70 90 15 60";

/// The blend modes that work on each channel alone; the others are resvg's.
const SEPARABLE_MODES: [&str; 13] = [
    "normal",
    "multiply",
    "screen",
    "overlay",
    "darken",
    "lighten",
    "color-dodge",
    "color-burn",
    "hard-light",
    "soft-light",
    "difference",
    "exclusion",
    "plus-lighter",
];

const TRANSFORMS: [(&str, &str); 8] = [
    ("none", ""),
    ("turned", "rotate(31 50 50)"),
    ("quarter", "rotate(90 50 50)"),
    ("skewed", "translate(-20) skewX(25)"),
    ("flat", "translate(0 40) scale(1 .2)"),
    ("mirrored", "translate(100) scale(-1 1)"),
    ("small", "translate(40 40) scale(.1)"),
    ("large", "translate(-300 -300) scale(7)"),
];

/// `content` in a view box of 100 × 100.
pub(super) fn svg(content: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='100' \
         height='100' viewBox='0 0 100 100'>{content}</svg>"
    )
}

/// All of the written drawings.
pub(super) fn written() -> Vec<Drawing> {
    let mut all = Vec::new();
    let parts: [fn(&mut Corpus<'_>); 9] =
        [shapes, strokes, gradients, groups, clips, texts, embedded, blurs, odd];
    parts.into_iter().for_each(|part| part(&mut Corpus(&mut all)));
    all
}

struct Corpus<'a>(&'a mut Vec<Drawing>);

impl Corpus<'_> {
    fn add(&mut self, name: impl Into<String>, content: &str) {
        self.0.push((name.into(), svg(content)));
    }
}

fn shapes(corpus: &mut Corpus<'_>) {
    for (name, transform) in TRANSFORMS {
        for rule in ["nonzero", "evenodd"] {
            let content =
                format!("<path d='{STAR}' fill='#c03' fill-rule='{rule}' transform='{transform}'/>");
            corpus.add(format!("star-{rule}-{name}"), &content);
        }
        let content = format!("<path d='{CURVES}' fill='#06a' transform='{transform}'/>");
        corpus.add(format!("curves-{name}"), &content);
        let content = format!(
            "<g transform='{transform}'><rect x='5.3' y='6.7' width='40.1' height='30.9' fill='#285'/>
             <rect x='50' y='10' width='40' height='30' rx='9' ry='14' fill='#b70'/>
             <circle cx='25' cy='70' r='19.5'/><ellipse cx='70' cy='70' rx='25' ry='8' fill='#75c'/>
             <polygon points='50,45 60,60 40,58' fill='#c2c'/><line x1='0' y1='0' x2='9' y2='9'/></g>"
        );
        corpus.add(format!("elements-{name}"), &content);
    }
    for opacity in ["0", ".01", ".5", "1"] {
        let content = format!(
            "<path d='{STAR}' fill='#c03' fill-opacity='{opacity}' stroke='#06c' stroke-width='6'
             stroke-opacity='.6'/><path d='{CURVES}' fill='rgba(0,90,40,.5)'/>"
        );
        corpus.add(format!("fill-opacity-{opacity}"), &content);
    }
    let defs = "<symbol id='s' viewBox='0 0 10 10'><circle cx='5' cy='5' r='4'/></symbol><g id='g'><rect width='9' height='9'/></g>";
    let uses = "<use href='#s' width='50' height='30' fill='#a52'/><use href='#g' x='60' y='60' transform='rotate(9)'/>
        <g visibility='hidden'><rect width='90' height='90'/><rect x='70' width='9' height='9' visibility='visible'/></g>
        <g display='none'><rect width='90' height='90'/></g>";
    corpus.add("uses", &format!("<defs>{defs}</defs>{uses}"));
}

fn strokes(corpus: &mut Corpus<'_>) {
    for join in ["miter", "round", "bevel", "miter-clip"] {
        for cap in ["butt", "round", "square"] {
            for width in ["3", "14"] {
                let content = format!(
                    "<path d='{OPEN}' fill='none' stroke='#147' stroke-width='{width}' stroke-linejoin='{join}'
                     stroke-linecap='{cap}'/>"
                );
                corpus.add(format!("stroke-{join}-{cap}-{width}"), &content);
            }
        }
    }
    for dashes in ["5", "12 3", "1 7", "0 8", "20 4 2 4", "3 5 1"] {
        for offset in ["0", "-7.5", "400"] {
            let content = format!(
                "<path d='{CURVES}' fill='#eee' stroke='#a15' stroke-width='4' stroke-dasharray='{dashes}'
                 stroke-dashoffset='{offset}' stroke-linecap='round'/>"
            );
            corpus.add(format!("dashes-{dashes}-{offset}"), &content);
        }
    }
    for (name, transform) in TRANSFORMS {
        for width in ["1", "5"] {
            let content = format!(
                "<path d='{OPEN}' fill='none' stroke='#520' stroke-width='{width}' stroke-dasharray='9 4'
                 transform='{transform}'/><circle cx='50' cy='50' r='30' fill='none' stroke='#06c'
                 stroke-width='{width}' transform='{transform}'/>"
            );
            corpus.add(format!("stroke-{name}-{width}"), &content);
        }
    }
    for order in ["normal", "stroke", "stroke fill", "fill stroke"] {
        let content = format!(
            "<path d='{STAR}' fill='#fc3' stroke='#147' stroke-width='8' paint-order='{order}' opacity='.8'/>"
        );
        corpus.add(format!("paint-order-{order}"), &content);
    }
    for limit in ["1", "2", "4", "20"] {
        let content = format!(
            "<path d='M10 90 50 20 90 90 60 70' fill='none' stroke='#333' stroke-width='7' stroke-miterlimit='{limit}'/>"
        );
        corpus.add(format!("miter-limit-{limit}"), &content);
    }
    let content = "<marker id='m' markerWidth='4' markerHeight='4' refX='2' refY='2' orient='auto' viewBox='0 0 4 4'>
        <path d='M0 0 4 2 0 4z' fill='#c03'/></marker><path d='M10 80Q50 0 90 80L50 60' fill='none' stroke='#333'
        stroke-width='4' marker-start='url(#m)' marker-mid='url(#m)' marker-end='url(#m)'/>";
    corpus.add("markers", content);
}

fn gradients(corpus: &mut Corpus<'_>) {
    let all_stops = [
        ("two", "<stop stop-color='#fa0'/><stop offset='1' stop-color='#06c'/>"),
        ("fading", "<stop stop-color='#fa0'/><stop offset='1' stop-color='#06c' stop-opacity='0'/>"),
        ("hard", "<stop offset='.3' stop-color='#fa0'/><stop offset='.3' stop-color='#06c'/><stop offset='.7' stop-color='#a0c'/>"),
        ("many", "<stop offset='.1' stop-color='red'/><stop offset='.35' stop-color='#fff' stop-opacity='.4'/>
            <stop offset='.5' stop-color='lime'/><stop offset='.55' stop-color='#000'/><stop offset='.9' stop-color='blue'/>"),
        ("one", "<stop offset='.5' stop-color='#284'/>"),
    ];
    let kinds = [
        ("linear", "linearGradient", "x1='.2' y1='.1' x2='.7' y2='.8'"),
        ("across", "linearGradient", "x1='0' x2='.4'"),
        ("in-space", "linearGradient", "gradientUnits='userSpaceOnUse' x1='20' y1='80' x2='60' y2='20'"),
        ("turned", "linearGradient", "gradientTransform='rotate(40) scale(.6 .3)'"),
        ("radial", "radialGradient", "cx='.4' cy='.6' r='.3'"),
        ("focal", "radialGradient", "cx='.5' cy='.5' r='.4' fx='.3' fy='.4'"),
        ("focal-ring", "radialGradient", "cx='.5' cy='.5' r='.45' fx='.4' fy='.5' fr='.2'"),
        ("focus-on-edge", "radialGradient", "cx='.5' cy='.5' r='.3' fx='.8' fy='.5'"),
        ("radial-turned", "radialGradient", "r='.3' gradientTransform='rotate(25 .5 .5) skewX(20)'"),
    ];
    for (kind, element, attributes) in kinds {
        for spread in ["pad", "reflect", "repeat"] {
            for (stops_name, stops) in all_stops {
                let content = format!(
                    "<{element} id='g' spreadMethod='{spread}' {attributes}>{stops}</{element}>
                     <rect x='2' y='3' width='95' height='60' fill='url(#g)'/>
                     <path d='M10 80C40 60 60 99 90 75' fill='none' stroke='url(#g)' stroke-width='9'/>"
                );
                corpus.add(format!("gradient-{kind}-{spread}-{stops_name}"), &content);
            }
        }
    }
}

fn groups(corpus: &mut Corpus<'_>) {
    let scene = "<rect width='60' height='60' fill='#e62'/><rect x='30' y='30' width='60' height='60' fill='#2a7' fill-opacity='.7'/>";
    for mode in SEPARABLE_MODES {
        let content = format!(
            "{scene}<path d='{STAR}' fill='#58c' fill-opacity='.8' style='mix-blend-mode:{mode}'/>
             <g style='isolation:isolate' opacity='.9'><circle cx='70' cy='30' r='20' fill='#b5b'/>
             <circle cx='80' cy='40' r='20' fill='#ac3' style='mix-blend-mode:{mode}'/></g>"
        );
        corpus.add(format!("blend-{mode}"), &content);
    }
    let mut nested = "<circle cx='50' cy='50' r='40' fill='#07c'/>".to_owned();
    for depth in 0..12 {
        nested = format!(
            "<g opacity='.9'>{nested}<rect x='{depth}' y='{depth}' width='30' height='6' fill='#e80'/></g>"
        );
    }
    corpus.add("opacity-nested", &format!("{scene}{nested}"));
    corpus.add("opacity-of-group", &format!("<g opacity='.35' transform='rotate(10)'>{scene}</g>"));
    corpus.add("opacity-none", &format!("<g opacity='0'>{scene}</g><path d='{STAR}'/>"));
}

fn clips(corpus: &mut Corpus<'_>) {
    let scene = "<rect width='100' height='100' fill='#e62'/><circle cx='50' cy='50' r='30' fill='#2a7'/>";
    let clips = [
        ("rect", "", "<rect x='10.5' y='20' width='50' height='60'/>"),
        ("curve", "", &format!("<path d='{CURVES}'/>")[..]),
        ("even-odd", "", &format!("<path d='{STAR}' clip-rule='evenodd'/>")),
        (
            "parts",
            "",
            "<circle cx='30' cy='30' r='25'/><circle cx='60' cy='60' r='30'/><rect x='70' width='20' height='30'/>",
        ),
        ("opposed", "", "<path d='M10 10h60v60h-60z'/><path d='M30 30v60h60v-60z'/>"),
        ("box", "clipPathUnits='objectBoundingBox'", "<circle cx='.5' cy='.5' r='.4'/>"),
        ("turned", "transform='rotate(20 50 50)'", "<rect x='20' y='20' width='60' height='60'/>"),
        ("empty", "", ""),
        ("line", "", "<path d='M0 50h100'/>"),
        ("hidden", "", "<rect width='90' height='90' visibility='hidden'/><circle cx='20' cy='20' r='19'/>"),
        (
            "text",
            "",
            "<text x='5' y='70' font-size='60' font-weight='bold'>ab<tspan font-style='italic'>c</tspan></text>",
        ),
    ];
    for (name, attributes, parts) in clips {
        let clip = format!("<clipPath id='c' {attributes}>{parts}</clipPath>");
        corpus.add(format!("clip-{name}"), &format!("{clip}<g clip-path='url(#c)'>{scene}</g>"));
        let more =
            "<g opacity='.6' style='mix-blend-mode:multiply' clip-path='url(#c)' transform='rotate(-8)'>";
        let content = format!("{clip}<rect width='70' height='70' fill='#9bf'/>{more}{scene}</g>");
        corpus.add(format!("clip-{name}-blended"), &content);
    }
    let content = format!(
        "<clipPath id='a'><circle cx='40' cy='50' r='38'/></clipPath><clipPath id='b'><rect x='30' y='5' width='60' height='70'/>
         <rect y='60' width='90' height='10'/></clipPath><g clip-path='url(#a)'><g clip-path='url(#b)' opacity='.8'>{scene}</g></g>"
    );
    corpus.add("clips-in-clips", &content);
    let content = "<svg x='20' y='20' width='50' height='40' viewBox='0 0 20 20' overflow='hidden'><circle cx='12' cy='12' r='12'/></svg>";
    corpus.add("clip-of-nested-svg", content);
}

fn texts(corpus: &mut Corpus<'_>) {
    for (family, size) in [("sans-serif", "7"), ("serif", "14"), ("monospace", "30")] {
        let content = format!(
            "<text x='4' y='34' font-family='{family}' font-size='{size}'>Hamburgefonstiv &amp; 0123<tspan x='4' dy='1.2em'
             fill='#a30' font-weight='bold'>Größe %</tspan><tspan x='4' dy='1.2em' font-style='italic'
             stroke='#06c' stroke-width='.6' fill='none'>outline</tspan></text>"
        );
        corpus.add(format!("text-{family}"), &content);
    }
    let content = "<path id='p' d='M5 70Q50 0 95 70' fill='none'/><text font-size='11'><textPath href='#p'>along a curve</textPath></text>
        <text x='50' y='90' text-anchor='middle' font-size='9' text-decoration='underline' letter-spacing='2'>under</text>
        <text x='10' y='20' font-size='12' rotate='10 20 30' opacity='.5'>turned</text>";
    corpus.add("text-placed", content);
    let content = "<linearGradient id='g'><stop stop-color='#f30'/><stop offset='1' stop-color='#03f'/></linearGradient>
        <text y='60' font-size='40' fill='url(#g)' stroke='#000' stroke-width='.4'>grad</text>";
    corpus.add("text-gradient", content);
}

fn embedded(corpus: &mut Corpus<'_>) {
    let inner = svg(&format!(
        "<path d='{STAR}' fill='#a30'/><g opacity='.5'><circle cx='60' cy='60' r='50' fill='#06c'/></g>"
    ));
    let url: String = inner.bytes().fold("data:image/svg+xml,".to_owned(), |mut url, byte| {
        write!(url, "%{byte:02x}").expect("a string takes all");
        url
    });
    for (name, attributes) in [
        ("plain", "width='100' height='100'"),
        ("placed", "x='20' y='10' width='60' height='40'"),
        ("cut", "x='5' y='40' width='90' height='30' preserveAspectRatio='xMidYMid slice'"),
        ("turned", "width='70' height='70' transform='rotate(20 50 50)' opacity='.7'"),
    ] {
        let content =
            format!("<rect width='100' height='50' fill='#dfd'/><image {attributes} href='{url}'/>");
        corpus.add(format!("embedded-{name}"), &content);
    }
}

fn blurs(corpus: &mut Corpus<'_>) {
    let scene = format!(
        "<path d='{STAR}' fill='#c03'/><circle cx='30' cy='60' r='20' fill='#06c' fill-opacity='.6'/>"
    );
    for (name, attributes, deviation) in [
        ("plain", "", "3"),
        ("wide", "", "14"),
        ("across", "", "9 0"),
        ("down", "", "0 4"),
        ("uneven", "", "2 11"),
        ("in-srgb", "color-interpolation-filters='sRGB'", "4"),
        ("in-a-region", "x='.1' y='.3' width='.5' height='.4'", "5"),
        ("in-space", "filterUnits='userSpaceOnUse' x='-90' y='20' width='150' height='50'", "6"),
        ("of-the-box", "primitiveUnits='objectBoundingBox'", ".06"),
    ] {
        let filter =
            format!("<filter id='f' {attributes}><feGaussianBlur stdDeviation='{deviation}'/></filter>");
        corpus.add(format!("blur-{name}"), &format!("{filter}<g filter='url(#f)'>{scene}</g>"));
        let content = format!(
            "{filter}<clipPath id='c'><circle cx='50' cy='50' r='40'/></clipPath><rect width='100' height='60' fill='#fd8'/>
             <g filter='url(#f)' opacity='.7' style='mix-blend-mode:multiply' clip-path='url(#c)'>{scene}</g>
             <g transform='translate(30 -20) scale(1.3 .8)' filter='url(#f)'>{scene}</g>"
        );
        corpus.add(format!("blur-{name}-composed"), &content);
    }
    let content = format!(
        "<filter id='f'><feGaussianBlur stdDeviation='3'/></filter>
         <g filter='url(#f)'><g filter='url(#f)'>{scene}</g><rect width='30' height='30'/></g>"
    );
    corpus.add("blur-in-blur", &content);
    let content = "<filter id='f' x='-1' y='-1' width='3' height='3'><feGaussianBlur stdDeviation='8'/></filter>
        <rect x='-60' y='20' width='58' height='60' filter='url(#f)'/><rect x='-500' width='9' height='9' filter='url(#f)'/>
        <circle cx='95' cy='104' r='9' fill='#083' filter='url(#f)'/>";
    corpus.add("blur-from-outside", content);
}

/// What is at the borders of sense: nothing, points, lines without length, things off the canvas.
fn odd(corpus: &mut Corpus<'_>) {
    for cap in ["butt", "round", "square"] {
        let content = format!(
            "<g stroke='#333' stroke-width='12' stroke-linecap='{cap}' fill='none'><path d='M20 20z'/><path d='M50 20h0'/>
             <path d='M80 20l0 0'/><path d='M20 60h60'/><path d='M20 80 80 80 20 80'/></g>"
        );
        corpus.add(format!("no-length-{cap}"), &content);
    }
    for (name, content) in [
        ("nothing", ""),
        (
            "outside",
            "<rect x='-500' y='40' width='450' height='9'/><rect x='200' width='9' height='9'/><circle cx='50' cy='-99' r='40'/>",
        ),
        (
            "across",
            "<path d='M-5000 -3000 7000 4000 -200 9000z' fill='#8c4'/><circle cx='50' cy='50' r='3000' fill='none' stroke='#06c' stroke-width='5900'/>",
        ),
        (
            "left-of-it",
            "<path d='M-90 10C-20 20 -10 30 -50 90L60 70V30z' fill='#c40'/><path d='M-9 5V60C-80 70 -40 80 -9 95H30V5z' fill='#04c8'/>",
        ),
        (
            "flat",
            "<path d='M10 10h80' fill='red' stroke='none'/><path d='M10 30v60' fill='red'/><path d='M10 20h80v.01h-80z'/>",
        ),
        (
            "collapsed",
            "<g transform='scale(0 1)'><rect width='90' height='90'/></g><g transform='matrix(1 2 2 4 0 0)'><rect width='20' height='20'/></g>",
        ),
        (
            "thin",
            "<path d='M5 5 95 90M5 20 95 25M20 5 22 95' stroke='#000' stroke-width='.3' fill='none'/><path d='M10 95 90 95.2 90 95.4z'/>",
        ),
        (
            "dots",
            "<g fill='#04a'><rect x='10.2' y='10.2' width='.3' height='.3'/><rect x='20.9' y='20.9' width='.2' height='.2'/><circle cx='50' cy='50' r='.4'/></g>",
        ),
        (
            "doubled",
            "<path d='M10 10 90 80 10 10' stroke='#000' stroke-width='3' fill='none'/><path d='M30 5H60V20H30zM30 5H60V20H30z'/>",
        ),
    ] {
        corpus.add(format!("odd-{name}"), content);
    }
}

/// A drawing that nobody wrote: shapes with random outlines, paints, strokes, clips and blend modes, the same for
/// the same seed.
pub(super) fn generated(seed: u64) -> Drawing {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut content = String::new();
    for number in 0..1 + random.below(9) {
        let shape = random.shape(number);
        content += &random.wrapped(number, shape);
    }
    (format!("generated-{seed}"), svg(&content))
}

struct Random(u64);

impl Random {
    /// A number from 0 to `end`, without `end` (xorshift64*).
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    /// A coordinate, mostly on the canvas.
    fn place(&mut self) -> f64 {
        self.below(14_000) as f64 / 100.0 - 20.0
    }

    fn color(&mut self) -> String {
        format!("#{:06x}", self.below(1 << 24))
    }

    fn paint(&mut self, number: u64) -> String {
        match self.below(4) {
            0 => "none".to_owned(),
            1 => format!("url(#g{number})"),
            _ => self.color(),
        }
    }

    fn outline(&mut self) -> String {
        let mut outline = format!("M{} {}", self.place(), self.place());
        for _ in 0..1 + self.below(7) {
            // No H and V: two of them run over one another too often, see the module's documentation.
            let (letter, numbers) =
                [("L", 2), ("Q", 4), ("C", 6), ("M", 2), ("z", 0)][self.below(5) as usize];
            outline += letter;
            for _ in 0..numbers {
                outline += &format!("{} ", self.place());
            }
        }
        outline
    }

    fn shape(&mut self, number: u64) -> String {
        let outline = self.outline();
        let (fill, stroke) = (self.paint(number), self.paint(number));
        format!(
            "{gradient}<path d='{outline}' fill='{fill}' fill-rule='{rule}' fill-opacity='{opacity}' stroke='{stroke}'
             stroke-width='{width}' stroke-linejoin='{join}' stroke-linecap='{cap}' stroke-dasharray='{dashes}'/>",
            gradient = self.gradient(number),
            rule = self.pick(&["nonzero", "evenodd"]),
            opacity = self.pick(&["1", "1", ".6", ".2"]),
            width = self.pick(&["2", "4.5", "9", "25"]),
            join = self.pick(&["miter", "round", "bevel"]),
            cap = self.pick(&["butt", "round", "square"]),
            dashes = self.pick(&["none", "none", "9 5", "2 6", "20 3 1 3"]),
        )
    }

    fn gradient(&mut self, number: u64) -> String {
        let stops: String = (0..2 + self.below(3))
            .map(|stop| {
                let opacity = self.pick(&["1", "1", ".5", "0"]);
                format!(
                    "<stop offset='{}' stop-color='{}' stop-opacity='{opacity}'/>",
                    stop as f64 / 4.0,
                    self.color()
                )
            })
            .collect();
        let spread = self.pick(&["pad", "reflect", "repeat"]);
        let kind = self.pick(&["linearGradient", "radialGradient"]);
        let transform = self.pick(&["", "rotate(30)", "scale(.5 .8)", "skewX(20)"]);
        format!(
            "<{kind} id='g{number}' spreadMethod='{spread}' gradientTransform='{transform}'>{stops}</{kind}>"
        )
    }

    fn wrapped(&mut self, number: u64, shape: String) -> String {
        let opacity = self.pick(&["1", "1", ".7", ".3"]);
        let mode = self.pick(&SEPARABLE_MODES);
        let transform =
            self.pick(&["", "rotate(17 50 50)", "scale(1.3 .7)", "translate(13.3 -7.9)", "skewY(9)"]);
        let clip = match self.below(3) {
            0 => format!("<clipPath id='c{number}'><path d='{}'/></clipPath>", self.outline()),
            1 => format!(
                "<clipPath id='c{number}'><path d='{}'/><path d='{}' clip-rule='evenodd'/></clipPath>",
                self.outline(),
                self.outline()
            ),
            _ => String::new(),
        };
        let clipped = if clip.is_empty() { String::new() } else { format!("clip-path='url(#c{number})'") };
        format!(
            "{clip}<g opacity='{opacity}' transform='{transform}' style='mix-blend-mode:{mode}' {clipped}>{shape}</g>"
        )
    }
}
