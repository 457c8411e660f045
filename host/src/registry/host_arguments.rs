//! The arguments that are the host's own, whatever the operation: an operation never sees them.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use serde_json::{Map, Value};

/// Members of `args` that are the host's own: an operation never sees them.
pub(crate) const HOST_ARGUMENTS: [&str; 4] = ["field_name", "field_file", "format", "quality"];

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
