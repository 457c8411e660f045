//! Operation name → what is known of its plugin and its settings. Built from the configuration and from what the
//! workers say they have loaded; requests are checked against it before anything is fetched.
//!
//! # Layout
//! - `table`: the operations by name; `build`: how they get there
//! - `entry`: one of them, and the checks of its arguments; `host_arguments`: those that are the host's own; `defaults`: those
//!   that the configuration gives
//! - `chain`: from a request's operation to the steps that are run
//! - `described`: whether what a plugin says of itself is usable
//! - `aliases`: other names of arguments
//! - `told`: arguments as a person is told them
//! - `textual`: arguments that came as text, such as in a URL's query; `meant`: what is meant by values that are not quite
//!   of the wanted types
//! - `codecs`: the codecs that are plugins
//! - `breaker`: a plugin that keeps failing is refused for a while; `needs`: whose plugins some work needs

mod aliases;
mod breaker;
mod build;
mod chain;
mod codecs;
mod defaults;
mod described;
mod entry;
mod host_arguments;
mod meant;
mod needs;
mod table;
mod textual;
mod told;

pub(crate) use breaker::BreakerState;
pub(crate) use chain::Chain;
pub(crate) use codecs::Codec;
pub(crate) use entry::Entry;
pub(crate) use host_arguments::{LATER_ARGUMENTS, integer, kept, quality, text, writable};
pub(crate) use meant::Reading;
pub(crate) use needs::Needs;
pub(crate) use table::Registry;
pub(crate) use told::Told;
