//! Units of memory: what a limit of the configuration in KiB (`…_kb`) or MiB (`…_mb`) is in bytes.

/// Bytes of a KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes of a MiB.
pub const MIB: u64 = KIB << 10;
