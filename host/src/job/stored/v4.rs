//! Version 4 of what is stored: the order of a job with arguments that nobody knows, planned or not. Frozen once released: a
//! change is a later version.

use imgserve_transfer::{HttpUrl, SourceUrl};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::order::{self, Left, Recipe};
use super::v2::Output;
use super::version::Unreadable;

/// Its number.
const VERSION: u32 = 4;

/// How a job is done, and what of its request was passed over.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    version: u32,
    source: SourceUrl,
    /// None before it is planned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Output>,
    /// The members of the request, of a job of which acceptance has left something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<HttpUrl>,
    /// As the client was told them.
    unknown_arguments: Vec<String>,
}

impl Order {
    /// Whether there is something in an order that earlier versions have no place for.
    pub(super) fn is_needed(order: &order::Order) -> bool {
        !order.unknown_arguments.is_empty()
    }
}

impl From<&order::Order> for Order {
    fn from(order: &order::Order) -> Self {
        Self {
            version: VERSION,
            source: order.source.clone(),
            outputs: order.recipes.iter().map(Output::from).collect(),
            request: order.left.as_ref().map(|left| left.request.clone()),
            notify: order.notify.clone(),
            unknown_arguments: order.unknown_arguments.clone(),
        }
    }
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(order: Order) -> Result<Self, Unreadable> {
        let Order { version: _, source, outputs, request, notify, unknown_arguments } = order;
        let recipes = outputs.into_iter().map(Recipe::try_from).collect::<Result<_, _>>()?;
        let left = request.map(|request| Left { request });
        Ok(Self { source, recipes, notify, left, unknown_arguments })
    }
}
