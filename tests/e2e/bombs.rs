//! Small sources that ask for very much: a number in a document is a loop's count, and a product of two that are each allowed may
//! be out of all bounds. Each is answered in time, in bounded memory, with what there is too much of; and nobody else waits.

mod animations;
mod drawings;
mod pictures;

use std::time::{Duration, Instant};

use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, children, look, memory_kib};

/// What a call may take: `[operations.rasterize] time_limit_ms`, and a second.
const MOST: Duration = Duration::from_secs(6);
/// Three quarters of `[workers] memory_limit_mb`, at which the kernel refuses more.
const MEMORY_KIB: u64 = 768 << 10;

/// A source, and what is to become of it.
pub(super) struct Bomb {
    name: &'static str,
    operation: &'static str,
    bytes: Vec<u8>,
    /// What the refusal says; none for what is drawn.
    refused: Option<&'static str>,
}

impl Bomb {
    /// Whether planning looks at all of it; a drawing of more than 1 MiB is counted when it is drawn.
    fn is_planned(&self) -> bool {
        self.bytes.len() <= 1 << 20
    }
}

/// The most memory in KiB that any of a server's workers has taken since it began.
fn peak_kib(server: &Server) -> u64 {
    children(server.pid()).into_iter().map(|worker| memory_kib(worker, "VmHWM")).max().unwrap_or_default()
}

/// A direct call; gives status and, of a problem, its detail.
async fn call(server: &Server, operation: &str, size: u32, bytes: &[u8]) -> (u16, String) {
    let url = format!("{}/v1/operations/{operation}?width={size}&height={size}", server.origin);
    let response = reqwest::Client::new().post(url).body(bytes.to_vec()).send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    match serde_json::from_slice::<Value>(&body) {
        Ok(problem) => {
            (status, format!("{}: {}", problem["kind"].as_str().unwrap_or("?"), problem["detail"]))
        }
        Err(_) => (status, format!("{} bytes", body.len())),
    }
}

#[tokio::test]
async fn each_is_answered_in_time_and_in_bounded_memory_with_what_was_counted() {
    let server = Server::start("[workers]\ncount = 2");
    let all = animations::all().into_iter().chain(pictures::all()).chain(drawings::all());
    println!("{:<48} {:>7} {:>6}  answer", "bomb", "s", "MiB");
    let mut wrong = Vec::new();
    for Bomb { name, operation, bytes, refused } in all {
        let began = Instant::now();
        let (status, said) = call(&server, operation, 300, &bytes).await;
        let (took, peak) = (began.elapsed(), peak_kib(&server));
        println!("{name:<48} {:>7.2} {:>6}  {status} {said:.150}", took.as_secs_f64(), peak >> 10);
        let right = match refused {
            None => status == 200,
            Some(what) => status == 422 && said.starts_with("limit-exceeded") && said.contains(what),
        };
        if !right || took > MOST || peak > MEMORY_KIB {
            wrong.push(format!("{name}: {status} {said} after {took:?}, {peak} KiB"));
        }
    }
    assert_eq!(server.restarts().await, 0, "workers were ended over it");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn jobs_are_refused_at_acceptance_with_206_and_nobody_waits_for_them() {
    let server = Server::start("[workers]\ncount = 2");
    let honest = server.write("honest.jpg", samples::encoded(640, 480, image::ImageFormat::Jpeg));
    let small = async |name: String| {
        let began = Instant::now();
        let args = json!({ "width": 64, "height": 48 });
        server.succeed("resize", &honest, &server.file_url(&name), args).await;
        began.elapsed()
    };
    let mut alone = Vec::new();
    for index in 0..9 {
        alone.push(small(format!("alone{index}.jpg")).await);
    }
    alone.sort();
    let bombs: Vec<Bomb> = animations::all()
        .into_iter()
        .chain(pictures::all())
        .chain(drawings::small())
        .filter(Bomb::is_planned)
        .collect();
    let mut posts = tokio::task::JoinSet::new();
    for (index, Bomb { name, operation, bytes, refused }) in bombs.iter().enumerate() {
        let (from, to) = match (*operation, bytes.get(..4).unwrap_or_default()) {
            ("rasterize", _) => ("svg", "png"),
            (_, b"RIFF") => ("webp", "webp"),
            (_, b"GIF8") => ("gif", "gif"),
            (_, [0xff, 0x0a, ..]) => ("jxl", "jxl"),
            _ => ("avif", "avif"),
        };
        let body = json!({
            "operationType": operation,
            "srcURL": server.write(&format!("bomb{index}.{from}"), bytes),
            "dstURL": server.file_url(&format!("out{index}.{to}")),
            "args": { "width": 300, "height": 300 },
        });
        let post = reqwest::Client::new().post(&server.origin).body(body.to_string());
        let (name, refused) = (*name, refused.is_some());
        posts.spawn(async move {
            let text = post.send().await.unwrap().text().await.unwrap();
            let reply: Value = serde_json::from_str(&text).unwrap();
            let right = if refused { reply["code"] == 206 } else { reply.get("dstURL").is_some() };
            assert!(right, "{name}: {reply}");
        });
    }
    let mut beside = Vec::new();
    for index in 0..9 {
        beside.push(small(format!("beside{index}.jpg")).await);
    }
    beside.sort();
    posts.join_all().await;
    // Each bomb that is drawn, or that is refused only then, keeps a worker for a second and more.
    let most = (3 * alone[4]).max(Duration::from_millis(400));
    assert!(beside[4] < most, "alone {alone:?}, beside {} bombs {beside:?}", bombs.len());
    assert!(peak_kib(&server) <= MEMORY_KIB, "{} KiB", peak_kib(&server));
    assert_eq!(server.restarts().await, 0, "workers were ended over it");
}

#[tokio::test]
async fn what_a_drawing_may_take_follows_its_operations_time_limit() {
    let server = Server::start("[operations.rasterize]\ntime_limit_ms = 1000");
    let noise = "<feTurbulence baseFrequency='.05' numOctaves='9'/>".repeat(8);
    let noise = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><filter id='f' x='0' y='0' width='1' height='1'>{noise}</filter>\
         <rect width='9' height='9' filter='url(#f)'/></svg>"
    );
    let (status, said) = call(&server, "rasterize", 300, noise.as_bytes()).await;
    assert_eq!(status, 422, "{said}");
    assert!(said.starts_with("limit-exceeded") && said.contains("turbulence"), "{said}");
    assert!(said.contains("time_limit_ms = 1000)"), "{said}");
    let (status, said) = call(&Server::start(""), "rasterize", 300, noise.as_bytes()).await;
    assert_eq!(status, 200, "{said}");
}

