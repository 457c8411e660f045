//! What a route's path names: an operation, or a job by its id.

use axum::extract::Path;
use axum::extract::rejection::PathRejection;

use super::kind::RequestKind;
use super::problem::Problem;
use crate::job::JobId;

/// The last part of a path; an error where it is no text.
pub(super) type Name = Result<Path<String>, PathRejection>;

/// The job that a path names.
///
/// # Errors
/// [`unknown_job`], for what can be no id.
pub(super) fn job_id(name: Name) -> Result<JobId, Problem> {
    name.ok().and_then(|Path(id)| JobId::parse(&id)).ok_or_else(unknown_job)
}

/// There is no such job, or none that the client may see.
pub(super) fn unknown_job() -> Problem {
    let detail = "no job of yours has this id, or it finished too long ago ([jobs] max_finished)";
    Problem::new(RequestKind::UnknownJob, detail)
}
