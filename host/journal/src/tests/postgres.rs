//! The suite against the store in a database: one server for all tests, and a schema for each.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use imgserve_peers::Postgres as Server;

use super::*;
use crate::postgres::Postgres;

#[path = "suite/mod.rs"]
mod suite;

/// A schema of the tests' server.
pub(crate) struct Schema {
    directory: tempfile::TempDir,
    name: String,
}

type Place = super::Place<Schema>;

pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| Server::start(false))
}

impl Schema {
    /// A new one.
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server().sql("postgres", &format!("CREATE SCHEMA {name}"));
        Self { directory: tempfile::tempdir().unwrap(), name }
    }

    /// How a node of this name opens it.
    pub(crate) fn opening(&self, reader: &str, node: &str) -> Opening {
        let name = &self.name;
        Opening {
            address: format!(
                "{}&options=-csearch_path%3D{name}&application_name={name}",
                server().url("postgres")
            ),
            reader: reader.to_owned(),
            database: Database {
                node_file: self.directory.path().join(node),
                migrate: true,
                ..Database::default()
            },
        }
    }

    /// Runs statements in it.
    pub(crate) fn sql(&self, sql: &str) -> String {
        server().sql("postgres", &format!("SET search_path = {}; {sql}", self.name))
    }
}

impl Stored for Schema {
    fn new() -> Self {
        let schema = Self::new();
        schema.sql("CREATE TABLE clock AS SELECT 100::bigint AS now_ms");
        schema
    }

    fn open(&self, reader: &str, clock: Clock) -> Arc<dyn Journal> {
        let journal = Arc::new(Postgres::open(&self.opening(reader, "node"), clock).unwrap());
        // From now on it goes by a clock that a test sets.
        let name = &self.name;
        self.sql(&format!(
            "CREATE OR REPLACE FUNCTION imgserve_now_ms() RETURNS bigint LANGUAGE sql STABLE \
             AS 'SELECT now_ms FROM {name}.clock'"
        ));
        journal
    }

    async fn set(&self, now_ms: u64) {
        self.sql(&format!("UPDATE clock SET now_ms = {now_ms}"));
    }
}
