//! From a request's `args` object to an operation's argument struct, with an error that names the argument.

use serde::de::DeserializeOwned;

use crate::plain::plain;
use crate::{Error, ErrorKind};

/// Parses `json`, an object, as `T`.
pub(crate) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let (path, text) = (error.path().to_string(), error.inner().to_string());
        let path = path.trim_end_matches(".?");
        let quoted = |text: &str| text.split('`').next().unwrap_or_default().to_owned();
        if let Some(name) = text.strip_prefix("missing field `").map(quoted) {
            let path = within(path, &name);
            return Error::new(ErrorKind::MissingArgument, format!("argument `{path}` is missing"))
                .about_argument(&path);
        }
        let path = match text.strip_prefix("duplicate field `").map(quoted) {
            Some(name) => within(path, &name),
            None => path.to_owned(),
        };
        let (kind, text) = (kind_of(&text), plain(&text));
        match path.as_str() {
            "." | "" => Error::new(kind, format!("arguments: {text}")),
            path => Error::new(kind, format!("argument `{path}`: {text}")).about_argument(path),
        }
    })
}

/// The path of a member of what is at `path`.
fn within(path: &str, name: &str) -> String {
    match path {
        "." | "" => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// serde's data errors have no kind of their own, only these fixed beginnings (`serde::de::Error`'s methods).
fn kind_of(text: &str) -> ErrorKind {
    let other_type = text.starts_with("invalid type") || text.starts_with("expected ");
    if other_type { ErrorKind::WrongType } else { ErrorKind::InvalidArgument }
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
        #[serde(default)]
        region: Option<Region>,
        #[serde(default)]
        regions: Vec<Region>,
    }

    #[derive(serde::Deserialize, Debug)]
    #[expect(dead_code, reason = "only parsed")]
    struct Region {
        x: u32,
        y: u32,
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
            (r#"{"width": 9, "fit": 7}"#, ErrorKind::WrongType, "fit"),
            (r#"{"width": 9, "region": {"x": 1}}"#, ErrorKind::MissingArgument, "region.y"),
            (r#"{"width": 9, "region": {"x": 1, "y": -1}}"#, ErrorKind::InvalidArgument, "region.y"),
            (r#"{"width": 9, "region": {"x": 1, "x": 2}}"#, ErrorKind::InvalidArgument, "region.x"),
            (r#"{"width": 9, "regions": [{"x": 1, "y": ""}]}"#, ErrorKind::WrongType, "regions[0].y"),
            (r#"{"width": 9, "regions": [{"x": 1}]}"#, ErrorKind::MissingArgument, "regions[0].y"),
        ] {
            let error = parse::<Args>(json.as_bytes()).unwrap_err();
            assert_eq!((error.kind(), error.argument()), (kind, Some(argument)), "{json}: {error}");
            assert!(error.message().contains(&format!("`{argument}`")), "{json}: {error}");
            assert!(!error.message().contains("expected"), "{json}: {error}");
        }
        assert!(parse::<Args>(br#"{"width": 9, "fit": "fill"}"#).is_ok());
    }
}
