//! The `{$...}` tags of `dstURL`. Pure text substitution; the caller keeps the original and always substitutes that,
//! so that a source name holding a tag or a colon is never substituted twice.

use super::length::MAX_TEXT;

/// `{$extension}`.
const LONGEST_TAG: usize = 12;

/// What the tags of a `dstURL` stand for; a tag whose value is not known yet is left in place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tags<'a> {
    /// The result's width in pixels: `{$width}`.
    pub width: Option<u32>,
    /// The result's height in pixels: `{$height}`.
    pub height: Option<u32>,
    /// The source's file name without extension: `{$basename}`.
    pub basename: Option<&'a str>,
    /// The source's extension: `{$ext}` and `{$extension}`.
    pub extension: Option<&'a str>,
}

impl Tags<'_> {
    fn value(&self, tag: &str) -> Option<String> {
        match tag {
            "width" => self.width.map(|width| width.to_string()),
            "height" => self.height.map(|height| height.to_string()),
            "basename" => self.basename.map(str::to_owned),
            "ext" | "extension" => self.extension.map(str::to_owned),
            _ => None,
        }
    }
}

/// Substitutes the tags after the last `:` of `destination`, as imgserve 0.2 did: everything after the scheme for
/// `file:///a/b`, only the file name in the form-upload syntax. Values are never searched for tags themselves. In what is
/// longer than a destination may be already, no further tags are substituted.
pub fn substitute_tags(destination: &str, tags: &Tags<'_>) -> String {
    let start = destination.rfind(':').map_or(0, |colon| colon + 1);
    let (kept, mut rest) = destination.split_at(start);
    let mut out = kept.to_owned();
    while let Some(open) = rest.find("{$") {
        // Many tags of a long name: it is too long already, and refused for that.
        if out.len() > MAX_TEXT {
            break;
        }
        let (before, tagged) = rest.split_at(open);
        out.push_str(before);
        let close = tagged.bytes().take(LONGEST_TAG).position(|byte| byte == b'}');
        let known = close.and_then(|close| Some((tags.value(&tagged[2..close])?, close + 1)));
        // An unknown tag gives up only its `{$`, so that `{${$width}` still finds the inner one.
        let length = match known {
            Some((value, length)) => {
                out.push_str(&value);
                length
            }
            None => {
                out.push_str("{$");
                2
            }
        };
        rest = &tagged[length..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Tags<'_> =
        Tags { width: Some(80), height: Some(60), basename: Some("cat"), extension: Some("png") };

    #[test]
    fn many_tags_of_a_long_name_are_not_multiplied() {
        let name = "n".repeat(100_000);
        let tags = Tags { basename: Some(&name), ..ALL };
        let substituted = substitute_tags(&format!("file:///{}", "{$basename}".repeat(10_000)), &tags);
        assert!((MAX_TEXT..300_000).contains(&substituted.len()), "{}", substituted.len());
        // Tags that do not end are not looked through again and again.
        let open = format!("file:///{}", "{$".repeat(200_000));
        let began = std::time::Instant::now();
        assert!(substitute_tags(&open, &ALL).len() > MAX_TEXT);
        assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
    }

    #[test]
    fn all_tags_after_the_last_colon() {
        let cases = [
            ("file:///a/{$basename}_{$width}x{$height}.{$ext}", "file:///a/cat_80x60.png"),
            ("http://h/{$width}:{$basename}.{$extension}", "http://h/{$width}:cat.png"),
            ("ftp://u:p@h:21/{$basename}.png", "ftp://u:p@h:21/cat.png"),
            ("file:///{$basename}/{$basename}", "file:///cat/cat"),
            ("{$width}", "80"),
            ("file:///{$nothing}/{$width", "file:///{$nothing}/{$width"),
            ("file:///{${$width}}", "file:///{$80}"),
        ];
        for (destination, expected) in cases {
            assert_eq!(substitute_tags(destination, &ALL), expected, "{destination}");
        }
    }

    #[test]
    fn unknown_values_stay_as_tags() {
        let partial = Tags { width: None, height: None, ..ALL };
        let template = "file:///{$basename}_{$width}.{$ext}";
        assert_eq!(substitute_tags(template, &partial), "file:///cat_{$width}.png");
    }

    #[test]
    fn values_are_not_searched_for_tags() {
        let tricky = Tags { basename: Some("{$width}"), ..ALL };
        assert_eq!(substitute_tags("file:///{$basename}", &tricky), "file:///{$width}");
    }

    proptest! {
        #[test]
        fn nothing_before_the_last_colon_changes(head in "[a-z{}$:]{0,20}", tail in "[a-z{}$]{0,20}") {
            let out = substitute_tags(&format!("{head}:{tail}"), &ALL);
            let kept = format!("{head}:");
            prop_assert!(out.starts_with(&kept));
        }

        #[test]
        fn partial_then_full_equals_full(tail in "(\\{\\$(width|height|basename|ext|extension)\\}|[a-z._/-]){0,12}") {
            let template = format!("file:///{tail}");
            let partial = substitute_tags(&template, &Tags { width: None, height: None, ..ALL });
            prop_assert_eq!(substitute_tags(&partial, &ALL), substitute_tags(&template, &ALL));
        }

        #[test]
        fn without_values_nothing_changes(text in ".{0,40}") {
            prop_assert_eq!(substitute_tags(&text, &Tags::default()), text);
        }
    }
}
