//! What is counted and timed, for Prometheus: names, units, labels, buckets. Who counts what when is others' business; they
//! hold a [`Metrics`], there is no global one. Labels take values from closed lists and operation names from the registry,
//! never a client's text: each new value is a time series that stays.
//!
//! # Layout
//! - this file: what adds up while the server runs
//! - `snapshot`: what is looked up when Prometheus asks

mod snapshot;

use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imgserve_base::job::{JobState, Phase};
use imgserve_base::named;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

pub(crate) use self::snapshot::Snapshot;

/// Before every name.
const PREFIX: &str = "imgserve";
/// The media type of what [`Metrics::render`] gives.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;
/// Upper bounds in seconds of the buckets of phases.
const PHASE_BOUNDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

named! {
    /// How a direct call was answered.
    pub(crate) enum DirectCall {
        Succeeded = "succeeded",
        Failed = "failed",
    }
}
named! {
    /// How a webhook ended.
    pub(crate) enum Webhook {
        Delivered = "delivered",
        /// It was given up.
        Failed = "failed",
    }
}
named! {
    /// How a direct operation by URL was answered.
    pub(crate) enum Render {
        Computed = "computed",
        /// By what was being computed for another client.
        Coalesced = "coalesced",
        /// By a result that was kept.
        Cached = "cached",
        /// The client has it already.
        NotModified = "not_modified",
        Failed = "failed",
    }
}
named! {
    /// What the cache had for a direct call.
    pub(crate) enum Cached {
        /// The result; and nobody had to be asked.
        Hit = "hit",
        /// The result; the source's server says that the source has not changed.
        Revalidated = "revalidated",
        /// The result; the source had to be fetched to know that.
        Fetched = "fetched",
        /// Nothing.
        Miss = "miss",
    }
}
named! {
    /// Which way bytes went.
    pub(crate) enum Direction {
        Fetched = "fetched",
        Stored = "stored",
    }
}

