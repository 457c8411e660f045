//! Operations called directly: the client waits, and gets the result itself. Nothing is journaled: a call that breaks off
//! has left nothing behind, and who still wants the result calls again.
//!
//! # Layout
//! - this file: from a checked call and its source to the result
//! - `call`: what a client asks for, checked; what the source's bytes make of it
//! - `cache`: the cache, as they use it
//! - `product`: what it gives
//! - `render`: sources that are named by URL; `renders`: identical renders at the same time are computed once

mod cache;
mod call;
mod product;
mod render;
mod renders;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imgserve_base::fair::{self, Flow};
use imgserve_base::fault::{Fault, FaultKind, Retry};
use imgserve_base::job::{Phase, Priority};
use imgserve_journal::rank;
use imgserve_worker::{DirectOutcome, Payload, Task, TaskOutput};

use self::call::Checked;
use self::product::Timings;
use super::intake::{Held, REPLY_PATIENCE};
use super::room::Room;
use super::service::Service;
use super::shares::Share;
use crate::metrics::{Cached, DirectCall};

pub(crate) use self::cache::{CacheUse, Purge, Sourced, Was};
pub(crate) use self::call::Call;
pub(crate) use self::product::Product;
pub(crate) use self::render::{Answer, Render};
pub(super) use self::renders::Renders;

/// A larger result keeps its call's place until the client has taken it, so that slow clients cannot pile them up.
const LARGE_RESULT: usize = imgserve_cache::MOST_IN_MEMORY;

/// An image that a client sends along.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The bytes, and their share of the memory for sources.
    pub(crate) held: Held,
    /// Its file name, if it has one.
    pub(crate) name: Option<String>,
}

impl Service {
    /// Room for an image that a client is about to send, of `announced` bytes if anybody knows.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`] when so much may not be sent; [`FaultKind::Busy`].
    pub(crate) async fn room(&self, flow: &str, announced: Option<u64>) -> Result<Room, Fault> {
        let short = || self.warm().cool();
        self.settings().gate.room(&waiting(self.flow(flow)), announced, short).await
    }

    /// Takes in some bytes of an image that a client sends; false when they are more than may come.
    ///
    /// # Errors
    /// [`FaultKind::Busy`] when memory for them stays short.
    pub(crate) async fn take(&self, room: &mut Room, bytes: Bytes) -> Result<bool, Fault> {
        room.take(bytes, || self.warm().cool()).await
    }

    /// Runs an operation on an image that the client has sent. Dropped, it is not run any more.
    ///
    /// # Errors
    /// The fault for which there is no result.
    pub(crate) async fn operate(&self, call: &Call, sent: Sent) -> Result<Product, Fault> {
        let answered = self.operate_once(call, sent).await;
        self.called(&call.operation, answered.is_ok());
        if let Some(cache_use) = answered.as_ref().ok().and_then(|product| product.cache_use) {
            self.tally().metrics().cached(cached(None, Some(cache_use)));
        }
        answered.inspect_err(|fault| self.tally().refused(fault))
    }

    async fn operate_once(&self, call: &Call, sent: Sent) -> Result<Product, Fault> {
        let _counted = self.lifecycle().call()?;
        let checked = Checked::new(call, self.flow(&call.flow), self.generation())?;
        let held = &sent.held;
        let task = || checked.task(&held.bytes, sent.name.as_deref(), held.media_type.as_deref());
        if let Some(cache) = self.cache() {
            let task = task()?;
            return Box::pin(self.found_or_made(cache, (&checked, task), sent.held)).await;
        }
        let task = task()?;
        checked.admit(&task)?;
        self.perform(&checked, task, sent.held, Timings::default()).await
    }

    /// Counts an answered call. What no operation is named like has no name to be counted by.
    fn called(&self, operation: &str, done: bool) {
        if self.generation().registry.get(operation).is_some() {
            let outcome = if done { DirectCall::Succeeded } else { DirectCall::Failed };
            self.tally().metrics().called(operation, outcome);
        }
    }

    /// Plans and runs a task, when it is its turn.
    async fn perform(
        &self,
        checked: &Checked,
        mut task: Task,
        source: Held,
        mut timings: Timings,
    ) -> Result<Product, Fault> {
        let slot = self.turns().call(&asked(checked.flow.clone())).await?;
        let result = match attempt(checked, &task, source.bytes.clone().into(), &mut timings).await? {
            DirectOutcome::Done(outcome) => outcome,
            DirectOutcome::Planned(prepared) => {
                checked.settle_format(&mut task, &prepared);
                let planned = (prepared.own_bytes, prepared.guest_bytes);
                let peak_bytes = self.settings().peak_bytes(planned, source.bytes.len())?;
                let turn = fair::Turn { cost: prepared.pixels, ..asked(checked.flow.clone()) };
                run(checked, &task, source.bytes.clone(), (peak_bytes, turn), &mut timings).await?
            }
        };
        Ok(self.product(checked, &task, result, slot, timings))
    }

    /// The same in its turn for a source that nobody but the worker reads, with the source's digest; none when such a source does not
    /// suffice.
    async fn perform_unread(
        &self,
        checked: &Checked,
        task: &Task,
        source: Payload,
        (mut timings, slot): (Timings, Share),
    ) -> Result<Option<(Product, u128)>, Fault> {
        match attempt(checked, task, source, &mut timings).await? {
            DirectOutcome::Done(result) => {
                let digest = result.digest;
                let product = self.product(checked, task, result, slot, timings);
                Ok(digest.map(|digest| (product, digest)))
            }
            DirectOutcome::Planned(_) => Ok(None),
        }
    }

