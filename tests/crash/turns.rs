//! Crash points off the common way: another attempt, a claim given back, a job cancelled, tried again, refused after all,
//! and webhooks. Each is brought about, the server dies, and what the next one does must be right.

use bytes::Bytes;
use std::time::Duration;

use serde_json::{Value, json};

use crate::arena::{Arena, Post};
use crate::peer::Step;
use crate::points::{PATIENCE, dies, note, start_with};
use crate::stall::Stall;
use crate::victim::{Answer, client};

/// All of them; gives how many there are.
pub(crate) async fn turns(arena: &mut Arena) -> usize {
    let points = [
        "job-before-again",
        "job-after-again",
        "job-before-give-back",
        "job-after-give-back",
        "job-before-cancel",
        "job-after-cancel",
        "job-before-replay",
        "job-after-replay",
        "accept-before-withdraw",
        "accept-after-withdraw",
        "job-before-plan",
        "job-after-plan",
        "job-after-placeholder",
        "notice-before-send",
        "notice-before-end",
    ];
    for point in points {
        let outcome = match start_with(arena, &format!("{point}=return")).await {
            Err(text) => Err(text),
            Ok(()) => match point.rsplit('-').next().unwrap_or_default() {
                "again" => again(arena, point).await,
                "back" => give_back(arena, point).await,
                "cancel" => cancel(arena, point).await,
                "replay" => replay(arena, point).await,
                "withdraw" => withdraw(arena, point).await,
                "plan" | "placeholder" => planned(arena, point).await,
                _ => webhook(arena, point).await,
            },
        };
        note(arena, point, outcome);
    }
    points.len()
}

/// Dies, and is started again.
async fn next_server(arena: &mut Arena) -> Result<(), String> {
    dies(arena).await?;
    arena.victim.start().await.map(drop)
}

/// What a destination got whose ledger nobody keeps, in order.
fn bodies(arena: &Arena, post: &Post) -> Vec<Bytes> {
    arena.ledger.unexpected_bodies(&post.named[0].name)
}

fn is_result(body: Option<&Bytes>, post: &Post) -> Result<(), String> {
    match body == Some(&post.named[0].made.result) {
        true => Ok(()),
        false => Err("the last thing at the destination is not the result".to_owned()),
    }
}

/// The first attempt fails by the destination's fault.
async fn again(arena: &mut Arena, point: &str) -> Result<(), String> {
    let post = arena.post_to_peer(point, &Value::Null);
    arena.peer.plan(&post.named[0].name, &[Step::Take, Step::Refuse(503, 0)]);
    let id = arena.send(&post, point).await?;
    next_server(arena).await?;
    arena.reaches(&id, "succeeded", PATIENCE).await
}

/// A stop gives back the claim of a job that cannot begin.
async fn give_back(arena: &mut Arena, point: &str) -> Result<(), String> {
    let source = arena.work.large();
    let stall = Stall::start(&source.name, arena.victim.read(&source.name)).await;
    let post = arena.post_from(&stall.url, source, point, &Value::Null);
    let id = arena.send(&post, point).await?;
    arena.reaches(&id, "running", PATIENCE).await?;
    arena.victim.signal("TERM");
    next_server(arena).await?;
    stall.go_on();
    arena.reaches(&id, "succeeded", PATIENCE).await
}

/// A job that waits for its second attempt is cancelled.
async fn cancel(arena: &mut Arena, point: &str) -> Result<(), String> {
    let post = arena.post_to_peer(point, &Value::Null);
    arena.peer.plan(&post.named[0].name, &[Step::Take, Step::Refuse(503, 60)]);
    let id = arena.submit(&post).await.id()?;
    attempted(arena, &id).await?;
    let delete =
        |arena: &Arena| Answer::of(client(PATIENCE).delete(arena.victim.url(&format!("/v1/jobs/{id}"))));
    let _ = delete(arena).await;
    next_server(arena).await?;
    let answer = delete(arena).await.map_err(|error| error.to_string())?;
    let state = arena.state(&id).await;
    if answer.status != 200 || state != "cancelled" {
        return Err(format!("cancelling again gives {} and the job is {state}", answer.status));
    }
    match bodies(arena, &post).contains(&post.named[0].made.result) {
        true => Err("a cancelled job stored its result".to_owned()),
        false => Ok(()),
    }
}

