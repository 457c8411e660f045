//! oximg (Rust around mozjpeg's libjpeg-turbo, jpegli and its own resampler): its speed profile and its defaults as a server; and its
//! command, as what writes files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{free_port, has, install};
use super::{Contender, Ground, Listens, not_installed};

const VERSION: &str = "0.18.1";
/// It is built with link-time optimisation.
const LIMIT: Duration = Duration::from_secs(40 * 60);
/// As the project measured itself where speed was all that counted.
const SPEED: [(&str, &str); 3] =
    [("OXIMG_RESIZE", "srgb"), ("OXIMG_DCT_MARGIN", "1.0"), ("OXIMG_JPEG_PROGRESSIVE", "0")];

/// Its program, installed if need be.
pub(super) async fn installed(ground: &Ground) -> Result<PathBuf, String> {
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
    Ok(program)
}

/// Writes the picture of a PNG at this quality, in the format that the extension of `to` says, in one thread; gives the milliseconds
/// that writing took, as the program tells them: its start and the reading of the PNG are not in them.
pub(super) fn write(program: &Path, [from, to]: [&Path; 2], quality: u8) -> Result<f64, String> {
    let mut command = Command::new(program);
    command.arg("resize").arg(from).args(["0", "0"]).arg(to).args(["-q", &quality.to_string()]);
    // WebP's quality has no option; what it takes, stage by stage, is told on stderr.
    command.env("OXIMG_WEBP_QUALITY", quality.to_string()).env("OXIMG_TIMING", "1").stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("{}: {error}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("oximg: {}; {}", output.status, said.trim_end()));
    }
    encoding(&said).ok_or_else(|| format!("oximg does not tell what writing took: {}", said.trim_end()))
}

/// The milliseconds of `encode=4.2ms`.
fn encoding(said: &str) -> Option<f64> {
    let (_, rest) = said.split_once(" encode=")?;
    rest.split_once("ms")?.0.parse().ok()
}

pub(super) async fn contenders(ground: &Ground) -> Result<Vec<Contender>, String> {
    let program = installed(ground).await?;
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
            job: None,
            variant_of: None,
        })
    };
    Ok(vec![one("speed", &SPEED)?, one("default", &[])?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_writing_took_is_read_of_what_it_says() {
        let said = "timing png decode(640x480)=4.1ms resize=0.0ms encode=12.5ms\noximg: wrote a.jpg (9 bytes, 640x480, image/jpeg)\n";
        assert_eq!(encoding(said), Some(12.5));
        assert_eq!(encoding("timing decode(9x9)+encode=1.0ms"), None);
    }
}