#[tokio::test]
async fn outputs_and_steps_are_limited_together_before_anything_is_accepted() {
    let server = Server::start("");
    let source = server.write("small.png", samples::encoded(64, 48, image::ImageFormat::Png));
    let large = json!({ "width": 7000, "height": 7000, "fit": "fill", "enlarge": true });
    let output = |index: usize| json!({ "operationType": "resize", "dstURL": server.file_url(&format!("o{index}.png")), "args": large });
    let sixteen = json!({ "srcURL": source, "outputs": (0..16).map(output).collect::<Vec<_>>() });
    let began = Instant::now();
    let (status, _, problem) = server.post_job(&sixteen, &[]).await;
    assert_eq!((status, &problem["kind"]), (422, &json!("limit-exceeded")), "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the outputs would make 784000000 pixels together"), "{detail}");
    assert!(detail.contains("[limits] max_output_pixels"), "{detail}");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    // As many as are within the limit may still be more than a worker holds.
    let four = json!({ "srcURL": source, "outputs": (0..4).map(output).collect::<Vec<_>>() });
    let (status, _, problem) = server.post_job(&four, &[]).await;
    assert_eq!(status, 422, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("[workers] memory_limit_mb"), "{problem}");
    let step = json!({ "operationType": "resize", "args": large });
    let steps = json!({ "steps": vec![step; 6] });
    let reply = server.post("pipeline", &source, &server.file_url("steps.png"), steps).await;
    assert_eq!(reply.body["code"], 206, "{reply:?}");
    assert!(!server.files().join("o0.png").exists() && !server.files().join("steps.png").exists());
    let few = json!({ "width": 200, "height": 200, "fit": "fill", "enlarge": true });
    let output = |index: usize| json!({ "operationType": "resize", "dstURL": server.file_url(&format!("few{index}.png")), "args": few });
    let (status, _, accepted) = server
        .post_job(&json!({ "srcURL": source, "outputs": (0..16).map(output).collect::<Vec<_>>() }), &[])
        .await;
    assert_eq!(status, 202, "{accepted}");
    assert_eq!(look(&server.read("few15.png")).0, 200, "a placeholder of each");
}

#[tokio::test]
async fn destinations_have_a_length_and_a_depth() {
    let server = Server::start("");
    let source = server.write("small.png", samples::encoded(64, 48, image::ImageFormat::Png));
    let size = json!({ "width": 20, "height": 10 });
    let deep = format!("{}x.png", "a/".repeat(1000));
    let deepest = format!("{}x.png", "a/".repeat(60_000));
    let long = format!("{}.png", "n".repeat(300));
    let tags = format!("{}.png", "{$basename}".repeat(20_000));
    for (name, what) in
        [(deep, "folders in one another"), (deepest, "bytes"), (long, "bytes in one name"), (tags, "bytes")]
    {
        let began = Instant::now();
        let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url(&name), "args": size });
        let (status, _, problem) = server.post_job(&body, &[]).await;
        assert_eq!(status, 422, "{problem}");
        assert_eq!(problem["code"], 205, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
    assert!(!server.files().join("a").exists(), "folders were made");
    server.succeed("resize", &source, &server.file_url(&format!("{}x.png", "b/".repeat(30))), size).await;
}
