//! What the bytes of an SVG say before it is drawn. The host, which tells a source's size, and the operation that draws it read
//! them by this one crate, so that they never disagree on what is a drawing and how large it is.
//!
//! # Layout
//! Each uses only what stands above it.
//! - `text`: from bytes, compressed or in whatever encoding, to text
//! - `xml`: what the text would cost its parser
//! - `prologue`: what stands before the root element, and that element's start tag
//! - `document`: the text parsed, with the namespaces that it leaves out
//! - `shape`: the size that the root element gives

mod document;
mod prologue;
mod shape;
mod text;
pub mod xml;

pub use document::{MAX_NODES, NAMESPACE, complete, parse};
pub use shape::{Shape, shape, shape_at_once};
pub use text::{MAX_BYTES, TextError, beginning, is_compressed, text};
