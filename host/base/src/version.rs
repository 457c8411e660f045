//! By what a source is told from other bytes at its place, without reading it.

/// What is known of the source that was read. Nothing where there is nothing to go by: then it is read to be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// The entity tag that its server has for it.
    pub tag: Option<String>,
    /// When it was last changed, in its server's words.
    pub modified: Option<String>,
    /// A digest of the URL that both are of, to which redirects may have led.
    pub at: Option<String>,
    /// Size, times and place of a file, if that has lain still for long enough to go by them.
    pub stamp: Option<String>,
}

impl Version {
    /// Whether there is anything by which it can be asked whether the source is still this one.
    pub fn is_known(&self) -> bool {
        self.tag.is_some() || self.modified.is_some() || self.stamp.is_some()
    }
}
