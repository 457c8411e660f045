//! From a drawing's text to a tree, counted on the way. What was parsed to plan is kept for the run that often follows at once.

use std::borrow::Cow;
use std::sync::Mutex;

use imgserve_drawing::{self as text, TextError};
use imgserve_sdk::{Error, ErrorKind};
use resvg::usvg::roxmltree::Document;
use resvg::usvg::{self, Options, Tree};

use crate::css;
use crate::frame::Frame;
use crate::limits::{self, Census};
use crate::render::Counted;
use crate::resources::{self, Notes};
use crate::{invalid, options, unsupported};

/// How much of a drawing is shown to `plan` by any host; one whose beginning is shorter is shown whole.
pub(crate) const HEAD: usize = 64 << 10;
/// Elements of a tree that is kept.
const MAX_KEPT: u64 = 50_000;
/// Bytes that drawing takes of which only the beginning is there to be counted; more than most of that length do.
const UNSEEN_BYTES: u64 = 192 << 20;

/// What was parsed last to plan, with its bytes.
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);
struct Kept {
    bytes: Vec<u8>,
    drawing: Drawing,
}

/// A drawing that is parsed.
pub(crate) struct Drawing {
    pub(crate) tree: Tree,
    /// What of it is shown.
    pub(crate) frame: Frame,
    pub(crate) census: Census,
    /// What it was counted for, and found to be within its limits.
    pub(crate) counted: Option<Counted>,
    /// Why a picture in it is not in the colours that it means.
    pub(crate) unconverted: Option<String>,
}

/// Parses a whole drawing.
///
/// # Errors
/// `unsupported-source` for what is none, `limit-exceeded` for what would cost too much to parse.
pub(crate) fn parse(bytes: &[u8]) -> Result<Drawing, Error> {
    kept(bytes).map_or_else(|| parsed(bytes), Ok)
}

/// What is kept, if it is of these bytes. Another's stays: others plan and draw in between.
fn kept(bytes: &[u8]) -> Option<Drawing> {
    KEPT.lock().ok()?.take_if(|kept| kept.bytes == bytes).map(|kept| kept.drawing)
}

/// Parses the `head` of a drawing, if that is all of it. What is wrong with it otherwise, the run finds out.
///
/// # Errors
/// `limit-exceeded`, with what there is too much of.
pub(crate) fn foreseen(head: &[u8]) -> Result<Option<Drawing>, Error> {
    // A host that shows no more than it must has cut off what is just as long.
    if head.is_empty() || head.len() == HEAD {
        return Ok(None);
    }
    exceeded(parse(head))
}

/// Bytes that drawing takes of which this `head` is only the beginning.
pub(crate) fn unseen(head: &[u8]) -> u64 {
    if head.len() == HEAD { UNSEEN_BYTES } else { 0 }
}

/// Keeps what was parsed to plan for a run that follows at once.
pub(crate) fn keep(bytes: &[u8], drawing: Drawing) {
    if drawing.census.elements <= MAX_KEPT
        && let Ok(mut last) = KEPT.lock()
    {
        *last = Some(Kept { bytes: bytes.to_vec(), drawing });
    }
}

/// Lets a refusal through that is for a limit; `None` for any other.
fn exceeded<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::LimitExceeded => Err(error),
        Err(_) => Ok(None),
    }
}

fn parsed(bytes: &[u8]) -> Result<Drawing, Error> {
    let (plain, _) = plain(bytes)?;
    understood(&plain, true, |document| {
        let census = limits::census(document)?;
        let notes = Notes::default();
        let options = Options { image_href_resolver: resources::resolver(notes.clone()), ..options() };
        let tree = Tree::from_xmltree(document, &options).map_err(|error| unsupported(&error))?;
        let frame = Frame::of(&tree, &text::shape(document.root_element()));
        Ok(Drawing { tree, frame, census, counted: None, unconverted: notes.take() })
    })
}

/// Counts a drawing that is embedded in another, which has no document type of its own: gives the text that it is drawn by, and the
/// part that it comes to of what may be in one drawing.
///
/// # Errors
/// `limit-exceeded`, or `unsupported-source` for what is none.
pub(crate) fn embedded(bytes: &[u8]) -> Result<(f64, String), Error> {
    let (plain, of_text) = plain(bytes)?;
    understood(&plain, false, |document| {
        Ok((of_text + limits::census(document)?.share, document.input_text().to_owned()))
    })
}

/// The text of a drawing, as far as it can be told without parsing it, and the part that it comes to of what may be.
fn plain(bytes: &[u8]) -> Result<(Cow<'_, str>, f64), Error> {
    let plain = text::complete(text::text(bytes).map_err(|error| match error {
        TextError::TooLong => {
            Error::new(ErrorKind::LimitExceeded, format!("the drawing is too long: {error}"))
        }
        error => invalid(&error),
    })?);
    let share = limits::text(&plain)?;
    Ok((plain, share))
}

/// Parses a text, and if not all of its style would be understood, what it is to be instead; what is counted is what is drawn.
fn understood<T>(
    text: &str,
    entities: bool,
    read: impl Fn(&Document<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let unread = |error| unsupported(&usvg::Error::ParsingFailed(error));
    let first = text::parse(text, entities, |document| {
        if let Err(error) = limits::readable(document) {
            return Ok(Err(error));
        }
        match css::mended(document, &text::shape(document.root_element())) {
            Ok(Some(mended)) => Err(mended),
            Ok(None) => Ok(read(document)),
            Err(error) => Ok(Err(error)),
        }
    });
    match first.map_err(unread)? {
        Ok(read) => read,
        Err(mended) => text::parse(&mended, entities, |document| read(document)).map_err(unread)?,
    }
}
