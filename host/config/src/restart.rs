//! What a reload does not take in: the listener and its connections, the journal, the cache, and what bounds all jobs of a process
//! together, whichever configuration each of them began with.

use toml::{Table, Value};

use super::Config;

/// Whether only a start takes in this key.
fn is_taken_in_by_a_start_alone(section: &str, key: &str) -> bool {
    match section {
        "server" | "cors" => true,
        "cache" => key != "fresh_s",
        "jobs" => {
            key.starts_with("journal")
                || ["node_file", "node_name", "listen", "lease_s", "migrate"].contains(&key)
        }
        "limits" => ["max_queue", "max_queue_per_key", "source_memory_mb"].contains(&key),
        "workers" => key == "memory_budget_mb",
        "transfer" => ["max_transfers", "max_transfers_per_host", "max_transfers_per_client"].contains(&key),
        _ => false,
    }
}

impl Config {
    /// The keys, each with its section, that say something else than in `began`, by which a server began, and that it would
    /// take a restart to take in.
    pub fn needs_restart(&self, began: &Self) -> Vec<String> {
        let (now, began) = (sections(self), sections(began));
        let mut keys = Vec::new();
        for (section, values) in &now {
            let before = began.get(section).and_then(Value::as_table);
            for (key, value) in values.as_table().into_iter().flatten() {
                let same = before.and_then(|before| before.get(key)) == Some(value);
                if !same && is_taken_in_by_a_start_alone(section, key) {
                    keys.push(format!("[{section}] {key}"));
                }
            }
        }
        keys.sort();
        keys
    }
}

fn sections(config: &Config) -> Table {
    Table::try_from(config).expect("a Config has only TOML types")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULTS;

    #[test]
    fn what_a_start_alone_takes_in_is_named_where_it_has_changed() {
        let began = Config::parse("[server]\nport = 1\n[cors]\norigins = ['*']").unwrap();
        let now = |text: &str| Config::parse(text).unwrap().needs_restart(&began);
        assert_eq!(now("[server]\nport = 1\n[cors]\norigins = ['*']"), [""; 0]);
        assert_eq!(
            now("[server]\nallowed_hosts = ['x']\nport = 1"),
            ["[cors] origins", "[server] allowed_hosts"]
        );
        let reloaded = "[server]\nport = 1\n[cors]\norigins = ['*']\n[jobs]\nmax_finished = 7\n[limits]\nmax_source_mb = 7\n\
                        [workers]\ncount = 3\n[log]\nlevel = 'warn'\n[operations.resize]\nargs = { quality = 7 }";
        assert_eq!(now(reloaded), [""; 0]);
    }

    #[test]
    fn the_keys_are_ones_that_there_are() {
        let defaults: Table = DEFAULTS.parse().unwrap();
        let keys = |section: &str| {
            let keys = defaults[section].as_table().unwrap().keys();
            keys.filter(|key| is_taken_in_by_a_start_alone(section, key)).count()
        };
        let sections = ["jobs", "limits", "workers", "cache", "transfer", "access", "log"];
        assert_eq!(sections.map(keys), [8, 3, 1, 4, 3, 0, 0]);
    }
}
