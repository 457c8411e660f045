//! Errors have one form: every route with every kind of wrong input answers with a problem document whose status, kind and
//! type fit, and whose text names what was wrong in words of the manual, not of the program's libraries. `told`: what else is
//! told of a job; `wire`: what goes wrong with a connection.

mod told;
mod wire;

use image::ImageFormat;
use imgserve_peers::samples;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::Server;

/// Words of the program's language and libraries, which say nothing to a client.
const NOT_PLAIN: [&str; 22] = [
    "expected",
    "unknown variant",
    "invalid type",
    "invalid value",
    "missing field",
    "duplicate field",
    "unwrap",
    "panicked",
    "os error",
    "u8",
    "u16",
    "u32",
    "u64",
    "i64",
    "f64",
    "usize",
    "struct",
    "enum",
    "Option",
    "None",
    "serde",
    "EOF",
];

/// A wrong request, and what is answered to it.
struct Wrong<'a> {
    method: Method,
    path: &'a str,
    headers: &'a [(&'static str, &'a str)],
    body: String,
    status: u16,
    kind: &'a str,
    /// What the text names.
    named: &'a str,
}

async fn check(server: &Server, wrong: Wrong<'_>) -> Value {
    let url = format!("{}{}", server.origin, wrong.path);
    let request = reqwest::Client::builder().no_proxy().build().unwrap().request(wrong.method.clone(), url);
    let request = wrong.headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.body(wrong.body.clone()).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.unwrap();
    let what = format!("{} {} {} gave {status} {text}", wrong.method, wrong.path, wrong.body);
    assert_eq!(headers["content-type"], "application/problem+json", "{what}");
    assert_eq!(headers["cache-control"], "no-store", "{what}");
    let problem: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, problem["kind"].as_str()), (wrong.status, Some(wrong.kind)), "{what}");
    assert_eq!(headers.contains_key("allow"), status == 405, "{what}");
    is_well_formed(&problem, status);
    assert!(
        problem["detail"].as_str().unwrap().contains(wrong.named),
        "{} is not named: {what}",
        wrong.named
    );
    problem
}

/// Whether a problem document has all its members, and a text that is plain.
fn is_well_formed(problem: &Value, status: u16) {
    assert_eq!(problem["status"], status, "{problem}");
    let (kind, title) = (problem["kind"].as_str().unwrap(), problem["title"].as_str().unwrap());
    assert!(!kind.is_empty() && !title.is_empty(), "{problem}");
    assert_eq!(problem["type"], format!("/v1/problems/{kind}"), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    is_plain(detail);
}

fn is_plain(text: &str) {
    assert!(!text.is_empty());
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).collect();
    for word in NOT_PLAIN {
        let found = if word.contains(' ') { text.contains(word) } else { words.contains(&word) };
        assert!(!found, "`{word}` is no word for a client: {text}");
    }
    let reasons: Vec<&str> = text.split(": ").collect();
    assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]), "a reason stands twice: {text}");
    // Nor in other words before and after: four in a row are no chance.
    let words: Vec<&str> = text.split_whitespace().collect();
    let rows: Vec<&[&str]> = words.windows(4).collect();
    let twice = rows.iter().enumerate().find(|(at, row)| rows[..*at].contains(row));
    assert!(twice.is_none(), "{twice:?} stands twice: {text}");
}

fn get(path: &str, status: u16, kind: &'static str, named: &'static str) -> Wrong<'static> {
    let path: &'static str = String::leak(path.to_owned());
    Wrong { method: Method::GET, path, headers: &[], body: String::new(), status, kind, named }
}

fn post(
    path: &'static str,
    body: impl Into<String>,
    status: u16,
    kind: &'static str,
    named: &'static str,
) -> Wrong<'static> {
    Wrong { method: Method::POST, path, headers: &[], body: body.into(), status, kind, named }
}

