//! What goes wrong in a task apart from its operations, as the fault that its client is told.

use std::panic::{AssertUnwindSafe, catch_unwind};

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_codec::CodecError;

pub(super) fn codec_fault(error: CodecError) -> Fault {
    let kind = match &error {
        CodecError::InvalidSvg(_) => FaultKind::InvalidSvg,
        CodecError::Limit { .. } => FaultKind::LimitExceeded,
        CodecError::Encode { .. } => FaultKind::OperationFailed,
        _ => FaultKind::UnreadableSource,
    };
    Fault::of(kind, &error)
}

/// A decoder or encoder that panics on a hostile image costs its task, not the worker.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Fault::new(FaultKind::OperationFailed, format!("panicked: {text}")))
    })
}

pub(super) fn ends_early() -> Fault {
    Fault::new(FaultKind::UnreadableSource, "the source ends before its dimensions")
}

pub(super) fn no_steps() -> Fault {
    Fault::new(FaultKind::OperationFailed, "a task without operations")
}
