//! What operations and codecs may be called: an operation's name stands in paths of URLs, in metrics, logs and stories.

use super::error::{ConfigError, value_error};

/// Longest name.
const LONGEST: usize = 64;

/// Whether `what` of `section` can be called so.
///
/// # Errors
/// [`ConfigError::Value`] that says what a name is.
pub(super) fn check(name: &str, (section, what): (&str, &str)) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // A path cannot end in `.` or `..`: who normalizes it takes them away (RFC 3986, 5.2.4).
    let begins = name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if begins && name.len() <= LONGEST && name.bytes().all(fits) {
        return Ok(());
    }
    let shown: String = name.chars().take(LONGEST).collect();
    let text = format!(
        "{shown:?} is no name of {what}: 1 to {LONGEST} letters, digits, - _ and ., the first one a letter or a digit, \
         such as \"thumbnail\""
    );
    Err(value_error(section, &text))
}

#[cfg(test)]
mod tests {
    use crate::error::ConfigError;

    fn check(name: &str) -> Result<(), ConfigError> {
        super::check(name, ("operations", "an operation"))
    }

    #[test]
    fn a_name_can_stand_in_a_path() {
        for name in ["resize", "a", "Thumb-200_x.v2", "9", &"x".repeat(64)] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "a/b",
            "/",
            ".",
            "..",
            ".a",
            "-a",
            "_",
            "a b",
            " a",
            "a\n",
            "\u{1b}[2J",
            "a?b",
            "a#",
            "a%2fb",
            "größe",
            "a\0",
            &"x".repeat(65),
        ] {
            let error = check(name).unwrap_err().to_string();
            assert!(error.starts_with("operations: \"") && error.contains("is no name"), "{error}");
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }
}
