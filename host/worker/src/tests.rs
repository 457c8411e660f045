//! Tests of both sides together: a worker's loop in a thread, at the other end of a socket what the pool does with it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use image::ImageFormat;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_base::kept::Kept;
use imgserve_base::units::MIB;
use imgserve_config::{self as config, Codec, Config, GuestSize, PluginKind, Profile};
use imgserve_peers::samples;
use imgserve_sdk::abi::RunInput;
use imgserve_sdk::{Description, Flow, Host, Plan, SourceHeader, Window};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::assignment::{Assignment, End, perform};
use super::host::Link;
use super::inbox::Inbox;
use super::payload::Payload;
use super::protocol::{Made, Placeholder, Registered, Reply, Request, Setup, Step, Task};
use super::serve::{answer, load};
use super::stage::LoadedOperation;
use super::wire::Wire;
use crate::plugin::{CallError, Plugin, Results, TimeLimit};

mod thumbnail;

/// A plugin that does not do what others do.
#[derive(Clone, Copy, Debug)]
enum Odd {
    /// Works until it is told to stop.
    Waits,
    Panics,
    /// As the SDK tells of one that panicked.
    Traps,
    /// Panics when it is asked what it would do.
    PlanPanics,
}

impl Plugin for Odd {
    fn describe(&self, _: &Rc<dyn Host>) -> Result<Description, CallError> {
        Err(CallError::Contract("it is never asked".to_owned()))
    }

    fn plan(&self, _: &[u8], header: &SourceHeader, _: &Rc<dyn Host>) -> Result<Plan, CallError> {
        match self {
            Self::PlanPanics => panic!("as asked"),
            _ => Ok(Plan::new(header.width, header.height, header.pixels)),
        }
    }

