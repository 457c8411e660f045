//! Crash points: the server ends itself at each named place of a job's way, once for each API, and the next one must bring
//! the job to its end. The program is one that is built with the feature `failpoints`.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::arena::Arena;
use crate::turns;

/// How long until the server has come to a point, and until a job has ended.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The first time that the point is passed; the second; the third.
const FIRST: &str = "return";
const SECOND: &str = "1*off->return";
const THIRD: &str = "2*off->return";

/// The points that every job passes, and at which time.
const POINTS: [(&str, &str); 13] = [
    ("accept-before-submit", FIRST),
    ("accept-after-submit", FIRST),
    ("accept-after-placeholder", FIRST),
    ("accept-after-release", FIRST),
    ("job-after-claim", FIRST),
    ("job-before-store", FIRST),
    ("job-after-store", FIRST),
    ("job-before-end", FIRST),
    ("job-after-end", FIRST),
    // Submission, and the end or what comes before it.
    ("journal-before-commit", FIRST),
    ("journal-after-commit", FIRST),
    ("journal-before-commit", SECOND),
    ("journal-after-commit", SECOND),
];

/// Those that only a job of several outputs passes.
const POINTS_OF_SEVERAL: [(&str, &str); 6] = [
    ("job-before-save", FIRST),
    ("job-after-save", FIRST),
    ("job-before-store", SECOND),
    ("job-after-store", SECOND),
    ("journal-before-commit", THIRD),
    ("journal-after-commit", THIRD),
];

/// The program with crash points: IMGSERVE_TEST_FAILPOINTS, or the one that cargo has built for this, with its features.
pub(crate) fn program() -> Result<PathBuf, String> {
    match std::env::var_os("IMGSERVE_TEST_FAILPOINTS") {
        Some(named) => Ok(named.into()),
        None if cfg!(feature = "failpoints") => Ok(env!("CARGO_BIN_EXE_imgserve").into()),
        None => {
            Err("crash points need `--features imgserve/failpoints`; `tests/run crash` has them".to_owned())
        }
    }
}

/// Passes every point; gives what is wrong.
pub(crate) async fn points(directory: &Path) -> Result<Vec<String>, String> {
    let secret = "[webhooks]\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"";
    let mut arena = Arena::new(&program()?, directory, secret).await?;
    let mut passed = 0;
    for v1 in [false, true] {
        let further: &[_] = if v1 { &POINTS_OF_SEVERAL } else { &[] };
        for (point, action) in POINTS.iter().chain(further) {
            let outcome = trial(&mut arena, passed, v1, point, action).await;
            note(&mut arena, &format!("{point} ({action})"), outcome);
            passed += 1;
        }
    }
    passed += turns::turns(&mut arena).await;
    println!("  {passed} deaths at crash points");
    arena.victim.start().await?;
    let jobs = arena.settle().await;
    Ok(arena.judge(&jobs).await)
}

/// Has a problem told with its point.
pub(crate) fn note(arena: &mut Arena, point: &str, outcome: Result<(), String>) {
    arena.victim.kill();
    if let Err(text) = outcome {
        arena.ledger.problem("", format!("crash point {point}: {text}\n{}", arena.victim.last_log(20)));
    }
}

/// One job, whose server dies on its way.
async fn trial(arena: &mut Arena, number: usize, v1: bool, point: &str, action: &str) -> Result<(), String> {
    let key = number.is_multiple_of(2).then(|| format!("trial-{number}"));
    let how = format!("{point}={action}");
    start_with(arena, &how).await?;
    let post = arena.post(&format!("t{number:02}a"), v1, key.as_deref(), false);
    let first = arena.send(&post, &how).await;
    dies(arena).await?;
    arena.victim.start().await?;
    let id = match first {
        Ok(id) => id,
        Err(_) => {
            // Who has no answer posts again: the same, where a key makes it one; else nobody knows of the first.
            let again = arena.post(
                &format!("t{number:02}{}", if key.is_some() { 'a' } else { 'b' }),
                v1,
                key.as_deref(),
                false,
            );
            arena.send(&again, "posted again").await?
        }
    };
    arena.reaches(&id, "succeeded", PATIENCE).await?;
    arena.settle().await;
    Ok(())
}

/// Starts the server with this armed; later ones are without.
pub(crate) async fn start_with(arena: &mut Arena, failpoints: &str) -> Result<(), String> {
    arena.victim.set("FAILPOINTS", Some(failpoints));
    let started = arena.victim.start().await;
    arena.victim.set("FAILPOINTS", None);
    started.map(drop)
}

/// The server must end itself.
pub(crate) async fn dies(arena: &mut Arena) -> Result<(), String> {
    match arena.victim.end_within(PATIENCE).await {
        Some(status) if status.signal() == Some(6) => {
            arena.ledger.killed();
            Ok(())
        }
        Some(status) => Err(format!("the server ended otherwise: {status}")),
        None => Err("the server never came there".to_owned()),
    }
}
