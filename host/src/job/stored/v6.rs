//! Version 6 of what is stored: the order of a job whose results keep more than usual, or are of a format that came with it, planned or
//! not. Frozen once released: a change is a later version.

use imgserve_base::format::Format;
use imgserve_base::kept::{Colors, Kept, Metadata};
use imgserve_transfer::{HttpUrl, SourceUrl, destination_extension};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::headers::Headers;
use super::super::order::{self, Recipe};
use super::v2::Output;
use super::v5;
use super::version::Unreadable;
use crate::registry::LATER_ARGUMENTS;

/// Its number.
const VERSION: u32 = 6;

/// How a job is done, and what its results keep.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) version: u32,
    source: SourceUrl,
    /// None before it is planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Output>,
    /// Of each output; none where none has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Headers>,
    /// Of each output; none where none keeps more than usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<StoredKept>,
    /// The members of the request, of a job of which acceptance has left something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<HttpUrl>,
    /// As the client was told them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unknown_arguments: Vec<String>,
}

/// What an output keeps; what is not there is as usual.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKept {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    lossless: bool,
    /// `copyright` or `all`.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    /// `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    colors: Option<String>,
}

impl From<Kept> for StoredKept {
    fn from(Kept { lossless, metadata, colors }: Kept) -> Self {
        let metadata = (metadata != Metadata::default()).then(|| metadata.to_string());
        let colors = (colors != Colors::default()).then(|| colors.to_string());
        Self { lossless, metadata, colors }
    }
}

impl StoredKept {
    fn understood(self) -> Result<Kept, Unreadable> {
        let unknown = |name: &str| Unreadable::Broken(format!("nothing that is kept is called `{name}`"));
        let metadata = self.metadata.map(|name| Metadata::parse(&name).ok_or_else(|| unknown(&name)));
        let colors = self.colors.map(|name| Colors::parse(&name).ok_or_else(|| unknown(&name)));
        let (metadata, colors) = (metadata.transpose()?, colors.transpose()?);
        Ok(Kept {
            lossless: self.lossless,
            metadata: metadata.unwrap_or_default(),
            colors: colors.unwrap_or_default(),
        })
    }
}

impl Order {
    /// Whether there is something in an order that earlier versions have no place for.
    pub(super) fn is_needed(order: &order::Order) -> bool {
        let new =
            |recipe: &Recipe| recipe.task.kept != Kept::default() || recipe.task.format.is_some_and(is_new);
        order.recipes.iter().any(new) || order.left.as_ref().is_some_and(|left| asks_new(&left.request))
    }
}

/// Whether results of this format came with this version.
fn is_new(format: Format) -> bool {
    matches!(format, Format::Bmp | Format::Tiff | Format::Ico)
}

/// Whether a request may ask for what earlier programs would not do, or do otherwise. It is looked for at any depth: an argument of an
/// operation's own that has such a name makes no more than a later version.
fn asks_new(request: &Map<String, Value>) -> bool {
    request.iter().any(|(name, value)| {
        let named = match (name.as_str(), value) {
            ("format" | "fm", Value::String(format)) => Format::from_name(format),
            ("dstURL", Value::String(url)) => destination_extension(url).and_then(Format::from_extension),
            _ => None,
        };
        let within = match value {
            Value::Object(members) => asks_new(members),
            Value::Array(items) => items.iter().filter_map(Value::as_object).any(asks_new),
            _ => false,
        };
        LATER_ARGUMENTS.contains(&name.as_str()) || named.is_some_and(is_new) || within
    })
}

impl From<&order::Order> for Order {
    fn from(order: &order::Order) -> Self {
        let keeps = order.recipes.iter().any(|recipe| recipe.task.kept != Kept::default());
        let kept = order.recipes.iter().map(|recipe| recipe.task.kept.into());
        let kept = kept.filter(|_| keeps).collect();
        let v5::Order { version: _, source, outputs, headers, request, notify, unknown_arguments } =
            order.into();
        Self { version: VERSION, source, outputs, headers, kept, request, notify, unknown_arguments }
    }
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(order: Order) -> Result<Self, Unreadable> {
        let Order { version: _, source, outputs, headers, kept, request, notify, unknown_arguments } = order;
        let version = v5::VERSION;
        let rest = v5::Order { version, source, outputs, headers, request, notify, unknown_arguments };
        let mut order = Self::try_from(rest)?;
        if !kept.is_empty() && kept.len() != order.recipes.len() {
            let text = format!("what {} outputs keep, of {}", kept.len(), order.recipes.len());
            return Err(Unreadable::Broken(text));
        }
        for (recipe, kept) in order.recipes.iter_mut().zip(kept) {
            recipe.task.kept = kept.understood()?;
        }
        Ok(order)
    }
}