    fn run(
        &self,
        _: &[u8],
        _: &SourceHeader,
        _: RunInput<'_>,
        _: Window,
        host: &Rc<dyn Host>,
    ) -> Result<Box<dyn Results>, CallError> {
        match self {
            Self::Panics | Self::PlanPanics => panic!("as asked"),
            Self::Traps => Err(CallError::Trapped("panicked: as asked".to_owned())),
            Self::Waits => {
                while host.progress(0.5) == Flow::Continue {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(CallError::Trapped("was told to stop".to_owned()))
            }
        }
    }
}

fn builtin(name: &str) -> Registered {
    let settings = config::OperationSettings {
        kind: PluginKind::Builtin,
        plugin: name.to_owned(),
        path: None,
        ..config::OperationSettings::of_file(PluginKind::Builtin, "".into())
    };
    Registered { name: name.to_owned(), settings, artifact: None }
}

/// A worker, and the server's end of the socket to it; ends when that is dropped.
fn worker() -> (Wire, JoinHandle<()>) {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let thread = std::thread::spawn(move || {
        let setup = Setup {
            operations: vec![
                builtin("resize"),
                builtin("rasterize"),
                Registered { name: "smaller".to_owned(), ..builtin("resize") },
                Registered { name: "foreign".to_owned(), ..builtin("resize") },
            ],
            codecs: Vec::new(),
            core: None,
            memory_limit: 1 << 30,
            limits: Config::parse("").unwrap().limits,
            codec: Codec::default(),
            guest_size: GuestSize::default(),
            lenient: false,
        };
        let link = Link::new(theirs.try_clone().unwrap());
        let (mut worker, ..) = load(setup, link).unwrap();
        if let Some(foreign) = worker.operations.get_mut("foreign") {
            foreign.settings.kind = PluginKind::Native;
        }
        for (name, odd) in [("waits", Odd::Waits), ("panics", Odd::Panics)] {
            let description = worker.operations["resize"].description.clone();
            let Registered { settings, .. } = builtin("resize");
            let (name, plugin, config) = (name.to_owned(), Box::new(odd), Rc::from("{}"));
            let operation = LoadedOperation { name: name.clone(), settings, config, plugin, description };
            worker.operations.insert(name, operation);
        }
        for (name, odd) in [
            ("parser-panics", Odd::Panics),
            ("parser-traps", Odd::Traps),
            ("parser-plan-panics", Odd::PlanPanics),
        ] {
            let description = worker.operations["rasterize"].description.clone();
            let Registered { settings, .. } = builtin("rasterize");
            let (name, plugin, config) = (name.to_owned(), Box::new(odd), Rc::from("{}"));
            let operation = LoadedOperation { name: name.clone(), settings, config, plugin, description };
            worker.operations.insert(name, operation);
        }
        // It ends with the socket.
        let mut inbox = Inbox::new(theirs.try_clone().unwrap());
        let _ = answer(&worker, &mut theirs, &mut inbox);
    });
    ours.set_nonblocking(true).unwrap();
    (Wire::new(tokio::net::UnixStream::from_std(ours).unwrap(), 1 << 30), thread)
}

fn task(operation: &str, args: Value, format: Format) -> Task {
    Task {
        steps: vec![Step {
            operation: operation.to_owned(),
            args: args.as_object().unwrap().clone(),
            profile: Profile::Fast,
            at: String::new(),
            written: BTreeMap::new(),
        }],
        extension: "jpg".to_owned(),
        format: Some(format),
        quality: 80,
        kept: Kept::default(),
        seed: 0,
    }
}

fn resize(width: u32, height: u32, format: Format) -> Task {
    task("resize", json!({ "width": width, "height": height, "fit": "fill" }), format)
}

async fn ask(wire: &mut Wire, request: Request, payload: &[u8]) -> (Reply, Bytes) {
    let payload = Bytes::copy_from_slice(payload).into();
    wire.ask(&request, &payload, std::future::pending(), |_| {}).await.unwrap()
}

/// What became of each task: its bytes or its fault; and how many frames were decoded for all of them.
async fn run(
    wire: &mut Wire,
    tasks: Vec<Task>,
    source: &[u8],
) -> Result<(Vec<Result<Bytes, Fault>>, u32), Fault> {
    let began = Instant::now();
    match ask(wire, Request::Run { tasks, time_ms: 60_000 }, source).await {
        (Reply::Done { results, decoded, work_us, .. }, mut bytes) => {
            assert!(work_us > 0 && u128::from(work_us) <= began.elapsed().as_micros(), "{work_us}");
            let mut cut = |made: Made| bytes.split_to(made.bytes as usize);
            Ok((results.into_iter().map(|made| made.map(&mut cut)).collect(), decoded))
        }
        (Reply::Refused(fault), _) => Err(fault),
        (reply, _) => panic!("{reply:?}"),
    }
}

fn size(bytes: &[u8]) -> (u32, u32) {
    let image = image::load_from_memory(bytes).unwrap();
    (image.width(), image.height())
}

fn frames(bytes: &[u8]) -> usize {
    use image::AnimationDecoder;
    image::codecs::gif::GifDecoder::new(std::io::Cursor::new(bytes)).unwrap().into_frames().count()
}

#[tokio::test]
async fn a_direct_call_is_planned_and_done_in_one_go_unless_it_takes_too_much() {
    let (mut wire, worker) = worker();
    // Too large for the socket's buffer.
    let source = samples::encoded(1600, 1200, ImageFormat::Bmp);
    assert!(source.len() > MIB as usize);
    let limited = |task, within, most_pixels, digest| Request::Direct {
        task,
        within,
        most_pixels,
        digest,
        plan_ms: 60_000,
        time_ms: 60_000,
    };
    let direct = |task, within| limited(task, within, None, false);
    let (reply, bytes) = ask(&mut wire, direct(resize(20, 10, Format::Png), 1 << 30), &source).await;
    let Reply::Done { results, decoded: 1, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((results.len(), size(&bytes)), (1, (20, 10)));
    let (runs, _) = run(&mut wire, vec![resize(20, 10, Format::Png)], &source).await.unwrap();
    assert_eq!(runs[0].as_ref().unwrap(), &bytes, "as in a run of its own");
    // Of the memory that it takes the source is a part.
    let (reply, bytes) = ask(&mut wire, direct(resize(20, 10, Format::Png), 0), &source).await;
    let Reply::Prepared(prepared) = reply else { panic!("{reply:?}") };
    assert_eq!((prepared.width, prepared.height, bytes.len()), (20, 10, 0));
    let needed = prepared.own_bytes + prepared.guest_bytes + source.len() as u64;
    let (reply, _) = ask(&mut wire, direct(resize(20, 10, Format::Png), needed - 1), &source).await;
    assert!(matches!(reply, Reply::Prepared(_)), "{reply:?}");
    let (reply, _) = ask(&mut wire, direct(resize(20, 10, Format::Png), needed), &source).await;
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    // The worker reads a file by itself, and says what was in it.
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&source).unwrap();
    let payload = Payload::File { file: Arc::new(file.into()), size: source.len() as u64 };
    let request = limited(resize(20, 10, Format::Png), needed, None, true);
    let (reply, of_file) = wire.ask(&request, &payload, std::future::pending(), |_| {}).await.unwrap();
    let Reply::Done { digest, .. } = reply else { panic!("{reply:?}") };
    assert_eq!((digest, &of_file), (Some(imgserve_base::digest::digest(&source)), runs[0].as_ref().unwrap()));
    // One that must be small is none by its pixels alone, which are those of source and result.
    let pixels = 1600 * 1200 + 20 * 10;
    assert_eq!(prepared.pixels, pixels);
    let small = |most| limited(resize(20, 10, Format::Png), needed, Some(most), false);
    let (reply, _) = ask(&mut wire, small(pixels - 1), &source).await;
    assert!(matches!(reply, Reply::Prepared(_)), "{reply:?}");
    let (reply, _) = ask(&mut wire, small(pixels), &source).await;
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    // What the format cannot hold is the server's to decide.
    let args = json!({ "width": 16384, "height": 1, "fit": "fill", "enlarge": true });
    let wide = task("resize", args, Format::WebP);
    let (reply, _) = ask(&mut wire, direct(wide, 1 << 30), &source).await;
    assert!(matches!(reply, Reply::Prepared(_)), "{reply:?}");
    drop(wire);
    worker.join().unwrap();
}

#[tokio::test]
async fn many_results_come_from_one_decode() {
    let (mut wire, worker) = worker();
    let source = samples::encoded(800, 600, ImageFormat::Jpeg);
    let sizes = [(40, 30), (390, 290), (100, 75)];
    let tasks = sizes.map(|(width, height)| resize(width, height, Format::Png)).to_vec();
    let (results, decoded) = run(&mut wire, tasks.clone(), &source).await.unwrap();
    assert_eq!(decoded, 1);
    let results: Vec<Bytes> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().map(|bytes| size(bytes)).collect::<Vec<_>>(), sizes);
    // Decoded as the largest one needs it, which is then exactly what it would be alone.
    let (alone, _) = run(&mut wire, vec![tasks[1].clone()], &source).await.unwrap();
    assert_eq!(alone[0].as_ref().unwrap(), &results[1]);
    drop(wire);
    worker.join().unwrap();
}

