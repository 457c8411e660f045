//! Addresses of databases as libpq has them: how they are told from the path of a file, and how they are shown to anyone.

use crate::secret::HIDDEN;

/// What holds a secret in an address, but for the password before a URL's host.
const SECRETS: [&str; 2] = ["password", "sslpassword"];

/// Whether an address is a database's: a URL, or `key=value` pairs.
pub fn is_database(address: &str) -> bool {
    is_url(address) || pairs(address).is_some_and(|pairs| !pairs.is_empty())
}

/// Whether it is a URL.
pub fn is_url(address: &str) -> bool {
    ["postgresql://", "postgres://"].iter().any(|scheme| address.starts_with(scheme))
}

/// An address as it may be shown to anyone: without a password. What is none is shown as it is.
pub fn shown(address: &str) -> String {
    match (is_url(address), pairs(address)) {
        (true, _) => url_shown(address),
        (false, Some(pairs)) => {
            let pair = |(key, value): &(String, String)| match SECRETS.contains(&key.as_str()) {
                true => format!("{key}={HIDDEN}"),
                false => written(key, value),
            };
            pairs.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
        (false, None) => address.to_owned(),
    }
}

fn url_shown(url: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let (scheme, rest) = before.split_once("://").unwrap_or(("", before));
    // The last one: what is not written as it should be may stand before it.
    let rest = match rest.rsplit_once('@') {
        Some((who, at)) => match who.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{at}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if SECRETS.contains(&key) => format!("{key}={HIDDEN}"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| query.split('&').map(pair).collect::<Vec<_>>().join("&"));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}://{rest}{query}")
}

/// Pairs of `key=value` as libpq has them: values may be quoted, and a backslash takes what follows as it is. None where it is
/// something else.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            return None;
        }
        let (value, after) = value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Some(pairs)
}

/// A pair as it is written.
pub fn written(key: &str, value: &str) -> String {
    match value.contains([' ', '\\', '\'']) || value.is_empty() {
        true => format!("{key}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")),
        false => format!("{key}={value}"),
    }
}

fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            letter if !quoted && letter.is_whitespace() => return Some((value, &text[at..])),
            letter => value.push(letter),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_no_database_and_both_forms_of_libpq_are() {
        for path in ["/var/lib/imgserve/jobs.db", "jobs.db", "", "/srv/a=b", "C=D", "http://a/?b=c"] {
            assert!(!is_database(path), "{path}");
        }
        for address in ["postgresql://a/b", "postgres://", "host=a dbname=b", "dbname = 'a b'"] {
            assert!(is_database(address), "{address}");
        }
        assert_eq!(
            pairs("a='x\\' y' b = z"),
            Some(vec![("a".into(), "x' y".into()), ("b".into(), "z".into())])
        );
        assert_eq!(pairs("a='x"), None);
    }

    #[test]
    fn what_is_shown_holds_no_secret_and_is_else_the_same() {
        for (address, expected) in [
            (
                "postgresql://ada:s3cret@db:6000/jobs?sslmode=disable",
                "postgresql://ada:…@db:6000/jobs?sslmode=disable",
            ),
            ("postgresql://ada:s3@cret@db/jobs", "postgresql://ada:…@db/jobs"),
            ("postgresql://db/jobs?user=ada&password=s3cret", "postgresql://db/jobs?user=ada&password=…"),
            (
                "host=/run user=ada password='s3 cret' dbname='a b'",
                "host=/run user=ada password=… dbname='a b'",
            ),
        ] {
            assert_eq!(shown(address), expected);
        }
        for address in
            ["postgresql://ada@a:1,b:2/jobs?target_session_attrs=read-write", "/var/lib/jobs.db", "host=db"]
        {
            assert_eq!(shown(address), address);
        }
    }
}
