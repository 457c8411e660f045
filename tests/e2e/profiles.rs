//! `[codec]`: what images are worked on for, what becomes of damaged ones, and who may choose.

use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use imgserve_peers::samples;
use serde_json::json;

use crate::harness::{Server, call, look, warning};

/// A board of black and white pixels: the average is 188 in linear light, 128 otherwise.
fn board() -> Vec<u8> {
    let board = GrayImage::from_fn(96, 96, |x, y| Luma([if (x + y) % 2 == 0 { 255 } else { 0 }]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(board).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Whether a JPEG is progressive, and the gray in its middle.
fn told(jpeg: &[u8]) -> (bool, u8) {
    assert_eq!(look(jpeg).2, ImageFormat::Jpeg);
    let frame = jpeg.windows(2).find(|two| matches!(two, [0xff, 0xc0 | 0xc2])).unwrap();
    let gray = image::load_from_memory(jpeg).unwrap().to_luma8();
    (frame[1] == 0xc2, gray.get_pixel(gray.width() / 2, gray.height() / 2)[0])
}

#[track_caller]
fn is(told: (bool, u8), progressive: bool, gray: u8) {
    assert!(told.0 == progressive && told.1.abs_diff(gray) <= 2, "{told:?}, wanted {progressive} {gray}");
}

#[tokio::test]
async fn a_profile_is_the_codecs_an_operations_or_a_pipelines() {
    let server = Server::start(
        "[codec]\nprofile = 'best'\n[operations.quick]\nkind = 'builtin'\nplugin = 'resize'\nprofile = 'fast'\n\
         [operations.chain]\nkind = 'builtin'\nplugin = 'pipeline'\nprofile = 'fast'\n\
         args = { steps = [{ operationType = 'resize', args = { width = 48, height = 48 } }, \
         { operationType = 'quick', args = { width = 24, height = 24 } }] }",
    );
    let board = board();
    let size = "width=24&height=24&filter=mitchell&format=jpeg&quality=95";
    let made = async |path: &str| {
        let (status, headers, body) = call(&server, path, &board).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        (told(&body), warning(&headers).to_owned())
    };
    is(made(&format!("resize?{size}")).await.0, true, 188);
    is(made(&format!("quick?{size}")).await.0, false, 128);
    // Explicit arguments win; the rest of the profile stays.
    is(made(&format!("resize?{size}&linear=false")).await.0, true, 128);
    is(made(&format!("quick?{size}&linear=true")).await.0, false, 188);
    // The pipeline is fast, and so are its steps.
    is(made("chain?format=jpeg&quality=95").await.0, false, 128);
    // What it costs is the operator's.
    let (told, warning) = made(&format!("quick?{size}&profile=best")).await;
    is(told, false, 128);
    assert!(warning.contains("unknown arguments ignored: profile"), "{warning}");
    let (_, shown) = server.get("/v1/operations/resize").await;
    assert_eq!((&shown["profile"], &shown["defaults"]["linear"]), (&json!("best"), &json!(true)), "{shown}");
    let (_, shown) = server.get("/v1/operations/quick").await;
    assert_eq!((&shown["profile"], &shown["defaults"]), (&json!("fast"), &json!({})), "{shown}");
}

#[tokio::test]
async fn one_operation_alone_is_the_best_for_direct_calls_and_jobs_alike() {
    let server = Server::start(
        "[operations.fine]\nkind = 'builtin'\nplugin = 'resize'\nprofile = 'best'\nargs = { quality = 95 }\n\
         [operations.chain]\nkind = 'builtin'\nplugin = 'pipeline'\nprofile = 'best'\n\
         args = { steps = [{ operationType = 'resize', args = { width = 24, height = 24, filter = 'mitchell' } }] }",
    );
    let source = server.write("board.png", board());
    let body = |operation: &str, args: serde_json::Value| {
        json!({ "operationType": operation, "srcURL": source, "args": args, "output": { "format": "jpeg" },
            "dstURL": server.file_url(&format!("{operation}.jpg")) })
    };
    let args = json!({ "width": 24, "height": 24, "filter": "mitchell" });
    for (operation, args, progressive, gray) in
        [("fine", args.clone(), true, 188), ("resize", args, false, 128), ("chain", json!({}), true, 188)]
    {
        let (status, _, job) = server.post_job(&body(operation, args), &[]).await;
        assert_eq!(status, 202, "{job}");
        let story = server.ended(job["id"].as_str().unwrap()).await;
        assert_eq!(story["state"], "succeeded", "{story}");
        is(told(&server.read(&format!("{operation}.jpg"))), progressive, gray);
    }
}

#[tokio::test]
async fn a_damaged_source_is_refused_or_repaired_with_a_warning() {
    let whole = samples::encoded(400, 300, ImageFormat::Jpeg);
    let cut = &whole[..whole.len() / 2];
    let server = Server::start("");
    let (status, headers, body) = call(&server, "resize?width=100&height=75", cut).await;
    assert_eq!((status, warning(&headers)), (422, ""), "{}", String::from_utf8_lossy(&body));
    assert!(String::from_utf8_lossy(&body).contains("unreadable-source"));

    // An animation that breaks off is shown up to there, and the client is told.
    let animation = samples::animation(40, 30, 3);
    let broken = &animation[..animation.len() * 5 / 6];
    let (status, headers, body) = call(&server, "resize?width=20&height=15", broken).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let told = "the source is damaged and shown as far as it goes: frame 3: ";
    assert!(warning(&headers).contains(told), "{headers:?}");

    let server = Server::start("[codec]\ndamaged = 'repair'");
    let (status, headers, body) = call(&server, "resize?width=100&height=75", cut).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(warning(&headers).contains("damaged"), "{headers:?}");
    let picture = image::load_from_memory(&body).unwrap().to_rgb8();
    let [red, green, blue] = picture.get_pixel(50, 74).0;
    assert!([red, green, blue].iter().all(|channel| channel.abs_diff(128) <= 4), "the missing end is gray");
    let (status, headers, _) = call(&server, "resize?width=100&height=75", &whole).await;
    assert_eq!((status, warning(&headers)), (200, ""));

    assert_eq!(call(&server, "resize?width=wide", &whole).await.0, 400);
    let (_, counted) = server.get("/metrics").await;
    for (outcome, calls) in [("succeeded", 2), ("failed", 1)] {
        let line = format!("imgserve_calls_total{{operation=\"resize\",outcome=\"{outcome}\"}} {calls}");
        assert!(counted.as_str().unwrap().lines().any(|found| found == line), "{line}:\n{counted}");
    }

    let source = server.write("cut.jpg", cut);
    let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url("small.jpg"),
        "args": { "width": 100, "height": 75 } });
    let (_, _, job) = server.post_job(&body, &[]).await;
    let story = server.ended(job["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    assert!(story["output"]["warnings"][0].as_str().unwrap().contains("damaged"), "{story}");
    assert!(server.log().contains("the source is damaged"), "{}", server.log());
}