#[tokio::test]
async fn a_task_that_fails_drops_out_alone() {
    let (mut wire, _worker) = worker();
    let source = samples::encoded(60, 40, ImageFormat::Jpeg);
    let tasks = vec![
        resize(30, 20, Format::Png),
        task("resize", json!({ "width": 600, "height": 20, "enlarge": "refuse" }), Format::Png),
        task("panics", json!({}), Format::Png),
        task("unheard-of", json!({}), Format::Png),
        task("rasterize", json!({ "width": 30, "height": 20 }), Format::Png),
        resize(20, 10, Format::WebP),
    ];
    let (results, decoded) = run(&mut wire, tasks, &source).await.unwrap();
    let [small, large, panics, unknown, drawing, webp] = &results[..] else { panic!("six results") };
    assert_eq!((decoded, size(small.as_ref().unwrap())), (1, (30, 20)));
    assert_eq!(large.as_ref().unwrap_err().kind, FaultKind::SourceTooSmall);
    assert!(panics.as_ref().unwrap_err().text.contains("the worker's own code failed"), "{panics:?}");
    assert!(unknown.as_ref().unwrap_err().text.contains("`unheard-of`: it is not loaded"), "{unknown:?}");
    assert!(drawing.as_ref().unwrap_err().text.contains("which `rasterize` does not take"), "{drawing:?}");
    assert_eq!(size(webp.as_ref().unwrap()), (20, 10));
}

