//! A story as text: every version is read, no name in it changes.

use std::time::Duration;

use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{FailedAttempt, Fresh, Output, OutputState, Phase};

use super::*;
use crate::story::{Unreadable, read, text};

fn full() -> Record {
    let error = Fault {
        retry_after_s: Some(7),
        ..Fault::new(FaultKind::SourceUnavailable, "gone").retried(Retry::Remote)
    };
    let output = Output {
        operation: "resize".to_owned(),
        destination: "file:///a.png".to_owned(),
        state: OutputState::Failed,
        width: 3,
        height: 2,
        format: "png".to_owned(),
        bytes: Some(9),
        warnings: vec!["cut off".to_owned()],
        error: Some(Fault::new(FaultKind::PluginTrapped, "unreachable").blamed_on("sepia")),
    };
    let mut record = Record {
        outputs: vec![output],
        attempts: vec![FailedAttempt { number: 1, ended_at_ms: 15, error }],
        notify: true,
        fresh: Fresh { attempt: 1, failures: 1 },
        ..record()
    };
    record.took(Phase::Plan, Duration::from_micros(1500));
    record
}

/// As the second version was released: never changed.
const VERSION_2: &str = r#"{"version":2,"source":"http://pictures.example/a.png","parts":[{"operation":"resize","destination":"file:///a.png","state":"failed","width":3,"height":2,"format":"png","bytes":9,"warnings":["cut off"],"error":{"kind":"plugin-trapped","text":"unreachable","operation":"sepia"}}],"attempts":[{"number":1,"ended_at_ms":15,"error":{"kind":"source-unavailable","text":"gone","retry_after_s":7,"retry":"remote"}}],"timings":{"plan_ms":1.5},"notify":true,"fresh":{"attempt":1,"failures":1}}"#;

/// As imgserve 0.3 wrote it before there were versions: never changed.
const VERSION_1: &str = r#"{"id":"0190b6a0-c000-7000-8000-00000000002a","state":"accepting","operation":"resize","client":"ada","priority":"normal","source":"http://pictures.example/a.png","parts":[{"operation":"resize","destination":"file:///a.png","state":"waiting","width":3,"height":2,"format":"png","bytes":null}],"accepted_at_ms":10,"due_at_ms":10,"finished_at_ms":null,"attempt":0,"attempts":[{"number":1,"ended_at_ms":15,"error":{"kind":"busy","text":"later","retry":"later"}}],"timings":{"plan_ms":1.5,"placeholder_ms":2.0},"notify":true}"#;

#[test]
fn a_story_is_written_as_version_2_and_read_back() {
    let record = full();
    assert_eq!(text(&record).unwrap(), VERSION_2, "a change is a later version");
    let told = read(VERSION_2).unwrap();
    assert_eq!((told.source, told.outputs, told.attempts), (record.source, record.outputs, record.attempts));
    assert_eq!((told.timings, told.notify, told.fresh), (record.timings, record.notify, record.fresh));
}

/// As the third version was released: never changed.
const VERSION_3: &str = r#"{"version":3,"source":"s3://photos/a.png","source_tag":"\"a1\"","parts":[],"attempts":[],"timings":{},"notify":false,"fresh":{"attempt":0,"failures":0}}"#;

#[test]
fn a_story_with_its_sources_tag_is_version_3() {
    let told = read(VERSION_3).unwrap();
    assert_eq!(told.source_tag.as_deref(), Some("\"a1\""));
    let of_store = Record {
        source: told.source,
        source_tag: told.source_tag,
        outputs: Vec::new(),
        timings: Default::default(),
        ..record()
    };
    assert_eq!(text(&of_store).unwrap(), VERSION_3, "a change is a later version");
}

#[test]
fn a_story_of_version_1_is_read() {
    let told = read(VERSION_1).unwrap();
    assert_eq!((told.outputs[0].state, told.outputs[0].bytes), (OutputState::Waiting, None));
    assert_eq!((told.attempts[0].error.kind, told.attempts[0].error.retry), (FaultKind::Busy, Retry::Later));
    assert_eq!(told.timings[&Phase::Placeholder], 2.0);
    assert_eq!((told.notify, told.fresh), (true, Fresh::default()));
}

#[test]
fn a_later_or_broken_story_says_so() {
    let later = VERSION_2.replace("\"version\":2", "\"version\":4");
    assert_eq!(read(&later), Err(Unreadable::Later { found: 4 }));
    for (name, other) in
        [("plan_ms", "nap_ms"), ("plugin-trapped", "plugin-bored"), ("\"failed\"", "\"asleep\"")]
    {
        let broken = read(&VERSION_2.replacen(name, other, 1)).unwrap_err().to_string();
        assert!(broken.contains(other.trim_matches('"')), "{broken}");
    }
    assert!(matches!(read("{"), Err(Unreadable::Broken(_))));
}

/// Names that stand in journals. A new one needs a new version of the story, so that an earlier program leaves it alone.
#[test]
fn the_names_of_version_2_are_these() {
    let kinds: Vec<&str> = FaultKind::ALL.map(FaultKind::as_str).to_vec();
    assert_eq!(
        kinds.join(" "),
        "not-json wrong-members unknown-operation args-not-object empty-source empty-destination missing-argument \
         wrong-type source-extension source-scheme destination-scheme missing-field-name field-name-type \
         destination-extension invalid-argument source-unavailable unreadable-source source-too-small invalid-svg \
         destination-unavailable limit-exceeded operation-failed plugin-trapped plugin-out-of-memory plugin-timed-out \
         plugin-contract operation-suspended busy client-busy journal-unavailable key-reused"
    );
    assert_eq!(Retry::ALL.map(Retry::as_str), ["never", "remote", "worker", "later"]);
    assert_eq!(OutputState::ALL.map(OutputState::as_str), ["waiting", "stored", "failed", "cancelled"]);
    let phases = ["plan_ms", "placeholder_ms", "fetch_ms", "queue_ms", "work_ms", "store_ms"];
    assert_eq!(Phase::ALL.map(Phase::as_str), phases);
    let states = ["accepting", "accepted", "running", "succeeded", "failed", "cancelled"];
    assert_eq!(JobState::ALL.map(JobState::as_str), states);
}
