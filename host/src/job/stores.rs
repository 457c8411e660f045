//! Whether a request may have the stores that its URLs lead to: that they are there, and that its client is let to them. Asked before
//! anything of the request is done.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::job::Client;
use imgserve_base::secret::redact;
use imgserve_transfer::Transfer;

use super::wanted::Wanted;
use crate::access::StoreRights;

/// Who wants something of stores.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wants<'w> {
    pub(super) client: &'w Client,
    pub(super) rights: &'w StoreRights,
    pub(super) transfer: &'w Transfer,
}

impl Wants<'_> {
    /// # Errors
    /// [`FaultKind::SourceUnavailable`], [`FaultKind::DestinationUnavailable`].
    pub(super) fn check(&self, wanted: &Wanted) -> Result<(), Fault> {
        self.check_source(wanted.source())?;
        wanted.requests.iter().try_for_each(|request| {
            let checked = self.check_url(&request.destination, true, FaultKind::DestinationUnavailable);
            checked.map_err(|fault| if request.at.is_empty() { fault } else { fault.at(&request.at) })
        })
    }

    /// # Errors
    /// [`FaultKind::SourceUnavailable`].
    pub(super) fn check_source(&self, url: &str) -> Result<(), Fault> {
        self.check_url(url, false, FaultKind::SourceUnavailable)
    }

    fn check_url(&self, url: &str, writes: bool, kind: FaultKind) -> Result<(), Fault> {
        let stores = self.transfer.stores_of(url).map_err(|error| Fault::of(kind, &error))?;
        match stores.into_iter().find(|store| !self.rights.may(store, writes)) {
            None => Ok(()),
            Some(store) => {
                let (client, url) = (self.client, redact(url));
                let verb = if writes { "write to" } else { "read from" };
                let text = format!(
                    "{url}: the API key `{client}` may not {verb} the store `{store}` ([[access.api_keys]] stores)"
                );
                Err(Fault::new(kind, text))
            }
        }
    }
}
