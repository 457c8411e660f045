//! Every route, once: its path, its method, what it needs, what it takes from its query and who answers it stand in one row. The
//! router is made of these rows, each behind the guard of its own need, so that what is matched and what is guarded cannot differ.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, any};
use imgserve_config::Scope;

use super::auth::{Guard, Need, guard};
use super::query::Query;
use super::{cache, compat, direct, events, jobs, metrics, pages, problem, v1};
use crate::job::Service;

/// Below which all that is not 0.2's is.
const V1: &str = "/v1";

const JOBS: Need = Need::Scope(Scope::Jobs);
const OPERATIONS: Need = Need::Scope(Scope::Operations);
const ADMIN: Need = Need::Scope(Scope::Admin);

/// What a row is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// This method of this path.
    At(Method, &'static str),
    /// Methods that a path does not have: one of the table, but for `/`, where 0.2 answered them.
    Method,
    /// Paths below `/v1` that are none.
    V1Path,
    /// A POST to any other path, as 0.2 took it.
    Post,
    /// All else.
    Other,
}

/// A row of the table.
pub(super) struct Row<S> {
    pub(super) place: Place,
    pub(super) need: Need,
    query: Query,
    serve: MethodRouter<S>,
}

/// All of them.
pub(super) fn table() -> Vec<Row<Arc<Service>>> {
    use Method as M;
    use Query as Q;
    vec![
        row(M::GET, "/", Need::Nothing, Q::Any, pages::front),
        row(M::GET, "/healthz", Need::Nothing, Q::Any, pages::healthz),
        row(M::GET, "/readyz", Need::Nothing, Q::Any, pages::readyz),
        row(M::GET, "/metrics", ADMIN, Q::Any, metrics::metrics),
        row(M::GET, "/v1/jobs", JOBS, Q::Of(&jobs::PARAMETERS), jobs::list),
        row(M::POST, "/v1/jobs", JOBS, Q::NONE, jobs::submit),
        row(M::GET, "/v1/jobs/{id}", JOBS, Q::NONE, jobs::job),
        row(M::DELETE, "/v1/jobs/{id}", JOBS, Q::NONE, jobs::cancel),
        row(M::GET, "/v1/jobs/{id}/events", JOBS, Q::NONE, events::events),
        row(M::POST, "/v1/jobs/{id}/retry", JOBS, Q::NONE, jobs::retry),
        row(M::GET, "/v1/cache", ADMIN, Q::Of(&cache::LIST), cache::list),
        row(M::DELETE, "/v1/cache", ADMIN, Q::Of(&cache::PURGE), cache::purge),
        row(M::GET, "/v1/codecs", Need::Key, Q::NONE, v1::codecs),
        row(M::GET, "/v1/nodes", ADMIN, Q::NONE, v1::nodes),
        row(M::GET, "/v1/operations", Need::Key, Q::NONE, v1::operations),
        row(M::GET, "/v1/operations/{name}", Need::Key, Q::NONE, v1::operation),
        row(M::POST, "/v1/operations/{name}", OPERATIONS, Q::Arguments, direct::operate),
        row(M::GET, "/v1/operations/{name}/render", Need::Render, Q::Arguments, direct::render),
        // What an error means may be read by whoever is told it.
        row(M::GET, "/v1/problems", Need::Nothing, Q::NONE, problem::kinds),
        row(M::GET, "/v1/problems/{kind}", Need::Nothing, Q::NONE, problem::explain),
        else_row(Place::Method, Need::Key, v1::wrong_method),
        else_row(Place::V1Path, Need::Key, v1::unknown_path),
        else_row(Place::Post, JOBS, compat::post),
        else_row(Place::Other, Need::Key, compat::not_found),
    ]
}

/// Whether a request is one to [`Place::Post`].
pub(super) fn is_as_of_old(method: &Method, path: &str) -> bool {
    *method == Method::POST && path != V1 && !path.strip_prefix(V1).is_some_and(|rest| rest.starts_with('/'))
}

/// The paths of `/v1`, each once, as a text.
pub(super) fn paths_of_v1() -> &'static str {
    static PATHS: LazyLock<String> = LazyLock::new(|| {
        let mut paths: Vec<&str> =
            places().map(|(_, path)| path).filter(|path| path.starts_with(V1)).collect();
        paths.dedup();
        paths.join(", ")
    });
    &PATHS
}

