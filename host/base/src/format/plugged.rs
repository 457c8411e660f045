//! Formats that come by plugin. A process knows those that its plugins have told; looked up by name, extension, media type or
//! first bytes are the ones in force, where no built-in format fits. What was once known is known for as long as the process
//! runs: jobs hold on to what they began with.

use std::hash::{Hash, Hasher};
use std::sync::{PoisonError, RwLock};

use super::mark::{Magic, Mark};
use super::table::{Format, Pace, Row, Written};
use super::{Sniff, sniff_builtin};

/// Formats that one process knows at most: each reload may tell new ones.
const MAX_KNOWN: usize = 1000;
/// Longest name, extension or media type, in bytes.
const MAX_WORD: usize = 40;
/// Media types, extensions and magics of one format, each.
const MAX_LIST: usize = 32;
/// Bytes of a magic, and where it stands at most.
const MAGIC_BYTES: std::ops::RangeInclusive<usize> = 2..=64;
const MAX_OFFSET: usize = 256;

/// What writing takes is nobody's to say before it is done: as long as in the slowest format that is built in. Its memory is its
/// sandbox's.
const PACE: Pace = Pace { bytes: 0, soon: 500_000 };

/// What a plugin says of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Lowercase letters and digits.
    pub name: String,
    /// The registered one first.
    pub media_types: Vec<String>,
    /// Lowercase, without a dot, the usual one first.
    pub extensions: Vec<String>,
    /// Where bytes stand, and which, in the beginning of its files: one of these.
    pub magic: Vec<(usize, Vec<u8>)>,
    /// What is kept of a picture that is written; none for a format that is only read.
    pub written: Option<DeclaredWritten>,
}

/// What is kept of a picture in a file that a plugin writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclaredWritten {
    /// The longest side in pixels.
    pub max_side: u32,
    /// Which pixels are transparent.
    pub alpha: bool,
    /// Bits of each channel: 8 or 16.
    pub bits: u8,
    /// Whether there is a choice of quality.
    pub lossy: bool,
}

/// A format that came by plugin, as it was declared. Two of one name are one: a reload may have changed the rest.
#[derive(Clone, Copy)]
pub struct Plugged(&'static Known);

struct Known {
    declared: Declared,
    row: Row,
}

static KNOWN: RwLock<Vec<&'static Known>> = RwLock::new(Vec::new());
static IN_FORCE: RwLock<Vec<Format>> = RwLock::new(Vec::new());

/// The format that a plugin declares.
///
/// # Errors
/// A text that says what is wrong with it, or that it is a built-in one's.
pub fn declared(declared: Declared) -> Result<Format, String> {
    check(&declared)?;
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.iter().find(|known| known.declared == declared) {
        return Ok(Format::Plugged(Plugged(known)));
    }
    if known.len() == MAX_KNOWN {
        return Err(format!("it is the {MAX_KNOWN}th since the server's start, which is restarted for more"));
    }
    let row = row(&declared);
    // As long as the process: a job of an earlier configuration may still speak of it.
    let new: &'static Known = Box::leak(Box::new(Known { declared, row }));
    known.push(new);
    Ok(Format::Plugged(Plugged(new)))
}

/// Has these formats, and no other plugged ones, be found; gives those that were before.
pub fn put_in_force(formats: Vec<Format>) -> Vec<Format> {
    std::mem::replace(&mut *IN_FORCE.write().unwrap_or_else(PoisonError::into_inner), formats)
}

/// The plugged formats that are found.
pub(super) fn in_force() -> Vec<Format> {
    IN_FORCE.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The latest format of this name that was declared, in force or not.
pub(super) fn known(name: &str) -> Option<Format> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().rev().find(|known| known.row.name == name).map(|known| Format::Plugged(Plugged(known)))
}

impl Plugged {
    pub(super) const fn row(self) -> &'static Row {
        &self.0.row
    }
}

impl Format {
    /// What two formats cannot both have and do: a name, an extension, a media type or a magic, as a text.
    pub fn shares(self, other: Self) -> Option<String> {
        let (own, others) = (self.row(), other.row());
        let words = |row: &'static Row| [&[row.name], row.extensions].concat();
        let same = |ours: &[&'static str], theirs: &[&'static str]| {
            ours.iter().copied().find(|word| theirs.contains(word))
        };
        if let Some(word) = same(&words(own), &words(others)) {
            return Some(format!("the name or extension `{word}`"));
        }
        if let Some(word) = same(own.media_types, others.media_types) {
            return Some(format!("the media type {word}"));
        }
        own.mark.meets(&others.mark).then(|| "a magic".to_owned())
    }
}

