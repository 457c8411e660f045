//! Version 5 of what is stored: the order of a job on a store, whose results have headers, or of a format that came with it, planned
//! or not. Frozen once released: a change is a later version.

use imgserve_base::format::Format;
use imgserve_transfer::{Destination, HttpUrl, SourceUrl};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::headers::Headers;
use super::super::order::{self, Left, Recipe};
use super::v2::Output;
use super::version::Unreadable;

/// Its number.
pub(super) const VERSION: u32 = 5;

/// How a job is done, and what is said of its results.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) version: u32,
    pub(super) source: SourceUrl,
    /// None before it is planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) outputs: Vec<Output>,
    /// Of each output; none where none has any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) headers: Vec<Headers>,
    /// The members of the request, of a job of which acceptance has left something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notify: Option<HttpUrl>,
    /// As the client was told them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unknown_arguments: Vec<String>,
}

impl Order {
    /// Whether there is something in an order that earlier versions have no place for.
    pub(super) fn is_needed(order: &order::Order) -> bool {
        let new = |recipe: &Recipe| {
            let formats = [recipe.task.format, recipe.prepared.source_format];
            matches!(recipe.destination, Destination::Store(_))
                || !recipe.headers.is_empty()
                || formats.iter().any(|format| matches!(format, Some(Format::Avif | Format::Jxl)))
        };
        matches!(order.source, SourceUrl::Store(_)) || order.recipes.iter().any(new)
    }
}

impl From<&order::Order> for Order {
    fn from(order: &order::Order) -> Self {
        let has_headers = order.recipes.iter().any(|recipe| !recipe.headers.is_empty());
        let headers = order.recipes.iter().map(|recipe| recipe.headers.clone());
        Self {
            version: VERSION,
            source: order.source.clone(),
            outputs: order.recipes.iter().map(Output::from).collect(),
            headers: headers.filter(|_| has_headers).collect(),
            request: order.left.as_ref().map(|left| left.request.clone()),
            notify: order.notify.clone(),
            unknown_arguments: order.unknown_arguments.clone(),
        }
    }
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(order: Order) -> Result<Self, Unreadable> {
        let Order { version: _, source, outputs, headers, request, notify, unknown_arguments } = order;
        let mut recipes = outputs.into_iter().map(Recipe::try_from).collect::<Result<Vec<_>, _>>()?;
        if !headers.is_empty() && headers.len() != recipes.len() {
            let text = format!("headers of {} outputs, of {}", headers.len(), recipes.len());
            return Err(Unreadable::Broken(text));
        }
        for (recipe, headers) in recipes.iter_mut().zip(headers) {
            recipe.headers = headers;
        }
        let left = request.map(|request| Left { request });
        Ok(Self { source, recipes, notify, left, unknown_arguments })
    }
}
