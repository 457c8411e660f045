//! What files are called until they are whole, and names that nobody can guess.

use imgserve_base::lease::Lease;

use super::error::{TransferError, TransferErrorKind};

/// 24 hexadecimal digits that nobody can guess.
pub(super) fn random_name() -> String {
    let mut bytes = [0; 12];
    // Without the system's random numbers there is no TLS either; this never fails on a running system.
    getrandom::fill(&mut bytes).expect("the system gives random numbers");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What marks the temporary name that a file has until it is whole. No two stores under way at once may have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartMark {
    /// Of this store.
    pub own: String,
    /// Of earlier ones, which may have been killed: files of theirs are removed.
    pub stale: Vec<String>,
    /// Until when it may replace what stands there: afterwards that may be a newer result.
    pub lease: Lease,
}

impl PartMark {
    /// Whether it may still replace what stands there.
    ///
    /// # Errors
    /// Its lease is over.
    pub(super) fn check(&self) -> Result<(), TransferError> {
        match self.lease.is_over() {
            true => {
                Err(TransferError::new(TransferErrorKind::Timeout, "it is another server's to store by now"))
            }
            false => Ok(()),
        }
    }
}

/// What `name` is called until it is whole.
pub(super) fn temporary_name(name: &str, mark: &str) -> String {
    format!(".{name}.{mark}.imgserve-part")
}