impl std::fmt::Debug for Plugged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.row.name)
    }
}

impl PartialEq for Plugged {
    fn eq(&self, other: &Self) -> bool {
        self.0.row.name == other.0.row.name
    }
}

impl Eq for Plugged {}

impl Hash for Plugged {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.row.name.hash(state);
    }
}

fn check(declared: &Declared) -> Result<(), String> {
    let Declared { name, media_types, extensions, magic, written } = declared;
    let plain = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    // RFC 6838, section 4.2: letters, digits and some signs.
    let of_type =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$&-^_.+".contains(&byte);
    let is_type = |word: &str| {
        word.split_once('/').is_some_and(|(left, right)| !left.is_empty() && !right.is_empty())
            && word.bytes().filter(|byte| *byte == b'/').count() == 1
            && word.bytes().all(|byte| byte == b'/' || of_type(byte))
    };
    let long = |word: &str| word.is_empty() || word.len() > MAX_WORD;
    for word in extensions.iter().chain([name]) {
        if long(word) || !plain(word) {
            return Err(format!("{word:?} is no name of lowercase letters and digits"));
        }
    }
    if let Some(word) = media_types.iter().find(|word| long(word) || !is_type(word)) {
        return Err(format!("{word:?} is no media type in lowercase"));
    }
    for (what, count) in
        [("media types", media_types.len()), ("extensions", extensions.len()), ("magics", magic.len())]
    {
        if !(1..=MAX_LIST).contains(&count) {
            return Err(format!("`{name}` has {count} {what}: 1 to {MAX_LIST} are possible"));
        }
    }
    if magic.iter().any(|(offset, bytes)| *offset > MAX_OFFSET || !MAGIC_BYTES.contains(&bytes.len())) {
        return Err(format!(
            "`{name}` has a magic that is not 2 to 64 bytes, or begins beyond byte {MAX_OFFSET}"
        ));
    }
    if let Some(written) = written
        && (written.max_side == 0 || ![8, 16].contains(&written.bits))
    {
        return Err(format!("`{name}` is written with no side or no channel"));
    }
    is_new(declared)
}

/// Built-in formats are not taken over.
fn is_new(declared: &Declared) -> Result<(), String> {
    let taken = |what: &str, format: Format| {
        Err(format!("`{}`: {what} is that of {format}, which is built in", declared.name))
    };
    for word in declared.extensions.iter().chain([&declared.name]) {
        if let Some(format) = Format::ALL.into_iter().find(|format| format.goes_by(word)) {
            return taken(&format!("`{word}`"), format);
        }
    }
    for word in &declared.media_types {
        let known = |format: &Format| format.row().media_types.contains(&word.as_str());
        if let Some(format) = Format::ALL.into_iter().find(known) {
            return taken(&format!("the media type {word}"), format);
        }
    }
    for (offset, bytes) in &declared.magic {
        let mut file = vec![0; offset + bytes.len().max(32)];
        // As a first box has it, whose length says how many brands it names.
        file[3] = 32;
        file[*offset..][..bytes.len()].copy_from_slice(bytes);
        if let Sniff::Is(format) = sniff_builtin(&file) {
            return taken("a magic", format);
        }
    }
    Ok(())
}