#[tokio::test]
async fn what_breaks_off_over_a_source_is_the_sources_fault() {
    let (mut wire, _worker) = worker();
    for name in ["parser-panics", "parser-traps", "parser-plan-panics"] {
        let drawing = Task { extension: "svg".to_owned(), ..task(name, json!({}), Format::Png) };
        let request = Request::Run { tasks: vec![drawing], time_ms: 60_000 };
        let (outcome, answer) = assignment(request, samples::DRAWING.as_bytes(), |_| {});
        assert!(perform(&mut wire, outcome, || ()).await.is_none());
        let (Reply::Refused(fault), _) = answer.await.unwrap().unwrap() else { panic!("{name}") };
        assert_eq!((fault.kind, fault.operation), (FaultKind::UnreadableSource, None), "{name}");
        assert!(fault.text.starts_with("the source cannot be read"), "{name}: {}", fault.text);
    }
    draws(&mut wire, 5).await;
}

#[tokio::test]
async fn an_animation_and_a_still_come_from_the_same_frames() {
    let (mut wire, _worker) = worker();
    let source = samples::animation(60, 40, 7);
    let (gif, png) = (resize(30, 20, Format::Gif), resize(20, 10, Format::Png));
    let (results, decoded) = run(&mut wire, vec![png.clone(), gif, png.clone()], &source).await.unwrap();
    let results: Vec<Bytes> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!((decoded, frames(&results[1]), size(&results[1])), (7, 7, (30, 20)));
    assert_eq!(size(&results[0]), (20, 10));
    assert_eq!(results[0], results[2]);
    let (_, decoded) = run(&mut wire, vec![png.clone(), png], &source).await.unwrap();
    assert_eq!(decoded, 1, "no more frames than are of use");
}

#[tokio::test]
async fn one_picture_of_an_animation_is_trimmed_and_all_of_them_are_refused() {
    let (mut wire, _worker) = worker();
    let source = samples::animation(60, 40, 3);
    let trimmed = |format| task("resize", json!({ "width": 20, "height": 10, "trim": true }), format);
    let (results, decoded) = run(&mut wire, vec![trimmed(Format::Png)], &source).await.unwrap();
    assert_eq!((decoded, size(results[0].as_ref().unwrap())), (1, (20, 10)));
    // How many there are is not known from its beginning: the run is told.
    for (complete, bytes) in [(false, &source[..60]), (true, &source[..])] {
        for (format, refused) in [(Format::Png, false), (Format::Gif, complete)] {
            let request = Request::Prepare { task: trimmed(format), complete, draw: false, time_ms: 10_000 };
            let (reply, _) = ask(&mut wire, request, bytes).await;
            assert_eq!(matches!(reply, Reply::Refused(_)), refused, "{format} {complete}: {reply:?}");
        }
    }
    let (results, _) = run(&mut wire, vec![trimmed(Format::Gif)], &source).await.unwrap();
    let fault = results[0].as_ref().unwrap_err();
    assert!(fault.kind == FaultKind::InvalidArgument && fault.text.contains("`trim`"), "{fault:?}");
}

