//! What is handed to the parser of drawings whose style it would not understand.

use imgserve_drawing::{complete, parse, shape};

use super::*;

/// What is handed on of a drawing; none for one that stays as it is.
fn handed(content: &str) -> Option<String> {
    let text = complete(format!("<svg width='1' height='1'>{content}</svg>").into()).into_owned();
    let mended = |document: &Document<'_>| mended(document, &shape(document.root_element())).unwrap();
    let text = parse(&text, true, mended).unwrap()?;
    assert!(parse(&text, true, |document| mended(document)).unwrap().is_none(), "mended twice: {text}");
    let (_, content) = text.split_once('>').unwrap();
    Some(content.strip_suffix("</svg>").unwrap().to_owned())
}

fn styled(style: &str) -> Option<String> {
    let text = handed(&format!("<g style=\"{style}\"/>"))?;
    Some(text.strip_prefix("<g style=\"").unwrap().strip_suffix("\"/>").unwrap().to_owned())
}

#[test]
fn an_unknown_declaration_takes_no_other_along() {
    for (style, handed) in [
        ("fill:#f00;fill:color(nonsense 1 0 0);stroke:blue", "fill:#f00;stroke:blue;"),
        (
            "fill:#FF0000;fill:color(display-p3 1 0 0);fill-opacity:1",
            "fill:#FF0000;fill:#ff0000;fill-opacity:1;",
        ),
        ("stroke:#f00;stroke:oklch(nonsense);stroke-width:2", "stroke:#f00;stroke-width:2;"),
        ("filter:progid:DXImageTransform.Microsoft.gradient(a=1);fill:red", "fill:red;"),
        ("fill:red;*zoom:1;stroke:blue", "fill:red;stroke:blue;"),
        ("fill:red;mso-x:a/b;stroke:blue", "fill:red;stroke:blue;"),
        ("fill:red;stroke-width:calc(1px + (2px * 3));stroke:blue", "fill:red;stroke-width:7px;stroke:blue;"),
        ("fill:red;stroke-width:calc(1px + 2%);stroke:blue", "fill:red;stroke:blue;"),
        ("fill:red;fill:color-mix(in srgb, red, blue)", "fill:red;fill:#800080;"),
        ("fill:red;x;stroke:blue", "fill:red;stroke:blue;"),
        ("--x:1;fill:red", "fill:red;"),
        ("1x:y;fill:red", "fill:red;"),
        ("line-height:125 %;fill:red", "fill:red;"),
        ("x:rgb (1);fill:red", "fill:red;"),
        ("font-family:'a;fill:red", ""),
        ("x:y);fill:red", "fill:red;"),
        ("fill:red;&amp;:hover{fill:blue}stroke:blue", "fill:red;stroke:blue;"),
        ("Fill:red;STROKE:BLUE", "fill:red;stroke:BLUE;"),
        ("fill:none;fill:var(--a, #123)", "fill:none;fill:#123;"),
        ("font:italic 12px/1.5 'A B', serif;fill:red", "font:italic 12px &apos;A B&apos;, serif;fill:red;"),
        ("fill:red ! important;fill:nonsense", "fill:red!important;"),
    ] {
        assert_eq!(styled(style).as_deref(), Some(handed), "{style}");
    }
}

#[test]
fn what_is_understood_stays_as_it_is() {
    for style in [
        "",
        "fill:red",
        " fill : url(#a) red ; stroke:#00f !important; ",
        "font:12px sans-serif;font-family:'A;B', &quot;C&quot;",
        "-inkscape-font-specification:'Sans, Bold';line-height:125%;enable-background:new 0 0 1 1",
        "/* fill:nonsense */fill:red",
        "font-feature-settings:normal;marker:none;text-decoration:none",
        "transform:rotate(45);transform-origin:center;filter:blur(2px)",
    ] {
        assert_eq!(styled(style), None, "{style}");
    }
    for content in [
        "<style>.a{fill:red}.b,c > d{stroke:blue;x:y}</style>",
        "<style type='text/css'><![CDATA[.a{fill:red}]]></style>",
        "<style type='text/other'>.a{fill:red}</style>",
        "<g fill='red' stroke='url(#a)' transform='rotate(45deg)' font-size='2em' display='none'/>",
        "<x:g xmlns:x='y' x:fill='nonsense'/>",
    ] {
        assert_eq!(handed(content), None, "{content}");
    }
}

