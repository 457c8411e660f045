//! Ours: `GET /v1/operations/{resize,rasterize}/render`, once for each profile of `[codec]` if there are any.

use std::path::{Path as File, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::process::{free_port, install};
use super::{Contender, Ground, Listens};

const BUILD: Duration = Duration::from_secs(30 * 60);

pub(super) async fn contenders(ground: &Ground) -> Result<Vec<Contender>, String> {
    let program = match &ground.imgserve {
        Some(program) => program.clone(),
        None => build(ground).await?,
    };
    let mut all = builds(ground, "imgserve", &program)?;
    if let Some(before) = &ground.before {
        all.extend(builds(ground, "before", before)?);
    }
    Ok(all)
}

/// One build, called `name`.
fn builds(ground: &Ground, name: &str, program: &File) -> Result<Vec<Contender>, String> {
    if !has_profiles(program) {
        return Ok(vec![contender(ground, (name, program), None)?]);
    }
    [Some("fast"), Some("best")]
        .map(|profile| contender(ground, (name, program), profile))
        .into_iter()
        .collect()
}

/// The release build, in the folder from which this bench was started.
async fn build(ground: &Ground) -> Result<PathBuf, String> {
    let bench = std::env::current_exe().map_err(|error| error.to_string())?;
    let release = bench.parent().and_then(File::parent).ok_or("the bench lies in no target folder")?;
    let target = release.parent().ok_or("the bench lies in no target folder")?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--package", "imgserve", "--target-dir"]).arg(target);
    install("imgserve (release build)", command, &ground.folder.join("imgserve-build.log"), BUILD).await?;
    Ok(release.join("imgserve"))
}

/// `imgserve config` prints every key that there is.
fn has_profiles(program: &File) -> bool {
    let output = Command::new(program).arg("config").output();
    output.is_ok_and(|output| profile_key(&String::from_utf8_lossy(&output.stdout)))
}

fn profile_key(configuration: &str) -> bool {
    let mut lines = configuration.lines().skip_while(|line| *line != "[codec]").skip(1);
    lines.by_ref().take_while(|line| !line.starts_with('[')).any(|line| line.starts_with("profile ="))
}

fn contender(
    ground: &Ground,
    (name, program): (&str, &File),
    profile: Option<&str>,
) -> Result<Contender, String> {
    let name = profile.map_or(name.to_owned(), |profile| format!("{name} {profile}"));
    let folder = ground.folder.join(name.replace(' ', "-"));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Another program's of an earlier run may be too new for this one.
    for part in ["jobs.db", "jobs.db-wal", "jobs.db-shm"] {
        let _ = std::fs::remove_file(folder.join(part));
    }
    let (port, file) = (free_port()?, folder.join("imgserve.toml"));
    std::fs::write(&file, configuration(ground, &folder, port, profile))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let mut command = Command::new(program);
    command.args(["start", "--foreground", "--config"]).arg(&file);
    command.arg("-pid").arg(folder.join("pid")).arg("-logdir").arg(folder.join("log"));
    let sources = ground.sources.display().to_string();
    let (format, quality) = (ground.format.clone(), ground.quality);
    let (drawings, several) = (sources.clone(), sources.clone());
    let output = format!(r#""output": {{"format": "{format}", "quality": {quality}}}"#);
    Ok(Contender {
        name,
        command,
        listens: Listens::On(port),
        picture: Box::new(move |source, side| {
            format!(
                "/v1/operations/resize/render?src=file://{sources}/{source}&width={side}&height={side}&fit=inside&format={format}&quality={quality}"
            )
        }),
        drawing: Some(Box::new(move |source, side| {
            format!(
                "/v1/operations/rasterize/render?src=file://{drawings}/{source}&width={side}&height={side}"
            )
        })),
        job: Some(Box::new(move |source, sides| {
            let one = |side: &u32| {
                format!(
                    r#"{{"operationType": "resize", "args": {{"width": {side}, "height": {side}, "fit": "inside"}}, "dstURL": "file://{several}/result-{side}", {output}}}"#
                )
            };
            let outputs: Vec<String> = sides.iter().map(one).collect();
            let job = format!(
                r#"{{"srcURL": "file://{several}/{source}", "placeholder": false, "outputs": [{}]}}"#,
                outputs.join(", ")
            );
            ("/v1/jobs".to_owned(), job)
        })),
        variant_of: None,
    })
}

fn configuration(ground: &Ground, folder: &File, port: u16, profile: Option<&str>) -> String {
    let codec = profile.map_or(String::new(), |profile| format!("[codec]\nprofile = \"{profile}\"\n"));
    format!(
        "[server]\nhost = \"127.0.0.1\"\nport = {port}\n[workers]\ncount = {}\n[access]\nfile_roots = [{:?}]\n\
         [jobs]\njournal = {:?}\n[plugins]\ncache_dir = {:?}\n[log]\nlevel = \"warn\"\n{codec}",
        ground.cores,
        ground.sources.display().to_string(),
        folder.join("jobs.db").display().to_string(),
        folder.join("cache").display().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_a_key_of_the_codec_section_alone() {
        assert!(profile_key("[server]\nport = 1\n\n[codec]\n# fast or best\nprofile = \"fast\"\n\n[log]\n"));
        assert!(!profile_key("[codec]\nquality = 80\n[log]\nprofile = \"x\"\n"));
        assert!(!profile_key("[server]\nprofile = \"x\"\n"));
    }
}
