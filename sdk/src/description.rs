//! What an operation says about itself: its name, what it takes, its arguments' schema, named examples.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::PixelFormat;

/// What `describe` gives. Everything a host needs before it has seen a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// The plugin's own name, such as `resize`; an operator may register it under another.
    pub name: String,
    /// The plugin's version, usually `env!("CARGO_PKG_VERSION")`.
    pub version: String,
    /// One sentence for a person.
    pub summary: String,
    /// What `run` is given.
    pub input: InputKind,
    /// What `run` gives, and so which destination extensions fit.
    pub output: OutputKind,
    /// JSON Schema (draft 2020-12) of the arguments object.
    pub arguments: Value,
    /// Arguments worth showing, each under a name.
    #[serde(default)]
    pub examples: Vec<Example>,
}

impl Description {
    /// A description of an operation from pixels to pixels in any format, in the source's file format.
    /// The other fields are public: change what differs.
    pub fn new<Args: JsonSchema>(name: &str, version: &str, summary: &str) -> Self {
        let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Args>();
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            summary: summary.to_owned(),
            input: InputKind::Pixels { formats: PixelFormat::ALL.to_vec(), frames: Frames::Each },
            output: OutputKind::Source,
            arguments: schema.to_value(),
            examples: Vec::new(),
        }
    }

    /// Adds an example: `arguments` is a JSON object, as a client would send it.
    #[must_use]
    pub fn example(mut self, name: &str, arguments: Value) -> Self {
        self.examples.push(Example { name: name.to_owned(), arguments });
        self
    }
}

/// What `run` is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum InputKind {
    /// Decoded pixels. The host converts to the first of `formats` that loses nothing, else to the last.
    Pixels {
        /// The pixel formats the operation understands; at least one.
        formats: Vec<PixelFormat>,
        /// How an animated source is handed over.
        frames: Frames,
    },
    /// The source's bytes as they were fetched, for operations that read a file format themselves.
    Encoded {
        /// Names of the formats taken; each is also the file name extension, such as `svg`.
        formats: Vec<String>,
    },
}

/// How an animated source is handed to an operation that takes pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// One call of `run` per frame, each with one image.
    Each,
    /// One call of `run` with all frames.
    All,
}

/// What `run` gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum OutputKind {
    /// Pixels, which the host encodes in the source's own file format unless the request names another.
    Source,
    /// Pixels, which the host encodes in this file format (`jpeg`, `png`, `gif`, `webp`) unless the request
    /// names another.
    Image {
        /// The file format's name.
        format: String,
    },
    /// Bytes that the host stores as they are.
    Encoded {
        /// Their media type, such as `text/plain`.
        media_type: String,
        /// The destination's file name extension, without a dot.
        extension: String,
    },
}

/// Arguments worth showing, under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// What the example shows.
    pub name: String,
    /// The arguments object, as a client would send it.
    pub arguments: Value,
}
