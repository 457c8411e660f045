//! The server under test as a process that is killed and started again on the same journal and port.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{children, signal};

/// How long a server may take from its start to serving, on a loaded machine.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(3);

/// A server's directory, port and, while it runs, process.
pub(crate) struct Victim {
    program: PathBuf,
    pub(crate) directory: PathBuf,
    files: PathBuf,
    port: u16,
    process: Option<Child>,
    environment: Vec<(String, String)>,
}

impl Victim {
    /// One that may reach loopback and its files, with `extra` TOML; `[jobs]` is written here, with the lines of `jobs`.
    pub(crate) fn new(program: &Path, directory: &Path, jobs: &str, extra: &str) -> Self {
        let victim = Self::with_files(program, directory, &directory.join("files"));
        victim.configure(&victim.directory.join("journal.db"), jobs, extra);
        victim
    }

    /// One whose files are there; it is to be configured.
    pub(crate) fn with_files(program: &Path, directory: &Path, files: &Path) -> Self {
        for made in [directory, files] {
            std::fs::create_dir_all(made).unwrap();
        }
        Self {
            program: program.to_owned(),
            port: free_port(),
            process: None,
            environment: Vec::new(),
            directory: directory.to_owned(),
            files: files.to_owned(),
        }
    }

    /// Writes its configuration.
    pub(crate) fn configure(&self, journal: &Path, jobs: &str, extra: &str) {
        let config = format!(
            "[access]\nallow_networks = [\"127.0.0.0/8\"]\nfile_roots = [{:?}]\nshared_files = true\n[plugins]\ncache_dir = {:?}\n\
             [jobs]\njournal = {journal:?}\n{jobs}\n{extra}\n",
            self.files(),
            self.directory.join("cache"),
        );
        std::fs::write(self.directory.join("imgserve.toml"), config).unwrap();
    }

    /// Has further starts find this in their environment.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    pub(crate) fn files(&self) -> PathBuf {
        self.files.clone()
    }

    /// One of its files.
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.files().join(name)).unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Begins to start it.
    pub(crate) fn spawn(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        // Stopped by SIGHUP, even if whoever runs the test ignores it (nohup).
        let mut command = Command::new("env");
        command
            .arg("--default-signal=HUP")
            .arg(&self.program)
            .args([
                "start",
                "--foreground",
                "-host",
                "127.0.0.1",
                "-port",
                &self.port.to_string(),
                "--config",
            ])
            .arg(self.directory.join("imgserve.toml"))
            .arg("-pid")
            .arg(self.directory.join("imgserve.pid"))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0);
        self.process = Some(command.spawn().unwrap());
    }

    /// Starts it and waits until it answers; gives how long that took, or what it says when it ends instead.
    pub(crate) async fn start(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        self.spawn();
        while !self.serves().await {
            if let Some(status) = self.ended() {
                return Err(format!("it ended with {status}:\n{}", self.last_log(30)));
            }
            if began.elapsed() > START_PATIENCE {
                return Err(format!("it does not serve:\n{}", self.last_log(30)));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(began.elapsed())
    }

    /// Whether it answers. A client of its own: no connection of a predecessor's is in the way.
    async fn serves(&self) -> bool {
        let asked = client(Duration::from_secs(5)).get(self.url("/healthz")).send().await;
        asked.is_ok_and(|response| response.status() == 200)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Ids of its workers' processes.
    pub(crate) fn workers(&self) -> Vec<u32> {
        self.pid().map(children).unwrap_or_default()
    }

    /// `kill -9`, and waits until it is gone. Gives the workers that it had.
    pub(crate) fn kill(&mut self) -> Vec<u32> {
        let workers = self.workers();
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        workers
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid().unwrap(), name);
    }

    /// Its exit status, once it has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().unwrap()?;
        self.process = None;
        Some(status)
    }

    /// Waits until it has ended by itself; none when it has not within `limit`.
    pub(crate) async fn end_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        let began = Instant::now();
        while began.elapsed() < limit {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.directory.join("imgserve.log")
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The last lines of its log.
    pub(crate) fn last_log(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody has now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// Reads all of it.
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Result<Self, reqwest::Error> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self { status, headers, body })
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client that waits no longer than `limit`.
pub(crate) fn client(limit: Duration) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(limit).build().unwrap()
}
