//! The short way from a JPEG to a smaller one. What a task makes alone is compared with what it makes beside a second one of its
//! kind, which is made of pixels that serve both: the same bytes are the general way's, others the short way's.

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use super::*;
use crate::plugin::Usage;

/// What became of the first of a run's tasks.
async fn first(tasks: Vec<Task>, source: &[u8], time_ms: u64) -> Result<(Made, Bytes), Fault> {
    let (mut wire, worker) = worker();
    let result = match ask(&mut wire, Request::Run { tasks, time_ms }, source).await {
        (Reply::Done { results, decoded, .. }, bytes) => results.into_iter().next().unwrap().map(|made| {
            assert_eq!(decoded, 1);
            let bytes = bytes.slice(..made.bytes as usize);
            (Made { usage: Usage::default(), ..made }, bytes)
        }),
        (Reply::Refused(fault), _) => Err(fault),
        (reply, _) => panic!("{reply:?}"),
    };
    drop(wire);
    worker.join().unwrap();
    result
}

type Outcome = Result<(Made, Bytes), Fault>;

/// What becomes of a task alone, and beside another.
async fn alone_and_beside(task: &Task, source: &[u8]) -> (Outcome, Outcome) {
    let alone = first(vec![task.clone()], source, 60_000).await;
    (alone, first(vec![task.clone(), task.clone()], source, 60_000).await)
}

/// Whether a task alone goes the short way; else everything about its result is as of the general way.
async fn is_short(task: &Task, source: &[u8]) -> bool {
    let (alone, beside) = alone_and_beside(task, source).await;
    match (&alone, &beside) {
        (Ok((one, bytes)), Ok((other, others))) if bytes != others => {
            let shape =
                |made: &Made| (made.width, made.height, made.damage.clone(), made.unconverted.clone());
            assert_eq!(shape(one), shape(other), "{task:?}");
            true
        }
        _ => {
            assert_eq!(alone, beside, "{task:?}");
            false
        }
    }
}

fn jpeg() -> Vec<u8> {
    samples::encoded(400, 300, ImageFormat::Jpeg)
}

fn of_image(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Jpeg).unwrap();
    file.into_inner()
}

/// A segment more behind the file's first marker.
fn with_segment(file: &[u8], marker: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16 + 2).to_be_bytes();
    [&file[..2], &[0xFF, marker], &length, content, &file[2..]].concat()
}

fn turned(file: &[u8], orientation: u8) -> Vec<u8> {
    let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
    let block = [b"Exif\0\0II*\0\x08\0\0\0\x01\0", &entry[..], &[0; 4]].concat();
    with_segment(file, 0xE1, &block)
}