fn row(declared: &Declared) -> Row {
    let word = |word: &String| -> &'static str { Box::leak(word.clone().into_boxed_str()) };
    let words = |words: &[String]| -> &'static [&'static str] { Box::leak(words.iter().map(word).collect()) };
    let magic = declared
        .magic
        .iter()
        .map(|(offset, bytes)| Magic { offset: *offset, bytes: Box::leak(bytes.clone().into_boxed_slice()) });
    let written = declared.written.map(|DeclaredWritten { max_side, alpha, bits, lossy }| Written {
        max_side,
        animation: false,
        alpha,
        bits,
        lossy,
        exact: None,
        follows: false,
        pace: PACE,
    });
    Row {
        name: word(&declared.name),
        media_types: words(&declared.media_types),
        extensions: words(&declared.extensions),
        mark: Mark::Bytes(Box::leak(magic.collect())),
        decoded: true,
        written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qoi() -> Declared {
        Declared {
            name: "testqoi".to_owned(),
            media_types: vec!["image/x-testqoi".to_owned()],
            extensions: vec!["tqoi".to_owned()],
            magic: vec![(4, b"testqoi".to_vec()), (0, b"toiq".to_vec())],
            written: None,
        }
    }

    #[test]
    fn a_plugged_format_is_found_once_it_is_in_force_and_known_from_then_on() {
        let format = declared(qoi()).unwrap();
        assert_eq!(declared(qoi()).unwrap(), format);
        let file = b"....testqoi and so on, long enough";
        assert_eq!(super::super::sniff(file), Sniff::Unknown);
        assert_eq!(Format::from_name("testqoi"), None);
        put_in_force(vec![format]);
        assert_eq!(super::super::sniff(file), Sniff::Is(format));
        assert_eq!(super::super::sniff(b"toiq and so on, long enough"), Sniff::Is(format));
        for found in [
            Format::from_name("TestQOI"),
            Format::from_extension("TQOI"),
            Format::from_media_type("image/x-testqoi; a=b"),
            Format::from_content(file),
        ] {
            assert_eq!(found, Some(format));
        }
        assert!(format.can_decode() && !format.can_encode());
        assert!(Format::readable().any(|readable| readable == format));
        put_in_force(Vec::new());
        assert_eq!(Format::from_extension("tqoi"), None);
        // Of a job that began when it was.
        let json = serde_json::to_value(format).unwrap();
        assert_eq!(serde_json::from_value::<Format>(json).unwrap(), format);
        assert!(serde_json::from_value::<Format>("testnone".into()).is_err());
    }

    #[test]
    fn what_is_a_built_in_formats_is_refused() {
        let refused = |declare: fn(&mut Declared)| {
            let mut other = qoi();
            declare(&mut other);
            declared(other).unwrap_err()
        };
        for (declare, wanted) in [
            (
                (|d| d.name = "jpeg".to_owned()) as fn(&mut Declared),
                "`jpeg` is that of jpeg, which is built in",
            ),
            (|d| d.name = "tif".to_owned(), "`tif` is that of tiff"),
            (|d| d.extensions.push("svgz".to_owned()), "`svgz` is that of svg"),
            (|d| d.media_types.push("image/jpg".to_owned()), "image/jpg is that of jpeg"),
            (|d| d.magic.push((0, b"\xFF\xD8\xFF\xE0".to_vec())), "a magic is that of jpeg"),
            (|d| d.magic.push((0, b"<svg ".to_vec())), "a magic is that of svg"),
            (|d| d.magic.push((4, b"ftypavif".to_vec())), "a magic is that of avif"),
            (|d| d.name = "a b".to_owned(), "\"a b\" is no name"),
            (|d| d.extensions.push("../x".to_owned()), "is no name"),
            (|d| d.media_types.push("image/a\r\nb".to_owned()), "is no media type"),
            (|d| d.media_types.push("image".to_owned()), "is no media type"),
            (|d| d.magic.clear(), "has 0 magics"),
            (|d| d.magic.push((0, vec![1])), "a magic that is not 2 to 64 bytes"),
            (|d| d.magic.push((1000, vec![1, 2])), "begins beyond byte 256"),
        ] {
            let text = refused(declare);
            assert!(text.contains(wanted), "{text}");
        }
    }

    #[test]
    fn words_lists_and_magics_have_bounds_and_what_is_written_has_a_size() {
        type Change<'c> = &'c dyn Fn(&mut Declared);
        let wrong = |change: Change<'_>| {
            let mut other = Declared { name: "testbounds".to_owned(), ..qoi() };
            change(&mut other);
            declared(other).err().unwrap_or_default()
        };
        let long = "x".repeat(MAX_WORD + 1);
        let words = |count: usize| (0..count).map(|index| format!("x{index}")).collect::<Vec<_>>();
        let written = DeclaredWritten { max_side: 9, alpha: false, bits: 8, lossy: true };
        let changes: [(Change<'_>, &str); 25] = [
            (&|d| d.name.clear(), "\"\" is no name"),
            (&|d| d.name = long.clone(), "is no name"),
            (&|d| d.name = "QOI".to_owned(), "\"QOI\" is no name"),
            (&|d| d.extensions.push(String::new()), "\"\" is no name"),
            (&|d| d.media_types.push(String::new()), "\"\" is no media type"),
            (&|d| d.media_types.push(format!("image/{long}")), "is no media type"),
            (&|d| d.media_types.push("image/X".to_owned()), "is no media type"),
            (&|d| d.media_types.push("image/".to_owned()), "is no media type"),
            (&|d| d.media_types.push("/x".to_owned()), "is no media type"),
            (&|d| d.media_types.push("image/x/y".to_owned()), "is no media type"),
            (&|d| d.media_types.push("image/*".to_owned()), "is no media type"),
            (&|d| d.media_types.clear(), "has 0 media types: 1 to 32 are possible"),
            (
                &|d| d.media_types = words(33).iter().map(|x| format!("image/{x}")).collect(),
                "has 33 media types",
            ),
            (&|d| d.extensions.clear(), "has 0 extensions"),
            (&|d| d.extensions = words(33), "has 33 extensions"),
            (&|d| d.magic = vec![(0, b"toiq".to_vec()); 33], "has 33 magics"),
            (&|d| d.magic = vec![(0, vec![b'q'; 65])], "a magic that is not 2 to 64 bytes"),
            (&|d| d.magic = vec![(257, b"toiq".to_vec())], "begins beyond byte 256"),
            (&|d| d.written = Some(DeclaredWritten { max_side: 0, ..written }), "with no side or no channel"),
            (&|d| d.written = Some(DeclaredWritten { bits: 12, ..written }), "with no side or no channel"),
            // The last of each is possible.
            (&|d| d.name = long[1..].to_owned(), ""),
            (&|d| d.media_types = words(32).iter().map(|x| format!("image/{x}")).collect(), ""),
            (&|d| d.extensions = words(32), ""),
            (&|d| d.magic = vec![(256, vec![b'q'; 64]), (0, b"qq".to_vec())], ""),
            (&|d| d.written = Some(DeclaredWritten { bits: 16, max_side: 1, ..written }), ""),
        ];
        for (change, wanted) in changes {
            let text = wrong(change);
            assert!(text.contains(wanted) && text.is_empty() == wanted.is_empty(), "{wanted:?}: {text:?}");
        }
    }

    #[test]
    fn what_is_declared_again_otherwise_is_the_latest_of_its_name() {
        let with = |max_side| {
            let written = Some(DeclaredWritten { max_side, alpha: true, bits: 16, lossy: true });
            declared(Declared { name: "testagain".to_owned(), written, ..qoi() }).unwrap()
        };
        let (one, other) = (with(7), with(9));
        assert_eq!((one, one.max_side(), other.max_side()), (other, 7, 9));
        assert_eq!(known("testagain").map(Format::max_side), Some(9));
        assert!(one.is_lossy() && one.keeps_alpha() && one.bits() == 16 && one.can_encode());
        assert!(!one.can_animate() && !one.follows_source() && !one.can_be_lossless());
        // As the slowest that is built in.
        assert!(one.is_written_soon(Some(500_000), false) && !one.is_written_soon(Some(500_001), false));
        assert!(!one.is_written_soon(None, false) && !one.is_written_soon(Some(1), true));
    }

    #[test]
    fn two_plugged_formats_share_nothing() {
        let one = declared(qoi()).unwrap();
        let with = |change: fn(&mut Declared)| {
            let mut other = Declared {
                name: "testother".to_owned(),
                media_types: vec!["image/x-testother".to_owned()],
                extensions: vec!["tother".to_owned()],
                magic: vec![(0, b"other".to_vec())],
                written: None,
            };
            change(&mut other);
            one.shares(declared(other).unwrap())
        };
        assert_eq!(with(|_| {}), None);
        assert_eq!(
            with(|d| d.extensions.push("testqoi".to_owned())),
            Some("the name or extension `testqoi`".to_owned())
        );
        assert_eq!(
            with(|d| d.media_types = vec!["image/x-testqoi".to_owned()]),
            Some("the media type image/x-testqoi".to_owned())
        );
        // A magic that another begins with is the same in some file.
        assert_eq!(with(|d| d.magic = vec![(0, b"toi".to_vec())]), Some("a magic".to_owned()));
    }
}
