//! What files are called until they are whole, and names that nobody can guess.

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
}

/// What `name` is called until it is whole.
pub(super) fn temporary_name(name: &str, mark: &str) -> String {
    format!(".{name}.{mark}.imgserve-part")
}
