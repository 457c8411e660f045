//! The configuration as it takes effect: reload, shutdown, access.

use image::ImageFormat;
use imgserve_peers::{Web, samples};
use serde_json::json;

use crate::harness::{Server, is_placeholder, program};

fn size() -> serde_json::Value {
    json!({ "width": 20, "height": 10 })
}

#[tokio::test]
async fn nothing_that_is_not_public_is_reached_by_default() {
    let server = Server::start_with("");
    let web = Web::start(None).await;
    web.put("a.png", samples::encoded(60, 40, ImageFormat::Png));
    for source in [
        web.file("a.png"),
        web.file("a.png").replace("127.0.0.1", "localhost"),
        web.file("a.png").replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        web.file("a.png").replace("127.0.0.1", "2130706433"),
        "http://169.254.169.254/latest/meta-data/a.png".to_owned(),
        "file:///etc/a.png".to_owned(),
        server.file_url("a.png"),
    ] {
        let reply = server.post("resize", &source, "http://127.0.0.1:1/out.png", size()).await;
        assert_eq!(reply.body["code"], 201, "{source}: {reply:?}");
    }
    let reply = server.post("resize", &web.file("a.png"), "ftp://127.0.0.1:1/out.png", size()).await;
    assert!(reply.header("x-imgserve-error").contains("[access] allow_networks"), "{reply:?}");
}

#[tokio::test]
async fn a_reload_takes_in_operations_and_access() {
    let server = Server::start("");
    let source = server.write("a.png", samples::encoded(60, 40, ImageFormat::Png));
    let destination = server.file_url("out.png");
    assert_eq!(server.post("small", &source, &destination, json!({})).await.body["code"], 102);
    let path = server.directory.path().join("imgserve.toml");
    let old = std::fs::read_to_string(&path).unwrap();
    let preset =
        "[operations.small]\nkind = 'builtin'\nplugin = 'resize'\nargs = { width = 8, height = 8 }\n";
    std::fs::write(&path, format!("{old}{preset}")).unwrap();
    let reload = || {
        let pid_file = server.directory.path().join("imgserve.pid");
        program().args(["reload", "--config"]).arg(&path).arg("-pid").arg(pid_file).output().unwrap()
    };
    assert!(reload().status.success());
    assert_eq!(server.get("/v1/operations/small").await.0, 200, "it is over when the command is");
    server.succeed("small", &source, &destination, json!({})).await;

    std::fs::write(&path, format!("{old}[operations.small]\nkind = 'builtin'\nplugin = 'resise'\n")).unwrap();
    let refused = reload();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(1) && said.contains("there is no builtin plugin `resise`"),
        "{said}"
    );
    assert!(server.log().contains("there is no builtin plugin `resise`"), "{}", server.log());
    server.succeed("small", &source, &destination, json!({})).await;
    std::fs::write(&path, "[sever]").unwrap();
    let output = reload();
    assert_eq!(output.status.code(), Some(64));
}

#[tokio::test]
async fn sighup_finishes_what_was_accepted() {
    let mut server = Server::start("[workers]\ncount = 1");
    let source = server.write("a.png", samples::encoded(1500, 1000, ImageFormat::Png));
    for number in 0..10 {
        let args = json!({ "width": 700, "height": 500 });
        server.submit("resize", &source, &server.file_url(&format!("{number}.png")), args).await;
    }
    server.signal("HUP");
    assert!(server.wait_end().success());
    for number in 0..10 {
        assert!(!is_placeholder(&server.read(&format!("{number}.png"))), "job {number} was dropped");
    }
}

#[tokio::test]
async fn ctrl_c_stops_promptly() {
    let mut server = Server::start("[server]\nstop_timeout_s = 1\n");
    let began = std::time::Instant::now();
    server.signal("INT");
    assert!(server.wait_end().success());
    assert!(began.elapsed().as_secs() < 10);
    assert!(!server.directory.path().join("imgserve.pid").exists());
}

#[test]
fn the_effective_configuration_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("c.toml");
    std::fs::write(&path, "[server]\nport = 1\n").unwrap();
    let output = program().args(["config", "--config"]).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("port = 1  # default: 8602") && text.contains("# Largest source, in MiB;"),
        "{text}"
    );
    std::fs::write(&path, &text).unwrap();
    let again = program().args(["config", "--config"]).arg(&path).output().unwrap();
    assert!(again.status.success(), "what is printed must be a configuration");
}
