//! What a server says of a source beside its bytes: by what another one would show, for how long there is none, and whether anybody
//! may keep what is made of it (RFC 9111, sections 4.2 and 5.2).

use std::time::{Duration, SystemTime};

use imgserve_base::digest::digest;
use imgserve_base::version::Version;
use reqwest::header::{AGE, CACHE_CONTROL, DATE, ETAG, EXPIRES, HeaderMap, HeaderName, LAST_MODIFIED};
use url::Url;

/// How long a source must have lain still when it was read, so that a change within the same tick of a clock is seen: of a file,
/// whose times are those of the kernel's ticks, or of a network's other machine.
const STILL: Duration = Duration::from_secs(2);
/// The same of what a server says, whose dates are whole seconds.
const STILL_SECOND: Duration = Duration::from_secs(1);

/// For how long a source is what it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freshness {
    /// For so long its server need not be asked again; none where it does not say.
    pub lasts: Option<Duration>,
    /// What is made of it is for who asks for it alone, and not to be kept (`no-store`, `private`).
    pub is_private: bool,
}

impl Freshness {
    /// What a response says.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut said = Said::default();
        for directive in texts(headers, &CACHE_CONTROL).flat_map(|line| line.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            // What cannot be read is stale.
            let seconds = || Duration::from_secs(value.trim().trim_matches('"').parse().unwrap_or(0));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "private" => said.is_private = true,
                "no-cache" => said.no_cache = true,
                "max-age" => said.max_age = Some(seconds()),
                "s-maxage" => said.shared = Some(seconds()),
                _ => {}
            }
        }
        let lasts = match said.no_cache {
            true => Some(Duration::ZERO),
            false => said.shared.or(said.max_age).or_else(|| expires(headers)),
        };
        let age = texts(headers, &AGE).next().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let lasts = lasts.map(|lasts| lasts.saturating_sub(Duration::from_secs(age)));
        Self { lasts, is_private: said.is_private }
    }
}

#[derive(Default)]
struct Said {
    is_private: bool,
    no_cache: bool,
    max_age: Option<Duration>,
    shared: Option<Duration>,
}

fn texts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(texts(headers, name).next()?.trim()).ok()
}

/// How long it is from when the response was sent until it expires.
fn expires(headers: &HeaderMap) -> Option<Duration> {
    // "0" is a usual way to say that it has.
    headers.get(EXPIRES)?;
    let sent = date(headers, &DATE).unwrap_or_else(SystemTime::now);
    Some(date(headers, &EXPIRES).and_then(|at| at.duration_since(sent).ok()).unwrap_or_default())
}

/// What a response of this URL is told from others by.
pub(super) fn version(headers: &HeaderMap, url: &Url) -> Version {
    let text = |name| texts(headers, name).next().map(str::to_owned);
    // What was changed in the second in which it was sent may be changed once more in it.
    let lay_still = match (date(headers, &LAST_MODIFIED), date(headers, &DATE)) {
        (Some(modified), Some(sent)) => {
            sent.duration_since(modified).is_ok_and(|still| still >= STILL_SECOND)
        }
        (Some(_), None) => true,
        (None, _) => false,
    };
    let modified = text(&LAST_MODIFIED).filter(|_| lay_still);
    Version { tag: text(&ETAG), modified, at: Some(place(url)), stamp: None }
}

/// What stands for a URL, which may hold secrets.
pub(super) fn place(url: &Url) -> String {
    format!("{:032x}", digest(url.as_str().as_bytes()))
}

/// Whether a file that was changed then lies still.
pub(super) fn lies_still(changed: SystemTime, now: SystemTime) -> bool {
    now.duration_since(changed).is_ok_and(|still| still >= STILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn for_how_long_it_is_certain_is_what_its_server_says() {
        let sent = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (lines, lasts, is_private) in [
            (&[][..], None, false),
            (&[("cache-control", "max-age=60")], Some(60), false),
            (&[("cache-control", "public, Max-Age=\"60\"")], Some(60), false),
            (&[("cache-control", "max-age=60, s-maxage=5")], Some(5), false),
            (&[("cache-control", "max-age=60"), ("age", "20")], Some(40), false),
            (&[("cache-control", "max-age=60"), ("age", "90")], Some(0), false),
            (&[("cache-control", "max-age=60"), ("cache-control", "no-cache")], Some(0), false),
            (&[("cache-control", "max-age=soon")], Some(0), false),
            (&[("cache-control", "private, max-age=60")], Some(60), true),
            (&[("cache-control", "no-store")], None, true),
            (&[("cache-control", "must-revalidate, immutable")], None, false),
            (&[sent, ("expires", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(60), false),
            (&[sent, ("expires", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0), false),
            (&[sent, ("expires", "0")], Some(0), false),
            (&[sent, ("expires", "0"), ("cache-control", "max-age=7")], Some(7), false),
        ] {
            let wanted = Freshness { lasts: lasts.map(Duration::from_secs), is_private };
            assert_eq!(Freshness::of(&headers(lines)), wanted, "{lines:?}");
        }
    }

    #[test]
    fn a_date_of_the_second_in_which_it_is_sent_is_none_to_go_by() {
        let url = Url::parse("https://example.org/a?token=secret").unwrap();
        let version = |sent: &str, modified: &str| {
            let lines = [("date", sent), ("last-modified", modified), ("etag", "W/\"x\"")];
            super::version(&headers(&lines), &url)
        };
        let (now, before) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:36 GMT");
        assert_eq!(version(now, before).modified.as_deref(), Some(before));
        assert_eq!((version(now, now).modified, version(before, now).modified), (None, None));
        let version = version(now, now);
        assert_eq!(version.tag.as_deref(), Some("W/\"x\""));
        assert!(version.is_known() && !format!("{version:?}").contains("secret"));
        assert!(!super::version(&HeaderMap::new(), &url).is_known());
    }

    #[test]
    fn a_file_that_has_just_changed_does_not_lie_still() {
        let now = SystemTime::now();
        assert!(lies_still(now - Duration::from_secs(3), now));
        assert!(
            !lies_still(now - Duration::from_secs(1), now) && !lies_still(now + Duration::from_secs(9), now)
        );
    }
}