#[tokio::test]
async fn a_drawing_is_given_to_all_that_draw_it() {
    let (mut wire, _worker) = worker();
    let source = b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='30'><circle r='9'/></svg>";
    let draw = |width| task("rasterize", json!({ "width": width, "height": 10 }), Format::Png);
    let tasks = vec![draw(10), resize(4, 4, Format::Png), draw(25)];
    let (results, decoded) = run(&mut wire, tasks, source).await.unwrap();
    let [first, pixels, second] = &results[..] else { panic!("three results") };
    assert_eq!(
        (decoded, size(first.as_ref().unwrap()), size(second.as_ref().unwrap())),
        (0, (10, 10), (25, 10))
    );
    assert_eq!(pixels.as_ref().unwrap_err().kind, FaultKind::UnreadableSource);
}

#[tokio::test]
async fn a_source_that_nobody_can_read_fails_the_run() {
    let (mut wire, _worker) = worker();
    let mut cut = samples::encoded(300, 200, ImageFormat::Png);
    cut.truncate(cut.len() / 2);
    let both = || vec![resize(30, 20, Format::Png), resize(20, 10, Format::Png)];
    for source in [b"no image at all".as_slice(), &cut] {
        assert_eq!(run(&mut wire, both(), source).await.unwrap_err().kind, FaultKind::UnreadableSource);
    }
}

#[tokio::test]
async fn planning_draws_only_when_asked() {
    let (mut wire, _worker) = worker();
    let source = samples::encoded(60, 40, ImageFormat::Jpeg);
    let mut drawn = Vec::new();
    for draw in [false, true] {
        let task = resize(30, 20, Format::Png);
        let request = Request::Prepare { task, complete: true, draw, time_ms: 10_000 };
        let (Reply::Prepared(prepared), placeholder) = ask(&mut wire, request, &source).await else {
            panic!("not prepared")
        };
        assert_eq!((prepared.width, prepared.source_format), (30, Some(Format::Jpeg)));
        drawn.push(placeholder);
    }
    assert!(drawn[0].is_empty());
    assert_eq!(size(&drawn[1]), (30, 20));
}

type Answer = oneshot::Receiver<Result<(Reply, Bytes), Fault>>;

fn assignment(
    request: Request,
    payload: &[u8],
    progress: impl Fn(f32) + Send + Sync + 'static,
) -> (Assignment, Answer) {
    let (outcome, answer) = oneshot::channel();
    let assignment = Assignment {
        request,
        payload: Bytes::copy_from_slice(payload).into(),
        deadline: TimeLimit { time: Duration::from_secs(60), key: "[workers] run_timeout_ms" },
        progress: Some(Arc::new(progress)),
        paid: None,
        again: false,
        outcome,
    };
    (assignment, answer)
}

/// Has it drawn a placeholder, which must be the answer to this and nothing else.
async fn draws(wire: &mut Wire, width: u32) {
    let placeholder = Placeholder { width, height: 3, format: Format::Png, failed: false };
    let (assignment, answer) = assignment(Request::Draw(placeholder), &[], |_| {});
    assert!(perform(wire, assignment, || {}).await.is_none());
    let (reply, bytes) = answer.await.unwrap().unwrap();
    assert!(matches!(reply, Reply::Drawn), "{reply:?}");
    assert_eq!(size(&bytes), (width, 3));
}

