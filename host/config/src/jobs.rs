//! `[jobs]`: where the journal is.

use std::path::Path;

use imgserve_base::database;
use imgserve_base::secret::HIDDEN;

use super::Jobs;
use super::error::{ConfigError, value_error};

/// Shorter leases end where a database takes a moment, and longer ones keep the jobs of a server waiting that is gone.
const LEASE_S: std::ops::RangeInclusive<u64> = 3..=600;

impl Jobs {
    /// What is not a matter of ranges.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if database::is_database(&self.journal) && self.journal.contains(HIDDEN) {
            let text =
                format!("\"{HIDDEN}\" stands instead of a secret: `imgserve config --secrets` prints it");
            return Err(value_error("jobs.journal", &text));
        }
        let is_file = !database::is_database(&self.journal);
        if let Some((scheme, _)) = self.journal.split_once("://").filter(|_| is_file) {
            let text = format!(
                "`{scheme}` is no kind of journal: the path of a file and postgresql://… are possible"
            );
            return Err(value_error("jobs.journal", &text));
        }
        if !LEASE_S.contains(&self.lease_s) {
            let (least, most) = (LEASE_S.start(), LEASE_S.end());
            return Err(value_error("jobs.lease_s", &format!("must be {least} to {most}")));
        }
        let files = [
            ("jobs.journal", Path::new(if is_file { self.journal.as_str() } else { "" })),
            ("jobs.journal_password_file", &self.journal_password_file),
            ("jobs.journal_ca_file", &self.journal_ca_file),
            ("jobs.node_file", &self.node_file),
        ];
        match files.iter().find(|(_, path)| !path.as_os_str().is_empty() && !path.is_absolute()) {
            Some((key, _)) => Err(value_error(key, "must be an absolute path: a daemon works in /")),
            None => Ok(()),
        }
    }
}