#[test]
fn an_attribute_that_is_unknown_is_as_if_it_were_not_there() {
    assert_eq!(handed("<g fill='nonsense' id='a'/>").as_deref(), Some("<g  id='a'/>"));
    assert_eq!(handed("<g fill=\"color(display-p3 1 0 0)\"/>").as_deref(), Some("<g fill=\"#ff0000\"/>"));
    let rect = handed("<rect x='calc(1px * 2)' r='var(--r)' id='calc(1px)' width='var(--w, 3)' height='5'/>");
    assert_eq!(rect.as_deref(), Some("<rect x='2px'  id='calc(1px)' width='3' height='5'/>"));
    let entity = "<!DOCTYPE svg [<!ENTITY s 'fill:red;fill:nonsense'>]><svg width='1' height='1'><g style='&s;'/></svg>";
    let mended = |document: &Document<'_>| mended(document, &shape(document.root_element())).unwrap();
    assert!(parse(entity, true, mended).unwrap().unwrap().ends_with("<g style='fill:red;'/></svg>"));
    let inside =
        "<!DOCTYPE svg [<!ENTITY g '<g fill=\"nonsense\"/>'>]><svg width='1' height='1'>&g;&g;</svg>";
    assert_eq!(parse(inside, true, mended).unwrap(), None);
}

#[test]
fn what_is_set_for_all_of_it_is_known_in_all_of_it() {
    let text = "<svg width='1' height='1' style='--c:red'><style>*{--d:blue}.x{--e:red}</style><g fill='var(--c)'/><g style='stroke:var(--d);fill:var(--e)'/></svg>";
    let mended = |document: &Document<'_>| mended(document, &shape(document.root_element())).unwrap();
    let handed = parse(text, true, mended).unwrap().unwrap();
    assert!(handed.ends_with("<g fill='red'/><g style='stroke:blue;'/></svg>"), "{handed}");
}

#[test]
fn what_is_set_for_a_part_is_known_in_it() {
    for (content, told) in [
        (
            "<g style='--c:red;fill:var(--c)'><path fill='var(--c)' stroke='var(--d, blue)'/></g><path fill='var(--c)'/>",
            "<g style='fill:red;'><path fill='red' stroke='blue'/></g><path />",
        ),
        (
            "<g style='--c:red'><g style='--d:var(--c)'><path fill='var(--d)'/></g><g style='--c:blue' fill='var(--c)'/></g>",
            "<g style=''><g style=''><path fill='red'/></g><g style='' fill='blue'/></g>",
        ),
        // Rules set variables, and are made of them.
        (
            "<style>.t{--c:red}.a{fill:var(--c, blue)}</style><g class='t'><path class='a'/></g><path class='a'/>",
            "<style>.a{fill:blue;}\n</style><g class='t'><path style=\"fill:red;\" class='a'/></g><path class='a'/>",
        ),
        (
            "<style>.a{fill:var(--c)!important;stroke:var(--e)}</style><g style='--c:red'><path style='r:1' class='a'/></g>",
            "<style></style><g style=''><path style='r:1;fill:red!important;' class='a'/></g>",
        ),
        // What goes over a rule that is made of them stays.
        (
            "<style>.a{fill:var(--c)}.b{fill:blue}#x{stroke:var(--c)}.a{stroke:blue}</style><g style='--c:red'><path id='x' class='a b'/><path class='a' style='fill:lime'/></g>",
            "<style>.b{fill:blue}\n.a{stroke:blue}\n</style><g style=''><path style=\"stroke:red;\" id='x' class='a b'/><path class='a' style='fill:lime'/></g>",
        ),
        (
            "<style>path{--c:red}.a,.a > path{--c:blue}</style><g class='a'><path stroke='var(--c)'/></g><path fill='var(--c)'/>",
            "<style></style><g class='a'><path stroke='blue'/></g><path fill='red'/>",
        ),
    ] {
        assert_eq!(handed(content).as_deref(), Some(told), "{content}");
    }
    // What asks for many ancestors comes to its end, and then matches nothing.
    let rule = format!("<style>y {}path{{--c:red}}</style>", "g ".repeat(20));
    let deep = format!(
        "<g style='--d:1'>{}<path fill='var(--c, blue)'/>{}</g>",
        "<g>".repeat(200),
        "</g>".repeat(200)
    );
    let deep = format!("{rule}{deep}");
    assert!(handed(&deep).unwrap().contains("<path fill='blue'/>"));
    // Deeper than is looked, those around hold.
    let deep = format!("{}<path fill='var(--c)'/>{}", "<g style='--c:red'>".repeat(40), "</g>".repeat(40));
    assert!(handed(&deep).unwrap().contains("<path fill='red'/>"));
}

