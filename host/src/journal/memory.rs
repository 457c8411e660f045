//! The job store. Jobs live in memory and end with the process; what is asked of the store is already what a durable
//! one will be asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::fault::Fault;
use crate::job::{JobId, JobState, Record, now_ms};

/// All unfinished jobs, and the last of the finished ones.
#[derive(Debug)]
pub(crate) struct Journal {
    records: Mutex<Records>,
    keep_finished: usize,
}

#[derive(Debug, Default)]
struct Records {
    by_id: HashMap<JobId, Record>,
    /// Finished jobs, the oldest first.
    finished: VecDeque<JobId>,
}

impl Journal {
    /// A store that remembers `keep_finished` finished jobs.
    pub(crate) fn new(keep_finished: usize) -> Self {
        Self { records: Mutex::default(), keep_finished }
    }

    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a new job in.
    pub(crate) fn submit(&self, record: Record) {
        self.lock().by_id.insert(record.id, record);
    }

    /// Forgets a job whose placeholder could not be stored: it was never accepted.
    pub(crate) fn withdraw(&self, id: JobId) {
        self.lock().by_id.remove(&id);
    }

    /// The job of this id.
    pub(crate) fn get(&self, id: JobId) -> Option<Record> {
        self.lock().by_id.get(&id).cloned()
    }

    /// Ids and destinations of the jobs that have not ended.
    pub(crate) fn unfinished(&self) -> Vec<(JobId, String)> {
        let records = self.lock();
        let open = records.by_id.values().filter(|record| !record.state.is_final());
        open.map(|record| (record.id, record.destination.clone())).collect()
    }

    /// Changes what is recorded of an unfinished job.
    pub(crate) fn update(&self, id: JobId, change: impl FnOnce(&mut Record)) {
        if let Some(record) = self.lock().by_id.get_mut(&id).filter(|record| !record.state.is_final()) {
            change(record);
        }
    }

    /// Moves a job to its next state; an illegal move is ignored, and told by the answer.
    pub(crate) fn advance(&self, id: JobId, next: JobState) -> bool {
        let mut records = self.lock();
        let Some(record) = records.by_id.get_mut(&id) else { return false };
        if !record.state.may_become(next) {
            return false;
        }
        record.state = next;
        if next.is_final() {
            record.finished_at_ms = Some(now_ms());
            if next == JobState::Succeeded {
                record.progress = 1.0;
            }
            records.finished.push_back(id);
            while records.finished.len() > self.keep_finished {
                let Some(oldest) = records.finished.pop_front() else { break };
                records.by_id.remove(&oldest);
            }
        }
        true
    }

    /// Ends a job that has failed.
    pub(crate) fn fail(&self, id: JobId, fault: Fault) {
        self.update(id, |record| record.error = Some(fault));
        self.advance(id, JobState::Failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;
    use crate::job::Output;

    fn record() -> Record {
        Record {
            id: JobId::new(),
            state: JobState::Accepting,
            operation: "resize".to_owned(),
            source: "file:///a.png".to_owned(),
            destination: "file:///b.png".to_owned(),
            accepted_at_ms: now_ms(),
            finished_at_ms: None,
            progress: 0.0,
            timings: Default::default(),
            output: Output { width: 1, height: 1, format: "png".to_owned(), bytes: None },
            error: None,
        }
    }

    #[test]
    fn finished_jobs_are_forgotten_oldest_first_and_unfinished_ones_never() {
        let journal = Journal::new(2);
        let waiting = record();
        let waiting_id = waiting.id;
        journal.submit(waiting);
        let ids: Vec<JobId> = (0..3)
            .map(|_| {
                let record = record();
                let id = record.id;
                journal.submit(record);
                assert!(journal.advance(id, JobState::Accepted));
                assert!(journal.advance(id, JobState::Running));
                assert!(journal.advance(id, JobState::Succeeded));
                id
            })
            .collect();
        assert!(journal.get(ids[0]).is_none());
        assert!(
            journal.get(ids[1]).is_some()
                && journal.get(ids[2]).is_some()
                && journal.get(waiting_id).is_some()
        );
    }

    #[test]
    fn a_failed_job_keeps_its_first_reason() {
        let journal = Journal::new(2);
        let record = record();
        let id = record.id;
        journal.submit(record);
        journal.advance(id, JobState::Accepted);
        journal.fail(id, Fault::new(FaultKind::LimitExceeded, "first"));
        journal.fail(id, Fault::new(FaultKind::Busy, "second"));
        let record = journal.get(id).unwrap();
        assert_eq!((record.state, record.error.unwrap().text.as_str()), (JobState::Failed, "first"));
        assert!(!journal.advance(id, JobState::Running));
    }
}
