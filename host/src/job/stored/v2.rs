//! Version 2 of what is stored, as it is written of what is planned. Frozen once released: a change is a later version.

use std::collections::BTreeMap;

use imgserve_base::format::Format;
use imgserve_base::job::JobId;
use imgserve_base::kept::Kept;
use imgserve_config::Profile;
use imgserve_transfer::{Destination, HttpUrl, SourceUrl};
use imgserve_worker::{self as worker, Prepared, Task};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::order::{self, Accepted, Recipe};
use super::version::Unreadable;

/// Its number.
const VERSION: u32 = 2;

/// How a job is done.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    version: u32,
    source: SourceUrl,
    outputs: Vec<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<HttpUrl>,
}

/// How one output is made, and where it goes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Output {
    steps: Vec<Step>,
    /// The source's extension.
    extension: String,
    /// The result's file format by name; none for one that the operation encodes itself.
    format: Option<String>,
    quality: u8,
    seed: u64,
    /// In pixels, as planned.
    width: u32,
    height: u32,
    /// Estimated memory: of the worker, and of sandboxes beside it.
    own_bytes: u64,
    guest_bytes: u64,
    /// The source's file format by name; none for one that only a plugin reads.
    source_format: Option<String>,
    destination: Destination,
    /// The file field of a form upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    media_type: String,
}

/// One operation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    operation: String,
    args: Map<String, Value>,
    /// `fast` or `best`.
    #[serde(default = "fast")]
    profile: String,
}

fn fast() -> String {
    "fast".to_owned()
}

/// What the client was answered.
#[derive(Serialize, Deserialize)]
pub(super) struct Receipt {
    #[serde(default)]
    version: u32,
    id: JobId,
    destinations: Vec<String>,
    unknown_arguments: Vec<String>,
}

impl From<&order::Order> for Order {
    fn from(order: &order::Order) -> Self {
        Self {
            version: VERSION,
            source: order.source.clone(),
            outputs: order.recipes.iter().map(Output::from).collect(),
            notify: order.notify.clone(),
        }
    }
}

impl From<&Recipe> for Output {
    fn from(recipe: &Recipe) -> Self {
        // Headers are a later version's, and so is what is kept.
        let Recipe { task, prepared, destination, field, media_type, headers: _ } = recipe;
        let Task { steps, extension, format, quality, kept: _, seed } = task;
        let Prepared { width, height, own_bytes, guest_bytes, pixels: _, source_format, made_pixels: _ } =
            prepared;
        let name = |format: &Option<Format>| format.map(|format| format.name().to_owned());
        Self {
            steps: steps.iter().map(Step::from).collect(),
            extension: extension.clone(),
            format: name(format),
            quality: *quality,
            seed: *seed,
            width: *width,
            height: *height,
            own_bytes: *own_bytes,
            guest_bytes: *guest_bytes,
            source_format: name(source_format),
            destination: destination.clone(),
            field: field.clone(),
            media_type: media_type.clone(),
        }
    }
}

impl From<&worker::Step> for Step {
    fn from(step: &worker::Step) -> Self {
        // Where it stood in the request is for the client's ears, while that listens.
        let worker::Step { operation, args, profile, at: _, written: _ } = step;
        let profile = match profile {
            Profile::Fast => "fast",
            Profile::Best => "best",
        };
        Self { operation: operation.clone(), args: args.clone(), profile: profile.to_owned() }
    }
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(order: Order) -> Result<Self, Unreadable> {
        let Order { version: _, source, outputs, notify } = order;
        let recipes = outputs.into_iter().map(Recipe::try_from).collect::<Result<_, _>>()?;
        Ok(Self { source, recipes, notify, left: None, unknown_arguments: Vec::new() })
    }
}

impl TryFrom<Output> for Recipe {
    type Error = Unreadable;

    fn try_from(output: Output) -> Result<Self, Unreadable> {
        let Output { width, height, own_bytes, guest_bytes, .. } = output;
        let steps = output.steps.into_iter().map(Step::understood).collect::<Result<_, _>>()?;
        let task = Task {
            steps,
            extension: output.extension,
            format: output.format.as_deref().map(format).transpose()?,
            quality: output.quality,
            kept: Kept::default(),
            seed: output.seed,
        };
        let source_format = output.source_format.as_deref().map(format).transpose()?;
        // What it costs stands in the journal beside the order.
        let prepared =
            Prepared { width, height, own_bytes, guest_bytes, pixels: 0, source_format, made_pixels: 0 };
        Ok(Self {
            task,
            prepared,
            destination: output.destination,
            field: output.field,
            media_type: output.media_type,
            headers: Vec::new(),
        })
    }
}

impl Step {
    /// As a worker is told it.
    pub(super) fn understood(self) -> Result<worker::Step, Unreadable> {
        let profile = match self.profile.as_str() {
            "fast" => Profile::Fast,
            "best" => Profile::Best,
            other => return Err(Unreadable::Broken(format!("no profile is called `{other}`"))),
        };
        let (at, written) = (String::new(), BTreeMap::new());
        Ok(worker::Step { operation: self.operation, args: self.args, profile, at, written })
    }
}

/// The format of a stored name.
pub(super) fn format(name: &str) -> Result<Format, Unreadable> {
    let unknown = || format!("no format is called `{name}`, and no codec of [codecs] declares it");
    Format::from_name(name).ok_or_else(|| Unreadable::Broken(unknown()))
}

impl From<&Accepted> for Receipt {
    fn from(accepted: &Accepted) -> Self {
        Self {
            version: VERSION,
            id: accepted.id,
            destinations: accepted.destinations.clone(),
            unknown_arguments: accepted.unknown_arguments.clone(),
        }
    }
}

impl From<Receipt> for Accepted {
    fn from(receipt: Receipt) -> Self {
        let Receipt { version: _, id, destinations, unknown_arguments } = receipt;
        Self { id, destinations, unknown_arguments, replayed: true }
    }
}
