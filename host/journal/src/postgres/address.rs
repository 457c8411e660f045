//! Where a database is and how it is reached: URLs and `key=value` as libpq has them, and where the password comes from. What of
//! it is a secret is never shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use imgserve_base::database::{is_url, pairs, written};
use imgserve_base::fault::chain;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::password;
use super::tls::{Check, Tls};

/// Of a connection that is lost without a word.
const SILENCE: Duration = Duration::from_secs(20);
/// To one host.
const CONNECT: Duration = Duration::from_secs(5);

/// What there is beside the address.
#[derive(Clone, Debug)]
pub struct Database {
    /// The file by which this server is known among those that share a database: it is made where there is none.
    pub node_file: PathBuf,
    /// A file with the password alone; empty for none.
    pub password_file: PathBuf,
    /// A file of certificate authorities, in PEM; empty for the system's.
    pub ca_file: PathBuf,
    /// Whether tables are made and changed where that is needed.
    pub migrate: bool,
    /// What this server calls itself.
    pub node_name: String,
    /// Whether it is told what other nodes do (`LISTEN`); else it looks for it every second, and relies on nothing that a pooler in
    /// transaction mode keeps to itself.
    pub listen: bool,
    /// How long a job that is being accepted is its node's without a further word.
    pub lease: Duration,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            node_file: PathBuf::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            migrate: true,
            node_name: String::new(),
            listen: true,
            lease: Duration::from_secs(60),
        }
    }
}

/// A database.
#[derive(Clone, Debug)]
pub(super) struct Address {
    config: Config,
    /// Files with the password, those of the address first.
    password_file: PathBuf,
    passfile: Option<PathBuf>,
    ca_file: PathBuf,
    check: Check,
    /// Whether a pooler may stand between that gives each transaction another connection.
    is_pooled: bool,
    shown: String,
}

impl Address {
    /// Understands an address.
    ///
    /// # Errors
    /// Why it is none. Nothing of what it says is told, as that may be a password.
    pub(super) fn of(address: &str, database: &Database) -> Result<Self, String> {
        let (address, own) = if is_url(address) { own_of_url(address)? } else { own_of_pairs(address)? };
        let mut config: Config = address.parse().map_err(|error: tokio_postgres::Error| chain(&error))?;
        let ca_file = own.ca_file.unwrap_or_else(|| database.ca_file.clone());
        let has_ca = !ca_file.as_os_str().is_empty();
        let (mode, check) = match own.ssl_mode.as_deref() {
            Some("disable") => (SslMode::Disable, Check::Nothing),
            Some("allow" | "prefer") => (SslMode::Prefer, Check::Nothing),
            Some("require") if !has_ca => (SslMode::Require, Check::Nothing),
            Some("require" | "verify-ca") => (SslMode::Require, Check::Authority),
            Some("verify-full") => (SslMode::Require, Check::Name),
            Some(_) => {
                return Err("sslmode is disable, allow, prefer, require, verify-ca or verify-full".to_owned());
            }
            // Who names the authorities wants them asked.
            None if has_ca => (SslMode::Require, Check::Name),
            None => (SslMode::Prefer, Check::Nothing),
        };
        config.ssl_mode(mode);
        complete(&mut config);
        let shown = shown_of(&config);
        let (password_file, passfile) = (database.password_file.clone(), own.passfile);
        Ok(Self { config, password_file, passfile, ca_file, check, is_pooled: !database.listen, shown })
    }

    /// Whether what is said of one transaction may be unknown to the next.
    pub(super) fn is_pooled(&self) -> bool {
        self.is_pooled
    }

    /// Who the database takes us for.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or("…")
    }

    /// To be shown to anyone.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// What to connect with. Reads the files with the password again: it may have been changed. Blocks for as long as that takes.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub(super) fn config(&self) -> Result<Config, String> {
        let mut config = self.config.clone();
        if config.get_password().is_none()
            && let Some(password) = password::find(&config, &self.password_file, self.passfile.as_deref())?
        {
            config.password(password);
        }
        Ok(config)
    }

    /// How certificates are looked at. Reads those of the authorities, which blocks for some milliseconds.
    ///
    /// # Errors
    /// Which file cannot be read.
    pub(super) fn tls(&self) -> Result<Tls, String> {
        match self.config.get_ssl_mode() {
            SslMode::Disable => Ok(Tls::none()),
            _ => Tls::new(self.check, &self.ca_file),
        }
    }
}

/// What has no other value where the address says none.
fn complete(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_keepalives_idle() > SILENCE {
        config.keepalives_idle(SILENCE);
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host("localhost");
    }
    if config.get_application_name().is_none() {
        config.application_name("imgserve");
    }
}

