//! Whose a picture is, and who made it.

/// As a source says it; each text once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// By language, `x-default` where none is told.
    pub(super) rights: Vec<(String, String)>,
    pub(super) creators: Vec<String>,
}

/// The most texts of either kind.
pub(super) const MAX_TEXTS: usize = 64;

impl Rights {
    /// What is not said here is as others say it.
    pub(super) fn or(self, others: Self) -> Self {
        let rights = if self.rights.is_empty() { others.rights } else { self.rights };
        let creators = if self.creators.is_empty() { others.creators } else { self.creators };
        Self { rights, creators }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rights.is_empty() && self.creators.is_empty()
    }
}
