//! The connections on which jobs are claimed and questions asked: so many at most, each one's alone while it is in use.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::address::Address;
use super::link::Link;
use crate::store::JournalError;

/// How long one is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    address: Arc<Address>,
    /// Of the runtime that connections live in.
    runtime: Handle,
    idle: Arc<Mutex<Vec<Link>>>,
    most: usize,
    permits: Arc<Semaphore>,
}

/// A connection in use. It goes back when it is [`Lent::well`]; else it is closed, as nobody knows in what state it is.
pub(super) struct Lent {
    link: Option<Link>,
    idle: Arc<Mutex<Vec<Link>>>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// Of so many connections at most.
    pub(super) fn new(address: Arc<Address>, runtime: Handle, most: usize) -> Self {
        Self { address, runtime, idle: Arc::default(), most, permits: Arc::new(Semaphore::new(most)) }
    }

    /// Takes one, and makes it where there is none.
    ///
    /// # Errors
    /// [`JournalError::Unwritable`]: there is none to be had.
    pub(super) async fn take(&self) -> Result<Lent, JournalError> {
        let none = |text: String| JournalError::Unwritable { text };
        let most = self.most;
        let permit = tokio::time::timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit
            .map_err(|_| {
                none(format!("all {most} connections have been in use for {} s", PATIENCE.as_secs()))
            })?
            .map_err(|error| none(error.to_string()))?;
        let idle = Arc::clone(&self.idle);
        let known = std::iter::from_fn(|| locked(&idle).pop()).find(|link| !link.is_closed());
        let link = match known {
            Some(link) => link,
            None => {
                let address = Arc::clone(&self.address);
                let opened = self.runtime.spawn(async move { Link::open(&address).await });
                opened.await.map_err(|error| none(error.to_string()))??
            }
        };
        Ok(Lent { link: Some(link), idle, _permit: permit })
    }
}

impl Lent {
    /// Nothing is under way on it.
    pub(super) fn well(mut self) {
        if let Some(link) = self.link.take() {
            locked(&self.idle).push(link);
        }
    }
}

impl Deref for Lent {
    type Target = Link;

    fn deref(&self) -> &Link {
        self.link.as_ref().expect("it has it until it is given back")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Link {
        self.link.as_mut().expect("it has it until it is given back")
    }
}

fn locked(idle: &Mutex<Vec<Link>>) -> std::sync::MutexGuard<'_, Vec<Link>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