#[tokio::test]
async fn what_it_makes_looks_as_what_pixels_make() {
    let rgb = samples::picture(1203, 901);
    let gray = GrayImage::from_fn(640, 427, |x, y| image::Luma([(x / 3 + y / 5) as u8 ^ 0x18]));
    let thin = RgbImage::from_fn(900, 90, |x, y| image::Rgb([(x / 4) as u8, (y * 2) as u8, 90]));
    let sources = [of_image(rgb), of_image(gray), of_image(thin)];
    for (source, args, profile) in [
        (0, json!({ "width": 300, "height": 225 }), Profile::Fast),
        (0, json!({ "width": 301, "height": 99, "gravity": "southeast" }), Profile::Fast),
        (0, json!({ "width": 97 }), Profile::Fast),
        (0, json!({ "width": 1203 }), Profile::Fast),
        (0, json!({ "width": 641, "height": 641, "fit": "inside", "filter": "mitchell" }), Profile::Fast),
        (0, json!({ "width": 640, "linear": false, "gravity": [0.2, 0.9] }), Profile::Best),
        (0, json!({ "width": 16, "height": 12 }), Profile::Fast),
        (1, json!({ "width": 160 }), Profile::Fast),
        (1, json!({ "width": 301, "height": 99 }), Profile::Best),
        (2, json!({ "width": 130 }), Profile::Fast),
    ] {
        let mut task = task("resize", args, Format::Jpeg);
        task.steps[0].profile = profile;
        let light = profile == Profile::Best && !task.steps[0].args.contains_key("linear");
        let source = &sources[source];
        assert_eq!(is_short(&task, source).await, !light, "{task:?}");
        let (alone, beside) = alone_and_beside(&task, source).await;
        let ((made, alone), (_, beside)) = (alone.unwrap(), beside.unwrap());
        let [alone, beside] = [&alone, &beside].map(|file| image::load_from_memory(file).unwrap());
        assert_eq!((alone.width(), alone.height()), (made.width, made.height), "{task:?}");
        assert_eq!(alone.color(), beside.color(), "{task:?}");
        let [alone, beside] = [alone.to_rgb8(), beside.to_rgb8()];
        let differences = alone.iter().zip(beside.iter()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let mean = differences.sum::<f64>() / alone.len() as f64;
        assert!(mean < 2.0, "{task:?}: {mean}");
    }
}

#[tokio::test]
async fn whatever_else_is_wanted_goes_by_way_of_pixels() {
    let (source, small) = (jpeg(), json!({ "width": 100, "height": 75 }));
    let plain = task("resize", small.clone(), Format::Jpeg);
    assert!(is_short(&plain, &source).await);
    let changed = |change: &dyn Fn(&mut Task)| {
        let mut task = plain.clone();
        change(&mut task);
        task
    };
    let alias = changed(&|task| task.steps[0].operation = "smaller".to_owned());
    assert!(is_short(&alias, &source).await, "by another name");
    let with = |member: &str, value: Value| {
        let mut args = small.clone();
        args[member] = value;
        task("resize", args, Format::Jpeg)
    };
    let of = |args: Value| task("resize", args, Format::Jpeg);
    for (what, task) in [
        ("another format", task("resize", small.clone(), Format::WebP)),
        ("two operations", changed(&|task| task.steps.push(task.steps[0].clone()))),
        ("an operation that is not ours", changed(&|task| task.steps[0].operation = "foreign".to_owned())),
        ("colours in full", changed(&|task| task.quality = 95)),
        ("light, as the profile says", changed(&|task| task.steps[0].profile = Profile::Best)),
        ("light", with("linear", json!(true))),
        ("no average", with("filter", json!("nearest"))),
        ("a part", with("crop", json!([10, 10, 300, 225]))),
        ("no border", with("trim", json!(true))),
        ("a turn", with("rotate", json!(90))),
        ("a free turn", with("rotate", json!(5))),
        ("a mirror", with("flip", json!("horizontal"))),
        ("a blur", with("blur", json!(2))),
        ("a sharper picture", with("sharpen", json!(1))),
        ("bars", of(json!({ "width": 100, "height": 100, "fit": "contain" }))),
        ("a frame", with("pad", json!(3))),
        ("what matters in it", of(json!({ "width": 100, "height": 50, "gravity": "smart" }))),
        ("more pixels", of(json!({ "width": 410, "enlarge": "always" }))),
        (
            "more pixels in one direction",
            of(json!({ "width": 100, "height": 310, "fit": "fill", "enlarge": "always" })),
        ),
    ] {
        assert!(!is_short(&task, &source).await, "{what}");
    }
}

#[tokio::test]
async fn whatever_else_a_source_says_goes_by_way_of_pixels() {
    let (file, task) = (jpeg(), task("resize", json!({ "width": 100, "height": 75 }), Format::Jpeg));
    assert!(is_short(&task, &turned(&file, 1)).await, "upright");
    // JFIF's marker would say that the samples are what Adobe's says they are not.
    assert_eq!(&file[6..10], b"JFIF");
    let rgb = with_segment(&[&file[..2], &file[20..]].concat(), 0xEE, b"Adobe\0\x64\0\0\0\0\0");
    for (what, source) in [
        ("another format", samples::encoded(400, 300, ImageFormat::Png)),
        ("a turned picture", turned(&file, 6)),
        ("a mirrored picture", turned(&file, 2)),
        ("a profile that cannot be read", with_segment(&file, 0xE2, b"ICC_PROFILE\0\x01\x02abc")),
        ("red, green and blue", rgb),
    ] {
        assert!(!is_short(&task, &source).await, "{what}");
    }
    let torn = with_segment(&file, 0xE2, b"ICC_PROFILE\0\x01\x02abc");
    let (made, _) = first(vec![task], &torn, 60_000).await.unwrap();
    assert!(made.unconverted.is_some());
}

#[tokio::test]
async fn damage_is_judged_by_way_of_pixels() {
    let (file, task) = (jpeg(), task("resize", json!({ "width": 100, "height": 75 }), Format::Jpeg));
    let mut flipped = file.clone();
    let middle = file.len() / 2;
    flipped[middle..middle + 20].fill(0x5A);
    let mut missing = file.clone();
    let table = file.windows(2).position(|bytes| bytes == [0xFF, 0xC4]).unwrap();
    missing[table + 1] = 0xEF;
    for (what, source) in [
        ("cut off", &file[..middle]),
        ("changed", &flipped),
        ("without a table", &missing),
        ("no scan", &file[..200]),
    ] {
        assert!(!is_short(&task, source).await, "{what}");
    }
    let fault = first(vec![task], &file[..middle], 60_000).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::UnreadableSource);
}

/// The rows that eight of the result are made of would be half the picture, as numbers.
#[tokio::test]
async fn what_would_take_more_memory_than_was_planned_goes_by_way_of_pixels() {
    let flat = |width, height| {
        task("resize", json!({ "width": width, "height": height, "fit": "fill" }), Format::Jpeg)
    };
    let large = of_image(samples::picture(3000, 1100));
    assert!(is_short(&flat(2900, 500), &large).await);
    assert!(!is_short(&flat(2900, 60), &large).await, "more than is ever taken");
    let small = of_image(samples::picture(96, 64));
    assert!(is_short(&flat(48, 32), &small).await);
    let tiny = of_image(samples::picture(60, 14));
    assert!(!is_short(&flat(1, 1), &tiny).await, "more than was planned");
}

#[tokio::test]
async fn what_is_late_is_given_up_alike() {
    let task = task("resize", json!({ "width": 100, "height": 75 }), Format::Jpeg);
    let source = jpeg();
    let alone = first(vec![task.clone()], &source, 0).await.unwrap_err();
    let beside = first(vec![task.clone(), task], &source, 0).await.unwrap_err();
    assert_eq!((alone.kind, &alone), (FaultKind::LimitExceeded, &beside));
}