#[tokio::test]
async fn what_nobody_waits_for_is_cancelled_and_the_worker_goes_on() {
    let (mut wire, _worker) = worker();
    let source = samples::encoded(60, 40, ImageFormat::Jpeg);
    let tasks = vec![task("waits", json!({}), Format::Png), resize(30, 20, Format::Png)];
    let reports = Arc::new(AtomicU32::new(0));
    let (heard, began) = (Arc::clone(&reports), Instant::now());
    let (waits, answer) = assignment(Request::Run { tasks, time_ms: 60_000 }, &source, move |_| {
        heard.fetch_add(1, Ordering::Relaxed);
    });
    let leaves = async {
        // One report is the pool's own; the second one comes out of the plugin.
        while reports.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(answer);
    };
    let (end, ()) = tokio::join!(perform(&mut wire, waits, || {}), leaves);
    assert!(end.is_none(), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    draws(&mut wire, 5).await;
}

#[tokio::test]
async fn an_animation_is_given_up_between_its_frames() {
    let (mut wire, _worker) = worker();
    let source = samples::animation(400, 400, 150);
    let request = Request::Run { tasks: vec![resize(300, 300, Format::Gif)], time_ms: 60_000 };
    let at_once = std::future::ready(());
    let (reply, _) = wire.ask(&request, &Bytes::from(source).into(), at_once, |_| {}).await.unwrap();
    let Reply::Done { results, decoded, .. } = reply else { panic!("{reply:?}") };
    assert!(results[0].as_ref().unwrap_err().text.contains("cancelled"), "{results:?}");
    assert!((1..150).contains(&decoded), "{decoded} frames");
    draws(&mut wire, 6).await;
}

#[tokio::test]
async fn a_cancellation_at_any_moment_hits_no_other_task() {
    let (mut wire, _worker) = worker();
    let source = samples::encoded(200, 150, ImageFormat::Jpeg);
    for number in 0..300_u64 {
        let tasks = vec![resize(90, 60, Format::Jpeg), resize(40, 30, Format::Png)];
        let (small, answer) = assignment(Request::Run { tasks, time_ms: 60_000 }, &source, |_| {});
        // From before it is sent until long after it is done.
        let leaves = async {
            tokio::time::sleep(Duration::from_micros(number * 50)).await;
            drop(answer);
        };
        let (end, ()) = tokio::join!(perform(&mut wire, small, || {}), leaves);
        assert!(end.is_none(), "{end:?}");
        draws(&mut wire, 1 + (number % 50) as u32).await;
    }
    // Answered before it can be read: the next request is not taken for one that was cancelled.
    for width in [7, 8] {
        let placeholder = Placeholder { width: 2, height: 2, format: Format::Png, failed: false };
        let (request, gone) = (Request::Draw(placeholder), std::future::ready(()));
        wire.ask(&request, &Payload::NONE, gone, |_| {}).await.unwrap();
        let (results, _) = run(&mut wire, vec![resize(width, 4, Format::Png)], &source).await.unwrap();
        assert_eq!(size(results[0].as_ref().unwrap()), (width, 4));
    }
}

#[tokio::test]
async fn a_worker_that_ends_while_it_is_cancelled_is_lost() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut wire = Wire::new(tokio::net::UnixStream::from_std(ours).unwrap(), MIB);
    let (request, answer) = assignment(Request::Run { tasks: Vec::new(), time_ms: 1 }, b"source", |_| {});
    let ends = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(answer);
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(theirs);
    };
    let (end, ()) = tokio::join!(perform(&mut wire, request, || {}), ends);
    assert!(matches!(end, Some(End::Task(..))), "{end:?}");
}

#[tokio::test]
async fn a_worker_that_does_not_give_up_what_nobody_waits_for_is_let_go_of_within_a_second() {
    let (ours, _deaf) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut wire = Wire::new(tokio::net::UnixStream::from_std(ours).unwrap(), MIB);
    // Its deadline is a minute away.
    let (request, answer) =
        assignment(Request::Run { tasks: Vec::new(), time_ms: 60_000 }, b"source", |_| {});
    drop(answer);
    let began = Instant::now();
    let end = perform(&mut wire, request, || ()).await;
    assert!(matches!(end, Some(End::Deaf)), "{end:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}
