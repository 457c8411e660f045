//! The arguments that are the host's own, whatever the operation: an operation never sees them.

use std::fmt::Display;

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_base::format::Format;
use imgserve_base::kept::{Colors, Kept, Metadata};
use serde_json::{Map, Value};

/// Members of `args` that are the host's own: an operation never sees them.
pub(crate) const HOST_ARGUMENTS: [&str; 4] = ["field_name", "field_file", "format", "quality"];
/// Those that came later: of an operation that has an argument of such a name, that is its own.
pub(crate) const LATER_ARGUMENTS: [&str; 3] = [LOSSLESS, "metadata", "colors"];
pub(crate) const LOSSLESS: &str = "lossless";

/// Longest value that an error repeats, in bytes.
const MAX_TOLD: usize = 100;

/// Names of the formats that are written.
pub(crate) fn writable() -> Vec<&'static str> {
    Format::written().map(Format::name).collect()
}

/// An encoding quality, 1 to 100.
///
/// # Errors
/// [`FaultKind::InvalidArgument`].
pub(crate) fn quality(quality: i64) -> Result<u8, Fault> {
    u8::try_from(quality).ok().filter(|quality| (1..=100).contains(quality)).ok_or_else(|| {
        Fault::new(FaultKind::InvalidArgument, format!("argument `quality`: {quality} is not in 1 to 100"))
    })
}

/// What the result's file is to keep.
///
/// # Errors
/// [`FaultKind::WrongType`] or [`FaultKind::InvalidArgument`].
pub(crate) fn kept(args: &Map<String, Value>) -> Result<Kept, Fault> {
    Ok(Kept {
        lossless: boolean(args, LOSSLESS)?.unwrap_or_default(),
        metadata: named(args, "metadata", Metadata::parse, &Metadata::ALL)?,
        colors: named(args, "colors", Colors::parse, &Colors::ALL)?,
    })
}

fn named<T: Default + Display>(
    args: &Map<String, Value>,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
    all: &[T],
) -> Result<T, Fault> {
    let Some(said) = text(args, name)? else { return Ok(T::default()) };
    parse(said).ok_or_else(|| {
        let all: Vec<String> = all.iter().map(T::to_string).collect();
        let said = one_line(said, MAX_TOLD);
        let text = format!("argument `{name}`: {said:?} is none of {}", all.join(", "));
        Fault::new(FaultKind::InvalidArgument, text)
    })
}

fn boolean(args: &Map<String, Value>, name: &str) -> Result<Option<bool>, Fault> {
    match args.get(name) {
        None => Ok(None),
        Some(value) => value.as_bool().map(Some).ok_or_else(|| wrong_type(name, value, "true or false")),
    }
}

/// One of the host's own arguments, an integer.
///
/// # Errors
/// [`FaultKind::WrongType`].
pub(crate) fn integer(args: &Map<String, Value>, name: &str) -> Result<Option<i64>, Fault> {
    match args.get(name) {
        None => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong_type(name, value, "an integer")),
    }
}

/// One of the host's own arguments, a string.
///
/// # Errors
/// [`FaultKind::WrongType`].
pub(crate) fn text<'a>(args: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Fault> {
    match args.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| wrong_type(name, value, "a string")),
    }
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Fault {
    Fault::new(FaultKind::WrongType, format!("argument `{name}`: {value} is not {wanted}"))
}
