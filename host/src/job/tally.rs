//! What is counted of jobs and calls, and the one line of the log that says what became of a job.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use imgserve_base::fault::Fault;
use imgserve_base::job::{Phase, Record};

use crate::metrics::{Direction, Metrics};

/// The tally of jobs.
#[derive(Debug)]
pub(super) struct Tally {
    metrics: Metrics,
    /// Whether a job has ended since it was last looked which to forget.
    ended: AtomicBool,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self { metrics: Metrics::new(), ended: AtomicBool::new(true) }
    }

    /// All counters: whoever knows of one event alone counts it there.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Counts a request that is refused.
    pub(super) fn refused(&self, fault: &Fault) {
        self.metrics.refused(fault.kind.as_str());
        self.blame(fault);
    }

    /// Counts an attempt that failed and is not the job's last.
    pub(super) fn retried(&self, fault: &Fault) {
        self.metrics.retried();
        self.blame(fault);
    }

    /// Counts a fault that a plugin is to blame for.
    fn blame(&self, fault: &Fault) {
        if let Some(operation) = &fault.operation {
            self.metrics.plugin_failed(operation, fault.kind.as_str());
        }
        if let Some(codec) = &fault.codec {
            self.metrics.codec_failed(codec, fault.kind.as_str());
        }
    }

    /// Counts a job that has ended, having stored so many bytes, and writes its line of the log.
    pub(super) fn ended(&self, record: &Record, bytes: u64) {
        self.metrics.ended(&record.operation, record.state);
        self.metrics.moved(Direction::Stored, bytes);
        for (phase, ms) in &record.timings {
            self.metrics.took(*phase, Duration::from_secs_f64(ms / 1e3));
        }
        record.outputs.iter().filter_map(|output| output.error.as_ref()).for_each(|fault| self.blame(fault));
        log_end(record, bytes);
    }

    /// The journal holds one more job that has ended.
    pub(super) fn written_down(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether that was so since this was last asked: then there may be jobs to forget.
    pub(super) fn take_written_down(&self) -> bool {
        self.ended.swap(false, Ordering::AcqRel)
    }
}

fn log_end(record: &Record, bytes: u64) {
    let took = record.finished_at_ms.unwrap_or_default().saturating_sub(record.accepted_at_ms);
    let phase = |phase| record.timings.get(&phase).copied().unwrap_or_default();
    let destinations: Vec<&str> = record.outputs.iter().map(|output| output.destination.as_str()).collect();
    let error = record.error().map(|fault| format!("; {}: {fault}", fault.kind)).unwrap_or_default();
    tracing::info!(
        job = %record.id,
        state = record.state.as_str(),
        operation = %record.operation,
        client = %record.client,
        source = %record.source,
        destination = %destinations.join(" "),
        attempts = record.attempt,
        bytes,
        ms = took,
        fetch_ms = phase(Phase::Fetch),
        queue_ms = phase(Phase::Queue),
        work_ms = phase(Phase::Work),
        store_ms = phase(Phase::Store),
        "{}{error}",
        record.state.as_str(),
    );
}

#[cfg(test)]
mod tests {
    use imgserve_base::fault::FaultKind;

    use super::*;
    use crate::metrics::Snapshot;

    #[test]
    fn blamed_plugins_are_counted_and_ends_written_down_are_told_of_once() {
        let tally = Tally::new();
        let own = Fault::new(FaultKind::OperationFailed, "x");
        let plugins = Fault { operation: Some("thumb".to_owned()), ..own.clone() };
        tally.retried(&plugins);
        tally.refused(&plugins);
        tally.refused(&Fault { codec: Some("heic".to_owned()), ..own.clone() });
        tally.refused(&own);
        let kind = FaultKind::OperationFailed;
        let text = tally.metrics().render(&Snapshot::default());
        for line in [
            format!("imgserve_plugin_failures_total{{operation=\"thumb\",kind=\"{kind}\"}} 2"),
            format!("imgserve_codec_failures_total{{codec=\"heic\",kind=\"{kind}\"}} 1"),
            format!("imgserve_refusals_total{{kind=\"{kind}\"}} 3"),
            "imgserve_job_retries_total 1".to_owned(),
        ] {
            assert!(text.lines().any(|told| told == line), "{line} in {text}");
        }
        tally.take_written_down();
        tally.written_down();
        assert!(tally.take_written_down() && !tally.take_written_down());
    }
}
