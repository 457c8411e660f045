//! The fonts that text is set in: DejaVu, built into the program, and nothing of the machine's. The same drawing
//! has the same letters everywhere.

use std::sync::{Arc, OnceLock};

use dejavu::{sans, sans_mono, serif};
use resvg::usvg::fontdb::{Database, Family, ID, Query, Source, Stretch, Style, Weight};
use resvg::usvg::{Font, FontFamily, FontResolver, FontStretch, FontStyle};

/// The family of text that names none, or none that is known.
pub(crate) const DEFAULT_FAMILY: &str = SANS;

const SANS: &str = "DejaVu Sans";
const SERIF: &str = "DejaVu Serif";
const MONO: &str = "DejaVu Sans Mono";

/// Families that drawings often name without a generic one behind, in lower case. What is in neither list and
/// not bundled is set in [`DEFAULT_FAMILY`].
const SERIF_LIKE: [&str; 10] = [
    "cambria",
    "garamond",
    "georgia",
    "liberation serif",
    "noto serif",
    "palatino",
    "palatino linotype",
    "times",
    "times new roman",
    "tinos",
];
const MONO_LIKE: [&str; 10] = [
    "consolas",
    "courier",
    "courier new",
    "cousine",
    "fira code",
    "liberation mono",
    "lucida console",
    "menlo",
    "monaco",
    "noto sans mono",
];

/// The bundled fonts, read once per process; their bytes stay where the program has them.
pub(crate) fn database() -> Arc<Database> {
    static DATABASE: OnceLock<Arc<Database>> = OnceLock::new();
    DATABASE.get_or_init(|| Arc::new(load())).clone()
}

fn load() -> Database {
    let mut database = Database::new();
    let files: [&'static [u8]; 10] = [
        sans::regular(),
        sans::bold(),
        sans::oblique(),
        sans::bold_oblique(),
        serif::regular(),
        serif::bold(),
        serif::italic(),
        serif::bold_italic(),
        sans_mono::regular(),
        sans_mono::bold(),
    ];
    for file in files {
        database.load_font_source(Source::Binary(match without_kern(file) {
            Some(file) => Arc::new(file),
            None => Arc::new(file),
        }));
    }
    database.set_sans_serif_family(SANS);
    database.set_serif_family(SERIF);
    database.set_monospace_family(MONO);
    database.set_cursive_family(SANS);
    database.set_fantasy_family(SANS);
    database
}

/// A copy of a font whose old `kern` table cannot be found, if it has one. What DejaVu says about kerning it says in
/// `GPOS` as well, which goes before; but usvg has the old table indexed for each run of text anew, which is a third
/// of the time that parsing a chart takes.
fn without_kern(file: &[u8]) -> Option<Vec<u8>> {
    // OpenType, "Table Directory": 12 bytes, and then a record of 16 for each table, sorted by their tags.
    let count = usize::from(u16::from_be_bytes([*file.get(4)?, *file.get(5)?]));
    let records = file.get(12..12 + 16 * count)?.chunks_exact(16);
    let place = 12 + 16 * records.map(|record| &record[..4]).position(|tag| tag == b"kern")?;
    let mut file = file.to_vec();
    file[place..place + 4].copy_from_slice(b"kerz");
    Some(file)
}

/// Chooses among the bundled fonts. usvg's own choice would set unknown families in serifs.
pub(crate) fn resolver() -> FontResolver<'static> {
    FontResolver {
        select_font: Box::new(|font, database| select(font, database)),
        select_fallback: FontResolver::default_fallback_selector(),
    }
}

fn select(font: &Font, database: &Database) -> Option<ID> {
    let mut families = Vec::with_capacity(2 * font.families().len() + 1);
    for family in font.families() {
        families.push(match family {
            FontFamily::Serif => Family::Serif,
            FontFamily::SansSerif => Family::SansSerif,
            FontFamily::Cursive => Family::Cursive,
            FontFamily::Fantasy => Family::Fantasy,
            FontFamily::Monospace => Family::Monospace,
            FontFamily::Named(name) => named(name),
        });
    }
    families.push(Family::Name(DEFAULT_FAMILY));
    database.query(&Query {
        families: &families,
        weight: Weight(font.weight()),
        stretch: stretch(font.stretch()),
        style: style(font.style()),
    })
}