fn shown_of(config: &Config) -> String {
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let hosts = match hosts.is_empty() {
        true => config.get_hostaddrs().iter().map(ToString::to_string).collect(),
        false => hosts,
    };
    let hosts: Vec<String> =
        hosts.iter().enumerate().map(|(index, host)| format!("{host}:{}", port(index))).collect();
    let user = config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("postgresql://{user}{}/{name}", hosts.join(","))
}

/// What of an address the library does not know.
#[derive(Debug, Default)]
struct Own {
    ssl_mode: Option<String>,
    ca_file: Option<PathBuf>,
    passfile: Option<PathBuf>,
}

impl Own {
    /// Takes what is for us.
    fn takes(&mut self, key: &str, value: &str) -> bool {
        match key {
            "sslmode" => self.ssl_mode = Some(value.to_owned()),
            "sslrootcert" => self.ca_file = Some(value.into()),
            "passfile" => self.passfile = Some(value.into()),
            _ => return false,
        }
        true
    }
}

fn own_of_url(address: &str) -> Result<(String, Own), String> {
    let mut own = Own::default();
    let Some((before, query)) = address.split_once('?') else { return Ok((address.to_owned(), own)) };
    let mut others = Vec::new();
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').ok_or("a parameter has no value")?;
        let value = percent_encoding::percent_decode_str(value)
            .decode_utf8()
            .map_err(|_| "a parameter is not UTF-8".to_owned())?;
        if !own.takes(key, &value) {
            others.push(pair);
        }
    }
    let query = if others.is_empty() { String::new() } else { format!("?{}", others.join("&")) };
    Ok((format!("{before}{query}"), own))
}

fn own_of_pairs(address: &str) -> Result<(String, Own), String> {
    let mut own = Own::default();
    let mut others = Vec::new();
    for (key, value) in pairs(address).ok_or("it is neither a URL nor pairs of key=value")? {
        if !own.takes(&key, &value) {
            others.push(written(&key, &value));
        }
    }
    Ok((others.join(" "), own))
}

/// Whether nobody but its owner may read a file.
#[allow(clippy::disallowed_methods, reason = "a small file, before a connection is made")]
pub(super) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Address {
        Address::of(address, &Database::default()).unwrap()
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        for (address, expected) in [
            ("postgresql://ada:s3cret@db:6000/jobs?sslmode=disable", "postgresql://ada@db:6000/jobs"),
            (
                "postgresql://ada@a:1,b:2/jobs?target_session_attrs=read-write",
                "postgresql://ada@a:1,b:2/jobs",
            ),
            ("postgresql://db/jobs?user=ada&password=s3cret", "postgresql://ada@db:5432/jobs"),
            (
                "host=/run/postgresql user=ada password='s3 cret' dbname=jobs",
                "postgresql://ada@/run/postgresql:5432/jobs",
            ),
        ] {
            assert_eq!(of(address).shown(), expected);
        }
        for wrong in
            ["postgresql://ada:s3cret@db:port/jobs", "host=db password='s3cret", "postgresql://a?s3cret"]
        {
            let why = Address::of(wrong, &Database::default()).unwrap_err();
            assert!(!why.contains("s3cret"), "{why}");
        }
        let debug = format!("{:?}", of("postgresql://ada:s3cret@db/jobs"));
        assert!(!debug.contains("s3cret"), "{debug}");
    }

    #[test]
    fn tls_is_as_libpq_has_it() {
        let ca = Database { ca_file: "/etc/ca.pem".into(), ..Database::default() };
        for (mode, database, expected) in [
            ("", Database::default(), (SslMode::Prefer, Check::Nothing)),
            ("", ca.clone(), (SslMode::Require, Check::Name)),
            ("?sslmode=disable", ca.clone(), (SslMode::Disable, Check::Nothing)),
            ("?sslmode=require", Database::default(), (SslMode::Require, Check::Nothing)),
            ("?sslmode=require", ca.clone(), (SslMode::Require, Check::Authority)),
            (
                "?sslmode=require&sslrootcert=%2Fca.pem",
                Database::default(),
                (SslMode::Require, Check::Authority),
            ),
            ("?sslmode=verify-ca", ca.clone(), (SslMode::Require, Check::Authority)),
            ("?sslmode=verify-full", Database::default(), (SslMode::Require, Check::Name)),
        ] {
            let address = Address::of(&format!("postgresql://db/jobs{mode}"), &database).unwrap();
            assert_eq!((address.config.get_ssl_mode(), address.check), expected, "{mode}");
        }
        let unknown = Address::of("postgresql://db/jobs?sslmode=maybe", &ca).unwrap_err();
        assert!(unknown.contains("verify-full"), "{unknown}");
        assert_eq!(of("host=db sslmode=require").config.get_ssl_mode(), SslMode::Require);
    }
}
