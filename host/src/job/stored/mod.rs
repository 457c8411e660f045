//! The order and the receipt as the journal keeps them: structures made for storing, apart from what server and workers
//! tell each other. Each version of them is read for ever; only the last one is written.
//!
//! # Layout
//! - this file: which version a text is of, and what becomes of one that cannot be read
//! - `version`: the last one, and why a text cannot be read; `v1`: as imgserve 0.3 wrote them before they had a version; `v2`: as they are
//!   written now; `v3`: the order of a job of which acceptance has left something to do; `v4`: that of one with arguments that
//!   nobody knows; `v5`: that of one on a store, whose results have headers, or of AVIF or JPEG XL; `v6`: that of one whose results
//!   keep more than usual, or are a TIFF, a BMP or an ICO; `v7`: that of one with a format that comes by plugin

mod v1;
mod v2;
mod v3;
mod v4;
mod v5;
mod v6;
mod v7;
mod version;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::version::{Unreadable, VERSION};
use super::order::{Accepted, Order};

/// What this program calls itself where it cannot read a job: another one may be able to.
pub(crate) fn reader() -> String {
    format!("imgserve {}, orders up to version {VERSION}", env!("CARGO_PKG_VERSION"))
}

/// An order as it is kept.
pub(super) fn order_text(order: &Order) -> String {
    if v7::Order::is_needed(order) {
        return json(&v7::Order::from(order));
    }
    if v6::Order::is_needed(order) {
        return json(&v6::Order::from(order));
    }
    if v5::Order::is_needed(order) {
        return json(&v5::Order::from(order));
    }
    if v4::Order::is_needed(order) {
        return json(&v4::Order::from(order));
    }
    match &order.left {
        Some(left) => json(&v3::Order::new(order, left)),
        None => json(&v2::Order::from(order)),
    }
}

/// Reads a kept order of any version, of a job whose story has so many outputs.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read_order(text: &str, outputs: usize) -> Result<Order, Unreadable> {
    let order: Order = match version(text)? {
        1 => parse::<v1::Order>(text)?.try_into()?,
        2 => parse::<v2::Order>(text)?.try_into()?,
        3 => parse::<v3::Order>(text)?.try_into()?,
        4 => parse::<v4::Order>(text)?.try_into()?,
        5 => parse::<v5::Order>(text)?.try_into()?,
        6 => parse::<v6::Order>(text)?.try_into()?,
        7 => parse::<v7::Order>(text)?.try_into()?,
        found => return Err(Unreadable::Later { found }),
    };
    // It has its outputs when it is planned.
    let unplanned = order.left.is_some() && order.recipes.is_empty();
    match unplanned || order.recipes.len() == outputs {
        true => Ok(order),
        false => Err(Unreadable::Broken(format!("{} outputs of {outputs}", order.recipes.len()))),
    }
}

/// A receipt as it is kept.
pub(super) fn receipt_text(accepted: &Accepted) -> String {
    json(&v2::Receipt::from(accepted))
}

/// Reads a kept receipt of any version.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read_receipt(text: &str) -> Result<Accepted, Unreadable> {
    match version(text)? {
        // The second version added no more than its number.
        1 | 2 => Ok(parse::<v2::Receipt>(text)?.into()),
        found => Err(Unreadable::Later { found }),
    }
}

/// The version of a text: the first had no number.
fn version(text: &str) -> Result<u32, Unreadable> {
    #[derive(Deserialize)]
    struct Numbered {
        #[serde(default = "first")]
        version: u32,
    }
    fn first() -> u32 {
        1
    }
    Ok(parse::<Numbered>(text)?.version)
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(Unreadable::broken)
}

fn json(stored: &impl serde::Serialize) -> String {
    serde_json::to_string(stored).expect("what is stored holds nothing that JSON cannot")
}

#[cfg(test)]
mod tests;
