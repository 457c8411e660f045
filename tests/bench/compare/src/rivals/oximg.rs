//! oximg (Rust around mozjpeg's libjpeg-turbo, jpegli and its own resampler): its speed profile and its defaults.

use std::process::Command;
use std::time::Duration;

use super::process::{free_port, has, install};
use super::{Contender, Ground, Listens, not_installed};

const VERSION: &str = "0.18.1";
/// It is built with link-time optimisation.
const LIMIT: Duration = Duration::from_secs(40 * 60);
/// As the project measured itself where speed was all that counted.
const SPEED: [(&str, &str); 3] =
    [("OXIMG_RESIZE", "srgb"), ("OXIMG_DCT_MARGIN", "1.0"), ("OXIMG_JPEG_PROGRESSIVE", "0")];

pub(super) async fn contenders(ground: &Ground) -> Result<Vec<Contender>, String> {
    let root = ground.folder.join("oximg");
    let program = root.join("bin/oximg");
    if !program.exists() {
        not_installed(ground)?;
        if !has("cmake", "--version") || !has("nasm", "-v") {
            return Err("it needs cmake and nasm: apt-get install -y cmake nasm".to_owned());
        }
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["install", "oximg", "--locked", "--version", VERSION, "--root"]).arg(&root);
        command.env("CARGO_TARGET_DIR", ground.folder.join("oximg-build"));
        install("oximg", command, &ground.folder.join("oximg-build.log"), LIMIT).await?;
    }
    let one = |name: &str, settings: &[(&str, &str)]| -> Result<Contender, String> {
        let port = free_port()?;
        let mut command = Command::new(&program);
        command
            .env("OXIMG_BIND", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("IMAGES_DIR", &ground.sources);
        command.env("QUALITY", ground.quality.to_string()).env("OXIMG_WORKERS", ground.cores.to_string());
        command.envs(settings.iter().copied());
        Ok(Contender {
            name: format!("oximg {name}"),
            command,
            listens: Listens::On(port),
            picture: Box::new(|source, side| format!("/resize/{side}/{side}/{source}")),
            drawing: None,
            variant_of: None,
        })
    };
    Ok(vec![one("speed", &SPEED)?, one("default", &[])?])
}
