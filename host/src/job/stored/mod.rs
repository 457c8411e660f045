//! The order and the receipt as the journal keeps them: structures made for storing, apart from what server and workers
//! tell each other. Each version of them is read for ever; only the last one is written.
//!
//! # Layout
//! - this file: which version a text is of, and what becomes of one that cannot be read
//! - `v1`: as imgserve 0.3 wrote them before they had a version; `v2`: as they are written now

mod v1;
mod v2;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::accept::Accepted;
use super::order::Order;

/// The version that is written, and the latest that is read. A text with a member more or less, or with another value of
/// one, is a later version, with a file of its own here and a fixture of its own in the tests.
pub(super) const VERSION: u32 = 2;

/// What this program calls itself where it cannot read a job: another one may be able to.
pub(crate) fn reader() -> String {
    format!("imgserve {}, orders up to version {VERSION}", env!("CARGO_PKG_VERSION"))
}

/// Why a stored text cannot be read. It is left as it is, for a program that can.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// A later program wrote it.
    #[error("it is of version {found}, and this program reads up to {VERSION}")]
    Later {
        /// Its version.
        found: u32,
    },
    /// It is not what its version says.
    #[error("it cannot be understood: {0}")]
    Broken(String),
}

impl Unreadable {
    fn broken(why: impl std::fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }
}

/// An order as it is kept.
pub(super) fn order_text(order: &Order) -> String {
    json(&v2::Order::from(order))
}

/// Reads a kept order of any version, of a job whose story has so many outputs.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read_order(text: &str, outputs: usize) -> Result<Order, Unreadable> {
    let order: Order = match version(text)? {
        1 => parse::<v1::Order>(text)?.try_into()?,
        2 => parse::<v2::Order>(text)?.try_into()?,
        found => return Err(Unreadable::Later { found }),
    };
    match order.recipes.len() == outputs {
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
