//! URLs as strangers may see them.

use url::Url;

/// The URL as it may be shown and logged: without its password, and without its query, which is where signed URLs and
/// tokens keep theirs. Text that is no URL loses whatever could be one.
pub fn redact(url: &str) -> String {
    if let Ok(mut parsed) = Url::parse(url)
        && parsed.set_password(None).is_ok()
    {
        if parsed.query().is_some() {
            parsed.set_query(Some("..."));
        }
        return parsed.into();
    }
    let shown = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            let credentials = &url[scheme + 3..at];
            let user = credentials.split(':').next().unwrap_or_default();
            format!("{}{user}{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    };
    let shown = match shown.split_once('?') {
        Some((before, _)) => format!("{before}?..."),
        None => shown,
    };
    shown.escape_debug().to_string()
}