#[tokio::test]
async fn every_route_answers_errors_in_one_form() {
    let server = Server::start("[server]\nmax_body_kb = 64");
    let absent = "01890000-0000-7000-8000-000000000000";
    let other = |method: Method, path, kind, named| Wrong {
        method,
        path,
        headers: &[],
        body: String::new(),
        status: if kind == "method-not-allowed" { 405 } else { 404 },
        kind,
        named,
    };
    for wrong in [
        get("/v1", 404, "unknown-path", "/v1 is none"),
        get("/v1/", 404, "unknown-path", "/v1/ is none"),
        get("/v1/x?y=1", 404, "unknown-path", "/v1/x is none"),
        get("/v1/jobs/", 404, "unknown-path", "/v1/jobs/ is none"),
        get("/v1/problems/x", 404, "unknown-path", "`x`"),
        post("/v1", "{}", 404, "unknown-path", "/v1 is none"),
        post("/v1/", "{}", 404, "unknown-path", "/v1/ is none"),
        post("/v1/x", "{}", 404, "unknown-path", "/v1/x is none"),
        other(Method::PUT, "/v1/jobs", "method-not-allowed", "/v1/jobs does not answer PUT"),
        other(
            Method::DELETE,
            "/v1/operations/resize",
            "method-not-allowed",
            "/v1/operations/resize does not",
        ),
        other(Method::GET, "/v1/jobs/x/retry", "method-not-allowed", "/v1/jobs/x/retry does not answer GET"),
        other(Method::POST, "/v1/operations", "method-not-allowed", "/v1/operations does not answer POST"),
        other(Method::PUT, "/healthz", "method-not-allowed", "/healthz does not answer PUT"),
        other(Method::DELETE, "/readyz", "method-not-allowed", "/readyz does not answer DELETE"),
        other(Method::PATCH, "/metrics", "method-not-allowed", "/metrics does not answer PATCH"),
        other(Method::DELETE, "/v1/jobs/x", "unknown-job", "no job"),
        other(Method::POST, "/v1/jobs/x/retry", "unknown-job", "no job"),
        get("/v1/jobs/nonsense", 404, "unknown-job", "no job"),
        get("/v1/jobs/%ff", 404, "unknown-job", "no job"),
        get(&format!("/v1/jobs/{absent}"), 404, "unknown-job", "no job"),
        get(&format!("/v1/jobs/{absent}/events"), 404, "unknown-job", "no job"),
        get("/v1/jobs?state=lost", 400, "bad-query", "`lost` is none of accepting"),
        get("/v1/jobs?state=failed&state=lost", 400, "bad-query", "`lost`"),
        get("/v1/jobs?sate=failed", 400, "bad-query", "`sate`"),
        get("/v1/jobs?limit=0", 400, "bad-query", "limit must be 1 to"),
        get("/v1/jobs?limit=1&limit=2", 400, "bad-query", "`limit` stands twice"),
        get("/v1/jobs?before=x", 400, "bad-query", "before"),
        get("/v1/jobs?id=abc", 400, "bad-query", "id must be the first or last 4 digits"),
        get("/v1/jobs?id=lost", 400, "bad-query", "id must be"),
        get(
            &format!("/v1/jobs/{absent}?wait=9"),
            400,
            "bad-query",
            "the parameter `wait`, and this path takes none",
        ),
        get(&format!("/v1/jobs/{absent}/events?since=1"), 400, "bad-query", "`since`"),
        get("/v1/operations?name=resize", 400, "bad-query", "`name`"),
        get("/v1/operations/resize?width=1", 400, "bad-query", "`width`"),
        get("/v1/problems?kind=busy", 400, "bad-query", "`kind`"),
        get("/v1/problems/busy?lang=de", 400, "bad-query", "`lang`"),
        post("/v1/jobs?priority=high", "{}", 400, "bad-query", "`priority`"),
        post("/v1/jobs/x/retry?force=1", "", 400, "bad-query", "`force`"),
        Wrong { status: 400, ..other(Method::DELETE, "/v1/jobs/x?force=1", "bad-query", "`force`") },
        get("/v1/operations/x", 404, "unknown-operation", "`x` is none of pipeline, rasterize, resize"),
        get("/v1/operations/x/render?src=http://h/a.png", 404, "unknown-operation", "`x`"),
        get("/v1/operations/resize/render?width=1&width=2", 400, "bad-query", "`width` stands twice"),
        get("/v1/operations/resize/render?width=1&height=1&src=a&src=b", 400, "bad-query", "`src`"),
        post("/v1/operations/resize?width=1&width=1", "x", 400, "bad-query", "`width` stands twice"),
        post("/v1/operations/x", "x", 404, "unknown-operation", "`x`"),
        post("/v1/operations/pipeline", "x", 400, "missing-argument", "`steps`"),
        post(
            "/v1/operations/resize?width=wide&height=1",
            "x",
            400,
            "wrong-type",
            "`width`: \"wide\" is not an integer",
        ),
        post(
            "/v1/operations/resize?width=1&height=1&linear=True",
            "x",
            400,
            "wrong-type",
            "\"True\" is not true or false",
        ),
        post(
            "/v1/operations/resize?args={%22width%22:1,%22width%22:2}",
            "x",
            400,
            "invalid-argument",
            "`width` stands twice",
        ),
        post(
            "/v1/operations/pipeline?steps=[{%22operationType%22:%22resize%22,%22args%22:{%22w%22:1,%22w%22:2}}]",
            "x",
            400,
            "invalid-argument",
            "argument `steps[0].args.w` stands twice",
        ),
        post("/v1/operations/resize?args=[]", "x", 400, "args-not-object", "args is an array"),
        post("/v1/operations/resize?width=1&height=1", "x", 422, "unreadable-source", "not an image"),
        post("/v1/jobs", "x".repeat(70_000), 413, "limit-exceeded", "max_body_kb"),
    ] {
        check(&server, wrong).await;
    }
    let broken = Wrong {
        headers: &[("content-type", "multipart/form-data")],
        ..post("/v1/operations/resize?width=1&height=1", "x", 400, "unreadable-body", "cannot be read")
    };
    check(&server, broken).await;
    let twice = Wrong {
        headers: &[("idempotency-key", "a"), ("idempotency-key", "b")],
        ..post("/v1/jobs", "{}", 400, "bad-header", "Idempotency-Key")
    };
    check(&server, twice).await;
    let empty = Wrong {
        headers: &[("idempotency-key", "")],
        ..post("/v1/jobs", "{}", 400, "bad-header", "Idempotency-Key")
    };
    check(&server, empty).await;
}

