//! Which parameters a route's query may have: what nobody would look at is refused where the route is defined, and not lost.

use axum::http::Uri;
use imgserve_base::fault::one_line;
use url::form_urlencoded;

use super::kind::RequestKind;
use super::problem::Problem;

/// The most of a name that is told again, in bytes.
const MAX_NAME: usize = 100;

/// What a route takes from its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// Parameters of these names. Others are refused.
    Of(&'static [&'static str]),
    /// An operation's arguments; of those that it does not know the answer tells.
    Arguments,
    /// Nothing, and whatever is there is nobody's business: of paths that 0.2 had, and of what others ask by habit.
    Any,
}

impl Query {
    /// Nothing at all.
    pub(super) const NONE: Self = Self::Of(&[]);

    /// What is answered to a request for such a route, if its query is not what the route takes.
    pub(super) fn check(self, uri: &Uri) -> Option<Problem> {
        let detail = self.refusal(uri.query().unwrap_or_default())?;
        Some(Problem::new(RequestKind::BadQuery, detail))
    }

    /// What is wrong with a query.
    fn refusal(self, query: &str) -> Option<String> {
        let Self::Of(known) = self else { return None };
        let (name, _) =
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !known.contains(&name.as_ref()))?;
        let name = one_line(&name, MAX_NAME);
        Some(match known {
            [] => format!("the query has the parameter `{name}`, and this path takes none"),
            known => format!("the parameter `{name}` is none of {}", known.join(", ")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_look_at_is_refused() {
        let some = Query::Of(&["state", "limit"]);
        for (takes, query, told) in [
            (some, "", None),
            (some, "&", None),
            (some, "limit=1&state=a&state=b", None),
            (some, "%6cimit=1", None),
            (some, "limit=1&sate=a", Some("the parameter `sate` is none of state, limit")),
            (some, "=1", Some("the parameter `` is none of state, limit")),
            (Query::NONE, "", None),
            (Query::NONE, "wait=1", Some("the query has the parameter `wait`, and this path takes none")),
            (Query::NONE, "a%0ab", Some("the query has the parameter `a\\nb`, and this path takes none")),
            (Query::Arguments, "wdith=1", None),
            (Query::Any, "wait=1", None),
        ] {
            assert_eq!(takes.refusal(query).as_deref(), told, "{takes:?} {query}");
        }
    }
}
