//! Who gets which task when; and how long a small one waits beside very many large ones.

use std::time::Duration;

use imgserve_base::fair::SMALL;
use tokio::time::Instant;

use super::*;

/// A turn of a client's with this priority.
fn turn(flow: &str, rank: i64) -> Turn {
    Turn { flow: Flow::new(flow, 1), rank, cost: 24_000_000 }
}

/// What a task of any size wants.
fn wants(general: u64) -> Wanted {
    Wanted { general, reserve: None }
}

impl<T> Queue<T> {
    fn push(&self, rank: i64, bytes: u64, task: T) {
        self.push_long(&turn("", rank), wants(bytes), task);
    }

    fn push_small(&self, flow: &str, task: T) {
        let turn = Turn { cost: SMALL, ..turn(flow, 1) };
        self.push_long(&turn, Wanted { general: 10, reserve: Some(10) }, task);
    }
}

async fn taken<T>(queue: &Queue<T>, role: Role) -> T {
    queue.take(role).await.unwrap().0
}

async fn is_idle<T>(queue: &Queue<T>, role: Role) -> bool {
    tokio::time::timeout(Duration::from_millis(20), queue.take(role)).await.is_err()
}

#[tokio::test]
async fn short_tasks_go_first_and_express_takes_only_those() {
    let queue = Queue::new(Budget::new(100));
    queue.push(0, 10, "long");
    queue.push_short(&Flow::default(), "short");
    assert_eq!(taken(&queue, Role::General).await, "short");
    queue.push_short(&Flow::default(), "short 2");
    assert_eq!(taken(&queue, Role::Express).await, "short 2");
    assert!(is_idle(&queue, Role::Express).await, "express took a long task");
    assert_eq!(taken(&queue, Role::General).await, "long");
}

#[tokio::test]
async fn short_tasks_without_end_keep_no_long_one_from_its_turn() {
    let queue = Queue::new(Budget::new(100));
    queue.push(0, 10, "long");
    for _ in 0..=PATIENCE {
        queue.push_short(&Flow::default(), "short");
        assert_eq!(taken(&queue, Role::Express).await, "short");
        queue.push_short(&Flow::default(), "short");
        if taken(&queue, Role::General).await == "long" {
            return;
        }
    }
    panic!("{PATIENCE} short tasks went before it, and more");
}

#[tokio::test]
async fn a_long_task_waits_until_it_fits() {
    let queue = Arc::new(Queue::new(Budget::new(100)));
    queue.push(0, 80, 1);
    queue.push(0, 80, 2);
    let first = queue.take(Role::General).await.unwrap();
    let waiting = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.take(Role::General).await.map(|(task, _)| task) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    assert_eq!(waiting.await.unwrap(), Some(2));
}

#[tokio::test]
async fn clients_take_turns_and_each_by_its_own_priorities() {
    let queue = Queue::new(Budget::new(100));
    for (rank, task) in [(0, "first"), (-1, "last"), (5, "urgent"), (0, "second")] {
        queue.push(rank, 1, task);
    }
    queue.push_long(&turn("another", -5), wants(1), "another's");
    let mut had = Vec::new();
    for _ in 0..5 {
        had.push(taken(&queue, Role::General).await);
    }
    assert_eq!(had, ["urgent", "another's", "first", "second", "last"]);
}

#[tokio::test]
async fn a_task_that_costs_more_than_planned_costs_its_client_turns() {
    let queue = Queue::new(Budget::new(100));
    queue.push_small("a", "a");
    taken(&queue, Role::General).await;
    queue.charge(&Flow::new("a", 1), 10 * SMALL);
    ["a", "a", "b", "b", "b"].into_iter().for_each(|flow| queue.push_small(flow, flow));
    let mut had = Vec::new();
    for _ in 0..5 {
        had.push(taken(&queue, Role::General).await);
    }
    assert_eq!(had, ["b", "b", "b", "a", "a"]);
}

#[tokio::test]
async fn while_all_are_at_large_tasks_the_express_worker_takes_small_ones() {
    let queue = Arc::new(Queue::new(Budget::new(800)));
    queue.push(2, 700, "large");
    queue.push(2, 700, "large 2");
    queue.push_small("", "small");
    let mut large = queue.take(Role::General).await.unwrap();
    assert_eq!(large.0, "large");
    // The only general worker has the memory, too.
    let small = queue.take(Role::Express).await.unwrap();
    assert!(small.0 == "small" && small.1.is_reserve());
    assert!(is_idle(&queue, Role::Express).await, "it took a large one");
    // One that is at a small task will soon be free, and the same memory is for both.
    drop((large, small));
    queue.push_small("another", "small 2");
    large = queue.take(Role::General).await.unwrap();
    assert!(large.0 == "small 2" && !large.1.is_reserve());
    queue.push_small("", "small 3");
    assert!(is_idle(&queue, Role::Express).await, "it took what a general worker takes soon");
    // It was taken for small, and is not.
    large.1.is_large();
    assert_eq!(taken(&queue, Role::Express).await, "small 3");
}

