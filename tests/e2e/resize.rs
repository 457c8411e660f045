//! `resize` as people mean it who come from other programs, by all three ways in.

use image::ImageFormat;
use imgserve_peers::{Ftp, samples};
use serde_json::{Value, json};

use crate::harness::{Server, client, look};

/// A job of `/v1` that succeeds; gives its story.
async fn job(server: &Server, source: &str, destination: &str, args: Value) -> Value {
    let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": destination, "args": args });
    let (status, _, told) = server.post_job(&body, &[]).await;
    assert_eq!(status, 202, "{body}: {told}");
    let story = server.ended(told["id"].as_str().unwrap()).await;
    assert_eq!(story["state"], "succeeded", "{body}: {story}");
    story
}

/// What a direct call gives for a 60 × 40 PNG.
async fn called(server: &Server, query: &str) -> (u32, u32, ImageFormat) {
    let url = format!("{}/v1/operations/resize?{query}", server.origin);
    let png = samples::encoded(60, 40, ImageFormat::Png);
    let answer = client().post(url).body(png).send().await.unwrap();
    let (status, warning) = (answer.status(), answer.headers().get("x-imgserve-warning").cloned());
    let bytes = answer.bytes().await.unwrap();
    assert!(
        status == 200 && warning.is_none(),
        "{query}: {status} {warning:?} {}",
        String::from_utf8_lossy(&bytes)
    );
    look(&bytes)
}

#[tokio::test]
async fn one_side_or_none_is_enough_where_0_2_could_not_have_asked() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let to = server.file_url("out.png");
    for (args, width, height) in [
        (json!({ "width": 30, "fit": "inside" }), 30, 20),
        (json!({ "height": 20, "quality": 80 }), 30, 20),
        (json!({ "format": "png" }), 60, 40),
        (json!({ "w": 30, "h": 10 }), 30, 10),
        (json!({ "w": 30, "h": 10, "kernel": "Linear", "flip": "H", "position": "top_center" }), 30, 10),
    ] {
        server.succeed("resize", &source, &to, args.clone()).await;
        assert_eq!(look(&server.read("out.png")), (width, height, ImageFormat::Png), "{args}");
    }
    for (args, width, height) in [
        (json!({ "width": 30 }), 30, 20),
        (json!({ "height": 10 }), 15, 10),
        (json!({}), 60, 40),
        (json!({ "width": null, "height": 10.0 }), 15, 10),
    ] {
        job(&server, &source, &to, args.clone()).await;
        assert_eq!(look(&server.read("out.png")), (width, height, ImageFormat::Png), "{args}");
    }
    assert_eq!(called(&server, "width=30").await, (30, 20, ImageFormat::Png));
    assert_eq!(called(&server, "format=webp").await, (60, 40, ImageFormat::WebP));
}

#[tokio::test]
async fn errors_name_an_argument_as_it_was_written() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let told = async |operation: &str, args: Value| {
        let body = json!({ "operationType": operation, "srcURL": source, "dstURL": server.file_url("out.png"), "args": args });
        let (status, _, told) = server.post_job(&body, &[]).await;
        assert!((400..500).contains(&status), "{body}: {told}");
        told["detail"].as_str().unwrap().to_owned()
    };
    // By the schema, and by the plugin.
    for (args, named) in [
        (json!({ "w": "30" }), "argument `w` (`width`): \"30\" is not an integer"),
        (json!({ "w": 0, "height": 9 }), "argument `w` (`width`): 0 "),
        (json!({ "width": 9, "h": 0 }), "argument `h` (`height`): 0 "),
        (json!({ "width": 0 }), "argument `width`: 0 "),
        (json!({ "width": 9, "position": "nowhere" }), "argument `position` (`gravity`): "),
        (json!({ "width": 9, "withoutEnlargement": 7 }), "argument `withoutEnlargement` (`enlarge`): 7 "),
        (json!({ "width": 9, "kernel": "none" }), "argument `kernel` (`filter`): "),
        (json!({ "width": 9, "extract": [0, 0, 0, "x"] }), "argument `extract"),
        (json!({ "width": 9, "w": 9 }), "argument `w`: it is another name of `width`"),
    ] {
        let detail = told("resize", args.clone()).await;
        assert!(detail.contains(named), "{args}: {detail}");
    }
    let step = json!({ "operationType": "resize", "args": { "w": 9, "padding": "much" } });
    let detail = told("pipeline", json!({ "steps": [step] })).await;
    assert!(detail.contains("argument `steps[0].args.padding` (`pad`): "), "{detail}");
    // The old way in, and a direct call.
    let reply = server.post("resize", &source, &server.file_url("out.png"), json!({ "w": 0, "h": 9 })).await;
    assert!(reply.header("x-imgserve-error").contains("argument `w` (`width`): 0 "), "{reply:?}");
    let url = format!("{}/v1/operations/resize?w=0", server.origin);
    let answer = client().post(url).body(samples::encoded(60, 40, ImageFormat::Png)).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("argument `w` (`width`): 0 "), "{text}");
}

