//! Storing for a job: what is stored, and under which temporary name, so that what a killed server left half written is
//! found again.

use bytes::Bytes;
use imgserve_base::fair::Flow;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::JobId;
use imgserve_base::lease::Lease;
use imgserve_transfer::{PartMark, Stored, Transfer, What};
use imgserve_worker::{Placeholder, Prepared};

use super::generation::Generation;
use super::headers;
use super::intake::transfer_fault;
use super::order::Recipe;
use super::retry::MAX_LOST;

/// What is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// "Image being processed", before the first result.
    Placeholder,
    /// What was asked for.
    Result,
    /// "Image Processing failed".
    Failure,
}

/// What marks the file at the destination of output `index` until it is whole, of one who need not fear that another stores there. Each attempt's has a name of its own:
/// an earlier store that was given up may still be under way. `cold`: earlier ones may have been left behind.
pub(super) fn mark(job: JobId, index: usize, attempt: u32, kind: Kind, cold: bool) -> PartMark {
    let name = |attempt: u32, kind: Kind| {
        let letter = match kind {
            Kind::Placeholder => 'p',
            Kind::Result => 'r',
            Kind::Failure => 'f',
        };
        format!("{job}-{index}-{attempt}{letter}")
    };
    let mut stale = Vec::new();
    if cold {
        stale.push(name(0, Kind::Placeholder));
        // Of no more than so many does nobody know how they ended: the others have tidied up.
        let before = attempt.saturating_sub(MAX_LOST).max(1)..=attempt;
        stale.extend(before.flat_map(|attempt| [name(attempt, Kind::Result), name(attempt, Kind::Failure)]));
        stale.retain(|stale| *stale != name(attempt, kind));
    }
    PartMark { own: name(attempt, kind), stale, lease: Lease::endless() }
}

/// Stores `body` at an output's destination.
///
/// # Errors
/// [`FaultKind::DestinationUnavailable`], with whether another try may help.
pub(super) async fn store(
    transfer: &Transfer,
    recipe: &Recipe,
    (kind, body): (Kind, Bytes),
    mark: &PartMark,
) -> Result<(), Fault> {
    let (what, headers) = match kind {
        Kind::Placeholder => (What::Placeholder, &headers::of_placeholder(&recipe.headers)),
        Kind::Result => (What::Result, &recipe.headers),
        // It comes as a result does, and is to be kept as little as a placeholder.
        Kind::Failure => (What::Result, &headers::of_placeholder(&recipe.headers)),
    };
    let (media_type, form_field) = (recipe.media_type.as_str(), recipe.field.as_deref());
    let stored = Stored { what, body, media_type, headers, form_field };
    let stored = transfer.store(&recipe.destination, stored, mark).await;
    stored.map_err(|error| transfer_fault(FaultKind::DestinationUnavailable, &error))
}

/// Shows the failure at an output's destination; what is no image has none to show.
///
/// # Errors
/// As [`store`], or that no worker could draw it.
pub(super) async fn failure(
    generation: &Generation,
    transfer: &Transfer,
    recipe: &Recipe,
    mark: &PartMark,
) -> Result<(), Fault> {
    // Nobody waits for the picture: it is drawn in no client's turn, but in that of all which have failed.
    let Some(bytes) = picture(generation, &Flow::default(), recipe, true).await? else { return Ok(()) };
    store(transfer, recipe, (Kind::Failure, bytes), mark).await
}

/// The picture that stands for an output's result, or for its failure; none of what is no image.
///
/// # Errors
/// That no worker could draw it.
pub(super) async fn picture(
    generation: &Generation,
    flow: &Flow,
    recipe: &Recipe,
    failed: bool,
) -> Result<Option<Bytes>, Fault> {
    let Some(format) = recipe.task.format else { return Ok(None) };
    let Prepared { width, height, .. } = recipe.prepared;
    generation.pool.draw(flow, Placeholder { width, height, format, failed }).await.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cold_attempt_finds_what_those_before_it_left() {
        let job = JobId::generate();
        let first = mark(job, 0, 0, Kind::Placeholder, false);
        assert!(first.stale.is_empty());
        let result = mark(job, 0, 1, Kind::Result, false);
        let failure = mark(job, 0, 1, Kind::Failure, false);
        let later = mark(job, 0, 2, Kind::Result, true);
        for left in [first, result, failure] {
            assert!(later.stale.contains(&left.own), "{}", left.own);
        }
        assert!(!later.stale.contains(&later.own));
        let last = mark(job, 0, 1_000_000, Kind::Result, true);
        assert!(last.stale.len() < 3 * MAX_LOST as usize, "{} are looked for", last.stale.len());
        assert_ne!(later.own, mark(job, 1, 2, Kind::Result, true).own, "another output");
    }
}
