//! A real imgserve in the foreground on a free port with a temporary directory, and a client that speaks 0.2.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use sha2::Digest as _;
use tempfile::TempDir;

/// Longer than any job of these tests takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of SIGHUP where a test does not say otherwise, even if whoever runs the tests ignores it (nohup).
const HANGUP: &str = "--default-signal=HUP";

/// The file of the program under test: IMGSERVE_TEST_BINARY, or the one that cargo has built for this.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("IMGSERVE_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_imgserve").into()).into()
}

/// The program under test.
pub(crate) fn program() -> Command {
    Command::new(binary())
}

/// The same, for a server in the foreground that is to hear SIGHUP.
pub(crate) fn program_that_hears_hangups() -> Command {
    let mut command = Command::new("env");
    command.arg(HANGUP).arg(binary());
    command
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    /// The file of its program.
    program: PathBuf,
    /// What becomes of SIGHUP, in words of env(1).
    hangup: &'static str,
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
        Self::start_with(&with_access(extra))
    }

    /// Starts one with this configuration; `FILES` in it stands for the directory of its files.
    pub(crate) fn start_with(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config)
    }

    /// The same in a directory that is there already; a relative path in the configuration is meant from there.
    pub(crate) fn start_in(directory: TempDir, config: &str) -> Self {
        Self::try_start_in(directory, config).unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// The same with another program than the one under test.
    pub(crate) fn start_program(program: PathBuf, directory: TempDir, config: &str) -> Self {
        Self::try_start_program(program, HANGUP, directory, config)
            .unwrap_or_else(|log| panic!("the server did not start:\n{log}"))
    }

    /// Starts one as [`Self::start`] does, by somebody who ignores SIGHUP.
    pub(crate) fn start_ignoring_hangup(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::try_start_program(binary(), "--ignore-signal=HUP", directory, &with_access(extra)).unwrap()
    }

    /// Starts one as [`Self::start`] does, with this in its environment: `NAME=VALUE`.
    #[cfg(feature = "failpoints")]
    pub(crate) fn start_where(setting: &'static str, extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::try_start_program(binary(), setting, directory, &with_access(extra)).unwrap()
    }

    /// Starts it again, after it has ended, with nothing special in its environment.
    #[cfg(feature = "failpoints")]
    pub(crate) fn restart_undisturbed(&mut self) {
        self.hangup = HANGUP;
        self.restart();
    }

    /// Starts one as [`Self::start`] does, or gives what it said when it refused to start.
    pub(crate) fn try_start(extra: &str) -> Result<Self, String> {
        Self::try_start_in(tempfile::tempdir().unwrap(), &with_access(extra))
    }

    /// One that must refuse to start; gives what it says.
    pub(crate) fn refuses(extra: &str) -> String {
        match Self::try_start(extra) {
            Err(log) => log,
            Ok(server) => panic!("it started all the same:\n{}", server.log()),
        }
    }

    fn try_start_in(directory: TempDir, config: &str) -> Result<Self, String> {
        Self::try_start_program(binary(), HANGUP, directory, config)
    }

    fn try_start_program(
        program: PathBuf,
        hangup: &'static str,
        directory: TempDir,
        config: &str,
    ) -> Result<Self, String> {
        write_config(directory.path(), config);
        let mut process = spawn(&program, hangup, directory.path());
        let (lines, log) = follow(&mut process);
        match lines.recv().unwrap() {
            Some(origin) => Ok(Self { program, hangup, process, directory, origin, log, client: client() }),
            None => {
                let status = process.wait().unwrap();
                let log = log.lock().unwrap().join("\n");
                assert_eq!(status.code(), Some(1), "{log}");
                Err(log)
            }
        }
    }

    /// Changes the configuration of one started by [`Self::start`] and has it taken in; gives the line that says how
    /// that went.
    pub(crate) async fn reload(&self, extra: &str) -> String {
        write_config(self.directory.path(), &with_access(extra));
        let before = self.reloads().len();
        self.signal("USR1");
        until("the reload is over", async || self.reloads().len() > before).await;
        self.reloads().swap_remove(before)
    }

    fn reloads(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|line| line.contains("configuration") && line.contains("reloaded"))
            .cloned()
            .collect()
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

    /// Posts JSON with headers; gives status, headers and body.
    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        headers: &[(&'static str, &str)],
    ) -> (u16, HeaderMap, Value) {
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        (status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Posts to `/v1/jobs`.
    pub(crate) async fn post_job(
        &self,
        body: &Value,
        headers: &[(&'static str, &str)],
    ) -> (u16, HeaderMap, Value) {
        let request = self.client.post(format!("{}/v1/jobs", self.origin)).body(body.to_string());
        self.send(request, headers).await
    }

    /// Posts a text as it is; gives status and body.
    pub(crate) async fn post_text(&self, path: &str, text: &str) -> (u16, Value) {
        let request = self.client.post(format!("{}{path}", self.origin)).body(text.to_owned());
        let (status, _, body) = self.send(request, &[]).await;
        (status, body)
    }

    pub(crate) async fn post_to(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.send(self.client.post(format!("{}{path}", self.origin)), &[]).await;
        (status, body)
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.send(self.client.delete(format!("{}{path}", self.origin)), &[]).await;
        (status, body)
    }

    /// Ends it as the kernel does when there is no memory left.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, after it has ended, with the same files.
    pub(crate) fn restart(&mut self) {
        let mut process = spawn(&self.program, self.hangup, self.directory.path());
        let (lines, log) = follow(&mut process);
        self.origin = lines.recv().unwrap().expect("it starts again");
        (self.process, self.log) = (process, log);
    }

    /// Starts another program, after it has ended, with the same files.
    pub(crate) fn restart_as(&mut self, program: PathBuf) {
        self.program = program;
        self.restart();
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
            if matches!(record["state"].as_str(), Some("succeeded" | "failed" | "cancelled")) {
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

    /// How many workers died and were replaced.
    pub(crate) async fn restarts(&self) -> u64 {
        self.get("/readyz").await.1["worker_restarts"].as_u64().unwrap()
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

pub(crate) fn client() -> reqwest::Client {
    // TLS is set up by the first client that needs it; these speak plain HTTP to loopback.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// May reach loopback and its files.
fn with_access(extra: &str) -> String {
    format!("[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [\"FILES\"]\n{extra}")
}

/// Writes the configuration of the server in `directory`, which compiles plugins into that directory unless it says
/// otherwise.
fn write_config(directory: &Path, config: &str) {
    let files = directory.join("files");
    std::fs::create_dir_all(&files).unwrap();
    let cache = format!("[plugins]\ncache_dir = {:?}", directory.join("cache"));
    let config = match config.contains("[plugins]") {
        _ if config.contains("cache_dir") => config.to_owned(),
        true => config.replace("[plugins]", &cache),
        false => format!("{config}\n{cache}\n"),
    };
    let journal = format!("[jobs]\njournal = {:?}", directory.join("journal.db"));
    let config = match config.contains("[jobs]") {
        _ if config.contains("\njournal = ") => config.to_owned(),
        true => config.replace("[jobs]", &journal),
        false => format!("{config}\n{journal}\n"),
    };
    let config = config.replace("FILES", files.to_str().unwrap());
    std::fs::write(directory.join("imgserve.toml"), config).unwrap();
}

fn spawn(program: &Path, hangup: &str, directory: &Path) -> Child {
    Command::new("env")
        .arg(hangup)
        .arg(program)
        .args(["start", "--foreground", "-host", "127.0.0.1", "-port", "0", "--config"])
        .arg(directory.join("imgserve.toml"))
        .arg("-pid")
        .arg(directory.join("imgserve.pid"))
        .env("NO_COLOR", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Follows a server's log; says where it listens, or none when it ended before that.
fn follow(process: &mut Child) -> (mpsc::Receiver<Option<String>>, Arc<Mutex<Vec<String>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (sender, receiver) = mpsc::channel();
    let written = Arc::clone(&log);
    std::thread::spawn(move || {
        let origin = lines.find_map(|line| {
            let found = line.split("listens on ").nth(1).map(|origin| origin.trim().to_owned());
            written.lock().unwrap().push(line);
            found
        });
        sender.send(origin).unwrap();
        lines.for_each(|line| written.lock().unwrap().push(line));
    });
    (receiver, log)
}

/// A plugin that `tests/run` has built.
pub(crate) fn plugin(file: &str) -> PathBuf {
    let directory = match std::env::var_os("IMGSERVE_TEST_PLUGINS") {
        Some(directory) => PathBuf::from(directory),
        None => beside("../target/plugins"),
    };
    let path = directory.join(file);
    assert!(
        path.exists(),
        "{} is not there: `tests/run` builds the plugins that the tests load; for one test alone, build it with \
         `imgserve plugin build` and name its directory in IMGSERVE_TEST_PLUGINS",
        path.display()
    );
    path.canonicalize().unwrap()
}

/// The section of an operation whose plugin is the file at `path`, of the kind that its ending tells, with `more` keys.
pub(crate) fn section(name: &str, path: &Path, more: &str) -> String {
    let native = path.extension().is_some_and(|extension| extension == "so");
    let (kind, digest) = match native {
        true => ("native", format!("sha256 = \"{}\"\n", sha256(path))),
        false => ("wasm", String::new()),
    };
    format!("[operations.{name}]\nkind = \"{kind}\"\npath = {path:?}\n{digest}{more}\n")
}

/// The section of a codec that is the file at `path`, with `more` keys.
pub(crate) fn codec_section(name: &str, path: &Path, more: &str) -> String {
    format!("[codecs.{name}]\nkind = \"wasm\"\npath = {path:?}\n{more}\n")
}

/// SHA-256 of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> String {
    let digest = sha2::Sha256::digest(std::fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
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

/// Status, headers and body of a direct call.
pub(crate) async fn call(server: &Server, path: &str, source: &[u8]) -> (u16, HeaderMap, Vec<u8>) {
    let request = reqwest::Client::new().post(format!("{}/v1/operations/{path}", server.origin));
    let response = request.body(source.to_vec()).send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.bytes().await.unwrap().to_vec())
}

/// What a direct call's client is warned of; empty for nothing.
pub(crate) fn warning(headers: &HeaderMap) -> &str {
    headers.get("x-imgserve-warning").map(|value| value.to_str().unwrap()).unwrap_or_default()
}
