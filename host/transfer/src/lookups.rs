//! Names looked up by the system's resolver. One whose name server does not answer holds a thread for longer than anybody waits
//! for it; so clients have turns for looking names up as they have for transfers, and none has more than are left.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use imgserve_base::fair::{Flow, Turn};

use super::places::{Asks, Place, PlaceKind, PlaceLimits, Places};

tokio::task_local! {
    /// Whose transfer a task is at. The HTTP client does not say for whom it asks for a name.
    static WHOSE: Arc<str>;
}

/// Does a client's work: what is looked up for it is the client's.
pub(super) async fn on_behalf_of<T>(whose: &Arc<str>, work: impl Future<Output = T>) -> T {
    WHOSE.scope(Arc::clone(whose), work).await
}

/// Whose work this task is at; nobody's, where it does not say.
pub(super) fn whose() -> Arc<str> {
    WHOSE.try_with(Arc::clone).unwrap_or_default()
}

/// How many names are looked up at once, and for whom. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Lookups(Places);

impl Lookups {
    /// So many for one client while there is no other; in all twice as many.
    pub(super) fn new(most: usize) -> Self {
        Self(Places::new(PlaceLimits { most, per_server: most, per_client: most }))
    }

    /// A place to look one up, as soon as it is this client's turn.
    pub(super) async fn take(&self, whose: &str) -> Place {
        self.0.take(&asks(whose)).await
    }

    /// A place to look one up, if there is one at once.
    pub(super) fn try_take(&self, whose: &str) -> Option<Place> {
        self.0.try_take(&asks(whose))
    }
}

/// All places are of one kind, and no other server's.
fn asks(whose: &str) -> Asks {
    let turn = Turn { flow: Flow::new(whose, 1), ..Turn::default() };
    Asks::new(PlaceKind::Source, [], &turn)
}

/// The addresses of a name; `place` is held by the thread, however long nobody waits for it any more.
pub(super) async fn look_up(name: &str, port: u16, place: Place) -> io::Result<Vec<SocketAddr>> {
    let name = name.to_owned();
    let look = move || -> io::Result<Vec<SocketAddr>> {
        let _place = place;
        Ok((name.as_str(), port).to_socket_addrs()?.collect())
    };
    tokio::task::spawn_blocking(look).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_whose_names_are_not_answered_leaves_lookups_to_others() {
        let lookups = Lookups::new(8);
        let hang: Vec<_> = std::iter::from_fn(|| lookups.try_take("many")).collect();
        assert_eq!(hang.len(), 8);
        let other = lookups.take("few").await;
        assert!(lookups.try_take("many").is_none());
        drop((hang, other));
        assert!(lookups.try_take("many").is_some());
    }

    #[tokio::test]
    async fn a_task_says_whose_work_it_is_at() {
        assert_eq!(&*whose(), "");
        let own = on_behalf_of(&"ann".into(), async { whose() }).await;
        assert_eq!((&*own, &*whose()), ("ann", ""));
    }
}
