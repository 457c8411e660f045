//! A database's password, where its address has none: from a file of its own, `PGPASSWORD`, or a passfile (PostgreSQL, 34.16).
#![allow(clippy::disallowed_methods, reason = "small files, before a connection is made")]

use std::path::{Path, PathBuf};

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::address::is_private;

/// Finds it; none where nobody says one.
///
/// # Errors
/// The file of its own cannot be read.
pub(super) fn find(config: &Config, own: &Path, passfile: Option<&Path>) -> Result<Option<String>, String> {
    if !own.as_os_str().is_empty() {
        let text = std::fs::read_to_string(own)
            .map_err(|error| format!("[jobs] journal_password_file {}: {error}", own.display()))?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    if let Ok(password) = std::env::var("PGPASSWORD")
        && !password.is_empty()
    {
        return Ok(Some(password));
    }
    let Some(path) = passfile.map(Path::to_owned).or_else(default_passfile) else { return Ok(None) };
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(None) };
    if !is_private(&path) {
        tracing::warn!("{} is not used, as others may read it: chmod 600", path.display());
        return Ok(None);
    }
    Ok(look_up(&text, config))
}

fn default_passfile() -> Option<PathBuf> {
    let named = std::env::var_os("PGPASSFILE").filter(|path| !path.is_empty());
    named.map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pgpass")))
}

/// The first line of host:port:database:user:password that fits one of the hosts.
fn look_up(text: &str, config: &Config) -> Option<String> {
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432).to_string();
    let hosts = config.get_hosts().iter().enumerate().map(|(index, host)| match host {
        Host::Tcp(name) => (name.clone(), port(index)),
        // As libpq has it, however the socket's directory is called.
        Host::Unix(_) => ("localhost".to_owned(), port(index)),
    });
    let hosts: Vec<_> = hosts.collect();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, port, name, owner, password] = fields.as_slice() else { return None };
        let fits = |field: &str, value: &str| field == "*" || field == value;
        let at = hosts.iter().any(|(known, at)| fits(host, known) && fits(port, at));
        (at && fits(name, database) && fits(owner, user)).then(|| password.clone())
    })
}

/// Fields between colons; a backslash takes what follows as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ':' if fields.len() < 5 => fields.push(String::new()),
            letter => {
                let taken = if letter == '\\' { letters.next() } else { Some(letter) };
                if let Some(field) = fields.last_mut() {
                    field.extend(taken);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const LINES: &str =
        "# of this machine\ndb:5432:jobs:bob:no\n*:*:other:ada:no\ndb:*:jobs:ada:a\\:b\\\\c\n*:*:*:*:last";

    #[test]
    fn a_passfile_is_looked_up_as_libpq_does() {
        let config = |text: &str| text.parse::<Config>().unwrap();
        let found = |address: &str| look_up(LINES, &config(address)).unwrap();
        assert_eq!(found("host=db user=ada dbname=jobs"), "a:b\\c");
        assert_eq!(found("host=elsewhere user=ada dbname=jobs"), "last");
        assert_eq!(look_up("db:1:jobs:ada:x", &config("host=db user=ada dbname=jobs")), None);
    }

    #[test]
    fn its_own_file_is_first_and_a_passfile_must_be_private() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let config: Config = "host=db user=ada dbname=jobs".parse().unwrap();
        std::fs::write(at("own"), "s3 cret \n").unwrap();
        std::fs::write(at("passfile"), LINES).unwrap();
        let find = |own: &str| find(&config, Path::new(own), Some(&at("passfile")));
        assert_eq!(find(&at("own").display().to_string()).unwrap().as_deref(), Some("s3 cret "));
        let missing = find("/nowhere").unwrap_err();
        assert!(missing.contains("journal_password_file /nowhere"), "{missing}");
        std::fs::set_permissions(at("passfile"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(find("").unwrap(), None);
        std::fs::set_permissions(at("passfile"), std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find("").unwrap().as_deref(), Some("a:b\\c"));
    }
}
