//! `/v1/cache`: what is kept of results, and having it forgotten.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::kind::RequestKind;
use super::problem::Problem;
use crate::job::{Purge, Service};

/// Results of a list, where the client does not say, and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 1000;
/// The parameters of the list's query.
pub(super) const LIST: [&str; 1] = ["limit"];
/// The parameters of the query by which something is forgotten.
pub(super) const PURGE: [&str; 2] = ["src", "all"];

/// `GET /v1/cache`
pub(super) async fn list(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let limit = match parameter(&uri, "limit") {
        None => PAGE,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=MAX_PAGE).contains(limit));
            limit.ok_or_else(|| bad_query(&format!("`limit` must be from 1 to {MAX_PAGE}")))?
        }
    };
    let Some((figures, results)) = service.list_kept(limit).await else {
        return Ok(Json(json!({ "enabled": false })));
    };
    let results: Vec<Value> = results
        .into_iter()
        .map(|listed| {
            json!({
                "operationType": listed.result.operation,
                "srcURL": listed.result.source,
                "media_type": listed.result.media_type,
                "bytes": listed.bytes,
                "made_at_ms": listed.made_ms,
            })
        })
        .collect();
    Ok(Json(json!({
        "enabled": true,
        "entries": figures.entries,
        "disk_bytes": figures.bytes,
        "max_bytes": figures.max_bytes,
        "memory_bytes": figures.memory_bytes,
        "results": results,
    })))
}

/// `DELETE /v1/cache`
pub(super) async fn purge(State(service): State<Arc<Service>>, uri: Uri) -> Result<Json<Value>, Problem> {
    let wanted = match (parameter(&uri, "src"), parameter(&uri, "all").as_deref()) {
        (Some(url), None) if !url.is_empty() => Purge::Source(url),
        (None, Some("true")) => Purge::All,
        _ => {
            return Err(bad_query(
                "either `src`, a source's URL, or `all=true` says what is to be forgotten",
            ));
        }
    };
    Ok(Json(json!({ "removed": service.purge_kept(wanted).await })))
}

fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn bad_query(detail: &str) -> Problem {
    Problem::new(RequestKind::BadQuery, detail)
}