    fn product(
        &self,
        checked: &Checked,
        task: &Task,
        result: TaskOutput,
        slot: Share,
        timings: Timings,
    ) -> Product {
        self.tally().metrics().took(Phase::Plan, timings.plan);
        self.tally().metrics().took(Phase::Queue, timings.queue);
        self.tally().metrics().took(Phase::Work, timings.work);
        let warnings = warnings(result.damage.as_deref(), result.unconverted.as_deref(), &result.left_out);
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let (media_type, bytes) = (checked.media_type(task), held_back(result.bytes, slot));
        let unknown_arguments = checked.unknown_arguments.clone();
        Product { bytes, media_type, unknown_arguments, warnings, timings, cache_use: None }
    }
}

/// What the cache had for an answer.
fn cached(sourced: Option<Sourced>, cache_use: Option<CacheUse>) -> Cached {
    match (sourced.map(|sourced| sourced.was), cache_use) {
        (_, Some(CacheUse::Made | CacheUse::MadeOnly)) => Cached::Miss,
        (None | Some(Was::Known), _) => Cached::Hit,
        (Some(Was::Unchanged), _) => Cached::Revalidated,
        (Some(Was::Again | Was::First), _) => Cached::Fetched,
    }
}

/// What a client is told of a result that does not show all of its source, or not in its colours, or does not keep what it was to keep.
pub(super) fn warnings(damage: Option<&str>, unconverted: Option<&str>, left_out: &[String]) -> Vec<String> {
    let damage = damage.map(|text| format!("the source is damaged and shown as far as it goes: {text}"));
    let colors =
        unconverted.map(|text| format!("the source's colours are shown as if they were sRGB: {text}"));
    let left_out = left_out.iter().map(|text| format!("not kept: {text}"));
    damage.into_iter().chain(colors).chain(left_out).collect()
}

/// Has a worker plan the task, and do it if that takes little memory, as nearly all do: the source goes to it once.
async fn attempt(
    checked: &Checked,
    task: &Task,
    source: Payload,
    timings: &mut Timings,
) -> Result<DirectOutcome, Fault> {
    let (begun, queued) = (Begun::default(), Instant::now());
    // They take turns with the jobs: neither keeps the other from being done.
    let asked = asked(checked.flow.clone());
    let whose = (&asked.flow, asked.rank);
    let working = checked.generation.pool.direct(task.clone(), source, whose, begun.reports());
    let attempt = begun.wait(working).await;
    match &attempt {
        Ok(DirectOutcome::Planned(_)) => timings.plan = queued.elapsed(),
        Ok(DirectOutcome::Done(outcome)) => {
            checked.note(task, Ok(()));
            timings.queue = begun.waited(queued);
            (timings.plan, timings.work) = (micros(outcome.plan_us), micros(outcome.work_us));
        }
        Err(fault) => checked.note(task, Err(fault)),
    }
    attempt
}

/// Has a worker run a task that was planned.
async fn run(
    checked: &Checked,
    task: &Task,
    source: Bytes,
    (peak_bytes, in_turn): (u64, fair::Turn),
    timings: &mut Timings,
) -> Result<TaskOutput, Fault> {
    let (begun, queued) = (Begun::default(), Instant::now());
    let tasks = vec![task.clone()];
    let working = checked.generation.pool.run(tasks, source, peak_bytes, &in_turn, begun.reports());
    let ran = begun.wait(working).await.and_then(|outcomes| {
        let broken = || Err(Fault::new(FaultKind::OperationFailed, "the worker gave no result"));
        outcomes.into_iter().next().unwrap_or_else(broken)
    });
    checked.note(task, ran.as_ref().map(|_| ()));
    timings.queue = begun.waited(queued);
    timings.work = ran.as_ref().map(|ran| micros(ran.work_us)).unwrap_or_default();
    ran
}

/// A client's turn, of what nobody knows the cost of.
fn asked(flow: Flow) -> fair::Turn {
    fair::Turn { flow, rank: rank(Priority::Normal), cost: 0 }
}

/// The same, for memory: who waits on the line has it before a client's own jobs, which can be done later.
fn waiting(flow: Flow) -> fair::Turn {
    fair::Turn { rank: rank(Priority::High) + 1, ..asked(flow) }
}

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// When a worker begins with a task, which its first report of progress tells.
#[derive(Default)]
struct Begun(Arc<OnceLock<Instant>>);

impl Begun {
    fn reports(&self) -> Arc<dyn Fn(f32) + Send + Sync> {
        let began = Arc::clone(&self.0);
        Arc::new(move |_| {
            let _ = began.set(Instant::now());
        })
    }

    /// Waits for what a worker makes of the task; gives up when none begins with it in time.
    async fn wait<T>(&self, working: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        tokio::pin!(working);
        tokio::select! {
            worked = &mut working => worked,
            () = tokio::time::sleep(REPLY_PATIENCE) => match self.0.get() {
                Some(_) => working.await,
                None => Err(Fault::new(FaultKind::Busy, "no worker was free in time").retried(Retry::Later)),
            },
        }
    }

    /// How long it has taken since `queued`.
    fn waited(&self, queued: Instant) -> Duration {
        self.0.get().map_or(Duration::ZERO, |began| began.duration_since(queued))
    }
}

/// A large result keeps the call's place for as long as it is held.
fn held_back(bytes: Bytes, slot: Share) -> Bytes {
    struct Kept {
        bytes: Bytes,
        _slot: Share,
    }
    impl AsRef<[u8]> for Kept {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    if bytes.len() <= LARGE_RESULT {
        return bytes;
    }
    Bytes::from_owner(Kept { bytes, _slot: slot })
}
