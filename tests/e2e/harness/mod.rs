//! A real imgserve in the foreground on a free port with a temporary directory, and a client that speaks 0.2.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than any job of these tests takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_imgserve"))
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) directory: TempDir,
    pub(crate) origin: String,
    log: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
}

/// What came back from a POST.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(crate) fn job(&self) -> &str {
        self.header("x-job-id")
    }
}

impl Server {
    /// Starts one that may reach loopback, with `extra` TOML.
    pub(crate) fn start(extra: &str) -> Self {
        Self::start_with(&format!(
            "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [\"FILES\"]\n{extra}"
        ))
    }

    /// Starts one with this configuration; `FILES` in it stands for the directory of its files.
    pub(crate) fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = directory.path().join("files");
        std::fs::create_dir(&files).unwrap();
        let config = config.replace("FILES", files.to_str().unwrap());
        std::fs::write(directory.path().join("imgserve.toml"), config).unwrap();
        let mut process = program()
            .args(["start", "--foreground", "-host", "127.0.0.1", "-port", "0", "--config"])
            .arg(directory.path().join("imgserve.toml"))
            .arg("-pid")
            .arg(directory.path().join("imgserve.pid"))
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (origin, log) = follow(&mut process);
        Self { process, directory, origin, log, client: client() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.directory.path().join("files")
    }

    /// A `file://` URL of a name in the server's directory.
    pub(crate) fn file_url(&self, name: &str) -> String {
        format!("file://{}", self.files().join(name).display())
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        std::fs::write(self.files().join(name), bytes).unwrap();
        self.file_url(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.files().join(name)).unwrap()
    }

    pub(crate) async fn post_body(&self, body: impl Into<reqwest::Body>) -> Reply {
        let response = self.client.post(&self.origin).body(body).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Reply { status, headers, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub(crate) async fn post(&self, operation: &str, source: &str, destination: &str, args: Value) -> Reply {
        let request =
            json!({ "operationType": operation, "srcURL": source, "dstURL": destination, "args": args });
        self.post_body(request.to_string()).await
    }

    /// Posts a job that must be accepted; gives its id.
    pub(crate) async fn submit(
        &self,
        operation: &str,
        source: &str,
        destination: &str,
        args: Value,
    ) -> String {
        let reply = self.post(operation, source, destination, args).await;
        assert!(reply.body.get("dstURL").is_some(), "refused: {reply:?}");
        reply.job().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(format!("{}{path}", self.origin)).send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// The job's record once it has ended.
    pub(crate) async fn ended(&self, job: &str) -> Value {
        let began = Instant::now();
        loop {
            let (status, record) = self.get(&format!("/v1/jobs/{job}")).await;
            assert_eq!(status, 200, "{record}");
            if matches!(record["state"].as_str(), Some("succeeded" | "failed")) {
                return record;
            }
            assert!(began.elapsed() < PATIENCE, "still not done: {record}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Posts a job and waits until it has succeeded.
    pub(crate) async fn succeed(
        &self,
        operation: &str,
        source: &str,
        destination: &str,
        args: Value,
    ) -> Value {
        let job = self.submit(operation, source, destination, args).await;
        let record = self.ended(&job).await;
        assert_eq!(record["state"], "succeeded", "{record}");
        record
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Process ids of the server's workers.
    pub(crate) fn workers(&self) -> Vec<u32> {
        children(self.pid())
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for the server to end by itself.
    pub(crate) fn wait_end(&mut self) -> std::process::ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client() -> reqwest::Client {
    // TLS is set up by the first client that needs it; these speak plain HTTP to loopback.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Follows a server's log; returns when it says where it listens.
fn follow(process: &mut Child) -> (String, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let origin = loop {
        let Some(Ok(line)) = lines.next() else {
            panic!("the server did not start:\n{}", log.lock().unwrap().join("\n"));
        };
        let found = line.split("listens on ").nth(1).map(|origin| origin.trim().to_owned());
        log.lock().unwrap().push(line);
        if let Some(origin) = found {
            break origin;
        }
    };
    let more = Arc::clone(&log);
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| more.lock().unwrap().push(line)));
    (origin, log)
}

/// Process ids of a process's children (proc(5)).
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}

/// A figure in KiB from /proc/PID/status, such as `VmHWM`.
pub(crate) fn memory_kib(pid: u32, field: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

/// Width, height and format of an encoded image, by the `image` crate: not the decoder under test.
pub(crate) fn look(bytes: &[u8]) -> (u32, u32, image::ImageFormat) {
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format().unwrap();
    let format = reader.format().expect("an image");
    let image = reader.decode().unwrap();
    (image.width(), image.height(), format)
}

/// Whether an image is white but for a line of dark words in its middle: a placeholder.
pub(crate) fn is_placeholder(bytes: &[u8]) -> bool {
    let image = image::load_from_memory(bytes).unwrap().to_rgb8();
    let white = image.pixels().filter(|pixel| pixel.0.iter().all(|&level| level > 200)).count();
    let corners_white = image.get_pixel(0, 0).0.iter().all(|&level| level > 250);
    let share = white as f64 / f64::from(image.width() * image.height());
    corners_white && (0.6..1.0).contains(&share)
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The path of a file beside the tests.
pub(crate) fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests").join(path)
}