#[test]
fn a_rule_that_is_unknown_takes_no_other_along() {
    let sheet = |sheet: &str| {
        let text = handed(&format!("<style>{sheet}</style>"))?;
        Some(text.strip_prefix("<style>").unwrap().strip_suffix("</style>").unwrap().to_owned())
    };
    for (text, handed) in [
        (".a{fill:red;fill:color(nonsense 1 0 0)}.b{fill:blue}", ".a{fill:red;}\n.b{fill:blue}\n"),
        (".a{fill:color(display-p3 1 0 0)}", ".a{fill:#ff0000;}\n"),
        (".a::before,.b{fill:red}", ".b{fill:red}\n"),
        (".a:is(.b,.c){fill:red}.d{fill:blue}", ".d{fill:blue}\n"),
        ("@import url(a;b);.a{fill:red}", ".a{fill:red}\n"),
        ("@media print{.a{fill:red}}.b{fill:blue}", ".b{fill:blue}\n"),
        (
            ".a{fill:red}@media (prefers-color-scheme:dark){.a{fill:blue}}@media screen{.a{stroke:red}@supports (a:b){b{c:d}}}",
            ".a{fill:red}\n.a{stroke:red}\nb{c:d}\n",
        ),
        ("@layer x;@layer x{.a{fill:red}}@font-face{font-family:x}", ".a{fill:red}\n"),
        (
            ":root{--a:red;--b:var(--a);fill:blue}.a{fill:var(--b);stroke:var(--c)}svg:root > g{x:y}",
            "svg:first-child{fill:blue;}\n.a{fill:red;}\nsvg:first-child &gt; g{x:y}\n",
        ),
        (".a{&amp;:hover{fill:red}stroke:blue}.b{fill:blue}", ".a{stroke:blue;}\n.b{fill:blue}\n"),
        ("<![CDATA[<!-- .a{fill:red} -->]]>", ".a{fill:red}\n"),
        ("<!-- c -->.a{fill:red}", ".a{fill:red}\n"),
        (".a{fill:red}<!-- c -->.b{fill:blue}", ".a{fill:red}\n.b{fill:blue}\n"),
        (".a{--x:{y};fill:red}", ".a{fill:red;}\n"),
    ] {
        assert_eq!(sheet(text).as_deref(), Some(handed), "{text}");
    }
    let many = |name: &str| {
        let rules: String = (0..3000).map(|i| format!(".c{i}{{fill:red}}\n")).collect();
        format!("<{name} id='s'>{rules}</{name}>")
    };
    let parts = handed(&many("style")).unwrap();
    assert!(parts.split("</style><style>").all(|part| part.len() <= LONGEST_SHEET + 30), "a long one is cut");
    assert_eq!(parts.replace("</style><style>", ""), many("style"));
    for (sheet, told) in [
        (
            "<style media='print'>.a{fill:red}</style>",
            Some("<style type=\"text/none\" media='print'>.a{fill:red}</style>"),
        ),
        (
            "<style type='text/css' media='print'>.a{}</style>",
            Some("<style type='text/none' media='print'>.a{}</style>"),
        ),
        ("<style media='screen'>.a{fill:red}</style>", None),
    ] {
        assert_eq!(handed(sheet).as_deref(), told, "{sheet}");
    }
    let kind = handed("<style type='TEXT/CSS; charset=utf-8'>.a{fill:red}</style>");
    assert_eq!(kind.as_deref(), Some("<style type='text/css'>.a{fill:red}</style>"));
}

#[test]
fn a_size_that_the_parser_reads_otherwise_is_told_in_numbers() {
    let sized = |attributes: &str| {
        let text = format!("<svg {attributes}/>");
        parse(&text, true, |document| mended(document, &shape(document.root_element())).unwrap()).unwrap()
    };
    assert_eq!(sized("width='2em' height='3px'").as_deref(), Some("<svg width='32' height='3'/>"));
    assert_eq!(
        sized("style='width:7px;height:9px'").unwrap(),
        "<svg width=\"7\" height=\"9\" style='width:7px;height:9px'/>"
    );
    assert_eq!(sized("width='2in' height='3'"), None);
    assert_eq!(sized("width='10vw'"), None);
}
