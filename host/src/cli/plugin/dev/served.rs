//! A server of its own, on loopback, with the plugin in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::failure::Failure;
use crate::cli::start;

/// How long it may take to end by itself.
const ENDS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// The server's process; ended where this is dropped.
#[derive(Debug)]
pub(super) struct Served {
    child: Child,
    operation: String,
    port: u16,
    folder: PathBuf,
}

impl Served {
    /// Starts it with the plugin in this file; what it is made of lies in the crate's target/dev.
    pub(super) fn start(dir: &Path, file: &Path, port: u16) -> Result<Self, Failure> {
        let folder =
            std::path::absolute(dir.join("target/dev")).map_err(Failure::io("cannot find the folder"))?;
        std::fs::create_dir_all(&folder).map_err(Failure::io(format!("cannot make {}", folder.display())))?;
        let operation = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let config = folder.join("imgserve.toml");
        std::fs::write(&config, configuration(&folder, (&operation, file), port))
            .map_err(Failure::io(format!("cannot write {}", config.display())))?;
        let mut command = command("start", &folder)?;
        let child = command.arg("--foreground").arg("-logdir").arg(&folder).stdin(Stdio::null()).spawn();
        let child = child.map_err(Failure::io("cannot start the server"))?;
        Ok(Self { child, operation, port, folder })
    }

    /// Where the operation is called.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/v1/operations/{}", self.port, self.operation)
    }

    /// Whether it has not ended.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Has it take in a new build.
    pub(super) fn reload(&self) -> Result<(), Failure> {
        let status =
            command("reload", &self.folder)?.status().map_err(Failure::io("cannot reload the server"))?;
        let text = "the server goes on with the build before";
        if status.success() { Ok(()) } else { Err(Failure::Other(text.to_owned())) }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).filter(|_| self.runs())
        {
            let _ = kill_process(pid, Signal::TERM);
        }
        let began = Instant::now();
        while self.runs() && began.elapsed() < ENDS_WITHIN {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command for the server of this folder.
fn command(word: &str, folder: &Path) -> Result<Command, Failure> {
    let mut command = Command::new(start::program()?);
    command.arg(word).arg("--config").arg(folder.join("imgserve.toml")).arg("-pid").arg(folder.join("pid"));
    Ok(command)
}

fn configuration(folder: &Path, (operation, file): (&str, &Path), port: u16) -> String {
    let quoted = |path: &Path| toml::Value::from(path.to_string_lossy().into_owned());
    let (journal, file) = (quoted(&folder.join("jobs.db")), quoted(file));
    let operation = toml::Value::from(operation);
    format!(
        "# Written by `imgserve plugin dev --serve`.\n[server]\nhost = \"127.0.0.1\"\nport = {port}\n[jobs]\njournal = {journal}\n\
         [log]\nlevel = \"warn\"\n[operations.{operation}]\nkind = \"wasm\"\npath = {file}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_is_one() {
        let text = configuration(Path::new("/a \"b\""), ("my-op", Path::new("/x/my-op.wasm")), 8602);
        let config: imgserve_config::Config = imgserve_config::Config::parse(&text).unwrap();
        assert_eq!(config.server.port, 8602);
        assert_eq!(config.operations["my-op"].path.as_deref(), Some(Path::new("/x/my-op.wasm")));
    }
}
