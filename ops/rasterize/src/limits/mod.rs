//! What a drawing may cost, counted before it is drawn. A drawing says itself how often something is to be done: a number in it is a loop's
//! count. The renderers do what it says, so what it says is added up here first.
//!
//! # What is counted where
//! - [`text`]: attributes and entities, before the text is parsed, as the host does it
//! - [`census`]: elements, letters and points, references followed as the parser follows them, before it does; [`counts`]: their
//!   limits; [`style`]: style sheets; [`data`]: numbers in attributes; [`scale`]: transforms
//! - [`work`]: pixels and points of what was parsed, for the size that is asked for; [`effects`]: of filters;
//!   [`outline`]: points; [`area`]: rectangles; [`costs`]: what each takes, as measured
//!
//! # Beside others
//! | | here | librsvg (`limits.rs`) | Skia |
//! | --- | --- | --- | --- |
//! | elements of a document | 500,000 | 1,000,000 | none of its own |
//! | elements, references followed | 500,000 | 500,000 references | none of its own |
//! | attributes of an element | 1000 | 65,535 | none of its own |
//! | layers in one another | 100 | a fixed depth | none of its own |
//! | octaves of a turbulence | 16, and by work | by nothing | 255 |
//! | deviation of a blur | by work, 10^6 pixels | by nothing | 532 pixels, clamped |
//! | work in all | most of the operation's `time_limit_ms` | "no built-in limits" | none of its own |
//!
//! What others clamp is refused here: a picture that is not the one that was asked for would be no help to anybody.

mod area;
mod census;
mod circles;
mod costs;
mod counts;
mod data;
mod effects;
#[cfg(test)]
mod measure;
mod outline;
mod scale;
mod style;
mod work;

use imgserve_drawing::xml;
use imgserve_sdk::{Error, ErrorKind};

pub(crate) use census::{Census, check as census};
pub(crate) use style::readable;
pub(crate) use work::{Renderer, Work, count};

/// Refuses a text that would cost its parser too much; gives the part of what may be that it comes to.
///
/// # Errors
/// `limit-exceeded`.
pub(crate) fn text(text: &str) -> Result<f64, Error> {
    xml::check(text).map_err(|costly| exceeded(costly.what, costly.value, costly.limit))
}

/// Holds a count against its limit.
///
/// # Errors
/// `limit-exceeded`, with what was counted, the count and the limit.
pub(crate) fn within(what: &str, count: u64, limit: u64) -> Result<(), Error> {
    if count <= limit { Ok(()) } else { Err(exceeded(what, count, limit)) }
}

fn exceeded(what: &str, count: u64, limit: u64) -> Error {
    let text = format!("the drawing has {count} {what}, at most {limit} are drawn");
    Error::new(ErrorKind::LimitExceeded, text)
}