#[tokio::test]
async fn a_kind_leads_to_its_explanation_which_needs_no_key() {
    let server = Server::start(
        "[[access.api_keys]]\nname = \"a\"\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\nscopes = [\"jobs\"]",
    );
    let denied = check(&server, get("/v1/jobs", 401, "key-needed", "API key")).await;
    let unknown =
        Wrong { headers: &[("authorization", "Bearer x")], ..get("/v1/jobs", 401, "unknown-key", "API key") };
    check(&server, unknown).await;
    let (status, told) = server.get(denied["type"].as_str().unwrap()).await;
    assert_eq!(status, 200, "{told}");
    assert!(told.as_str().unwrap().starts_with("key-needed: API key needed\n\nStatus 401."), "{told}");
    let (status, all) = server.get("/v1/problems").await;
    let page = std::fs::read_to_string(crate::harness::beside("../host/docs/problems.md")).unwrap();
    assert_eq!((status, all.as_str()), (200, Some(page.as_str())));
}

/// A right request with some members changed.
fn job(server: &Server, changes: &Value) -> String {
    let mut body = json!({ "operationType": "resize", "srcURL": server.file_url("a.png"), "dstURL": server.file_url("o.png"),
                           "args": { "width": 3, "height": 2 } });
    if changes["outputs"].is_array() {
        body = json!({ "srcURL": body["srcURL"] });
    }
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn what_is_wrong_is_named_from_where_it_stands() {
    let server = Server::start("[operations.blur]\nkind = 'builtin'\nplugin = 'resize'");
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let output = |args: Value| {
        let right = json!({ "operationType": "resize", "dstURL": server.file_url("1.png"), "args": { "width": 3, "height": 2 } });
        json!({ "outputs": [right, { "operationType": "resize", "dstURL": server.file_url("2.png"), "args": args }] })
    };
    let pipeline = |args: Value| {
        let right = json!({ "operationType": "resize", "args": { "width": 3, "height": 2 } });
        json!({ "operationType": "pipeline", "args": { "steps": [right, { "operationType": "resize", "args": args }] } })
    };
    let nested = |args: Value| json!({ "operationType": "pipeline", "args": { "steps": [pipeline(args)] } });
    let within = |mut request: Value| {
        request["dstURL"] = json!(server.file_url("3.png"));
        json!({ "outputs": [request] })
    };
    for (changes, status, kind, named) in [
        (
            json!({ "args": { "width": "3", "height": 2 } }),
            400,
            "wrong-type",
            "argument `width`: \"3\" is not an integer",
        ),
        (
            json!({ "operationType": "pipeline", "args": {} }),
            400,
            "missing-argument",
            "argument `steps` is missing",
        ),
        (
            json!({ "operationType": "pipeline", "args": { "steps": null } }),
            400,
            "missing-argument",
            "argument `steps` is missing",
        ),
        (
            json!({ "args": { "width": -3, "height": 2 } }),
            400,
            "invalid-argument",
            "argument `width`: -3 is not from",
        ),
        (
            json!({ "args": { "width": 3.5, "height": 2 } }),
            400,
            "wrong-type",
            "argument `width`: 3.5 is not an integer",
        ),
        (
            json!({ "args": { "width": 3, "height": 2, "fit": "COVER" } }),
            400,
            "invalid-argument",
            "argument `fit`: \"COVER\" is none of cover, contain",
        ),
        (
            json!({ "args": { "width": 3, "height": 2, "fit": 5 } }),
            400,
            "wrong-type",
            "argument `fit`: 5 is not \"cover\"",
        ),
        (
            json!({ "args": { "width": 3, "height": 2, "background": "pinkish" } }),
            400,
            "invalid-argument",
            "`background`: \"pinkish\"",
        ),
        (
            json!({ "args": { "width": 3, "height": 2, "quality": "x" } }),
            400,
            "wrong-type",
            "argument `quality`",
        ),
        (
            json!({ "args": { "width": 3, "height": 2, "format": "tga" } }),
            400,
            "invalid-argument",
            "argument `format`",
        ),
        (
            json!({ "output": { "quality": 1000 } }),
            400,
            "invalid-argument",
            "member `output.quality`: 1000 is not in 1 to 100",
        ),
        (
            json!({ "output": { "format": "tga" } }),
            400,
            "invalid-argument",
            "member `output.format`: \"tga\" is none of",
        ),
        (
            json!({ "outputs": [{ "operationType": "resize", "dstURL": server.file_url("1.png"), "output": { "quality": "x" } }] }),
            400,
            "wrong-type",
            "member `outputs[0].output.quality`: \"x\" is not an integer",
        ),
        (
            json!({ "priority": "HIGH" }),
            400,
            "invalid-argument",
            "\"HIGH\" is none of \"low\", \"normal\", \"high\"",
        ),
        (json!({ "priority": 1 }), 400, "invalid-argument", "priority 1 is none of"),
        (json!({ "notifyURL": 5 }), 400, "invalid-argument", "notifyURL is a number"),
        (json!({ "srcURL": null }), 400, "empty-source", "srcURL is null"),
        (
            output(json!({ "width": 0, "height": 2 })),
            400,
            "invalid-argument",
            "argument `outputs[1].args.width`: 0 is not from",
        ),
        (
            output(json!({ "width": "x", "height": 2 })),
            400,
            "wrong-type",
            "argument `outputs[1].args.width`: \"x\"",
        ),
        (
            within(json!({ "operationType": "pipeline", "args": {} })),
            400,
            "missing-argument",
            "argument `outputs[0].args.steps` is missing",
        ),
        (
            output(json!({ "width": 300, "height": 2, "enlarge": "refuse" })),
            422,
            "source-too-small",
            "outputs[1]: resize",
        ),
        (output(json!([])), 400, "args-not-object", "outputs[1].args is an array"),
        (
            json!({ "outputs": [{ "operationType": "x", "dstURL": "y" }] }),
            404,
            "unknown-operation",
            "outputs[0].operationType \"x\"",
        ),
        (
            json!({ "outputs": [{ "operationType": "resize", "dstURL": "" }] }),
            400,
            "empty-destination",
            "outputs[0].dstURL is empty",
        ),
        (
            json!({ "outputs": [{ "operationType": "resize", "dst": "" }] }),
            400,
            "wrong-members",
            "`outputs[0].dst`",
        ),
        (
            json!({ "outputs": [{ "operationType": "resize" }] }),
            400,
            "wrong-members",
            "`outputs[0].dstURL` is missing",
        ),
        (
            pipeline(json!({ "width": 0, "height": 2 })),
            400,
            "invalid-argument",
            "argument `steps[1].args.width`: 0",
        ),
        (
            pipeline(json!({ "width": "x", "height": 2 })),
            400,
            "wrong-type",
            "argument `steps[1].args.width`: \"x\"",
        ),
        (
            json!({ "operationType": "pipeline", "args": { "steps": [{ "operationType": "pipeline", "args": {} }] } }),
            400,
            "missing-argument",
            "argument `steps[0].args.steps` is missing",
        ),
        (
            json!({ "operationType": "pipeline", "args": { "steps": [{}] } }),
            400,
            "missing-argument",
            "argument `steps[0].operationType` is missing",
        ),
        (
            json!({ "operationType": "pipeline", "args": { "steps": [{ "operationType": "x" }] } }),
            400,
            "invalid-argument",
            "argument `steps[0].operationType`: \"x\"",
        ),
        (
            nested(json!({ "width": 0, "height": 2 })),
            400,
            "invalid-argument",
            "argument `steps[0].args.steps[1].args.width`: 0",
        ),
        (
            within(pipeline(json!({ "width": 0, "height": 2 }))),
            400,
            "invalid-argument",
            "argument `outputs[0].args.steps[1].args.width`: 0",
        ),
        (
            within(nested(json!({ "width": true, "height": 2 }))),
            400,
            "wrong-type",
            "argument `outputs[0].args.steps[0].args.steps[1].args.width`: true",
        ),
    ] {
        let path = "/v1/jobs";
        let body = job(&server, &changes);
        check(&server, Wrong { method: Method::POST, path, headers: &[], body, status, kind, named }).await;
    }
}

#[tokio::test]
async fn json_is_taken_as_it_is_meant_or_refused() {
    let server = Server::start("");
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let right = job(&server, &json!({}));
    for (body, kind, named) in [
        (String::new(), "not-json", "the body is empty"),
        (
            right.replace("\"height\":2", "\"height\":True"),
            "not-json",
            "JSON has true, false and null, in lower case",
        ),
        (right.replace('"', "'"), "not-json", "double quotes"),
        (right.replace("\"height\":2", "\"height\":2,"), "not-json", "a member's name"),
        (right[..30].to_owned(), "not-json", "it ends too early"),
        (format!("[{right}]"), "not-json", "an array, not an object"),
        (right.replacen('{', "{\"srcURL\":\"x\",", 1), "wrong-members", "member `srcURL` stands twice"),
        (
            right.replace("\"height\":2", "\"height\":2,\"height\":2"),
            "wrong-members",
            "member `args.height` stands twice",
        ),
    ] {
        check(&server, post("/v1/jobs", body, 400, kind, "").named(named)).await;
    }
    for (changes, text) in [
        (json!({ "args": { "width": 3.0, "height": 2e0 } }), "{}"),
        (json!({ "args": { "width": 3, "height": 2, "fit": null, "quality": null, "format": null } }), "{}"),
        (json!({ "args": { "width": 3, "height": 2, "quality": 70.0, "format": "png" } }), "{}"),
        (json!({ "output": null, "outputs": null, "notifyURL": null, "priority": null }), "{}"),
        (json!({ "output": { "format": null, "quality": null } }), "{}"),
        (json!({}), "\u{feff}{}"),
    ] {
        let body = text.replace("{}", &job(&server, &changes));
        let (status, told) = server.post_text("/v1/jobs", &body).await;
        assert_eq!(status, 202, "{body}: {told}");
    }
    // What 0.2 took and refused stays as it was.
    for (body, wanted) in [
        (
            right.replace("\"height\":2", "\"height\":9,\"height\":2"),
            json!({ "dstURL": server.file_url("o.png") }),
        ),
        (right.replace("\"height\":2", "\"height\":2.0"), json!({ "msg": "request invalid", "code": 107 })),
        (right.replace("\"height\":2", "\"height\":null"), json!({ "msg": "request invalid", "code": 107 })),
        (format!("\u{feff}{right}"), json!({ "msg": "request parse error" })),
    ] {
        assert_eq!(server.post_body(body.clone()).await.body, wanted, "{body}");
    }
    let (status, page) = server.get("/v1/jobs?state=succeeded&state=accepted,running&state=accepting").await;
    assert_eq!(status, 200, "{page}");
}

#[tokio::test]
async fn what_is_wrong_with_a_source_is_said_once_and_plainly() {
    let server = Server::start_with("[access]\nfile_roots = [\"FILES\"]");
    server.write("words.png", "this is not an image");
    server.write("cut.png", &samples::encoded(60, 40, ImageFormat::Png)[..20]);
    for (source, status, kind, named) in [
        ("http://127.0.0.1:1/a.png", 422, "source-unavailable", "allow_networks"),
        ("https://10.0.0.1/a.png", 422, "source-unavailable", "RFC 1918"),
        ("ftp://[::1]/a.png", 422, "source-unavailable", "allow_networks"),
        ("http://[::1/a.png", 422, "source-unavailable", "invalid URL"),
        ("http://h:99999/a.png", 422, "source-unavailable", "invalid URL"),
        ("file:///etc/passwd.png", 422, "source-unavailable", "file_roots"),
        ("file://host/a.png", 422, "source-unavailable", "localhost"),
        ("FILES/absent.png", 422, "source-unavailable", "absent.png"),
        ("FILES/words.png", 422, "unreadable-source", "not an image"),
        ("FILES/cut.png", 422, "unreadable-source", "ends"),
        ("gopher://h/a.png", 400, "source-scheme", "srcURL"),
    ] {
        let source = source.replace("FILES/", &server.file_url(""));
        let body = job(&server, &json!({ "srcURL": source }));
        check(&server, post("/v1/jobs", body, status, kind, named)).await;
    }
}

impl<'a> Wrong<'a> {
    fn named(self, named: &'a str) -> Self {
        Wrong { named, ..self }
    }
}
