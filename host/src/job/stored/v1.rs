//! Version 1 of what is stored: as imgserve 0.3 wrote it when orders were what server and workers told each other. Frozen:
//! it is only read.

use imgserve_base::kept::Kept;
use imgserve_transfer::{Destination, HttpUrl, SourceUrl, Tags};
use imgserve_worker::{Prepared, Task};
use serde::Deserialize;

use super::super::order::{self, Recipe};
use super::super::request::source_tags;
use super::v2::{self, Step};
use super::version::Unreadable;

/// How a job is done.
#[derive(Deserialize)]
pub(super) struct Order {
    /// `srcURL` as it came.
    source: String,
    outputs: Vec<Output>,
    notify_url: Option<String>,
}

#[derive(Deserialize)]
struct Output {
    task: StoredTask,
    prepared: StoredPlan,
    /// `dstURL` as it came: its tags are not substituted.
    template: String,
    field: Option<String>,
    media_type: String,
}

#[derive(Deserialize)]
struct StoredTask {
    steps: Vec<Step>,
    extension: String,
    format: Option<String>,
    quality: u8,
    seed: u64,
}

#[derive(Deserialize)]
struct StoredPlan {
    width: u32,
    height: u32,
    own_bytes: u64,
    guest_bytes: u64,
    source_format: Option<String>,
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(order: Order) -> Result<Self, Unreadable> {
        let Order { source: text, outputs, notify_url } = order;
        let source = SourceUrl::parse(&text).map_err(Unreadable::broken)?;
        let recipes = outputs.into_iter().map(|output| output.recipe(&text)).collect::<Result<_, _>>()?;
        let notify = notify_url.as_deref().map(HttpUrl::parse).transpose().map_err(Unreadable::broken)?;
        Ok(Self { source, recipes, notify, left: None, unknown_arguments: Vec::new() })
    }
}

impl Output {
    fn recipe(self, source: &str) -> Result<Recipe, Unreadable> {
        let StoredPlan { width, height, own_bytes, guest_bytes, .. } = self.prepared;
        let tags =
            Tags { width: Some(width), height: Some(height), ..source_tags(source, &self.task.extension) };
        let (_, destination) =
            Destination::from_template(&self.template, &tags).map_err(Unreadable::broken)?;
        let source_format = self.prepared.source_format.as_deref().map(v2::format).transpose()?;
        let StoredTask { steps, extension, format, quality, seed } = self.task;
        let task = Task {
            steps: steps.into_iter().map(Step::understood).collect::<Result<_, _>>()?,
            extension,
            format: format.as_deref().map(v2::format).transpose()?,
            quality,
            kept: Kept::default(),
            seed,
        };
        // What it costs stands in the journal beside the order.
        let prepared =
            Prepared { width, height, own_bytes, guest_bytes, pixels: 0, source_format, made_pixels: 0 };
        let (field, media_type) = (self.field, self.media_type);
        Ok(Recipe { task, prepared, destination, field, media_type, headers: Vec::new() })
    }
}
