//! The text parsed. What it leaves out of its namespaces is put in: the document types of SVG 1.0 and 1.1 say them in its place
//! (`xmlns` and `xmlns:xlink` are fixed attributes there), and drawings that were cut out of pages have none.

use std::borrow::Cow;

use roxmltree::{Document, Error, ParsingOptions};

use crate::prologue::{has_attribute, root};

/// The namespace of SVG.
pub const NAMESPACE: &str = "http://www.w3.org/2000/svg";
/// Most nodes of a document. Far above any drawing; its purpose is to bound the tree, at about 100 bytes a node.
pub const MAX_NODES: u32 = 4_000_000;
/// Most prefixes that are declared for a text which does not.
const MAX_PREFIXES: usize = 16;
/// Most bytes that are parsed anew for that: each is found by parsing up to it.
const MAX_REPEATED: usize = 16 << 20;

/// The text with the namespace that its root element leaves out, beginning where XML begins.
pub fn complete(text: Cow<'_, str>) -> Cow<'_, str> {
    let text = match text.trim_start().len() == text.len() {
        true => text,
        false => Cow::Owned(text.trim_start().to_owned()),
    };
    let Some(root) = root(&text) else { return text };
    if &text[root.name.clone()] != "svg" || has_attribute(&text[root.tag], "xmlns") {
        return text;
    }
    Cow::Owned(declared(&text, root.name.end, "xmlns", NAMESPACE))
}

/// Parses a text that is [`complete`], and gives it to `read`. A prefix that nothing declares is declared. `entities`: whether it
/// may have a document type.
///
/// # Errors
/// What is not well-formed.
pub fn parse<T>(text: &str, entities: bool, read: impl FnOnce(&Document<'_>) -> T) -> Result<T, Error> {
    let tries = (MAX_REPEATED / text.len().max(1)).clamp(1, MAX_PREFIXES);
    let mut text = Cow::Borrowed(text);
    for _ in 0..tries {
        let prefix = match Document::parse_with_options(&text, options(entities)) {
            Ok(document) => return Ok(read(&document)),
            Err(Error::UnknownNamespace(prefix, at)) => match root(&text) {
                Some(root) => declare(&text, &root.name, &prefix),
                None => return Err(Error::UnknownNamespace(prefix, at)),
            },
            Err(error) => return Err(error),
        };
        text = Cow::Owned(prefix);
    }
    Document::parse_with_options(&text, options(entities)).map(|document| read(&document))
}

fn options<'t>(entities: bool) -> ParsingOptions<'t> {
    ParsingOptions { allow_dtd: entities, nodes_limit: MAX_NODES, ..ParsingOptions::default() }
}

fn declare(text: &str, name: &std::ops::Range<usize>, prefix: &str) -> String {
    let own = text[name.clone()].split_once(':').is_some_and(|(own, _)| own == prefix);
    let attribute = format!("xmlns:{prefix}");
    match prefix {
        "xlink" => declared(text, name.end, &attribute, "http://www.w3.org/1999/xlink"),
        _ if own => declared(text, name.end, &attribute, NAMESPACE),
        _ => declared(text, name.end, &attribute, &format!("urn:undeclared:{prefix}")),
    }
}

fn declared(text: &str, at: usize, attribute: &str, namespace: &str) -> String {
    format!("{} {attribute}=\"{namespace}\"{}", &text[..at], &text[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(text: &str) -> String {
        complete(Cow::Borrowed(text)).into_owned()
    }

    #[test]
    fn a_missing_namespace_is_put_in_and_no_other_touched() {
        let with = format!("<svg xmlns=\"{NAMESPACE}\"/>");
        assert_eq!(completed("<svg/>"), with);
        assert_eq!(completed("\n <svg/>"), with);
        assert_eq!(
            completed("<!DOCTYPE svg>\n<svg a='xmlns=\"\"'>"),
            format!("<!DOCTYPE svg>\n<svg xmlns=\"{NAMESPACE}\" a='xmlns=\"\"'>")
        );
        for whole in [with.as_str(), "<svg xmlns='x'/>", "<svg xmlns=''/>", "<s:svg/>", "<html/>", "", "<svg"]
        {
            assert!(
                matches!(complete(Cow::Borrowed(whole)), Cow::Borrowed(same) if same == whole),
                "{whole}"
            );
        }
    }

    #[test]
    fn prefixes_that_nothing_declares_are_declared() {
        let text = format!("<svg xmlns='{NAMESPACE}' inkscape:a='1'><use xlink:href='#x'/><x:y/></svg>");
        let links = |document: &Document<'_>| {
            let found = document
                .descendants()
                .find_map(|node| node.attribute(("http://www.w3.org/1999/xlink", "href")).map(str::to_owned));
            found.unwrap_or_default()
        };
        assert_eq!(parse(&text, true, links).unwrap(), "#x");
        let space =
            |document: &Document<'_>| document.root_element().tag_name().namespace().map(str::to_owned);
        assert_eq!(parse("<s:svg/>", true, space).unwrap().as_deref(), Some(NAMESPACE));
        let many: String = (0..100).map(|i| format!("<p{i}:g/>")).collect();
        assert!(matches!(
            parse(&format!("<svg>{many}</svg>"), true, |_| ()),
            Err(Error::UnknownNamespace(..))
        ));
        assert!(parse("<svg><g></svg>", true, |_| ()).is_err());
        assert!(parse("<!DOCTYPE svg><svg/>", false, |_| ()).is_err());
    }
}