/// Waits until the job has failed once and waits for the next time.
async fn attempted(arena: &Arena, id: &str) -> Result<(), String> {
    let waits = async {
        loop {
            let answer = arena.get(&format!("/v1/jobs/{id}")).await?;
            let failed = answer.body["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty());
            if failed && answer.body["state"] == "accepted" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap_or_else(|_| Err("it never fails".to_owned()))
}

/// A job that has failed is tried again.
async fn replay(arena: &mut Arena, point: &str) -> Result<(), String> {
    let post = arena.post_to_peer(point, &Value::Null);
    arena.peer.plan(&post.named[0].name, &[Step::Take, Step::Refuse(403, 0)]);
    let id = arena.submit(&post).await.id()?;
    arena.reaches(&id, "failed", PATIENCE).await?;
    let retry =
        |arena: &Arena| Answer::of(client(PATIENCE).post(arena.victim.url(&format!("/v1/jobs/{id}/retry"))));
    let _ = retry(arena).await;
    next_server(arena).await?;
    if arena.state(&id).await == "failed" {
        retry(arena).await.map_err(|error| error.to_string())?;
    }
    arena.reaches(&id, "succeeded", PATIENCE).await?;
    is_result(bodies(arena, &post).last(), &post)
}

/// A job whose placeholder cannot be stored is refused; its client never hears of it.
async fn withdraw(arena: &mut Arena, point: &str) -> Result<(), String> {
    let post = arena.post_to_peer(point, &Value::Null);
    arena.peer.plan(&post.named[0].name, &[Step::Refuse(403, 0)]);
    if let Ok(id) = arena.submit(&post).await.id() {
        return Err(format!("it was acknowledged as {id}"));
    }
    next_server(arena).await?;
    let jobs = arena.settle().await;
    let listed = jobs.iter().any(|job| job["dstURL"] == json!(arena.peer.file(&post.named[0].name)));
    match (listed, point) {
        (true, "accept-before-withdraw") => is_result(bodies(arena, &post).last(), &post),
        (false, "accept-after-withdraw") if bodies(arena, &post).is_empty() => Ok(()),
        _ => Err(format!("in the journal: {listed}, stored: {}", bodies(arena, &post).len())),
    }
}

/// A job that is taken at once is planned by an attempt. Whenever the server dies, one placeholder stands there before the result.
async fn planned(arena: &mut Arena, point: &str) -> Result<(), String> {
    let key = Some(format!("key-{point}"));
    let post = Post { key, ..arena.post_to_peer(point, &json!({ "accept": "now" })) };
    // The attempt may be there before the reply is.
    let first = arena.submit(&post).await.id();
    next_server(arena).await?;
    let id = match first {
        Ok(id) => id,
        Err(_) => arena.submit(&post).await.id()?,
    };
    arena.reaches(&id, "succeeded", PATIENCE).await?;
    match bodies(arena, &post).as_slice() {
        [placeholder, _] if *placeholder == post.named[0].made.placeholder => {
            is_result(bodies(arena, &post).last(), &post)
        }
        several => Err(format!(
            "{} bodies came there, of which the first is no placeholder, or the last not all",
            several.len()
        )),
    }
}

/// The receiver hears of the outcome, perhaps twice and then the same.
async fn webhook(arena: &mut Arena, point: &str) -> Result<(), String> {
    let hook = format!("hook-{point}");
    let post = arena.post_to_peer(point, &json!({ "notifyURL": arena.peer.file(&hook) }));
    let id = arena.send(&post, point).await?;
    next_server(arena).await?;
    arena.reaches(&id, "succeeded", PATIENCE).await?;
    let heard = async {
        while arena.peer.posted(&hook).is_empty() || undelivered(arena).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.map_err(|_| "its receiver never hears of it".to_owned())?;
    let mut heard = arena.peer.posted(&hook);
    heard.dedup();
    match heard.as_slice() {
        [once] if String::from_utf8_lossy(once).contains("job.succeeded") => Ok(()),
        several => Err(format!("its receiver heard {} different things", several.len())),
    }
}

/// By the metrics.
async fn undelivered(arena: &Arena) -> bool {
    let Ok(answer) = arena.get("/metrics").await else { return true };
    let text = answer.body.as_str().unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("imgserve_webhooks_undelivered"));
    line.is_some_and(|line| !line.ends_with(" 0"))
}