#[tokio::test]
async fn a_picture_that_is_small_is_refused_by_0_2_and_keeps_its_size_elsewhere() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let to = server.file_url("out.png");
    let reply =
        server.post("resize", &source, &to, json!({ "width": 600, "height": 10, "fit": "fill" })).await;
    assert_eq!(reply.body["code"], 203, "{reply:?}");
    let steps = json!({ "steps": [{ "operationType": "resize", "args": { "width": 600 } }] });
    let reply = server.post("pipeline", &source, &to, steps).await;
    assert_eq!(reply.body["code"], 203, "{reply:?}");
    for (args, width, height) in [
        (json!({ "width": 600, "height": 10, "enlarge": "never" }), 60, 10),
        (json!({ "width": 120, "height": 80, "enlarge": "always" }), 120, 80),
        (json!({ "width": 120, "height": 80, "withoutEnlargement": true }), 60, 40),
        (json!({ "width": 100, "height": 30, "fit": "contain", "enlarge": "refuse" }), 100, 30),
    ] {
        server.succeed("resize", &source, &to, args.clone()).await;
        assert_eq!(look(&server.read("out.png")), (width, height, ImageFormat::Png), "{args}");
    }
    let story = job(&server, &source, &to, json!({ "width": 1600 })).await;
    assert_eq!((&story["output"]["width"], &story["output"]["height"]), (&json!(60), &json!(40)), "{story}");
    assert_eq!(called(&server, "width=1600&height=1600&fit=inside").await, (60, 40, ImageFormat::Png));
    assert_eq!(called(&server, "width=90&height=60&enlarge=true").await, (90, 60, ImageFormat::Png));
}

#[tokio::test]
async fn the_destinations_extension_chooses_the_format_of_a_job() {
    let server = Server::start("");
    let source = server.write("a.jpg", samples::encoded(60, 40, ImageFormat::Jpeg));
    let deep = server.write("b.tiff", samples::encoded(60, 40, ImageFormat::Tiff));
    for (from, name, format) in [
        (&source, "thumb.webp", ImageFormat::WebP),
        (&source, "thumb.PNG", ImageFormat::Png),
        (&source, "thumb.jpeg", ImageFormat::Jpeg),
        (&source, "thumb", ImageFormat::Jpeg),
        (&deep, "deep.gif", ImageFormat::Gif),
        (&deep, "deep", ImageFormat::Png),
        (&deep, "deep.tif", ImageFormat::Tiff),
        (&source, "thumb.bmp", ImageFormat::Bmp),
        (&source, "thumb.ico", ImageFormat::Ico),
    ] {
        let story = job(&server, from, &server.file_url(name), json!({ "width": 30 })).await;
        assert_eq!(look(&server.read(name)), (30, 20, format), "{name}: {story}");
    }
    // By the old way in, too, `jpg` and `jpeg` are one where something is asked for that 0.2 had not.
    let args = json!({ "width": 30, "height": 20, "fit": "fill" });
    server.succeed("resize", &source, &server.file_url("old.jpeg"), args).await;
    let drawing = server.write("d.svg", samples::DRAWING);
    let body = json!({ "operationType": "rasterize", "srcURL": drawing, "dstURL": server.file_url("d.webp"),
                       "args": { "width": 40, "height": 20 } });
    let (status, _, told) = server.post_job(&body, &[]).await;
    assert_eq!(status, 202, "{told}");
    server.ended(told["id"].as_str().unwrap()).await;
    assert_eq!(look(&server.read("d.webp")), (40, 20, ImageFormat::WebP));
    for (name, output) in [("a.svg", json!({})), ("a.txt", json!({})), ("a.png", json!({ "format": "webp" }))]
    {
        let body = json!({ "operationType": "resize", "srcURL": source, "dstURL": server.file_url(name), "output": output });
        let (status, _, problem) = server.post_job(&body, &[]).await;
        assert_eq!((status, &problem["kind"]), (400, &json!("destination-extension")), "{name}: {problem}");
    }
}

