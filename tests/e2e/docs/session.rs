//! A reader who follows a page: a home, a server on a port of its own, and whom the pages talk to.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use image::ImageFormat;
use imgserve_peers::{Ftp, S3, Web, samples};
use tempfile::TempDir;

use super::page::Block;
use crate::harness::{binary, plugin, signal};

/// Before the number of a block, in a session's output.
const MARK: &str = "--- block ";
/// Seconds that a page may take.
const PATIENCE: &str = "300";

/// The program as a reader types it, at home in $HOME also for root; `reload` returns when it is over.
const WRAPPER: &str = r#"#!/usr/bin/env bash
place=$HOME/.imgserve log=$HOME/.imgserve/log/imgserve.log own=()
case "$1 $2" in
    start*|restart*) own=(-pid "$place/imgserve.pid" -logdir "$place/log") ;;
    stop*|status*|reload*) own=(-pid "$place/imgserve.pid") ;;
esac
case "$*" in
    *--config*|*--help*|"config check "*|"plugin new"*|"plugin build"*|key*|demo*|version|help*) ;;
    *) own+=(--config "$place/imgserve.toml") ;;
esac
[ "$1" = reload ] || exec -a imgserve PROGRAM "$@" "${own[@]}"
said() { grep 'configuration .*reloaded' "$log"; }
before=$(said | wc -l)
PROGRAM "$@" "${own[@]}" || exit
until [ "$(said | wc -l)" -gt "$before" ]; do sleep 0.05; done
! said | tail -n 1 | grep ' not ' >&2
"#;

/// What ends a session: every job that a page's commands began must have succeeded, or have been cancelled.
const END: &str = r#"
imgserve status > /dev/null || imgserve start > /dev/null
unset IMGSERVE_KEY
sed -i '/^\[\[access.api_keys\]\]/,/^scopes/d' ~/.imgserve/imgserve.toml
imgserve reload > /dev/null
while imgserve jobs list --state accepting,accepted,running --json | grep -q '"id"'; do sleep 0.1; done
imgserve jobs list --state failed --json
imgserve stop > /dev/null
"#;

/// Those whom pages talk to.
pub(super) struct Peers {
    web: Web,
    ftp: Ftp,
    s3: S3,
}

impl Peers {
    pub(super) async fn start() -> Self {
        let (web, ftp) = (Web::start(None).await, Ftp::start(None).await);
        let s3 = S3::start(&["shop-photos"]).await;
        for (name, bytes) in files() {
            s3.put(&format!("shop-photos/{name}"), &bytes);
            web.put(name, bytes);
        }
        Self { web, ftp, s3 }
    }
}

