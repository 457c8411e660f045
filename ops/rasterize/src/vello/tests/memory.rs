//! What vello_cpu takes of memory, against what is counted beforehand, and against what the plan promises.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use super::super::scene::Scene;
use super::{Unsuited, canvas, parse};
use resvg::usvg::Tree;
use vello_cpu::RenderContext;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread holds.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    // A thread that ends has nothing to count with any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

#[allow(unsafe_code, reason = "an allocator is unsafe by its trait; it hands all on to the system's")]
// SAFETY: every call goes to `System` as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Bytes that `work` held at its peak beyond what was held before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, u64::try_from(PEAK.get() - before).unwrap())
}

/// What drawing `tree` on `side` pixels took, and what was counted for it.
fn taken(tree: &Tree, side: u32) -> (u64, u64) {
    let (mut pixmap, transform) = canvas(tree, side);
    let (width, height) = (pixmap.width() as u16, pixmap.height() as u16);
    let (counted, taken) = peak(|| {
        let mut context = RenderContext::new(width, height);
        let scene = Scene::new(&mut context, pixmap.data_mut(), (width, height), u64::MAX, &|| true);
        scene.finish(tree.root(), transform).unwrap()
    });
    (taken, counted)
}

fn repeated(count: usize, part: impl Fn(usize) -> String) -> Tree {
    parse(&super::corpus::svg(&(0..count).map(part).collect::<String>()))
}

/// `count` of `part`s in a layer, so that all of them are held until it ends.
fn layered(count: usize, part: impl Fn(usize) -> String) -> Tree {
    let parts: String = (0..count).map(part).collect();
    parse(&super::corpus::svg(&format!("<g opacity='.9'>{parts}</g>")))
}

/// Drawings that make vello_cpu hold much: many outlines, long ones, layers.
fn greedy() -> Vec<(&'static str, Tree)> {
    let zigzag = |lines: usize| {
        let points: String =
            (0..lines).map(|line| format!("{} {} ", line * 37 % 100, line * 61 % 100)).collect();
        format!("<path d='M0 0L{points}' fill-rule='evenodd'/>")
    };
    let ring = |number: usize| {
        format!("<circle cx='50' cy='50' r='{}' fill='none' stroke='#{:03x}'/>", number % 50, number % 4096)
    };
    vec![
        (
            "rectangles",
            repeated(2_000, |number| format!("<rect width='100' height='100' fill='#{number:06x}'/>")),
        ),
        (
            "circles",
            repeated(1_000, |number| {
                format!("<circle cx='50' cy='50' r='{}' fill-opacity='.5'/>", number % 50)
            }),
        ),
        ("rings", repeated(1_000, ring)),
        ("rings in a layer", layered(1_000, ring)),
        (
            "blurs",
            repeated(40, |number| {
                format!(
                    "<filter id='f'><feGaussianBlur stdDeviation='9'/></filter><circle cx='{number}' cy='50' r='40' filter='url(#f)'/>"
                )
            }),
        ),
        (
            "specks",
            repeated(20_000, |number| format!("<path d='M{} {}h.1v.1z'/>", number % 100, number / 200)),
        ),
        ("lines", parse(&super::corpus::svg(&zigzag(3_000)))),
        (
            "curves",
            repeated(200, |number| {
                format!("<path d='M0 {}C900 -900 -900 900 100 {}' stroke='red'/>", number % 100, number % 77)
            }),
        ),
        ("layers", repeated(500, |_| "<g opacity='.9'><rect width='100' height='100'/></g>".to_owned())),
        (
            "words",
            repeated(100, |line| {
                format!("<text y='{line}' font-size='3'>Sphinx of black quartz, judge my vow</text>")
            }),
        ),
        (
            "dashes",
            repeated(20, |number| {
                format!(
                    "<circle cx='50' cy='50' r='{number}' fill='none' stroke='red' stroke-dasharray='.1'/>"
                )
            }),
        ),
    ]
}

#[test]
fn no_more_is_taken_than_was_counted() {
    for (name, tree) in greedy() {
        for side in [100, 600] {
            let (taken, counted) = taken(&tree, side);
            // Its own buffers for a canvas: a row of layers, the depth of each column, the state of each row.
            let own = 400_000 + u64::from(side) * 2_000;
            assert!(taken <= counted + own, "{name} at {side}: {taken} of {counted}");
            println!("{name} at {side}: taken {taken}, counted {counted}");
        }
    }
}

#[test]
fn the_plan_holds() {
    for (name, tree) in greedy() {
        let (mut pixmap, transform) = canvas(&tree, 256);
        let canvas = pixmap.data().len() as u64;
        let (result, taken) =
            peak(|| super::super::render(&tree, transform, pixmap.data_mut(), (256, 256), &|| true));
        assert!(result.is_ok() || result == Err(Unsuited::Memory), "{name}: {result:?}");
        // The result and three more canvases are planned; the tree has been parsed into its own share.
        assert!(taken <= 3 * canvas + (64 << 20), "{name}: {taken}");
    }
}

#[test]
fn what_would_take_too_much_is_given_up_before_it_is_taken() {
    let full = |count| {
        layered(count, |number| {
            format!("<circle cx='50' cy='50' r='{}' fill='none' stroke='red'/>", number % 50)
        })
    };
    let curves: String = (0..20_000).map(|_| "C9e4 -9e4 -9e4 9e4 50 50 ").collect();
    let curves = parse(&super::corpus::svg(&format!("<path d='M0 0{curves}'/>")));
    let ring = "<circle cx='50' cy='50' r='45' fill='none' stroke='red' stroke-dasharray='.4'/>".repeat(900);
    let in_layers = layered(50, |_| format!("<g opacity='.9'>{ring}</g>"));
    for (name, tree) in [("rings", full(20_000)), ("curves", curves), ("in layers", in_layers)] {
        let (mut pixmap, transform) = canvas(&tree, 512);
        let (result, taken) =
            peak(|| super::super::render(&tree, transform, pixmap.data_mut(), (512, 512), &|| true));
        assert_eq!(result, Err(Unsuited::Memory), "{name}");
        assert!(taken <= super::super::budget(512, 512), "{name}: {taken}");
    }
}