#[tokio::test]
async fn a_small_task_does_not_wait_for_the_memory_of_a_large_one() {
    let queue = Queue::new(Budget::new(800));
    queue.push(1, 700, "runs");
    let _running = queue.take(Role::General).await.unwrap();
    queue.push(1, 700, "waits");
    queue.push_small("", "small");
    assert_eq!(taken(&queue, Role::General).await, "small");
}

type Waits = tokio::task::JoinHandle<Option<&'static str>>;

/// A worker that waits already when tasks come.
async fn waits(queue: &Arc<Queue<&'static str>>, role: Role) -> Waits {
    let queue = Arc::clone(queue);
    let waits = tokio::spawn(async move { queue.take(role).await.map(|(task, _)| task) });
    tokio::task::yield_now().await;
    waits
}

#[tokio::test]
async fn a_worker_that_waits_is_woken_for_each_task_whoever_takes_which() {
    let queue = Arc::new(Queue::new(Budget::new(100)));
    let push_short = |task| queue.push_short(&Flow::default(), task);
    // One general worker is woken for both; the other one has to look for what that left.
    let (one, other) = (waits(&queue, Role::General).await, waits(&queue, Role::General).await);
    push_short("short");
    queue.push(0, 1, "long");
    assert_eq!([one.await.unwrap(), other.await.unwrap()], [Some("short"), Some("long")]);
    // The express worker is woken, and a general one comes before it.
    let express = waits(&queue, Role::Express).await;
    push_short("short");
    push_short("short 2");
    assert_eq!(taken(&queue, Role::General).await, "short");
    assert_eq!(express.await.unwrap(), Some("short 2"));
    // A large task alone does not wake it, the end does.
    let (express, general) = (waits(&queue, Role::Express).await, waits(&queue, Role::General).await);
    queue.push(0, 1, "long");
    assert_eq!(general.await.unwrap(), Some("long"));
    let general = waits(&queue, Role::General).await;
    queue.close();
    assert_eq!((express.await.unwrap(), general.await.unwrap()), (None, None));
}

#[tokio::test]
async fn the_express_worker_is_woken_by_a_small_task_and_when_the_last_general_one_is_gone() {
    let queue = Arc::new(Queue::new(Budget::new(800)));
    let express = waits(&queue, Role::Express).await;
    queue.push_small("", "nobody else");
    assert_eq!(express.await.unwrap(), Some("nobody else"));
    let (express, general) = (waits(&queue, Role::Express).await, waits(&queue, Role::General).await);
    general.abort();
    queue.push(9, 700, "large");
    let large = queue.take(Role::General).await.unwrap();
    assert_eq!(large.0, "large");
    queue.push_small("", "small");
    assert_eq!(express.await.unwrap(), Some("small"));
}

#[tokio::test]
async fn what_waits_behind_a_forgotten_task_gets_its_turn() {
    let queue = Arc::new(Queue::new(Budget::new(100)));
    queue.push(0, 50, "runs");
    let running = queue.take(Role::General).await.unwrap();
    queue.push(0, 80, "dead");
    queue.push(0, 30, "alive");
    let general = waits(&queue, Role::General).await;
    assert!(!general.is_finished());
    queue.forget(|task| *task == "dead");
    assert_eq!(general.await.unwrap(), Some("alive"));
    drop(running);
}

#[tokio::test]
async fn a_closed_queue_is_emptied_first() {
    let queue = Queue::new(Budget::new(100));
    queue.push(0, 1, 1);
    queue.close();
    assert!(queue.take(Role::Express).await.is_none());
    assert!(queue.take(Role::General).await.is_some());
    assert!(queue.take(Role::General).await.is_none());
}

const LARGE: Duration = Duration::from_millis(400);
const SMALL_TIME: Duration = Duration::from_millis(20);

/// How long a small job of one client takes by a clock of its own, which comes `after` another's so many large ones.
async fn beside(large: usize, generals: usize, after: Duration) -> Duration {
    let queue = Arc::new(Queue::new(Budget::new(generals as u64 * 800)));
    for _ in 0..large {
        queue.push_long(&turn("a", 2), wants(700), None);
    }
    let (done, is_done) = tokio::sync::oneshot::channel();
    let roles = std::iter::repeat_n(Role::General, generals).chain([Role::Express]);
    let workers: Vec<_> = roles
        .map(|role| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                while let Some((task, _place)) = queue.take(role).await {
                    let done: Option<tokio::sync::oneshot::Sender<Instant>> = task;
                    tokio::time::sleep(if done.is_some() { SMALL_TIME } else { LARGE }).await;
                    if let Some(done) = done {
                        done.send(Instant::now()).unwrap();
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(after).await;
    let began = Instant::now();
    queue.push_small("b", Some(done));
    let took = is_done.await.unwrap() - began;
    workers.iter().for_each(tokio::task::JoinHandle::abort);
    took
}

#[tokio::test(start_paused = true)]
async fn a_small_job_takes_as_long_beside_ten_thousand_large_ones_as_beside_one_for_each_worker() {
    for generals in [1, 2, 8] {
        for after in [1, 150, 399] {
            let after = Duration::from_millis(after);
            let one_each = beside(generals, generals, after).await;
            for large in [1, 100, 10_000] {
                let took = beside(large, generals, after).await;
                assert!(took <= 2 * one_each, "{took:?} beside {large}, {generals} workers");
            }
        }
    }
}
