//! What else is told of a job: what was asked for, its end to who waits for it, that no more events will come.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use super::job;
use crate::harness::{Server, until};
use crate::jobs::serve;

#[tokio::test]
async fn what_was_asked_for_is_told_in_every_answer_and_in_the_story() {
    let server = Server::start("");
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let args = json!({ "width": 3, "height": 2, "wdith": 7, "fit": "fill" });
    let body: Value = serde_json::from_str(&job(&server, &json!({ "args": args }))).unwrap();
    let (status, headers, told) = server.post_job(&body, &[]).await;
    assert_eq!((status, &told["unknownArguments"]), (202, &json!(["wdith"])), "{told}");
    assert_eq!(headers["x-imgserve-warning"], "unknown arguments ignored: wdith");
    let (status, headers, story) = server.post_job(&body, &[("prefer", "wait=30")]).await;
    assert_eq!((status, &story["unknownArguments"]), (200, &json!(["wdith"])), "{story}");
    assert_eq!(headers["x-imgserve-warning"], "unknown arguments ignored: wdith");
    let (_, again) = server.get(&format!("/v1/jobs/{}", story["id"].as_str().unwrap())).await;
    assert_eq!((&again["args"], &again["unknownArguments"]), (&args, &json!(["wdith"])), "{again}");
    assert!(again["output"]["planned_memory_bytes"].as_u64() > Some(0), "{again}");

    let step = json!({ "operationType": "resize", "args": { "width": 3, "height": 2, "x": 1 } });
    let output = json!({ "operationType": "pipeline", "dstURL": server.file_url("p.png"), "args": { "steps": [step] } });
    let several = json!({ "srcURL": server.file_url("a.png"), "outputs": [output, { "operationType": "resize",
        "dstURL": server.file_url("q.jpg"), "args": { "width": 3, "height": 2, "y": 1, "format": "jpeg", "quality": 9 } }] });
    let (status, _, story) = server.post_job(&several, &[("prefer", "wait=30")]).await;
    assert_eq!(status, 200, "{story}");
    assert_eq!(
        story["unknownArguments"],
        json!(["outputs[0].args.steps[0].args.x", "outputs[1].args.y"]),
        "{story}"
    );
    assert_eq!(story["outputs"][0]["args"]["steps"][0], step, "{story}");
    assert_eq!(story["outputs"][1]["output"]["quality"], 9, "{story}");
}

#[tokio::test]
async fn what_nobody_knows_is_named_alike_by_every_answer_and_after_a_restart() {
    let preset = "[operations.icon]\nkind = 'builtin'\nplugin = 'pipeline'\n\
                  args = { steps = [{ operationType = 'resize', args = { width = 9, height = 9 } }] }\n";
    let mut server = Server::start(preset);
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let resize = |more: Value| {
        let mut args = json!({ "width": 3, "height": 2 });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "operationType": "resize", "args": args })
    };
    let nested = json!({ "operationType": "pipeline", "args": { "steps": [resize(json!({})), resize(json!({ "x": 1 }))] } });
    let output = |operation: &str, args: Value| json!({ "operationType": operation, "dstURL": server.file_url("o.png"), "args": args });
    let source = server.file_url("a.png");
    let mut ids = Vec::new();
    for (body, unknown) in [
        // Of a list of one, of the pipeline itself, of one within another, of one that the preset brings.
        (
            json!({ "outputs": [output("resize", json!({ "width": 3, "height": 2, "y": 1 }))] }),
            "outputs[0].args.y",
        ),
        (output("pipeline", json!({ "steps": [resize(json!({}))], "speed": 1 })), "speed"),
        (
            output("pipeline", json!({ "steps": [resize(json!({})), nested] })),
            "steps[1].args.steps[1].args.x",
        ),
        (output("icon", json!({ "z": 1 })), "z"),
    ] {
        for accept in ["planned", "now"] {
            let mut body = body.clone();
            body["srcURL"] = json!(source);
            body["accept"] = json!(accept);
            let (told, _, answer) = server.post_job(&body, &[]).await;
            assert_eq!((told, &answer["unknownArguments"]), (202, &json!([unknown])), "{answer}");
            let id = answer["id"].as_str().unwrap().to_owned();
            let story = server.ended(&id).await;
            assert_eq!(story["unknownArguments"], json!([unknown]), "{story}");
            assert!(story.to_string().contains("\"args\":"), "{story}");
            ids.push((id, unknown));
        }
    }
    server.kill();
    server.restart();
    for (id, unknown) in ids {
        let story = server.ended(&id).await;
        assert_eq!(story["unknownArguments"], json!([unknown]), "{story}");
    }
}

