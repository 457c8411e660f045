//! Version 3 of what is stored: the order of a job that was taken before it was planned. Frozen once released: a change is a
//! later version.

use imgserve_transfer::{HttpUrl, SourceUrl};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::order::{self, Unplanned};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    notify: Option<HttpUrl>,
}

impl Order {
    pub(super) fn new(order: &order::Order, unplanned: &Unplanned) -> Self {
        let (source, notify) = (order.source.clone(), order.notify.clone());
        Self { version: VERSION, source, request: unplanned.request.clone(), notify }
    }
}

impl From<Order> for order::Order {
    fn from(order: Order) -> Self {
        let Order { version: _, source, request, notify } = order;
        let unplanned = Some(Unplanned { request });
        Self { source, recipes: Vec::new(), notify, unplanned, unknown_arguments: Vec::new() }
    }
}
