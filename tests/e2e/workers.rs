//! Worker processes that die, hang or eat memory: one task fails with a clear text, the next ones go on.

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, is_placeholder, memory_kib, signal, until};

/// A large blur of noise: seconds of work from a few hundred bytes, just under what is refused by count.
fn endless() -> String {
    "<svg xmlns='http://www.w3.org/2000/svg' width='1000' height='1000'><filter id='b' x='-1' y='-1' width='3' \
     height='3'><feTurbulence baseFrequency='0.01' numOctaves='2'/><feGaussianBlur stdDeviation='90'/></filter>\
     <g filter='url(#b)'><rect width='750' height='750' fill='red'/></g></svg>"
        .to_owned()
}

/// Nested translucent groups, each of which needs a canvas of its own while resvg draws it, as it does what has a mask.
fn greedy() -> String {
    let (open, close) = ("<g opacity='0.9'>".repeat(50), "</g>".repeat(50));
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><mask id='m'><rect width='9' height='9' fill='#fff'/>\
         </mask>{open}<rect width='9' height='9' mask='url(#m)'/>{close}</svg>"
    )
}

async fn fine(server: &Server) {
    let source = server.write("fine.png", samples::encoded(60, 40, ImageFormat::Png));
    server
        .succeed("resize", &source, &server.file_url("fine-out.png"), json!({ "width": 20, "height": 10 }))
        .await;
}

async fn restarts(server: &Server) -> u64 {
    server.get("/readyz").await.1["worker_restarts"].as_u64().unwrap()
}

fn error(record: &Value) -> (&str, &str) {
    (record["error"]["kind"].as_str().unwrap(), record["error"]["text"].as_str().unwrap())
}

#[tokio::test]
async fn a_task_that_hangs_is_ended_and_fails_alone() {
    let server = Server::start("[workers]\ncount = 1\nrun_timeout_ms = 400");
    let source = server.write("endless.svg", endless());
    let job = server
        .submit("rasterize", &source, &server.file_url("out.png"), json!({ "width": 1000, "height": 1000 }))
        .await;
    fine(&server).await;
    let record = server.ended(&job).await;
    let (kind, text) = error(&record);
    assert_eq!((record["state"].as_str(), kind), (Some("failed"), "limit-exceeded"));
    assert!(text.contains("run_timeout_ms"), "{text}");
    assert!(is_placeholder(&server.read("out.png")), "the failure must be at the destination");
    assert_eq!(restarts(&server).await, 1);
}

#[tokio::test]
async fn a_drawing_that_would_eat_memory_is_refused_before_a_worker_has_it() {
    let server = Server::start("[workers]\ncount = 1\nmemory_limit_mb = 160");
    let source = server.write("greedy.svg", greedy());
    let size = json!({ "width": 1500, "height": 1500 });
    let reply = server.post("rasterize", &source, &server.file_url("out.png"), size).await;
    let text = reply.header("x-imgserve-error");
    assert_eq!(reply.body["code"], 206, "{reply:?}");
    assert!(text.starts_with("limit-exceeded; ") && text.contains("memory_limit_mb"), "{text}");
    fine(&server).await;
    assert_eq!(restarts(&server).await, 0);
    assert!(memory_kib(server.pid(), "VmHWM") < 120 << 10, "the server grew");
}

#[tokio::test]
async fn a_killed_worker_is_replaced_at_once_and_a_job_that_kills_three_is_buried() {
    let server = Server::start("[workers]\ncount = 1");
    fine(&server).await;
    let source = server.write("endless.svg", endless());
    let job = server
        .submit("rasterize", &source, &server.file_url("out.png"), json!({ "width": 1000, "height": 1000 }))
        .await;
    for attempt in 1..=3 {
        until("a worker has it", async || {
            let story = server.get(&format!("/v1/jobs/{job}")).await.1;
            story["attempt"] == attempt && story["stage"] == "working"
        })
        .await;
        // All of them: the busy one and the idle ones.
        for worker in server.workers() {
            signal(worker, "KILL");
        }
    }
    let record = server.ended(&job).await;
    let (kind, text) = error(&record);
    assert_eq!(kind, "operation-failed");
    assert!(text.contains("the worker died"), "{text}");
    assert_eq!(record["attempts"].as_array().unwrap().len(), 3, "{record}");
    fine(&server).await;
    until("all workers are back", async || server.get("/readyz").await.1["workers"] == 2).await;
}

#[tokio::test]
async fn a_short_task_never_waits_behind_a_long_one() {
    let server = Server::start("[workers]\ncount = 1\nrun_timeout_ms = 30000");
    let source = server.write("endless.svg", endless());
    for name in ["1.png", "2.png", "3.png", "4.png", "5.png", "6.png"] {
        let size = json!({ "width": 1000, "height": 1000 });
        server.submit("rasterize", &source, &server.file_url(name), size).await;
    }
    until("the worker is busy", async || server.get("/readyz").await.1["workers_busy"] == 1).await;
    // The only general worker is taken for seconds: the reply comes all the same, and before a worker is free.
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let began = std::time::Instant::now();
    server.submit("resize", &source, &server.file_url("out.png"), json!({ "width": 20, "height": 10 })).await;
    assert!(began.elapsed().as_millis() < 2000, "{:?}", began.elapsed());
    assert!(is_placeholder(&server.read("out.png")));
}

#[tokio::test]
async fn workers_end_with_their_server() {
    let mut server = Server::start("");
    fine(&server).await;
    let workers = server.workers();
    assert!(workers.len() >= 2, "{workers:?}");
    server.signal("KILL");
    server.wait_end();
    let alive = |pid: &u32| std::path::Path::new(&format!("/proc/{pid}/fd/0")).exists();
    until("the workers are gone", async || !workers.iter().any(alive)).await;
}

#[tokio::test]
async fn workers_are_limited_and_pinned() {
    let server = Server::start("[workers]\ncount = 1\nmemory_limit_mb = 300");
    fine(&server).await;
    until("both workers are up", async || server.get("/readyz").await.1["workers"] == 2).await;
    let mut pinned = 0;
    for worker in server.workers() {
        let limits = std::fs::read_to_string(format!("/proc/{worker}/limits")).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert!(data.contains(&(300 << 20).to_string()), "{data}");
        let status = std::fs::read_to_string(format!("/proc/{worker}/status")).unwrap();
        let cores = status.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap();
        pinned += usize::from(!cores.contains(['-', ',']));
        // Where the kernel cannot, the log says so.
        let sealed = ["NoNewPrivs:\t1", "Seccomp:\t2"].iter().all(|line| status.contains(line));
        assert!(sealed || server.log().contains("workers run without"), "{status}");
        let environment = std::fs::read_to_string(format!("/proc/{worker}/environ")).unwrap();
        assert!(!environment.contains("PATH="), "the server's environment reached a worker");
    }
    assert!(pinned >= 1);
}