/// The methods that some path answers, as a header has them.
pub(super) fn methods() -> HeaderValue {
    static METHODS: LazyLock<HeaderValue> = LazyLock::new(|| {
        let mut methods = vec![Method::GET, Method::HEAD];
        for (method, _) in places() {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        HeaderValue::try_from(names.join(", ")).expect("names of methods are a valid header value")
    });
    METHODS.clone()
}

/// The methods and paths of the table.
fn places() -> impl Iterator<Item = (Method, &'static str)> {
    table().into_iter().filter_map(|row| match row.place {
        Place::At(method, path) => Some((method, path)),
        _ => None,
    })
}

fn row<H, T, S>(method: Method, path: &'static str, need: Need, query: Query, handler: H) -> Row<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    let filter = filter(&method);
    Row { place: Place::At(method, path), need, query, serve: MethodRouter::new().on(filter, handler) }
}

fn else_row<H, T, S>(place: Place, need: Need, handler: H) -> Row<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    let serve = match place {
        Place::Post => MethodRouter::new().on(MethodFilter::POST, handler),
        // The answer says which methods there are.
        Place::Method => MethodRouter::new().fallback(handler),
        _ => any(handler),
    };
    Row { place, need, query: Query::Any, serve }
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the methods of the table are HTTP's own")
}