type Label = [(&'static str, &'static str); 1];
/// The name of an operation or a codec, and something else.
type Named = [(&'static str, String); 2];

/// All counters and histograms.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    accepted: Counter,
    jobs: Family<Named, Counter>,
    calls: Family<Named, Counter>,
    refused: Family<Label, Counter>,
    phases: Family<Label, Histogram>,
    bytes: Family<Label, Counter<u64, AtomicU64>>,
    plugin_failures: Family<Named, Counter>,
    codec_failures: Family<Named, Counter>,
    retries: Counter,
    webhooks: Family<Label, Counter>,
    renders: Family<Label, Counter>,
    cached: Family<Label, Counter>,
    config_successful: Gauge,
    config_time: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix(PREFIX),
            accepted: Counter::default(),
            jobs: Family::default(),
            calls: Family::default(),
            refused: Family::default(),
            phases: Family::new_with_constructor(|| Histogram::new(PHASE_BOUNDS)),
            bytes: Family::default(),
            plugin_failures: Family::default(),
            codec_failures: Family::default(),
            retries: Counter::default(),
            webhooks: Family::default(),
            renders: Family::default(),
            cached: Family::default(),
            config_successful: Gauge::default(),
            config_time: Gauge::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        // The start has taken one in.
        metrics.configured(true);
        metrics
    }

    fn register(&mut self) {
        let to = &mut self.registry;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        to.register("build", "The version that runs", Info::new(version));
        to.register("jobs_accepted", "Jobs accepted", self.accepted.clone());
        to.register("jobs", "Jobs ended, by operation and outcome", self.jobs.clone());
        to.register("calls", "Direct calls answered, by operation and outcome", self.calls.clone());
        to.register("refusals", "Requests refused, by kind", self.refused.clone());
        let text = "Time that jobs spent in each phase";
        to.register_with_unit("phase", text, Unit::Seconds, self.phases.clone());
        to.register("bytes", "Bytes of sources fetched and of results stored", self.bytes.clone());
        let text = "Failures that a plugin is to blame for, by operation and kind";
        to.register("plugin_failures", text, self.plugin_failures.clone());
        let text = "Failures that a codec of [codecs] is to blame for, by codec and kind";
        to.register("codec_failures", text, self.codec_failures.clone());
        to.register("job_retries", "Attempts at jobs that ended with another one due", self.retries.clone());
        to.register("webhooks", "Webhooks ended, by outcome", self.webhooks.clone());
        to.register("renders", "Direct operations by URL, by outcome", self.renders.clone());
        let text = "Direct calls by what the cache had for them";
        to.register("cache_requests", text, self.cached.clone());
        let text = "1 when the last reload took the configuration in, 0 when it was refused";
        to.register("config_last_reload_successful", text, self.config_successful.clone());
        let (name, text) =
            ("config_last_reload_success_timestamp", "When a configuration was last taken in, since 1970");
        to.register_with_unit(name, text, Unit::Seconds, self.config_time.clone());
    }

    /// Makes the time series whose labels are known: one that begins with its first event hides that event.
    fn begin_at_zero(&self) {
        for phase in Phase::ALL {
            drop(self.phases.get_or_create(&[("phase", label(phase))]));
        }
        for direction in Direction::ALL {
            self.moved(direction, 0);
        }
        for outcome in Webhook::ALL {
            drop(self.webhooks.get_or_create(&[("outcome", outcome.as_str())]));
        }
        for outcome in Render::ALL {
            drop(self.renders.get_or_create(&[("outcome", outcome.as_str())]));
        }
        for outcome in Cached::ALL {
            drop(self.cached.get_or_create(&[("outcome", outcome.as_str())]));
        }
    }

    /// The operations that there are: their jobs and calls are counted from zero.
    pub(crate) fn operations<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            for outcome in JobState::ALL.into_iter().filter(|state| state.is_final()) {
                drop(self.jobs.get_or_create(&of_operation(name, "outcome", outcome.as_str())));
            }
            for outcome in DirectCall::ALL {
                drop(self.calls.get_or_create(&of_operation(name, "outcome", outcome.as_str())));
            }
        }
    }

    /// A job was accepted.
    pub(crate) fn accepted(&self) {
        self.accepted.inc();
    }

    /// A job ended. `operation` is one of the registry's, `outcome` a final state.
    pub(crate) fn ended(&self, operation: &str, outcome: JobState) {
        self.jobs.get_or_create(&of_operation(operation, "outcome", outcome.as_str())).inc();
    }

    /// A direct call was answered. `operation` is one of the registry's.
    pub(crate) fn called(&self, operation: &str, outcome: DirectCall) {
        self.calls.get_or_create(&of_operation(operation, "outcome", outcome.as_str())).inc();
    }

    /// The kinds by which requests may be refused: they are counted from zero.
    pub(crate) fn refusals(&self, kinds: impl Iterator<Item = &'static str>) {
        for kind in kinds {
            drop(self.refused.get_or_create(&[("kind", kind)]));
        }
    }

    /// A request was refused. `kind` is that of the problem document.
    pub(crate) fn refused(&self, kind: &'static str) {
        self.refused.get_or_create(&[("kind", kind)]).inc();
    }

    /// A job has been through a phase.
    pub(crate) fn took(&self, phase: Phase, duration: Duration) {
        self.phases.get_or_create(&[("phase", label(phase))]).observe(duration.as_secs_f64());
    }

    /// Bytes went in or out.
    pub(crate) fn moved(&self, direction: Direction, bytes: u64) {
        self.bytes.get_or_create(&[("direction", direction.as_str())]).inc_by(bytes);
    }

    /// A plugin trapped, took too much, or broke the contract. `operation` is one of the registry's, `kind` a fault's.
    pub(crate) fn plugin_failed(&self, operation: &str, kind: &'static str) {
        self.plugin_failures.get_or_create(&of_operation(operation, "kind", kind)).inc();
    }

    /// A codec did. `codec` is a section's name.
    pub(crate) fn codec_failed(&self, codec: &str, kind: &'static str) {
        self.codec_failures.get_or_create(&[("codec", codec.to_owned()), ("kind", kind.to_owned())]).inc();
    }

    /// An attempt failed, and there will be another.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    /// A webhook was delivered or given up.
    pub(crate) fn notified(&self, outcome: Webhook) {
        self.webhooks.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// A direct operation by URL was answered.
    pub(crate) fn rendered(&self, outcome: Render) {
        self.renders.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// The cache was asked for what a direct call is answered with.
    pub(crate) fn cached(&self, outcome: Cached) {
        self.cached.get_or_create(&[("outcome", outcome.as_str())]).inc();
    }

    /// A configuration was taken in, or refused.
    pub(crate) fn configured(&self, taken: bool) {
        self.config_successful.set(i64::from(taken));
        if taken {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.config_time.set(now.as_secs_f64());
        }
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    pub(crate) fn render(&self, now: &Snapshot) -> String {
        let mut text = String::new();
        for registry in [&self.registry, &now.registry()] {
            prometheus_text::encode(&mut text, registry).expect("a string takes any text");
        }
        text
    }
}

/// A phase's name: the unit, which a story's member has in its own, stands in the metric's.
fn label(phase: Phase) -> &'static str {
    phase.as_str().trim_end_matches("_ms")
}

fn of_operation(operation: &str, other: &'static str, value: &str) -> Named {
    [("operation", operation.to_owned()), (other, value.to_owned())]
}

#[cfg(test)]
mod tests;