#[tokio::test]
async fn secrets_in_arguments_are_shown_by_nothing() {
    let server = Server::start("");
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let args =
        json!({ "width": 3, "height": 2, "api-key": "hidden1", "logo": "https://u:hidden2@h/x?sig=hidden3" });
    let body: Value = serde_json::from_str(&job(&server, &json!({ "args": args }))).unwrap();
    let (_, _, story) = server.post_job(&body, &[("prefer", "wait=30")]).await;
    assert!(story["args"]["api-key"] == "…" && !story.to_string().contains("hidden"), "{story}");
    let (_, again) = server.get(&format!("/v1/jobs/{}", story["id"].as_str().unwrap())).await;
    assert!(!again.to_string().contains("hidden"), "{again}");
}

#[tokio::test]
async fn who_asks_for_a_job_may_wait_for_its_end() {
    let (origin, gate) = crate::jobs::gated().await;
    let server = Server::start("");
    let body = job(&server, &json!({ "srcURL": format!("{origin}/a.png") }));
    let (_, told) = server.post_text("/v1/jobs", &body).await;
    let path = format!("{}/v1/jobs/{}", server.origin, told["id"].as_str().unwrap());
    let ask = async |wait: &str| {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(&path).header("prefer", wait).send().await.unwrap();
        let applied =
            response.headers().get("preference-applied").map(|value| value.to_str().unwrap().to_owned());
        let story: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        (applied.unwrap_or_default(), story["state"].as_str().unwrap().to_owned())
    };
    assert_ne!(ask("wait=0").await, ("wait=0".to_owned(), "succeeded".to_owned()));
    let (waited, ()) = tokio::join!(ask("wait=30"), async { gate.add_permits(10) });
    assert_eq!(waited, ("wait=30".to_owned(), "succeeded".to_owned()));
    assert_eq!(ask("wait=5").await, ("wait=5".to_owned(), "succeeded".to_owned()), "of one that has ended");
    assert_eq!(ask("respond-async").await, (String::new(), "succeeded".to_owned()));
}

#[tokio::test]
async fn a_stream_of_events_ends_for_who_has_seen_its_end() {
    let server = Server::start("");
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let (_, told) = server.post_text("/v1/jobs", &job(&server, &json!({}))).await;
    let path = format!("{}/v1/jobs/{}/events", server.origin, told["id"].as_str().unwrap());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let events = client.get(&path).send().await.unwrap().text().await.unwrap();
    assert!(events.starts_with("retry: "), "{events}");
    let id = |events: &str| {
        let ids: Vec<&str> = events.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        ids.last().unwrap().to_string()
    };
    let last = id(&events);
    assert!(last.starts_with("succeeded-1-"), "{events}");
    let back = client.get(&path).header("last-event-id", &last).send().await.unwrap();
    assert_eq!(back.status(), 204);
    // Who has not seen the end is told it once more.
    for seen in ["", "running-1-0.5"] {
        let back = client.get(&path).header("last-event-id", seen).send().await.unwrap();
        assert_eq!(back.status(), 200);
        let events = back.text().await.unwrap();
        assert_eq!(id(&events), last, "{events}");
    }
}

#[tokio::test]
async fn how_far_a_webhook_is_is_told_without_secrets() {
    let app = Router::new()
        .route("/taken", post(async || StatusCode::NO_CONTENT))
        .route("/gone", post(async || StatusCode::GONE))
        .route("/down", post(async || (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "600")])));
    let origin = serve(app).await;
    let server = Server::start("[webhooks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"");
    server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    for (path, state) in [("taken", "delivered"), ("gone", "failed"), ("down", "pending")] {
        let url = format!("{}/{path}?token=secret", origin.replace("//", "//ann:secret@"));
        let (_, told) = server.post_text("/v1/jobs", &job(&server, &json!({ "notifyURL": url }))).await;
        let id = told["id"].as_str().unwrap_or_else(|| panic!("{told}"));
        let mut story = Value::Null;
        until(state, async || {
            story = server.get(&format!("/v1/jobs/{id}")).await.1;
            story["webhook"]["state"] == state && (state != "pending" || story["webhook"]["attempts"] == 1)
        })
        .await;
        assert!(!story.to_string().contains("secret"), "{story}");
        assert!(story["notifyURL"].as_str().unwrap().contains(&format!("/{path}")), "{story}");
        assert_eq!(story["webhook"].get("next_attempt_at_ms").is_some(), state == "pending", "{story}");
    }
}
