//! What this crate promises of any text that names a source or destination, and of any page with a form: the fuzz targets, each
//! of which panics where a promise is not kept. `fuzz/` calls them for hours, the tests here in short, with the seeds stored
//! there.

use ::url::Url;

use super::body::{FilePart, Value};
use super::html::fill_form;
use super::{
    Destination, SourceUrl, Tags, basename, destination_extension, extension, split_form, substitute_tags,
};

/// What stands in for a password, and nowhere else.
const SECRET: &str = "0p3n-535AM3";

/// URLs: no part of one leads out of where it may lead, and none shows its password.
pub fn url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(source) = SourceUrl::parse(text) {
        check_source(&source);
    }
    let name = basename(text);
    assert!(!name.contains(['/', '?', '#']));
    assert!(name.len() + extension(text).map_or(0, str::len) <= text.len());
    let _any = destination_extension(text);
    if let Some((page, file_name)) = split_form(text) {
        assert_eq!(format!("{page}:{file_name}"), text);
        assert!(!file_name.is_empty() && !file_name.contains(['/', ':']));
    }
    keeps_its_password(text);
}

fn check_source(source: &SourceUrl) {
    // What a job is done again by: were it not read back, the job would wait for ever.
    let stored = SourceUrl::try_from(String::from(source.clone()));
    assert_eq!(stored.ok().as_ref(), Some(source), "it is not read back as it was stored");
    match source {
        SourceUrl::Http(url) => assert!(matches!(url.scheme(), "http" | "https") && url.has_host()),
        SourceUrl::Ftp(url) => {
            let parts = [&url.user, &url.password, &url.path];
            assert!(!parts.iter().any(|part| part.contains(|c: char| c.is_ascii_control())));
            assert!(!url.path.is_empty() && !url.path.ends_with('/'));
        }
        SourceUrl::File(url) => {
            assert!(!url.segments.is_empty());
            for name in url.segments.iter().map(|name| name.as_encoded_bytes()) {
                assert!(!matches!(name, b"" | b"." | b".."));
                assert!(!name.contains(&b'/') && !name.contains(&0));
            }
        }
        SourceUrl::Store(url) => {
            assert!(!url.bucket_url().contains(['@', '{']));
            url.names().for_each(|name| assert!((1..=1024).contains(&name)));
        }
    }
}

/// The same URL with a password that can be told from everything else in it, as source, as destination and in errors.
fn keeps_its_password(text: &str) {
    let Ok(mut url) = Url::parse(text) else { return };
    if url.host_str().is_none_or(str::is_empty) || url.set_password(Some(SECRET)).is_err() {
        return;
    }
    let text = url.as_str();
    let shown = match SourceUrl::parse(text) {
        Ok(source) => format!("{source} {source:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET), "{text:?} is shown as {shown:?}");
    let shown = match Destination::from_template(text, &Tags::default()) {
        Ok((_, destination)) => format!("{destination} {destination:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET), "{text:?} is shown as {shown:?}");
}

/// A template of a destination and, after line feeds, what the tags stand for: basename and extension.
pub fn tags(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (template, name, ending) = (next(), next(), next());
    let all = Tags { width: Some(80), height: Some(60), basename: Some(name), extension: Some(ending) };
    assert_eq!(substitute_tags(template, &Tags::default()), template);
    let (kept, _) = template.split_at(template.rfind(':').map_or(0, |colon| colon + 1));
    let substituted = substitute_tags(template, &all);
    assert!(substituted.starts_with(kept));
    let tags = template.matches("{$").count();
    assert!(substituted.len() <= template.len() + tags * (name.len() + ending.len() + 2));
    // What stands for a tag is never searched for tags: with others in their place, the rest is the same.
    let plain = Tags { basename: Some("x"), extension: Some("x"), ..all };
    if !template.contains("{$base") && !template.contains("{$ext") {
        assert_eq!(substituted, substitute_tags(template, &plain));
    }
    if let Ok((text, destination)) = Destination::from_template(template, &all) {
        assert_eq!(matches!(destination, Destination::Form { .. }), split_form(template).is_some());
        assert!(text.starts_with(kept));
    }
}

/// A page: the file goes into one field of one form, in bounded time.
pub fn form(bytes: &[u8]) {
    let page = Url::parse("http://host/folder/page.html?query#fragment").expect("it is one");
    let part =
        FilePart { file_name: "x.png".to_owned(), media_type: "image/png".to_owned(), body: "PNG".into() };
    let Ok(Some(form)) = fill_form(bytes, &page, "pic", &part) else { return };
    assert_eq!(form.action.fragment(), None);
    let files = form.entries.iter().filter(|entry| matches!(entry.value, Value::File(_)));
    assert_eq!(files.map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["pic"]);
    assert!(form.entries.iter().all(|entry| !entry.name.is_empty()));
}

#[cfg(test)]
mod tests {
    use imgserve_fuzz::{seeds, short_run};

    #[test]
    fn any_url_in_short() {
        short_run(&seeds(include_str!("../fuzz/seeds/url.txt")), 500, super::url);
    }

    #[test]
    fn any_template_in_short() {
        short_run(&seeds(include_str!("../fuzz/seeds/tags.txt")), 500, super::tags);
    }

    #[test]
    fn any_page_in_short() {
        short_run(&seeds(include_str!("../fuzz/seeds/form.txt")), 300, super::form);
    }
}