#[tokio::test]
async fn a_source_whose_name_does_not_tell_is_told_by_its_content() {
    let server = Server::start("");
    let jpeg = samples::encoded(60, 40, ImageFormat::Jpeg);
    let source = server.write("0191f7a0-7c0f-7b53-9d3c-3f0a6c1f2e44", &jpeg);
    let page = server.write("image.php", &jpeg);
    for from in [&source, &page] {
        let story = job(&server, from, &server.file_url("{$width}.{$ext}"), json!({ "width": 30 })).await;
        assert_eq!(story["dstURL"], json!(server.file_url("30.jpg")), "{story}");
        assert_eq!(look(&server.read("30.jpg")), (30, 20, ImageFormat::Jpeg));
        let story = job(&server, from, &server.file_url("out"), json!({ "width": 30 })).await;
        assert_eq!(story["output"]["format"], "jpeg", "{story}");
        assert_eq!(look(&server.read("out")), (30, 20, ImageFormat::Jpeg));
        job(&server, from, &server.file_url("out.webp"), json!({ "width": 30 })).await;
        assert_eq!(look(&server.read("out.webp")), (30, 20, ImageFormat::WebP));
    }
    let animation = server.write("moving", samples::animation(80, 60, 5));
    job(&server, &animation, &server.file_url("still.png"), json!({ "width": 40 })).await;
    job(&server, &animation, &server.file_url("moving-on"), json!({ "width": 40 })).await;
    assert_eq!(look(&server.read("moving-on")), (40, 30, ImageFormat::Gif));
    // Several results of it, and one that is taken before anything is known of it.
    let outputs = json!([
        { "operationType": "resize", "dstURL": server.file_url("a.{$extension}"), "args": { "width": 20 } },
        { "operationType": "resize", "dstURL": server.file_url("b.png"), "args": { "width": 10 } },
    ]);
    for accept in ["planned", "now"] {
        let body = json!({ "srcURL": source, "outputs": outputs, "accept": accept });
        let (status, _, told) = server.post_job(&body, &[]).await;
        assert_eq!(status, 202, "{told}");
        let story = server.ended(told["id"].as_str().unwrap()).await;
        assert_eq!(story["state"], "succeeded", "{story}");
        assert_eq!(look(&server.read("a.jpg")), (20, 13, ImageFormat::Jpeg));
        assert_eq!(look(&server.read("b.png")), (10, 7, ImageFormat::Png));
    }
    let drawing = server.write("drawing", samples::DRAWING);
    let body = json!({ "operationType": "rasterize", "srcURL": drawing, "dstURL": server.file_url("d.png"),
                       "args": { "width": 40, "height": 20 } });
    let (_, _, told) = server.post_job(&body, &[]).await;
    assert_eq!(server.ended(told["id"].as_str().unwrap()).await["state"], "succeeded");
    let text = server.write("notes", "this is not an image, whatever it is called");
    for (from, operation) in [(&text, "resize"), (&source, "rasterize")] {
        let body = json!({ "operationType": operation, "srcURL": from, "dstURL": server.file_url("x.png"),
                           "args": { "width": 4, "height": 4 } });
        let (status, _, problem) = server.post_job(&body, &[]).await;
        assert_eq!((status, &problem["kind"]), (422, &json!("unreadable-source")), "{problem}");
    }
    // What names a format that the operation does not take is refused as ever, and so is everything by the letter of 0.2.
    let body = json!({ "operationType": "resize", "srcURL": "http://h/a.svg", "dstURL": "http://h/a.png" });
    assert_eq!(server.post_job(&body, &[]).await.2["code"], 108);
    let reply = server
        .post("resize", &source, &server.file_url("x.jpg"), json!({ "width": 9, "format": "jpeg" }))
        .await;
    assert_eq!(reply.body["code"], 108, "{reply:?}");
}

#[tokio::test]
async fn an_ftp_destination_may_be_a_host_and_a_name() {
    let (server, ftp) = (Server::start(""), Ftp::start(None).await);
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let to = format!("ftp://ann:p%3Aw@127.0.0.1:{}:{{$basename}}_{{$width}}.{{$ext}}", ftp.port);
    let job = server.post("resize", &source, &to, json!({ "width": 30, "height": 20 })).await;
    let told = format!("ftp://ann:p%3Aw@127.0.0.1:{}:a_30.png", ftp.port);
    assert_eq!(job.body, json!({ "dstURL": told }), "{job:?}");
    let story = server.ended(job.job()).await;
    assert_eq!(story["state"], "succeeded", "{story}");
    assert_eq!(look(&std::fs::read(ftp.path("a_30.png")).unwrap()), (30, 20, ImageFormat::Png));
}
