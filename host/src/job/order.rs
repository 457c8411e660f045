//! How a job is done: its order, understood; and what its client was answered. What of them stands in the journal is
//! `stored`'s to say. Unlike the story an order holds URLs with their passwords.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::{JobId, Output, OutputState};
use imgserve_transfer::{Destination, HttpUrl, SourceUrl, Tags};
use imgserve_worker::{Prepared, Task};
use serde_json::{Map, Value};

use super::headers::Headers;
use super::request::Request;

/// How to do a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub(super) source: SourceUrl,
    /// As many as the story has outputs, in the same order; none before it is planned.
    pub(super) recipes: Vec<Recipe>,
    /// Who is told of the outcome.
    pub(super) notify: Option<HttpUrl>,
    /// What acceptance has left to the first attempt.
    pub(super) left: Option<Left>,
    /// The paths of arguments that nobody knows, as the client was told them.
    pub(super) unknown_arguments: Vec<String>,
}

/// Of a job that was taken before anything was fetched for it: it is to be planned, or, where it has recipes, its placeholders
/// are to be stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Left {
    /// The members of the request.
    pub(super) request: Map<String, Value>,
}

/// How one output is made, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Recipe {
    pub(super) task: Task,
    pub(super) prepared: Prepared,
    pub(super) destination: Destination,
    /// The form's file field, for form uploads.
    pub(super) field: Option<String>,
    /// Media type of the result.
    pub(super) media_type: String,
    /// What else is said of it where it is stored.
    pub(super) headers: Headers,
}

/// An accepted job, as the client is told of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) id: JobId,
    /// `dstURL` of each output, after substitution.
    pub(crate) destinations: Vec<String>,
    /// Arguments that nobody knows.
    pub(crate) unknown_arguments: Vec<String>,
    /// Whether the job was there already, by its idempotency key.
    pub(crate) replayed: bool,
}

/// An output that is planned.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) recipe: Recipe,
    /// Its part of the story.
    pub(super) output: Output,
    /// `dstURL` after substitution, as the client is told it.
    pub(super) destination: String,
}

impl Planned {
    /// What was asked for and how it was planned, put together.
    ///
    /// # Errors
    /// [`FaultKind::DestinationUnavailable`] for a destination that cannot be understood.
    pub(super) fn new(request: &Request, prepared: Prepared) -> Result<Self, Fault> {
        let (width, height) = (prepared.width, prepared.height);
        let request = request.of_format(prepared.source_format);
        let tags = Tags { width: Some(width), height: Some(height), ..request.tags() };
        let (text, destination) = destination(&request.destination, &tags)?;
        let output = Output {
            operation: request.operation.clone(),
            destination: destination.to_string(),
            state: OutputState::Waiting,
            width,
            height,
            format: request.format_name().to_owned(),
            bytes: None,
            warnings: Vec::new(),
            error: None,
        };
        let recipe = Recipe {
            task: request.task.clone(),
            prepared,
            destination,
            field: request.field.clone(),
            media_type: request.media_type.clone(),
            headers: request.headers.clone(),
        };
        Ok(Self { recipe, output, destination: text })
    }
}

/// Where an output goes, with its tags substituted, and the text of that; neither too long nor too deep.
///
/// # Errors
/// [`FaultKind::DestinationUnavailable`].
pub(super) fn destination(template: &str, tags: &Tags<'_>) -> Result<(String, Destination), Fault> {
    Destination::from_template(template, tags)
        .and_then(|(text, destination)| destination.check_length(&text).map(|()| (text, destination)))
        .map_err(|error| Fault::of(FaultKind::DestinationUnavailable, &error))
}
