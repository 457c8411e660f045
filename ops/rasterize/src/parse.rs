//! From a drawing's text to a tree, counted on the way. What was parsed to plan is kept for the run that often follows at once.

use std::sync::Mutex;

use imgserve_sdk::Error;
use resvg::usvg::roxmltree::{Document, ParsingOptions};
use resvg::usvg::{self, Tree};

use crate::limits::{self, Census};
use crate::render::{self, Wanted};
use crate::{options, unsupported};

/// How much of a drawing is shown to `plan` by any host; one whose beginning is shorter is shown whole.
const HEAD: usize = 64 << 10;
/// Nodes of a document, what stands between elements included.
const MAX_NODES: u32 = 4_000_000;
/// Elements of a tree that is kept.
const MAX_KEPT: u64 = 50_000;
/// Bytes that drawing takes of which only the beginning is there to be counted; more than most of that length do.
const UNSEEN_BYTES: u64 = 192 << 20;

/// What was parsed last to plan, with its text.
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
struct Kept {
    text: Vec<u8>,
    tree: Tree,
    census: Census,
}

/// What is known of a drawing before it is drawn, as far as it was there to be looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Foreseen {
    /// Its elements.
    pub(crate) elements: u64,
    /// Bytes that drawing it holds at a time.
    pub(crate) bytes: u64,
}

/// Parses a whole drawing.
///
/// # Errors
/// `unsupported-source` for what is none, `limit-exceeded` for what would cost too much to parse.
pub(crate) fn parse(bytes: &[u8]) -> Result<Tree, Error> {
    match kept(bytes) {
        Some(kept) => Ok(kept.tree),
        None => parsed(bytes).map(|(tree, _)| tree),
    }
}

/// What is kept, if it is this text's. Another's stays: others plan and draw in between.
fn kept(text: &[u8]) -> Option<Kept> {
    KEPT.lock().ok()?.take_if(|kept| kept.text == text)
}

/// Counts what drawing would take, by the `head` of a drawing, if that is all of it. What is wrong with it otherwise, the run
/// finds out.
///
/// # Errors
/// `limit-exceeded`, with what there is too much of.
pub(crate) fn foresee(head: &[u8], wanted: &Wanted<'_>) -> Result<Foreseen, Error> {
    if head.is_empty() {
        return Ok(Foreseen::default());
    }
    // A host that shows no more than it must has cut off what is just as long.
    if head.len() == HEAD {
        return Ok(Foreseen { elements: 0, bytes: UNSEEN_BYTES });
    }
    let kept = match kept(head) {
        Some(kept) => kept,
        None => match exceeded(parsed(head))? {
            Some((tree, census)) => Kept { text: head.to_vec(), tree, census },
            None => return Ok(Foreseen::default()),
        },
    };
    let work = render::work(&kept.tree, wanted)?;
    let elements = kept.census.elements;
    if elements <= MAX_KEPT
        && let Ok(mut last) = KEPT.lock()
    {
        *last = Some(kept);
    }
    Ok(Foreseen { elements, bytes: work.bytes })
}

/// Lets a refusal through that is for a limit; `None` for any other.
fn exceeded<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == imgserve_sdk::ErrorKind::LimitExceeded => Err(error),
        Err(_) => Ok(None),
    }
}

fn parsed(bytes: &[u8]) -> Result<(Tree, Census), Error> {
    let document = document(bytes)?;
    let census = limits::census(&document)?;
    let tree = Tree::from_xmltree(&document, &options()).map_err(|error| unsupported(&error))?;
    Ok((tree, census))
}

fn document(bytes: &[u8]) -> Result<Document<'_>, Error> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(unsupported(&usvg::Error::SvgzFeatureNotEnabled));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| unsupported(&usvg::Error::NotAnUtf8Str))?;
    limits::text(text)?;
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options)
        .map_err(|error| unsupported(&usvg::Error::ParsingFailed(error)))
}

/// Counts a drawing that is embedded in another, which has no document type of its own.
///
/// # Errors
/// `limit-exceeded`, or `unsupported-source` for what is none.
pub(crate) fn embedded(bytes: &[u8]) -> Result<Census, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| unsupported(&usvg::Error::NotAnUtf8Str))?;
    limits::text(text)?;
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| unsupported(&usvg::Error::ParsingFailed(error)))?;
    limits::census(&document)
}
