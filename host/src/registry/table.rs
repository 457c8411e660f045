//! All operations by name, and the codecs that are plugins.

use std::collections::{BTreeMap, BTreeSet};

use super::codecs::Codec;
use super::entry::Entry;

/// All operations that requests may name.
#[derive(Debug)]
pub(crate) struct Registry {
    operations: BTreeMap<String, Entry>,
    codecs: Vec<Codec>,
}

impl Registry {
    /// A registry of these operations and codecs.
    pub(super) fn new(operations: BTreeMap<String, Entry>, codecs: Vec<Codec>) -> Self {
        Self { operations, codecs }
    }

    /// The codecs that are plugins.
    pub(crate) fn codecs(&self) -> &[Codec] {
        &self.codecs
    }

    /// The operation of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.operations.get(name)
    }

    /// All operations, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.operations.values()
    }

    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }

    /// The file name extensions of the sources that an operation takes, lowercase; a pipeline takes what its first step
    /// does, and so whatever any operation does.
    pub(crate) fn source_extensions<'r>(&'r self, operation: &'r Entry) -> Vec<&'r str> {
        if !operation.settings.is_pipeline() {
            return operation.source_extensions();
        }
        let others = self.iter().filter(|operation| !operation.settings.is_pipeline());
        let all: BTreeSet<&str> = others.flat_map(Entry::source_extensions).collect();
        all.into_iter().collect()
    }
}
