//! All source schemes × all destination schemes, each against a real server: the placeholder is there when the reply
//! comes, and the result replaces it.

use image::ImageFormat;
use imgserve_peers::{Authority, Ftp, Web, samples};
use serde_json::{Value, json};

use crate::harness::{Server, is_placeholder, look};

/// Every peer, with the server's trust in their certificates.
struct World {
    server: Server,
    web: Web,
    secure_web: Web,
    ftp: Ftp,
    secure_ftp: Ftp,
}

impl World {
    async fn new() -> Self {
        let authority = Authority::new();
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), &authority.ca_pem).unwrap();
        let server = Server::start(&format!("[transfer]\nca_file = {:?}", ca.path()));
        Self {
            server,
            web: Web::start(None).await,
            secure_web: Web::start(Some(&authority)).await,
            ftp: Ftp::start(None).await,
            secure_ftp: Ftp::start(Some(&authority)).await,
        }
    }

    /// The same source under each scheme.
    fn offer(&self, name: &str, bytes: &[u8]) -> Vec<String> {
        self.web.put(name, bytes.to_vec());
        self.secure_web.put(name, bytes.to_vec());
        std::fs::write(self.ftp.path(name), bytes).unwrap();
        std::fs::write(self.secure_ftp.path(name), bytes).unwrap();
        vec![
            self.web.file(name),
            self.secure_web.file(name),
            format!("ftp://127.0.0.1:{}/{name}", self.ftp.port),
            format!("ftps://ann:p%3Aw@localhost:{}/{name}", self.secure_ftp.port),
            self.server.write(name, bytes),
        ]
    }

    /// A destination under each scheme (for http and https by form and by PUT), for a file of this name.
    fn destinations(&self, name: &str) -> Vec<String> {
        vec![
            self.web.form(name),
            self.web.file(name),
            self.secure_web.form(name),
            self.secure_web.file(name),
            format!("ftp://ann:p%3Aw@127.0.0.1:{}/{name}", self.ftp.port),
            format!("ftps://127.0.0.1:{}/{name}", self.secure_ftp.port),
            self.server.file_url(&format!("made/on/demand/{name}")),
        ]
    }

    /// What is at a destination now.
    fn at(&self, destination: &str, name: &str) -> Option<Vec<u8>> {
        let last = |web: &Web| web.versions(name).last().map(|bytes| bytes.to_vec());
        match destination.split("://").next().unwrap() {
            "http" => last(&self.web),
            "https" => last(&self.secure_web),
            "ftp" => std::fs::read(self.ftp.path(name)).ok(),
            "ftps" => std::fs::read(self.secure_ftp.path(name)).ok(),
            _ => std::fs::read(self.server.files().join("made/on/demand").join(name)).ok(),
        }
    }

    async fn check(&self, operation: &str, source: &str, destination: &str, name: &str) {
        let args = json!({ "width": 180, "height": 60, "field_name": "picture" });
        let reply = self.server.post(operation, source, destination, args).await;
        let what = format!("{operation} {source} -> {destination}");
        assert_eq!(reply.body, json!({ "dstURL": destination }), "{what}: {reply:?}");
        let placeholder = self.at(destination, name).unwrap_or_else(|| panic!("{what}: nothing is there"));
        assert_eq!(look(&placeholder).0, 180, "{what}");
        let record = self.server.ended(reply.job()).await;
        assert_eq!(record["state"], "succeeded", "{what}: {record}");
        let result = self.at(destination, name).unwrap();
        let (width, height, format) = look(&result);
        assert_eq!((width, height, Some(format)), (180, 60, ImageFormat::from_path(name).ok()), "{what}");
        assert_eq!(record["output"]["bytes"], json!(result.len()), "{what}");
        assert!(!is_placeholder(&result), "{what}: the placeholder is still there");
    }
}

#[tokio::test]
async fn every_source_scheme_to_every_destination_scheme() {
    let world = World::new().await;
    let sources = world.offer("source.png", &samples::encoded(400, 200, ImageFormat::Png));
    for (from, source) in sources.iter().enumerate() {
        let name = format!("result-{from}.png");
        for destination in world.destinations(&name) {
            world.check("resize", source, &destination, &name).await;
        }
    }
    for names in [world.ftp.names(), world.secure_ftp.names()] {
        assert!(!names.iter().any(|name| name.contains("part")), "left behind: {names:?}");
    }
    let left = std::fs::read_dir(world.server.files().join("made/on/demand")).unwrap();
    assert!(left.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("part")));
}

#[tokio::test]
async fn drawings_from_every_scheme() {
    let world = World::new().await;
    for (from, source) in world.offer("drawing.svg", samples::DRAWING.as_bytes()).iter().enumerate() {
        let name = format!("drawing-{from}.png");
        let destination = &world.destinations(&name)[from];
        world.check("rasterize", source, destination, &name).await;
    }
}

