//! Plugins in JavaScript and Python as they come from their tools: what they give, what they say when they fail, and that their bounds
//! hold. Where `tests/run` could not install a tool, its plugins are not there, and the test says that it is not done.

use std::path::PathBuf;

use image::ImageFormat;
use imgserve_peers::samples;
use serde_json::{Value, json};

use super::{check, fails, unharmed};
use crate::harness::{Server, beside, call, plugin, section};

/// A plugin's file, if `tests/run` could build it: each language has a good and a bad one.
fn built(names: [&str; 2]) -> Option<[PathBuf; 2]> {
    let tool = match names[0].ends_with("-js") {
        true => "../target/tools/javascript",
        false => "../target/tools/python",
    };
    let given =
        std::env::var_os("IMGSERVE_TEST_PLUGINS").map_or_else(|| beside("../target/plugins"), PathBuf::from);
    if !beside(tool).exists() && !given.join(format!("{}.wasm", names[0])).exists() {
        eprintln!("not done: {tool} is not installed, so {names:?} are not built");
        return None;
    }
    Some(names.map(|name| plugin(&format!("{name}.wasm"))))
}

/// A server with both, which compiles them once for all runs: a language's whole runtime takes a debug build a while.
fn server([good, bad]: &[PathBuf; 2]) -> Server {
    let cache = good.with_file_name("compiled");
    let limits = "time_limit_ms = 5000\nmemory_limit_mb = 128";
    Server::start(&format!(
        "[workers]\ncount = 1\n[plugins]\ncache_dir = {cache:?}\ncompile_timeout_s = 600\nbreaker_failures = 0\n{}{}",
        section("good", good, limits),
        section("bad", bad, limits)
    ))
}

/// Has each mode fail as it should, with a good call behind it.
async fn misbehave(server: &Server, name: &str, cases: &[(&str, &str, &[&str])]) {
    for (mode, kind, texts) in cases {
        let (found_kind, text) = fails(server, "bad", json!({ "mode": mode })).await;
        check(mode, (&found_kind, &text), (kind, texts), name);
    }
    unharmed(server, "bad").await;
}

/// What the bad one logs is bounded, and its clock stands still.
async fn talk(server: &Server, clock: &str) {
    let source = samples::encoded(60, 40, ImageFormat::Png);
    for mode in ["flood", "clock"] {
        let (status, ..) = call(server, &format!("bad?mode={mode}"), &source).await;
        assert_eq!(status, 200, "{mode}");
    }
    let log = server.log();
    let lines = log.lines().filter(|line| line.contains("INFO line ") || line.contains("INFO out ")).count();
    assert!(lines <= 100 && log.contains(" out 1 "), "{lines} lines of 4000");
    assert!(log.contains("further lines of this task are dropped") && log.contains(clock), "{log}");
}

#[tokio::test]
async fn plugins_in_javascript_work_and_fail_alone() {
    let Some(files) = built(["invert-js", "bad-js"]) else { return };
    let server = server(&files);
    let source = samples::encoded(60, 40, ImageFormat::Png);
    let (status, _, inverted) = call(&server, "good?format=png&channels=rg", &source).await;
    assert_eq!(status, 200);
    let rgb = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().to_rgb8();
    let wanted =
        rgb(&source).pixels().flat_map(|&image::Rgb([r, g, b])| [255 - r, 255 - g, b]).collect::<Vec<_>>();
    assert_eq!(rgb(&inverted).into_raw(), wanted);
    let (status, _, refused) = call(&server, "good?channels=x", &source).await;
    assert_eq!((status, String::from_utf8_lossy(&refused).contains("channels")), (400, true));

    let name = "plugin bad-js 0.1.0 ";
    misbehave(
        &server,
        name,
        &[
            ("throw", "plugin-trapped", &["TypeError: as asked", "plugin.js:"]),
            ("deep", "plugin-trapped", &["InternalError: too much recursion", "plugin.js:"]),
            ("loop", "plugin-timed-out", &["not done after 5000 ms (time_limit_ms)"]),
            ("memory", "plugin-out-of-memory", &["memory_limit_mb = 128"]),
            ("fetch", "plugin-trapped", &["reached for the network (`fetch`)"]),
        ],
    )
    .await;
    let (kind, text) = fails(&server, "bad", json!({ "mode": "refuse" })).await;
    assert_eq!((kind.as_str(), text.contains("not that")), ("invalid-argument", true), "{text}");
    talk(&server, "INFO at 0 0 ").await;
}

#[tokio::test]
async fn plugins_in_python_work_and_fail_alone() {
    let Some(files) = built(["dominant-py", "bad-py"]) else { return };
    let server = server(&files);
    let pixels =
        image::RgbImage::from_fn(40, 30, |x, _| image::Rgb(if x < 30 { [200, 0, 0] } else { [0, 0, 90] }));
    let mut source = std::io::Cursor::new(Vec::new());
    pixels.write_to(&mut source, ImageFormat::Png).unwrap();
    let (status, _, told) = call(&server, "good?count=3", source.get_ref()).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&told));
    let wanted =
        json!({ "colours": [{ "colour": "#c80000", "part": 0.75 }, { "colour": "#00005a", "part": 0.25 }] });
    assert_eq!(serde_json::from_slice::<Value>(&told).unwrap(), wanted);

    let name = "plugin bad-py 0.1.0 ";
    let hint = "import it at the top of the file";
    misbehave(
        &server,
        name,
        &[
            ("throw", "plugin-trapped", &["ValueError: as asked", "plugin.py\", line 18, in throw"]),
            ("deep", "plugin-trapped", &["RecursionError: maximum recursion depth exceeded"]),
            ("loop", "plugin-timed-out", &["not done after 5000 ms (time_limit_ms)"]),
            ("memory", "plugin-out-of-memory", &["memory_limit_mb = 128"]),
            ("deepest", "plugin-out-of-memory", &["memory_limit_mb = 128"]),
            ("file", "plugin-trapped", &["FileNotFoundError", "/etc/passwd", "a plugin has no files"]),
            ("late", "plugin-trapped", &["No module named 'urllib'", hint]),
        ],
    )
    .await;
    let (kind, text) = fails(&server, "bad", json!({ "mode": "refuse" })).await;
    assert_eq!((kind.as_str(), text.contains("not that")), ("invalid-argument", true), "{text}");
    talk(&server, "INFO at 100.0 100.0 {} ").await;
}
