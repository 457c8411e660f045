//! Version 3 of what is stored: the order of a job that was taken before it was planned, until its placeholders are stored. Frozen
//! once released: a change is a later version.

use imgserve_transfer::{HttpUrl, SourceUrl};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::order::{self, Left, Recipe};
use super::v2::Output;
use super::version::Unreadable;

/// Its number.
const VERSION: u32 = 3;

/// What a job is to be planned by.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    version: u32,
    source: SourceUrl,
    /// The members of the request, as `POST /v1/jobs` takes them.
    request: Map<String, Value>,
    /// What was planned; nothing before that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    outputs: Vec<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<HttpUrl>,
}

impl Order {
    pub(super) fn new(order: &order::Order, left: &Left) -> Self {
        let (source, notify) = (order.source.clone(), order.notify.clone());
        let outputs = order.recipes.iter().map(Output::from).collect();
        Self { version: VERSION, source, request: left.request.clone(), outputs, notify }
    }
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(order: Order) -> Result<Self, Unreadable> {
        let Order { version: _, source, request, outputs, notify } = order;
        let recipes = outputs.into_iter().map(Recipe::try_from).collect::<Result<_, _>>()?;
        let left = Some(Left { request });
        Ok(Self { source, recipes, notify, left, unknown_arguments: Vec::new() })
    }
}
