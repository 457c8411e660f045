//! From the words of the library that reads JSON to words for whoever sent it: `invalid type: string "9", expected u32` is
//! told as `"9" is not an integer`. The one place that knows those words; hosts translate with it what plugins say that
//! were built before.

/// How the library begins to say that a value does not fit.
const BEGINNINGS: [&str; 9] = [
    "invalid type: ",
    "invalid value: ",
    "invalid length ",
    "unknown variant `",
    "unknown field `",
    "missing field `",
    "duplicate field `",
    "data did not match any variant",
    // Of an enum: it has tried to read another type than is there.
    "expected ",
];

/// `text` in words for a person: from where one of the library's own begins, that and what follows is translated.
pub fn plain(text: &str) -> String {
    let begins = |at: &usize| *at == 0 || text[..*at].ends_with(": ");
    let found = BEGINNINGS.iter().filter_map(|beginning| text.find(beginning)).filter(begins).min();
    match found {
        Some(at) => format!("{}{}", &text[..at], translated(&text[at..])),
        None => text.to_owned(),
    }
}

fn translated(text: &str) -> String {
    // It appends where in the text it was, which means nothing to a client who sent an object.
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let (said, expected) = text.rsplit_once(", expected ").unwrap_or((text, ""));
    if let Some(found) = said.strip_prefix("invalid type: ") {
        return format!("{} is not {}", value(found), wanted(expected));
    }
    if let Some(found) = said.strip_prefix("invalid value: ") {
        return match range(expected) {
            Some((least, most)) => format!("{} is not from {least} to {most}", value(found)),
            None => format!("{} is not {}", value(found), wanted(expected)),
        };
    }
    if let Some(length) = said.strip_prefix("invalid length ") {
        return format!("{length} values are not {}", wanted(expected));
    }
    let named = |rest: &str| rest.split('`').next().unwrap_or_default().to_owned();
    if let Some(name) = said.strip_prefix("unknown variant `") {
        return format!("\"{}\" is none of {}", named(name), names(expected));
    }
    if let Some(name) = said.strip_prefix("unknown field `") {
        return format!("`{}` is none of {}", named(name), names(expected));
    }
    if let Some(name) = said.strip_prefix("missing field `") {
        return format!("`{}` is missing", named(name));
    }
    if let Some(name) = said.strip_prefix("duplicate field `") {
        return format!("`{}` stands twice", named(name));
    }
    if said.starts_with("expected ") || text.starts_with("expected ") {
        return "it is of no type that is possible".to_owned();
    }
    "it has none of the forms that are possible".to_owned()
}

/// A value that was found: as JSON has it.
fn value(found: &str) -> &str {
    for kind in ["string ", "integer ", "floating point ", "boolean ", "character ", "number "] {
        if let Some(value) = found.strip_prefix(kind) {
            return value.trim_matches('`');
        }
    }
    match found {
        "sequence" | "byte array" => "an array",
        "map" | "enum" | "struct variant" | "tuple variant" | "newtype variant" => "an object",
        "unit value" | "Option value" | "unit" => "null",
        "unit variant" => "a string",
        other => other,
    }
}

/// What was wanted, with its article.
fn wanted(expected: &str) -> String {
    let number = |text: &str| text.chars().find(char::is_ascii_digit).is_some();
    match expected {
        "f32" | "f64" => "a number".to_owned(),
        "str" | "string" | "a string" | "string or map" | "variant identifier" | "field identifier" => {
            "a string".to_owned()
        }
        "bool" | "a boolean" => "true or false".to_owned(),
        "char" | "a character" => "a string of one character".to_owned(),
        "unit" => "null".to_owned(),
        "a sequence" | "sequence" => "an array".to_owned(),
        "a map" | "map" => "an object".to_owned(),
        _ if range(expected).is_some() => "an integer".to_owned(),
        _ if expected.starts_with("struct ") && !expected.ends_with(" elements") => "an object".to_owned(),
        _ if expected.starts_with("enum ") => "a string".to_owned(),
        _ if ["tuple", "a tuple", "an array of length", "struct "]
            .iter()
            .any(|begin| expected.starts_with(begin))
            && number(expected) =>
        {
            let digits = expected.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty());
            format!("an array of {} values", digits.unwrap_or_default())
        }
        other => other.replace('`', ""),
    }
}

