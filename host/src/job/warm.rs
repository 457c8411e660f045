//! What acceptance leaves behind for a job's first attempt: its source above all, which then is not fetched again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imgserve_base::job::JobId;

use super::generation::Generation;
use super::intake::{Held, Intake};
use super::settings::Settings;

/// Most jobs whose sources are kept while they wait: each may hold some bytes that no limit counts.
const MOST: usize = 512;

/// Where the source comes from.
#[derive(Debug)]
pub(super) enum Supply {
    /// It is being fetched since the request came.
    Coming(Intake),
    /// It is here.
    Here(Held),
    /// Memory was short, or the server was started again: it is fetched again. How many bytes it had, if that is known.
    Again(Option<u64>),
}

impl Supply {
    /// Lets go of what is there.
    pub(super) fn again(self) -> Self {
        match self {
            Self::Coming(intake) => Self::Again(intake.size_hint()),
            Self::Here(held) => Self::Again(Some(held.bytes.len() as u64)),
            Self::Again(expected) => Self::Again(expected),
        }
    }
}

/// What an attempt begins with.
#[derive(Debug)]
pub(super) struct Warmth {
    pub(super) supply: Supply,
    pub(super) generation: Arc<Generation>,
    pub(super) settings: Arc<Settings>,
    /// How long storing the placeholders took.
    pub(super) placeholder: Duration,
    /// Whether the job comes from the journal alone: an attempt before may have left something behind.
    pub(super) cold: bool,
}

impl Warmth {
    /// Nothing is left of it: the job is taken up again, with what is in force now.
    pub(super) fn none(generation: Arc<Generation>, settings: Arc<Settings>) -> Self {
        Self { supply: Supply::Again(None), generation, settings, placeholder: Duration::ZERO, cold: true }
    }
}

/// Accepted jobs that have not begun.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<HashMap<JobId, Warmth>>);

impl Warm {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Warmth>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it, unless there is too much already: then the source is fetched again.
    pub(super) fn keep(&self, id: JobId, warmth: Warmth) {
        let mut warm = self.lock();
        if warm.len() < MOST {
            warm.insert(id, warmth);
        }
    }

    /// Lets go of all sources: the memory is needed by jobs that are to run before these, which fetch theirs again.
    pub(super) fn cool(&self) {
        for warmth in self.lock().values_mut() {
            warmth.supply = std::mem::replace(&mut warmth.supply, Supply::Again(None)).again();
        }
    }

    /// Storing the placeholders of a job took so long.
    pub(super) fn placeholder_took(&self, id: JobId, placeholder: Duration) {
        if let Some(warmth) = self.lock().get_mut(&id) {
            warmth.placeholder = placeholder;
        }
    }

    pub(super) fn take(&self, id: JobId) -> Option<Warmth> {
        self.lock().remove(&id)
    }
}
