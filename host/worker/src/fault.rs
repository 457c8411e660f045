//! What goes wrong in a task apart from its operations, as the fault that its client is told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_codec::CodecError;

pub(super) fn codec_fault(error: CodecError) -> Fault {
    let kind = match &error {
        CodecError::Plugin(fault) => return fault.clone(),
        CodecError::InvalidSvg(_) => FaultKind::InvalidSvg,
        CodecError::Limit { .. } => FaultKind::LimitExceeded,
        CodecError::Encode { .. } => FaultKind::OperationFailed,
        _ => FaultKind::UnreadableSource,
    };
    Fault::of(kind, &error)
}

/// What panics costs its task, not the worker. Who reads a source has a fault of its own, `reading`.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    // What it said on its way is in the log, and nothing that its client could use.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let text = "the worker's own code failed; the server's log says where";
        Err(Fault::new(FaultKind::OperationFailed, text))
    })
}

pub(super) fn ends_early() -> Fault {
    Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")
}

pub(super) fn no_steps() -> Fault {
    Fault::new(FaultKind::OperationFailed, "a task without operations")
}
