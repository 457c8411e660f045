//! The exposition read as Prometheus reads it: families with their help and type, and samples that belong to them.

use std::collections::BTreeMap;
use std::time::Duration;

use imgserve_cache::Figures;
use imgserve_journal::Health;
use imgserve_transfer::{PlaceKind, PlacesNow};

use super::*;

/// Samples by name and labels as written, types by family. Whatever is not in the format fails the test.
fn parsed(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
    let mut helped = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (family, help) = help.split_once(' ').unwrap();
            assert!(help.len() > 10 && help.ends_with('.'), "{line}");
            helped = family.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (family, kind) = kind.split_once(' ').unwrap();
            assert_eq!(family, helped);
            assert!(types.insert(family.to_owned(), kind.to_owned()).is_none(), "{family} stands twice");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let base = name.split('{').next().unwrap();
            let of_family = base == helped
                || (types[&helped] == "histogram"
                    && ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|end| base.strip_suffix(end) == Some(helped.as_str())));
            assert!(of_family, "{line} is not of {helped}");
            let double = samples.insert(name.to_owned(), value.parse().unwrap());
            assert!(double.is_none(), "{name} stands twice");
        }
    }
    (samples, types)
}

#[test]
fn what_is_counted_is_told() {
    let metrics = Metrics::new();
    metrics.operations(["resize", "thumb"].into_iter());
    metrics.accepted();
    metrics.ended("resize", JobState::Succeeded);
    metrics.ended("resize", JobState::Succeeded);
    metrics.ended("thumb", JobState::Failed);
    metrics.refused("busy");
    metrics.refusals(["key-needed", "key-scope"].into_iter());
    metrics.refused("key-scope");
    metrics.called("thumb", DirectCall::Succeeded);
    metrics.took(Phase::Work, Duration::from_millis(30));
    metrics.took(Phase::Work, Duration::from_secs(90));
    metrics.moved(Direction::Fetched, 1000);
    metrics.moved(Direction::Fetched, 24);
    metrics.plugin_failed("thumb", "plugin-trapped");
    metrics.codec_failed("heic", "plugin-trapped");
    metrics.retried();
    metrics.notified(Webhook::Delivered);
    metrics.rendered(Render::NotModified);
    let (samples, types) = parsed(&metrics.render(&Snapshot::default()));
    for (name, wanted) in [
        ("imgserve_jobs_accepted_total", 1.0),
        ("imgserve_jobs_total{operation=\"resize\",outcome=\"succeeded\"}", 2.0),
        ("imgserve_jobs_total{operation=\"resize\",outcome=\"cancelled\"}", 0.0),
        ("imgserve_jobs_total{operation=\"thumb\",outcome=\"failed\"}", 1.0),
        ("imgserve_refusals_total{kind=\"busy\"}", 1.0),
        ("imgserve_refusals_total{kind=\"key-scope\"}", 1.0),
        ("imgserve_refusals_total{kind=\"key-needed\"}", 0.0),
        ("imgserve_calls_total{operation=\"thumb\",outcome=\"succeeded\"}", 1.0),
        ("imgserve_calls_total{operation=\"resize\",outcome=\"failed\"}", 0.0),
        ("imgserve_phase_seconds_bucket{phase=\"work\",le=\"0.025\"}", 0.0),
        ("imgserve_phase_seconds_bucket{phase=\"work\",le=\"0.05\"}", 1.0),
        ("imgserve_phase_seconds_bucket{phase=\"work\",le=\"60\"}", 1.0),
        ("imgserve_phase_seconds_bucket{phase=\"work\",le=\"+Inf\"}", 2.0),
        ("imgserve_phase_seconds_sum{phase=\"work\"}", 90.03),
        ("imgserve_phase_seconds_count{phase=\"work\"}", 2.0),
        ("imgserve_phase_seconds_count{phase=\"plan\"}", 0.0),
        ("imgserve_phase_seconds_count{phase=\"placeholder\"}", 0.0),
        ("imgserve_phase_seconds_count{phase=\"fetch\"}", 0.0),
        ("imgserve_phase_seconds_count{phase=\"queue\"}", 0.0),
        ("imgserve_phase_seconds_count{phase=\"store\"}", 0.0),
        ("imgserve_bytes_total{direction=\"fetched\"}", 1024.0),
        ("imgserve_bytes_total{direction=\"stored\"}", 0.0),
        ("imgserve_plugin_failures_total{operation=\"thumb\",kind=\"plugin-trapped\"}", 1.0),
        ("imgserve_codec_failures_total{codec=\"heic\",kind=\"plugin-trapped\"}", 1.0),
        ("imgserve_job_retries_total", 1.0),
        ("imgserve_webhooks_total{outcome=\"delivered\"}", 1.0),
        ("imgserve_webhooks_total{outcome=\"failed\"}", 0.0),
        ("imgserve_renders_total{outcome=\"not_modified\"}", 1.0),
        (concat!("imgserve_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&wanted), "{name} in {samples:#?}");
    }
    for (name, kind) in &types {
        assert!(name.starts_with("imgserve_"), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
}

#[test]
fn what_is_looked_up_is_told() {
    let now = Snapshot {
        jobs: vec![("accepted", 5), ("running", 2)],
        workers: 3,
        workers_busy: 1,
        worker_restarts: 7,
        waiting_short: 4,
        waiting_long: 9,
        memory_used_bytes: 1 << 40,
        journal: Health {
            broken: None,
            unwritable: None,
            commits: 6,
            changes: 11,
            commit_seconds: 1.5,
            buckets: vec![1, 2, 0, 0, 0, 0, 0, 2, 1],
        },
        undelivered_webhooks: 8,
        cache: Some(Figures {
            entries: 16,
            bytes: 17,
            max_bytes: 0,
            memory_bytes: 18,
            evicted: 19,
            damaged: 20,
            unwritten: 21,
            unwritable: true,
        }),
        node: Some(("a".to_owned(), 3)),
        transfers: vec![(PlaceKind::Source, PlacesNow { network: 12, local: 1, waiting: 13, refused: 14 })],
        transfers_too_slow: 15,
    };
    let (samples, _) = parsed(&Metrics::new().render(&now));
    for (name, wanted) in [
        ("imgserve_journal_jobs{state=\"accepted\"}", 5.0),
        ("imgserve_journal_jobs{state=\"running\"}", 2.0),
        ("imgserve_workers", 3.0),
        ("imgserve_workers_busy", 1.0),
        ("imgserve_worker_restarts_total", 7.0),
        ("imgserve_tasks_waiting{length=\"short\"}", 4.0),
        ("imgserve_tasks_waiting{length=\"long\"}", 9.0),
        ("imgserve_memory_used_bytes", 2_f64.powi(40)),
        ("imgserve_journal_broken", 0.0),
        ("imgserve_journal_unwritable", 0.0),
        ("imgserve_journal_changes_total", 11.0),
        ("imgserve_journal_commit_seconds_bucket{le=\"0.0005\"}", 1.0),
        ("imgserve_journal_commit_seconds_bucket{le=\"0.25\"}", 3.0),
        ("imgserve_journal_commit_seconds_bucket{le=\"1\"}", 5.0),
        ("imgserve_journal_commit_seconds_bucket{le=\"+Inf\"}", 6.0),
        ("imgserve_journal_commit_seconds_sum", 1.5),
        ("imgserve_journal_commit_seconds_count", 6.0),
        ("imgserve_webhooks_undelivered", 8.0),
        ("imgserve_node_info{node=\"a\"}", 1.0),
        ("imgserve_nodes", 3.0),
        ("imgserve_transfers{kind=\"source\",reach=\"network\"}", 12.0),
        ("imgserve_transfers{kind=\"source\",reach=\"local\"}", 1.0),
        ("imgserve_transfers_waiting{kind=\"source\"}", 13.0),
        ("imgserve_transfers_refused_total{kind=\"source\"}", 14.0),
        ("imgserve_transfers_too_slow_total", 15.0),
        ("imgserve_cache_entries", 16.0),
        ("imgserve_cache_disk_bytes", 17.0),
        ("imgserve_cache_memory_bytes", 18.0),
        ("imgserve_cache_evictions_total", 19.0),
        ("imgserve_cache_damaged_total", 20.0),
        ("imgserve_cache_unwritten_total", 21.0),
        ("imgserve_cache_unwritable", 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&wanted), "{name} in {samples:#?}");
    }
}
