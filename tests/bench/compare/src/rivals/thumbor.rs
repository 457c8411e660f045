//! thumbor (Python with Pillow).

use std::process::Command;
use std::time::Duration;

use super::process::{free_port, has, install};
use super::{Contender, Ground, Listens, not_installed};

const VERSION: &str = "7.8.0";
const LIMIT: Duration = Duration::from_secs(10 * 60);

pub(super) async fn contenders(ground: &Ground) -> Result<Vec<Contender>, String> {
    let venv = ground.folder.join("thumbor");
    let program = venv.join("bin/thumbor");
    if !program.exists() {
        not_installed(ground)?;
        if !has("python3", "--version") {
            return Err("it needs Python: apt-get install -y python3 python3-venv".to_owned());
        }
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(&venv);
        install("a venv for thumbor", command, &ground.folder.join("thumbor-venv.log"), LIMIT)
            .await
            .map_err(|error| format!("{error}\napt-get install -y python3-venv may help"))?;
        let mut command = Command::new(venv.join("bin/pip"));
        command
            .args(["install", &format!("thumbor=={VERSION}"), "--cache-dir"])
            .arg(ground.folder.join("pip-cache"));
        install("thumbor", command, &ground.folder.join("thumbor-install.log"), LIMIT).await?;
    }
    let (port, file) = (free_port()?, ground.folder.join("thumbor.conf"));
    let configuration = format!(
        "LOADER = 'thumbor.loaders.file_loader'\nFILE_LOADER_ROOT_PATH = {:?}\n\
         STORAGE = 'thumbor.storages.no_storage'\nRESULT_STORAGE = None\nQUALITY = {}\n",
        ground.sources.display().to_string(),
        ground.quality
    );
    std::fs::write(&file, configuration).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut command = Command::new(program);
    command.args(["--ip", "127.0.0.1", "--log-level", "error", "--port"]).arg(port.to_string());
    command.arg("--processes").arg(ground.cores.to_string()).arg("--conf").arg(&file);
    Ok(vec![Contender {
        name: "thumbor".to_owned(),
        command,
        listens: Listens::On(port),
        picture: Box::new(|source, side| format!("/unsafe/fit-in/{side}x{side}/{source}")),
        drawing: None,
        job: None,
        variant_of: None,
    }])
}
