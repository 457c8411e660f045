//! How a job is done: what the journal keeps of it beside its story, so that it can be done at any later time. Unlike
//! the story it holds URLs with their passwords.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::{Part, PartState, Record};
use imgserve_transfer::{Destination, Tags};
use imgserve_worker::{Prepared, Task};
use serde::{Deserialize, Serialize};

use super::request::{Order, source_tags};

/// How to do a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instructions {
    /// `srcURL` as it came.
    pub(super) source: String,
    /// As many as the record has parts, in the same order.
    pub(super) outputs: Vec<Output>,
    /// Who is told of the outcome.
    pub(super) notify_url: Option<String>,
}

/// How to do one output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Output {
    pub(super) task: Task,
    pub(super) prepared: Prepared,
    /// `dstURL` as it came: what kind of destination it is, only it can tell.
    pub(super) template: String,
    /// The form's file field, for form uploads.
    pub(super) field: Option<String>,
    /// Media type of the result.
    pub(super) media_type: String,
}

impl Output {
    /// An output that is planned, and its part of the story.
    ///
    /// # Errors
    /// [`FaultKind::DestinationUnavailable`] for a destination that cannot be understood.
    pub(super) fn new(order: &Order, prepared: Prepared) -> Result<(Self, Part), Fault> {
        let output = Self {
            task: order.task.clone(),
            prepared,
            template: order.destination.clone(),
            field: order.field.clone(),
            media_type: order.media_type.clone(),
        };
        let (_, destination) = output.destination(&order.source)?;
        let Prepared { width, height, .. } = output.prepared;
        let part = Part {
            operation: order.operation.clone(),
            destination: destination.to_string(),
            state: PartState::Waiting,
            width,
            height,
            format: order.format_name().to_owned(),
            bytes: None,
            warnings: Vec::new(),
            error: None,
        };
        Ok((output, part))
    }

    /// Where the result goes, as text after substitution and understood.
    ///
    /// # Errors
    /// [`FaultKind::DestinationUnavailable`] for one that cannot be understood.
    pub(super) fn destination(&self, source: &str) -> Result<(String, Destination), Fault> {
        let Prepared { width, height, .. } = self.prepared;
        let tags = Tags { width: Some(width), height: Some(height), ..source_tags(source) };
        Destination::from_template(&self.template, &tags)
            .map_err(|error| Fault::of(FaultKind::DestinationUnavailable, &error))
    }
}

impl Instructions {
    /// As the journal keeps it.
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("instructions hold nothing that JSON cannot")
    }

    /// Reads what the journal kept for the job of `record`.
    ///
    /// # Errors
    /// [`FaultKind::OperationFailed`]: another version of imgserve wrote it.
    pub(super) fn parse(text: &str, record: &Record) -> Result<Self, Fault> {
        let broken = |text: String| Fault::new(FaultKind::OperationFailed, text);
        let this: Self = serde_json::from_str(text)
            .map_err(|error| broken(format!("the journal's instructions cannot be read: {error}")))?;
        match this.outputs.len() == record.parts.len() {
            true => Ok(this),
            false => Err(broken("the journal's instructions do not fit the job's outputs".to_owned())),
        }
    }
}
