//! From a request's `args` object to an operation's argument struct, with an error that names the argument.

use serde::de::DeserializeOwned;

use crate::{Error, ErrorKind};

/// Parses `json`, an object, as `T`.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        // serde_json appends where in the text it was, which means nothing to a client who sent an object.
        let text = text.split(" at line ").next().unwrap_or_default();
        let missing = text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        match (missing, path.as_str()) {
            (Some(name), _) => {
                Error::new(ErrorKind::MissingArgument, format!("argument `{name}` is missing"))
                    .about_argument(name)
            }
            (None, ".") => Error::new(kind_of(text), format!("arguments: {text}")),
            (None, path) => {
                Error::new(kind_of(text), format!("argument `{path}`: {text}")).about_argument(path)
            }
        }
    })
}

/// serde's data errors have no kind of their own, only these fixed beginnings (`serde::de::Error`'s methods).
fn kind_of(text: &str) -> ErrorKind {
    if text.starts_with("invalid type") { ErrorKind::WrongType } else { ErrorKind::InvalidArgument }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[expect(dead_code, reason = "only parsed")]
    struct Args {
        width: u32,
        #[serde(default)]
        fit: Fit,
    }

    #[derive(serde::Deserialize, Debug, Default)]
    #[serde(rename_all = "lowercase")]
    enum Fit {
        #[default]
        Cover,
        Fill,
    }

    #[test]
    fn errors_say_which_argument_and_of_which_kind() {
        for (json, kind, argument) in [
            (r#"{}"#, ErrorKind::MissingArgument, "width"),
            (r#"{"width": "9"}"#, ErrorKind::WrongType, "width"),
            (r#"{"width": -9}"#, ErrorKind::InvalidArgument, "width"),
            (r#"{"width": 9, "fit": "fil"}"#, ErrorKind::InvalidArgument, "fit"),
        ] {
            let error = parse::<Args>(json.as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.argument()), (kind, Some(argument)), "{json}: {error}");
        }
        assert!(parse::<Args>(br#"{"width": 9, "fit": "fill"}"#).is_ok());
    }
}