/// What pages take for granted: in the reader's folder, and at example.org.
fn files() -> [(&'static str, Vec<u8>); 5] {
    // Its header (width and height of 2, four channels), two runs of the first pixel (black), its end.
    let qoi = *b"qoif\0\0\0\x02\0\0\0\x02\x04\0\xc1\xc1\0\0\0\0\0\0\0\x01";
    [
        ("photo.jpg", samples::encoded(1500, 1000, ImageFormat::Jpeg)),
        ("sample.png", samples::encoded(300, 200, ImageFormat::Png)),
        ("logo.svg", samples::DRAWING.into()),
        ("sprite.qoi", qoi.into()),
        ("photo.heic", crate::codecs::heic()),
    ]
}

/// A reader with a home and a free port.
pub(super) struct Session {
    directory: TempDir,
    /// What pages say, and what is meant.
    meant: Vec<(&'static str, String)>,
}

impl Session {
    pub(super) fn new(peers: &Peers) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let plugins = plugin("sepia.wasm").parent().unwrap().display().to_string();
        let (web, ftp) = (&peers.web.origin, peers.ftp.port);
        let mut session = Self { directory, meant: Vec::new() };
        let home = session.place("home").display().to_string();
        session.furnish(port, &home);
        session.meant = vec![
            ("127.0.0.1:8602", format!("127.0.0.1:{port}")),
            ("/home/you", home),
            ("/etc/imgserve/plugins", plugins),
            ("http://127.0.0.1:9000", peers.s3.origin.clone()),
            ("https://example.org", format!("{web}/files")),
            ("https://bucket.example.org", format!("{web}/files")),
            ("https://shop.example.org/hook", format!("{web}/plain")),
            ("http://example.org/upload", format!("{web}/")),
            ("ftp://user:password@ftp.example.org", format!("ftp://ann:p%3Aw@127.0.0.1:{ftp}")),
        ];
        session
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    /// Writes what is there before the first command.
    fn furnish(&self, port: u16, home: &str) {
        for folder in ["home/.imgserve/files", "bin", "blocks"] {
            fs::create_dir_all(self.place(folder)).unwrap();
        }
        let config = format!(
            "[server]\nhost = '127.0.0.1'\nport = {port}\n[jobs]\njournal = '{home}/.imgserve/jobs.db'\n\
             [access]\nallow_networks = ['127.0.0.0/8']\nfile_roots = ['{home}/.imgserve/files']\n\
             [plugins]\ncache_dir = '{home}/.imgserve/cache'\n"
        );
        fs::write(self.place("home/.imgserve/imgserve.toml"), config).unwrap();
        // What curl says when it fails is to be read, and not how far it is.
        fs::write(self.place("home/.curlrc"), "no-progress-meter\n").unwrap();
        let program = self.place("bin/imgserve");
        fs::write(&program, WRAPPER.replace("PROGRAM", &format!("'{}'", binary().display()))).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, bytes) in files() {
            fs::write(self.place("home").join(name), &bytes).unwrap();
            fs::write(self.place("home/.imgserve/files").join(name), &bytes).unwrap();
        }
    }

    /// What a page's text means here.
    pub(super) fn mean(&self, text: &str) -> String {
        self.meant.iter().fold(text.to_owned(), |text, (said, meant)| text.replace(said, meant))
    }

    /// What the shell is told to do about a block.
    pub(super) fn commands(&self, number: usize, block: &Block) -> String {
        let (file, text) = (self.place("blocks").join(number.to_string()), self.mean(&block.text));
        let shown = file.display();
        match block.language.as_str() {
            "sh" if block.is_run() => return text,
            "toml" => {}
            "json" if block.is_request() => {}
            _ => return String::new(),
        }
        fs::write(&file, text).unwrap();
        match (block.language.as_str(), block.note.as_str()) {
            ("json", _) => format!("curl -sS http://{}/v1/jobs -d @{shown}\n", self.meant[0].1),
            (_, "paste") => format!("cat {shown} >> ~/.imgserve/imgserve.toml; imgserve reload\n"),
            _ => format!("imgserve config --config {shown} > /dev/null\n"),
        }
    }

    fn script(&self, blocks: &[Block]) -> String {
        let mut script = "cd\n".to_owned();
        if !blocks.iter().any(|block| block.is_run() && block.text.contains("imgserve start")) {
            script += "imgserve start > /dev/null\n";
        }
        for (number, block) in blocks.iter().enumerate() {
            script += &format!("printf '\\n{MARK}%s\\n' {number}\n{}", self.commands(number, block));
        }
        script + &format!("printf '\\n{MARK}%s\\n' {}\n{END}", blocks.len())
    }

    /// Follows a page: what each block gave, and what was left of the jobs; why it went no further.
    pub(super) fn follow(&self, blocks: &[Block]) -> (Vec<String>, Option<String>) {
        let [script, out, err] = ["script", "stdout", "stderr"].map(|name| self.place(name));
        fs::write(&script, self.script(blocks)).unwrap();
        let path = format!("{}:{}", self.place("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("timeout");
        shell
            .args([PATIENCE, "bash", "-eo", "pipefail"])
            .arg(&script)
            .env("PATH", path)
            .env("HOME", self.place("home"));
        shell
            .env("NO_COLOR", "1")
            .env("no_proxy", "*")
            .env_remove("IMGSERVE_KEY")
            .current_dir(self.place("home"));
        shell.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let status = shell.status().unwrap();
        let [out, err] =
            [out, err].map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned());
        let parts = out.split(MARK).skip(1);
        let given = parts.map(|part| part.split_once('\n').unwrap_or_default().1.to_owned()).collect();
        (given, (!status.success()).then(|| format!("{status}\n{}", tail(&err))))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.place("home/.imgserve/imgserve.pid")).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse() {
            signal(pid, "KILL");
        }
    }
}

/// A port that stays free until it is taken: below those that the kernel gives out by itself.
fn free_port() -> u16 {
    let first = 20_000 + (std::process::id() % 10_000) as u16;
    (first..).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// The last lines of a text.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
