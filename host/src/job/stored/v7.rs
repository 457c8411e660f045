//! Version 7 of what is stored: the order of a job whose source or results are of a format that comes by plugin, or may be, planned or
//! not: as version 6, in which no such format can be. Frozen once released: a change is a later version.

use imgserve_base::format::Format;
use imgserve_transfer::{destination_extension, extension};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::order::{self, Recipe};
use super::v6;
use super::version::Unreadable;

/// Its number.
const VERSION: u32 = 7;

/// How a job is done.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Order(v6::Order);

impl Order {
    /// Whether there is something in an order that earlier versions have no place for.
    pub(super) fn is_needed(order: &order::Order) -> bool {
        let new = |recipe: &Recipe| {
            [recipe.task.format, recipe.prepared.source_format].into_iter().flatten().any(is_new)
        };
        order.recipes.iter().any(new) || order.left.as_ref().is_some_and(|left| names_new(&left.request))
    }
}

fn is_new(format: Format) -> bool {
    matches!(format, Format::Plugged(_))
}

/// Whether a request names such a format, for its source or its results. It is looked for at any depth, as of version 6.
fn names_new(request: &Map<String, Value>) -> bool {
    request.iter().any(|(name, value)| {
        let named = match (name.as_str(), value) {
            ("format" | "fm", Value::String(format)) => Format::from_name(format),
            ("srcURL", Value::String(url)) => extension(url).and_then(Format::from_extension),
            ("dstURL", Value::String(url)) => destination_extension(url).and_then(Format::from_extension),
            _ => None,
        };
        let within = match value {
            Value::Object(members) => names_new(members),
            Value::Array(items) => items.iter().filter_map(Value::as_object).any(names_new),
            _ => false,
        };
        named.is_some_and(is_new) || within
    })
}

impl From<&order::Order> for Order {
    fn from(order: &order::Order) -> Self {
        let mut order = v6::Order::from(order);
        order.version = VERSION;
        Self(order)
    }
}

impl TryFrom<Order> for order::Order {
    type Error = Unreadable;

    fn try_from(Order(order): Order) -> Result<Self, Unreadable> {
        order.try_into()
    }
}
