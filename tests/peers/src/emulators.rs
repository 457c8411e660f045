//! Servers of others' making that speak as Azure and Google Cloud Storage do: Azurite (from npm) and gcp-storage-emulator (from PyPI),
//! which `tests/run` installs beneath `target/tools`.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

/// How long one may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(20);

/// A running server; killed when dropped.
#[derive(Debug)]
pub struct Emulator {
    /// `http://127.0.0.1:PORT`
    pub origin: String,
    process: Child,
    _files: TempDir,
}

impl Emulator {
    /// Azurite's account.
    pub const AZURE_ACCOUNT: &'static str = "devstoreaccount1";
    /// The key of that, the same in every Azurite.
    pub const AZURE_KEY: &'static str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

    /// Starts Azurite, without a container.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn azure() -> Self {
        let program = tool(
            "azurite/node_modules/.bin/azurite-blob",
            "npm install --prefix target/tools/azurite azurite@3.37.0",
        );
        Self::start(|port, files| {
            let mut command = Command::new("node");
            command.arg(program).args([
                "--silent",
                "--skipApiVersionCheck",
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
            ]);
            command.arg(port.to_string()).arg("--location").arg(files.path());
            command
        })
        .await
    }

    /// Starts gcp-storage-emulator with this bucket.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn google(bucket: &str) -> Self {
        let packages =
            tool("gcs", "python3 -m pip install --target target/tools/gcs gcp-storage-emulator==2026.7.19");
        Self::start(|port, _| {
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", packages).args(["-m", "gcp_storage_emulator", "start", "--in-memory"]);
            command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--default-bucket", bucket]);
            command
        })
        .await
    }

    async fn start(command: impl FnOnce(u16, &TempDir) -> Command) -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let mut command = command(address.port(), &files);
        let process = command.current_dir(files.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let emulator = Self { origin: format!("http://{address}"), process, _files: files };
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("it listens in time");
        emulator
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

/// A file that `tests/run` has installed.
fn tool(path: &str, how: &str) -> PathBuf {
    let tools = match std::env::var_os("IMGSERVE_TEST_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"),
    };
    let found = tools.join(path);
    assert!(
        found.exists(),
        "{} is not there: `tests/run` installs it; by hand, type: {how}",
        found.display()
    );
    found.canonicalize().expect("it is there")
}