fn named(name: &str) -> Family<'_> {
    let lower = name.to_lowercase();
    if SERIF_LIKE.contains(&lower.as_str()) {
        Family::Serif
    } else if MONO_LIKE.contains(&lower.as_str()) {
        Family::Monospace
    } else {
        Family::Name(name)
    }
}

fn style(style: FontStyle) -> Style {
    match style {
        FontStyle::Normal => Style::Normal,
        FontStyle::Italic => Style::Italic,
        FontStyle::Oblique => Style::Oblique,
    }
}

fn stretch(stretch: FontStretch) -> Stretch {
    match stretch {
        FontStretch::UltraCondensed => Stretch::UltraCondensed,
        FontStretch::ExtraCondensed => Stretch::ExtraCondensed,
        FontStretch::Condensed => Stretch::Condensed,
        FontStretch::SemiCondensed => Stretch::SemiCondensed,
        FontStretch::Normal => Stretch::Normal,
        FontStretch::SemiExpanded => Stretch::SemiExpanded,
        FontStretch::Expanded => Stretch::Expanded,
        FontStretch::ExtraExpanded => Stretch::ExtraExpanded,
        FontStretch::UltraExpanded => Stretch::UltraExpanded,
    }
}

#[cfg(test)]
mod tests {
    use resvg::usvg::{Options, Tree};

    use super::*;

    #[test]
    fn every_bundled_font_is_there_and_generic_families_have_one() {
        let database = database();
        assert_eq!(database.len(), 10);
        for (family, weight, style, expected) in [
            (Family::SansSerif, Weight::NORMAL, Style::Normal, "DejaVuSans"),
            (Family::SansSerif, Weight::BOLD, Style::Oblique, "DejaVuSans-BoldOblique"),
            (Family::Serif, Weight::BOLD, Style::Normal, "DejaVuSerif-Bold"),
            (Family::Serif, Weight::NORMAL, Style::Italic, "DejaVuSerif-Italic"),
            (Family::Monospace, Weight::BOLD, Style::Normal, "DejaVuSansMono-Bold"),
            (Family::Cursive, Weight::NORMAL, Style::Normal, "DejaVuSans"),
            (Family::Fantasy, Weight::NORMAL, Style::Normal, "DejaVuSans"),
        ] {
            let query = Query { families: &[family], weight, style, stretch: Stretch::Normal };
            let face = database.face(database.query(&query).unwrap()).unwrap();
            assert_eq!(face.post_script_name, expected, "{family:?}");
        }
    }

    #[test]
    fn text_is_the_same_without_the_old_kerning() {
        let mut whole = Database::new();
        let mut slim = Database::new();
        for file in [sans::regular(), sans::bold(), sans::oblique(), serif::regular(), serif::bold()] {
            whole.load_font_data(file.to_vec());
            slim.load_font_data(without_kern(file).unwrap());
        }
        assert_eq!(without_kern(sans_mono::regular()), None);
        let words = "AVATAR To. Wa, Type 11 “Ye” ГУ. ΔΥ. Ľ’ fi سلام";
        let text = |style: &str| format!("<text y='20' {style}>{words}</text>");
        let styles = [
            "",
            "font-weight='bold'",
            "font-style='italic'",
            "font-family='DejaVu Serif'",
            "letter-spacing='1'",
        ];
        let svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='40'>{}</svg>",
            styles.map(text).concat()
        );
        let boxes = |database: Database| {
            let options =
                Options { fontdb: Arc::new(database), font_resolver: resolver(), ..Options::default() };
            let tree = Tree::from_str(&svg, &options).unwrap();
            let nodes = tree.root().children().iter();
            nodes.map(|node| node.abs_bounding_box()).collect::<Vec<_>>()
        };
        let slim = boxes(slim);
        assert_eq!(slim.len(), styles.len());
        assert!(slim.iter().all(|text| text.width() > 200.0), "{slim:?}");
        assert_eq!(slim, boxes(whole));
    }

    #[test]
    fn well_known_names_stand_for_their_kind() {
        assert_eq!(named("Times New Roman"), Family::Serif);
        assert_eq!(named("COURIER NEW"), Family::Monospace);
        assert_eq!(named("Comic Sans MS"), Family::Name("Comic Sans MS"));
    }
}