#[tokio::test]
async fn the_placeholder_comes_first_and_the_result_replaces_it() {
    let (server, web) = (Server::start(""), Web::start(None).await);
    web.put("a.jpg", samples::encoded(600, 400, ImageFormat::Jpeg));
    let args = json!({ "width": 240, "height": 120, "field_file": "picture" });
    server.succeed("resize", &web.file("a.jpg"), &web.form("b.jpg"), args).await;
    let versions = web.versions("b.jpg");
    assert_eq!(versions.len(), 2);
    assert!(is_placeholder(&versions[0]) && !is_placeholder(&versions[1]));
    for version in versions {
        assert_eq!(look(&version), (240, 120, ImageFormat::Jpeg));
    }
}

#[tokio::test]
async fn a_page_without_a_form_is_posted_to_itself() {
    let (server, web) = (Server::start(""), Web::start(None).await);
    let source = server.write("a.gif", samples::encoded(60, 40, ImageFormat::Gif));
    let args = json!({ "width": 20, "height": 10, "field_name": "picture" });
    let destination = format!("{}/plain:b.gif", web.origin);
    server.succeed("resize", &source, &destination, args).await;
    assert_eq!(web.versions("b.gif").len(), 2);
}

#[tokio::test]
async fn tags_are_substituted_as_0_2_did() {
    let (server, web) = (Server::start(""), Web::start(None).await);
    let source = server.write("cat.photo.JPG", samples::encoded(60, 40, ImageFormat::Jpeg));
    let size = json!({ "width": 30, "height": 20, "field_name": "picture", "fit": "inside" });
    for (destination, wanted) in [
        (server.file_url("{$basename}_{$width}x{$height}.{$ext}"), server.file_url("cat.photo_30x20.JPG")),
        (server.file_url("{$extension}/{$basename}.jpg"), server.file_url("JPG/cat.photo.jpg")),
        (web.form("{$width}.{$ext}"), web.form("30.JPG")),
    ] {
        let reply = server.post("resize", &source, &destination, size.clone()).await;
        assert_eq!(reply.body, json!({ "dstURL": wanted }), "{reply:?}");
        assert_eq!(server.ended(reply.job()).await["state"], "succeeded");
    }
    assert_eq!(web.versions("30.JPG").len(), 2);
}

#[tokio::test]
async fn every_extension_of_0_2() {
    let server = Server::start("");
    for (extension, format) in [
        ("png", ImageFormat::Png),
        ("gif", ImageFormat::Gif),
        ("jpg", ImageFormat::Jpeg),
        ("jpeg", ImageFormat::Jpeg),
        ("PNG", ImageFormat::Png),
    ] {
        let source = server.write(&format!("in.{extension}"), samples::encoded(60, 40, format));
        let name = format!("out.{}", extension.to_lowercase());
        let args: Value = json!({ "width": 20, "height": 20 });
        server.succeed("resize", &source, &server.file_url(&name), args).await;
        assert_eq!(look(&server.read(&name)), (20, 20, format));
    }
}

#[tokio::test]
async fn a_colon_in_the_sources_name_changes_no_destination() {
    let (server, web) = (Server::start(""), Web::start(None).await);
    let source = server.write("a:b.png", samples::encoded(60, 40, ImageFormat::Png));
    let size = json!({ "width": 20, "height": 10, "field_name": "picture" });
    for (destination, wanted) in [
        (web.file("{$basename}.png"), web.file("a:b.png")),
        (web.form("form-{$basename}.png"), web.form("form-a:b.png")),
    ] {
        let reply = server.post("resize", &source, &destination, size.clone()).await;
        assert_eq!(reply.body, json!({ "dstURL": wanted }), "{reply:?}");
        assert_eq!(server.ended(reply.job()).await["state"], "succeeded");
    }
    assert_eq!((web.versions("a:b.png").len(), web.versions("form-a:b.png").len()), (2, 2));
}

#[tokio::test]
async fn no_password_or_signature_is_told() {
    let (server, ftp, web) = (Server::start(""), Ftp::start(None).await, Web::start(None).await);
    std::fs::write(ftp.path("a.png"), samples::encoded(60, 40, ImageFormat::Png)).unwrap();
    let source = format!("ftp://ann:p%3Aw@127.0.0.1:{}/a.png", ftp.port);
    let destination = format!("{}?X-Signature=5ec2e7", web.file("b.png"));
    let record = server.succeed("resize", &source, &destination, json!({ "width": 20, "height": 10 })).await;
    for told in [record.to_string(), server.log()] {
        assert!(!told.contains("p%3Aw") && !told.contains("p:w") && !told.contains("5ec2e7"), "{told}");
    }
}
