//! Which stores a client may reach: what its API key is held to.

use std::sync::Arc;

use imgserve_config::StoreRight;

/// What a client may do with stores. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreRights(Option<Arc<[String]>>);

impl StoreRights {
    /// Every store, to read and to write.
    pub(crate) const ALL: Self = Self(None);

    /// What a key of the configuration says; all where it says nothing.
    pub(crate) fn of(stores: Option<&[String]>) -> Self {
        Self(stores.map(Into::into))
    }

    /// Whether objects of this store may be fetched, or stored where it `writes`.
    pub(crate) fn may(&self, store: &str, writes: bool) -> bool {
        let wanted = StoreRight { store, writes };
        let rights =
            |rights: &Arc<[String]>| rights.iter().any(|right| StoreRight::parse(right) == Some(wanted));
        self.0.as_ref().is_none_or(rights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_held_to_what_it_says_and_one_that_says_nothing_to_nothing() {
        let rights = ["photos:read".to_owned(), "thumbs:write".to_owned()];
        let held = StoreRights::of(Some(&rights));
        for (store, writes, may) in [
            ("photos", false, true),
            ("photos", true, false),
            ("thumbs", true, true),
            ("thumbs", false, false),
            ("photo", false, false),
        ] {
            assert_eq!(held.may(store, writes), may, "{store} {writes}");
            assert!(StoreRights::of(None).may(store, writes) && StoreRights::ALL.may(store, writes));
            assert!(!StoreRights::of(Some(&[])).may(store, writes));
        }
    }
}
