//! What has a value at any time, looked up when Prometheus asks: gauges, and what others count already.

use std::fmt;

use imgserve_cache::Figures;
use imgserve_journal::{COMMIT_BOUNDS, Health};
use imgserve_transfer::{PlaceKind, PlacesNow};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{Label, PREFIX};

type Labels = [(&'static str, &'static str); 2];

/// How the server is doing now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Jobs in the journal, by state; a state that is left out has none.
    pub jobs: Vec<(&'static str, u64)>,
    /// Worker processes that are ready or busy.
    pub workers: usize,
    /// Those that are busy.
    pub workers_busy: usize,
    /// Worker processes that died and were replaced, since the start.
    pub worker_restarts: u64,
    /// Tasks waiting for a worker: probing, planning, drawing.
    pub waiting_short: usize,
    /// Tasks waiting for a worker: running.
    pub waiting_long: usize,
    /// Estimated memory of all running tasks, in bytes.
    pub memory_used_bytes: u64,
    /// Places for transfers, by kind.
    pub transfers: Vec<(PlaceKind, PlacesNow)>,
    /// Transfers that were ended as too slow, since the start.
    pub transfers_too_slow: u64,
    /// How the journal is doing.
    pub journal: Health,
    /// Webhooks that are neither delivered nor given up.
    pub undelivered_webhooks: u64,
    /// How the cache is doing, if there is one.
    pub cache: Option<Figures>,
    /// What this node is called, and how many there are, where they share a journal.
    pub node: Option<(String, usize)>,
}

impl Snapshot {
    /// Everything of it, made for this one answer.
    pub(super) fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix(PREFIX);
        let to = &mut registry;
        let by = |label: &'static str, values: &[(&'static str, u64)]| {
            let family = Family::<Label, Gauge>::default();
            for (value, count) in values {
                family.get_or_create(&[(label, value)]).set(i64::try_from(*count).unwrap_or(i64::MAX));
            }
            family
        };
        to.register("journal_jobs", "Jobs in the journal, by state", by("state", &self.jobs));
        to.register("workers", "Worker processes that are ready or busy", ConstGauge::new(self.workers));
        to.register("workers_busy", "Worker processes that are busy", ConstGauge::new(self.workers_busy));
        let text = "Worker processes that died and were replaced";
        to.register("worker_restarts", text, ConstCounter::new(self.worker_restarts));
        let waiting = [("short", self.waiting_short as u64), ("long", self.waiting_long as u64)];
        to.register("tasks_waiting", "Tasks waiting for a worker, by length", by("length", &waiting));
        let text = "Estimated memory of all running tasks";
        to.register_with_unit("memory_used", text, Unit::Bytes, ConstGauge::new(self.memory_used_bytes));
        let text = "Webhooks that are neither delivered nor given up";
        to.register("webhooks_undelivered", text, ConstGauge::new(self.undelivered_webhooks));
        self.register_transfers(to);
        self.register_journal(to);
        if let Some(cache) = &self.cache {
            register_cache(to, cache);
        }
        if let Some((name, nodes)) = &self.node {
            to.register("node", "What this node is called", Info::new([("node", name.clone())]));
            to.register("nodes", "Nodes that share the journal and are there", ConstGauge::new(*nodes));
        }
        registry
    }

    fn register_transfers(&self, to: &mut Registry) {
        let (taken, waiting) = (Family::<Labels, Gauge>::default(), Family::<Label, Gauge>::default());
        let refused = Family::<Label, Counter>::default();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (kind, now) in &self.transfers {
            for (reach, count) in [("network", now.network), ("local", now.local)] {
                taken.get_or_create(&[("kind", kind.as_str()), ("reach", reach)]).set(gauge(count));
            }
            waiting.get_or_create(&[("kind", kind.as_str())]).set(gauge(now.waiting));
            refused.get_or_create(&[("kind", kind.as_str())]).inc_by(now.refused);
        }
        to.register("transfers", "Places for transfers that are taken, by kind and reach", taken);
        to.register("transfers_waiting", "Transfers that wait for a place, by kind", waiting);
        let text = "Transfers for which there was no place in time, by kind";
        to.register("transfers_refused", text, refused);
        let text = "Transfers that were ended because the other server was too slow";
        to.register("transfers_too_slow", text, ConstCounter::new(self.transfers_too_slow));
    }

    fn register_journal(&self, to: &mut Registry) {
        let broken = ConstGauge::new(u32::from(self.journal.broken.is_some()));
        to.register("journal_broken", "1 when the journal takes nothing any more", broken);
        let unwritable = ConstGauge::new(u32::from(self.journal.unwritable.is_some()));
        to.register("journal_unwritable", "1 when the journal takes nothing at present", unwritable);
        let text = "Changes that the journal has committed";
        to.register("journal_changes", text, ConstCounter::new(self.journal.changes));
        let text = "Time that the journal's commits took";
        to.register_with_unit("journal_commit", text, Unit::Seconds, Commits(self.journal.clone()));
    }
}

fn register_cache(to: &mut Registry, cache: &Figures) {
    to.register("cache_entries", "Entries of the cache", ConstGauge::new(cache.entries));
    let text = "What the cache's files take of the disk";
    to.register_with_unit("cache_disk", text, Unit::Bytes, ConstGauge::new(cache.bytes));
    let text = "What the cache has in memory";
    to.register_with_unit("cache_memory", text, Unit::Bytes, ConstGauge::new(cache.memory_bytes));
    let text = "Entries of the cache that were removed to make room";
    to.register("cache_evictions", text, ConstCounter::new(cache.evicted));
    let text = "Entries of the cache that were damaged";
    to.register("cache_damaged", text, ConstCounter::new(cache.damaged));
    let text = "Entries of the cache that were not written";
    to.register("cache_unwritten", text, ConstCounter::new(cache.unwritten));
    let unwritable = ConstGauge::new(u32::from(cache.unwritable));
    to.register("cache_unwritable", "1 when the cache cannot be written to at present", unwritable);
}

/// The journal's own histogram.
#[derive(Debug)]
struct Commits(Health);

impl EncodeMetric for Commits {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = COMMIT_BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.0.buckets.iter().copied()).collect();
        encoder.encode_histogram::<NoLabelSet>(self.0.commit_seconds, self.0.commits, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