/// The router of a table. Where several rows could answer a request, the one whose path it has does; a path that is none
/// goes by its first segment, as it is written.
pub(super) fn router<S>(table: Vec<Row<S>>, guarded: Guard, state: S) -> Router
where
    S: Clone + Send + Sync + 'static,
{
    let guarded = Arc::new(guarded);
    let mut paths: Vec<(&'static str, MethodRouter<S>)> = Vec::new();
    let mut beyond = Beyond {
        method: MethodRouter::new(),
        v1_path: MethodRouter::new(),
        post: MethodRouter::new(),
        other: MethodRouter::new(),
    };
    for Row { place, need, query, serve } in table {
        // One layer: each request pays for copies of all that is beneath each.
        let serve = serve.layer(from_fn_with_state((Arc::clone(&guarded), need, query), guard));
        match place {
            Place::At(_, path) => match paths.iter_mut().find(|(known, _)| *known == path) {
                Some((_, methods)) => *methods = std::mem::take(methods).merge(serve),
                None => paths.push((path, serve)),
            },
            Place::Method => beyond.method = serve,
            Place::V1Path => beyond.v1_path = serve,
            Place::Post => beyond.post = serve,
            Place::Other => beyond.other = serve,
        }
    }
    beyond.router(paths, state)
}

/// What answers where no row has both path and method.
struct Beyond<S> {
    method: MethodRouter<S>,
    v1_path: MethodRouter<S>,
    post: MethodRouter<S>,
    other: MethodRouter<S>,
}

impl<S: Clone + Send + Sync + 'static> Beyond<S> {
    fn router(self, paths: Vec<(&'static str, MethodRouter<S>)>, state: S) -> Router {
        let mut router = Router::new();
        for (path, methods) in paths {
            let methods = if path.starts_with(V1) { methods } else { methods.merge(self.post.clone()) };
            let other_methods = if path == "/" { &self.other } else { &self.method };
            router = router.route(path, methods.merge(other_methods.clone()));
        }
        // A router of its own: its wildcard stands in nobody's way.
        let unknown = ["/v1", "/v1/", "/v1/{*rest}"]
            .into_iter()
            .fold(Router::new(), |unknown, path| unknown.route(path, self.v1_path.clone()))
            .fallback_service(self.post.merge(self.other).with_state(state.clone()))
            .with_state(state.clone());
        router.fallback_service(unknown).with_state(state)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Request, header};
    use imgserve_config::Config;
    use sha2::{Digest as _, Sha256};
    use tower::ServiceExt as _;

    use super::*;
    use crate::access::Keys;

    /// Keys of each scope, and one that nobody has; `admin` is good for all.
    const KEYS: [&str; 5] = ["jobs", "operations", "admin", "unknown", ""];

    fn keys() -> Keys {
        let section = |scope: &str| {
            let digest: String = Sha256::digest(scope).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("[[access.api_keys]]\nname = '{scope}'\nsha256 = '{digest}'\nscopes = ['{scope}']\n")
        };
        let text: String = ["jobs", "operations", "admin"].map(section).concat();
        Keys::new(&Config::parse(&text).unwrap().access)
    }

    /// Whether a key is enough for a need: said once more, and otherwise than the guard does it.
    fn suffices(key: &str, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Key => ["jobs", "operations", "admin"].contains(&key),
            Need::Scope(Scope::Jobs) => ["jobs", "admin"].contains(&key),
            Need::Scope(Scope::Operations) | Need::Render => ["operations", "admin"].contains(&key),
            Need::Scope(Scope::Admin) => key == "admin",
        }
    }

    /// The table with handlers that answer the number of their row; and the needs of its rows.
    fn echoing() -> (Router, Vec<(Place, Need)>) {
        let rows: Vec<(Place, Need)> = table().into_iter().map(|row| (row.place, row.need)).collect();
        let echoes = rows.iter().enumerate().map(|(number, (place, need))| {
            let echo = move || async move { number.to_string() };
            match place {
                Place::At(method, path) => row(method.clone(), path, *need, Query::Any, echo),
                place => else_row(place.clone(), *need, echo),
            }
        });
        (router(echoes.collect(), Guard::by(keys()), ()), rows)
    }

    /// The row that answers, or none for who is refused.
    async fn answer(router: &Router, method: &Method, path: &str, key: &str) -> Option<usize> {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        match response.status().as_u16() {
            401 | 403 => None,
            // A HEAD is answered without the body that says who answers: by the row of GET.
            _ if *method == Method::HEAD => Some(usize::MAX),
            status => {
                let bytes = axum::body::to_bytes(response.into_body(), 64).await.unwrap();
                let text = std::str::from_utf8(&bytes).unwrap();
                Some(
                    text.parse()
                        .unwrap_or_else(|_| panic!("{method} {path}: {status} {text:?} is of no row")),
                )
            }
        }
    }

    /// The ways to write a path that might mean the same to one who reads it and another thing to another.
    fn spellings(path: &str) -> Vec<String> {
        let path = path
            .replace("{id}", "01890a5d-ac96-774b-bcce-b302099a8057")
            .replace("{name}", "resize")
            .replace("{kind}", "busy");
        let encoded = |byte: u8| format!("%{byte:02x}");
        let mut found = vec![
            path.clone(),
            format!("{path}/"),
            format!("{path}//"),
            format!("/{path}"),
            format!("{path}/."),
            format!("{path}/.."),
            format!("/.{path}"),
            format!("/x/..{path}"),
            format!("{path}%2f"),
            format!("{path}%00"),
            format!("{path};x"),
            format!("{path}?x=/v1/jobs"),
            format!("{path}/x"),
            path.replace('/', "//"),
            path.to_uppercase(),
            format!("/{}", path[1..].replace('/', "%2f")),
            format!("http://example.org{path}"),
        ];
        for (place, byte) in path.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()) {
            found.push(format!("{}{}{}", &path[..place], encoded(byte), &path[place + 1..]));
        }
        found
    }

    #[tokio::test]
    async fn who_is_answered_by_a_row_has_what_the_row_needs() {
        let (router, rows) = echoing();
        let mut asked = 0;
        let paths = rows.iter().filter_map(|(place, _)| match place {
            Place::At(_, path) => Some(*path),
            _ => None,
        });
        let paths: Vec<String> =
            paths.chain(["/v1", "/v1/", "/v1/nothing", "/nothing", "/v"]).flat_map(spellings).collect();
        let odd = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO", "get", "post"];
        for path in &paths {
            for method in odd.map(|method| Method::from_bytes(method.as_bytes()).unwrap()) {
                let row = answer(&router, &method, path, "admin").await.expect("admin may have everything");
                let parsed: axum::http::Uri = path.parse().unwrap();
                assert_eq!(
                    is_as_of_old(&method, parsed.path()),
                    rows[row].0 == Place::Post,
                    "{method} {path}"
                );
                for key in KEYS {
                    let answered = answer(&router, &method, path, key).await;
                    let wanted = suffices(key, rows[row].1).then_some(row);
                    assert_eq!(answered, wanted, "{method} {path} with {key:?}: {:?}", rows[row]);
                    asked += 1;
                }
            }
            for key in KEYS {
                let (get, head) = (
                    answer(&router, &Method::GET, path, key).await,
                    answer(&router, &Method::HEAD, path, key).await,
                );
                assert_eq!(get.is_some(), head.is_some(), "HEAD {path} with {key:?}");
            }
        }
        assert!(asked > 10_000, "only {asked}");
    }

    /// What every row needs, said once more: a change of the table has to be meant.
    const NEEDS: [(&str, &str, Need); 20] = [
        ("GET", "/", Need::Nothing),
        ("GET", "/healthz", Need::Nothing),
        ("GET", "/readyz", Need::Nothing),
        ("GET", "/metrics", Need::Scope(Scope::Admin)),
        ("GET", "/v1/jobs", Need::Scope(Scope::Jobs)),
        ("POST", "/v1/jobs", Need::Scope(Scope::Jobs)),
        ("GET", "/v1/jobs/{id}", Need::Scope(Scope::Jobs)),
        ("DELETE", "/v1/jobs/{id}", Need::Scope(Scope::Jobs)),
        ("GET", "/v1/jobs/{id}/events", Need::Scope(Scope::Jobs)),
        ("POST", "/v1/jobs/{id}/retry", Need::Scope(Scope::Jobs)),
        ("GET", "/v1/cache", Need::Scope(Scope::Admin)),
        ("DELETE", "/v1/cache", Need::Scope(Scope::Admin)),
        ("GET", "/v1/codecs", Need::Key),
        ("GET", "/v1/nodes", Need::Scope(Scope::Admin)),
        ("GET", "/v1/operations", Need::Key),
        ("GET", "/v1/operations/{name}", Need::Key),
        ("POST", "/v1/operations/{name}", Need::Scope(Scope::Operations)),
        ("GET", "/v1/operations/{name}/render", Need::Render),
        ("GET", "/v1/problems", Need::Nothing),
        ("GET", "/v1/problems/{kind}", Need::Nothing),
    ];

    #[test]
    fn every_row_needs_what_it_is_meant_to() {
        let mut found = Vec::new();
        for Row { place, need, .. } in table() {
            match place {
                Place::At(method, path) => found.push((method, path, need)),
                Place::Post => assert_eq!(need, Need::Scope(Scope::Jobs)),
                Place::Method | Place::V1Path | Place::Other => assert_eq!(need, Need::Key),
            }
        }
        let wanted = NEEDS.map(|(method, path, need)| (method.parse::<Method>().unwrap(), path, need));
        assert_eq!(found, wanted);
        assert_eq!(methods(), "GET, HEAD, POST, DELETE");
        let paths = paths_of_v1();
        assert!(
            paths.starts_with("/v1/jobs, /v1/jobs/{id}, ") && paths.ends_with(", /v1/problems/{kind}"),
            "{paths}"
        );
    }

    #[test]
    fn below_v1_no_parameter_is_passed_over() {
        for Row { place, query, .. } in table() {
            let Place::At(method, path) = place else { continue };
            assert_eq!(query == Query::Any, !path.starts_with(V1), "{method} {path}");
        }
    }

    #[tokio::test]
    async fn paths_are_what_they_are_written_as() {
        let (router, rows) = echoing();
        let place = async |request: &str| {
            let (method, path) = request.split_once(' ').unwrap();
            let row = answer(&router, &method.parse().unwrap(), path, "admin").await.unwrap();
            rows[row].clone()
        };
        for (request, wanted, need) in [
            ("GET /", Place::At(Method::GET, "/"), Need::Nothing),
            ("POST /", Place::Post, JOBS),
            ("POST /anything/at/all", Place::Post, JOBS),
            ("POST //v1/jobs", Place::Post, JOBS),
            ("POST /V1/jobs", Place::Post, JOBS),
            ("POST /%76%31/jobs", Place::Post, JOBS),
            ("POST /healthz", Place::Post, JOBS),
            ("GET /metrics", Place::At(Method::GET, "/metrics"), ADMIN),
            ("GET /metrics/", Place::Other, Need::Key),
            ("GET /nothing", Place::Other, Need::Key),
            ("PUT /", Place::Other, Need::Key),
            ("PUT /healthz", Place::Method, Need::Key),
            ("DELETE /readyz", Place::Method, Need::Key),
            ("OPTIONS /metrics", Place::Method, Need::Key),
            ("GET /healthz/x", Place::Other, Need::Key),
            ("POST /v1", Place::V1Path, Need::Key),
            ("POST /v1/", Place::V1Path, Need::Key),
            ("POST /v1//jobs", Place::V1Path, Need::Key),
            ("POST /v1/jobs/", Place::V1Path, Need::Key),
            ("POST /v1/%6Aobs", Place::V1Path, Need::Key),
            ("GET /v1/operations/resize/render/x", Place::V1Path, Need::Key),
            ("GET /v1/jobs/x/y", Place::V1Path, Need::Key),
            ("PUT /v1/jobs", Place::Method, Need::Key),
            ("post /v1/jobs", Place::Method, Need::Key),
            ("POST /v1/jobs", Place::At(Method::POST, "/v1/jobs"), JOBS),
            ("GET http://example.org/v1/jobs", Place::At(Method::GET, "/v1/jobs"), JOBS),
            ("DELETE /v1/jobs/x", Place::At(Method::DELETE, "/v1/jobs/{id}"), JOBS),
            ("GET /v1/operations/v1", Place::At(Method::GET, "/v1/operations/{name}"), Need::Key),
            ("POST /v1/operations/resize", Place::At(Method::POST, "/v1/operations/{name}"), OPERATIONS),
            (
                "GET /v1/operations/x/render",
                Place::At(Method::GET, "/v1/operations/{name}/render"),
                Need::Render,
            ),
        ] {
            assert_eq!(place(request).await, (wanted, need), "{request}");
        }
    }

    #[tokio::test]
    async fn a_method_that_is_none_is_told_which_there_are() {
        let (router, _) = echoing();
        for (path, wanted) in [("/v1/jobs", "GET,HEAD,POST"), ("/healthz", "GET,HEAD,POST")] {
            let request =
                Request::builder().method("PUT").uri(path).header(header::AUTHORIZATION, "Bearer jobs");
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.headers()[header::ALLOW], wanted, "{path}");
        }
    }
}