/// The bounds of an integer type.
fn range(expected: &str) -> Option<(i128, i128)> {
    Some(match expected {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "usize" | "u128" => (0, u64::MAX.into()),
        "i8" => (i8::MIN.into(), i8::MAX.into()),
        "i16" => (i16::MIN.into(), i16::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" | "isize" | "i128" => (i64::MIN.into(), i64::MAX.into()),
        // `NonZero…` says so.
        "a nonzero u8" => (1, u8::MAX.into()),
        "a nonzero u16" => (1, u16::MAX.into()),
        "a nonzero u32" => (1, u32::MAX.into()),
        "a nonzero u64" | "a nonzero usize" => (1, u64::MAX.into()),
        _ => return None,
    })
}

/// The names of "one of `a`, `b`", "`a` or `b`" and "`a`".
fn names(expected: &str) -> String {
    let names: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    if names.is_empty() { "what is possible".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU8;

    use serde::Deserialize;
    use serde::de::DeserializeOwned;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Region {
        x: u8,
        y: i32,
    }

    #[derive(Deserialize, Debug)]
    #[serde(rename_all = "lowercase")]
    enum Fit {
        Cover,
        Fill,
        Inside,
    }

    #[derive(Deserialize, Debug)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "only parsed")]
    enum Side {
        Pixels(u32),
        Name(Fit),
    }

    fn of<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        plain(&serde_json::from_str::<T>(json).unwrap_err().to_string())
    }

    /// Whatever the library says, by the library itself: a version of it that says otherwise fails here.
    #[test]
    fn what_the_library_says_is_told_in_plain_words() {
        for (told, wanted) in [
            (of::<u16>("\"9\""), "\"9\" is not an integer"),
            (of::<u16>("2.5"), "2.5 is not an integer"),
            (of::<u16>("null"), "null is not an integer"),
            (of::<u16>("true"), "true is not an integer"),
            (of::<u16>("[1]"), "an array is not an integer"),
            (of::<u16>("{}"), "an object is not an integer"),
            (of::<u16>("-9"), "-9 is not from 0 to 65535"),
            (of::<u16>("65536"), "65536 is not from 0 to 65535"),
            (of::<i8>("200"), "200 is not from -128 to 127"),
            (of::<NonZeroU8>("0"), "0 is not from 1 to 255"),
            (of::<f64>("\"x\""), "\"x\" is not a number"),
            (of::<bool>("\"True\""), "\"True\" is not true or false"),
            (of::<String>("7"), "7 is not a string"),
            (of::<char>("\"ab\""), "\"ab\" is not a string of one character"),
            (of::<()>("7"), "7 is not null"),
            (of::<Vec<u8>>("7"), "7 is not an array"),
            (of::<BTreeMap<String, u8>>("7"), "7 is not an object"),
            (of::<[u8; 2]>("[1]"), "1 values are not an array of 2 values"),
            (of::<[u8; 2]>("7"), "7 is not an array of 2 values"),
            (of::<(u8, u8)>("[1]"), "1 values are not an array of 2 values"),
            (of::<(u8, u8)>("7"), "7 is not an array of 2 values"),
            (of::<Region>("7"), "7 is not an object"),
            (of::<Region>("[1]"), "1 values are not an array of 2 values"),
            (of::<Region>(r#"{"x": 1}"#), "`y` is missing"),
            (of::<Region>(r#"{"z": 1}"#), "`z` is none of x, y"),
            (of::<Region>(r#"{"x": 1, "x": 1}"#), "`x` stands twice"),
            (of::<Fit>("\"COVER\""), "\"COVER\" is none of cover, fill, inside"),
            (of::<Fit>("7"), "it is of no type that is possible"),
            (of::<Fit>("[]"), "it is of no type that is possible"),
            (of::<Side>("[]"), "it has none of the forms that are possible"),
        ] {
            assert_eq!(told, wanted);
        }
    }

    #[test]
    fn what_is_not_the_librarys_stays() {
        for text in ["argument `width`: 0 is not from 1 to 65535", "not a valid SVG: invalid name", ""] {
            assert_eq!(plain(text), text);
        }
        let old = "argument `fit`: unknown variant `no`, expected `a` or `b`";
        assert_eq!(plain(old), "argument `fit`: \"no\" is none of a, b");
    }
}
