//! A plugin that does, when asked, what a plugin must not do; and some things that it may. For the tests of the sandbox:
//! what a host makes of each is asserted there.

use std::hint::black_box;

use imgserve_sdk::schemars::JsonSchema;
use imgserve_sdk::serde::Deserialize;
use imgserve_sdk::{
    Description, Error, Frames, Host, Image, InputKind, Level, Operation, Output, PixelFormat, Plan, Source,
    SourceHeader,
};

/// Arguments of `misbehave`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde")]
#[schemars(crate = "imgserve_sdk::schemars")]
pub struct Args {
    /// What to do (default good).
    #[serde(default)]
    mode: Mode,
    /// When to do it (default run); matters to the modes that make sense in both.
    #[serde(default, rename = "where")]
    during: Call,
    /// How much work `progress` is, in steps of some milliseconds; for how many of them `sleep` sleeps.
    #[serde(default)]
    steps: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "kebab-case")]
#[schemars(crate = "imgserve_sdk::schemars")]
enum Mode {
    /// Gives the pixels as they came.
    #[default]
    Good,
    /// Panics, in `where`.
    Panic,
    /// Never returns, in `where`.
    Loop,
    /// Takes memory until it is refused, in `where`.
    Grow,
    /// Calls itself until the stack ends, in `where`.
    Recurse,
    /// Aborts, in `where`.
    Abort,
    /// Logs far too much, in `where`.
    Chatter,
    /// Refuses with a text of 40 MB that tries to look like several lines, in `where`.
    Refuse,
    /// Plans four billion pixels.
    HugePlan,
    /// Gives one column more than it planned.
    LyingPlan,
    /// Plans rgba8 and gives gray8.
    WrongFormat,
    /// Gives the host's random numbers as pixels.
    Random,
    /// Gives one gray image of the size and the level in the configuration.
    Config,
    /// Works for a while, tells how far it is, and gives the configuration's level as pixels.
    Progress,
    /// Sleeps, as a native plugin can, and gives the pixels as they came.
    Sleep,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "imgserve_sdk::serde", rename_all = "kebab-case")]
#[schemars(crate = "imgserve_sdk::schemars")]
enum Call {
    Plan,
    #[default]
    Run,
}

/// The section's `config` table, for the modes that look at it.
#[derive(Deserialize)]
#[serde(crate = "imgserve_sdk::serde")]
struct Settings {
    width: u32,
    height: u32,
    level: u8,
}

struct Misbehave;

impl Operation for Misbehave {
    type Args = Args;

    fn describe() -> Description {
        Description {
            input: InputKind::Pixels { formats: vec![PixelFormat::Rgba8], frames: Frames::Each },
            ..Description::new::<Args>("misbehave", env!("CARGO_PKG_VERSION"), "Misbehaves when asked.")
        }
    }

    fn plan(args: &Args, source: &SourceHeader, host: &dyn Host) -> Result<Plan, Error> {
        if args.during == Call::Plan {
            misbehave(args.mode, host)?;
        }
        let (width, height) = match args.mode {
            Mode::HugePlan => (65_535, 65_535),
            Mode::Config => {
                let Settings { width, height, .. } = host.parse_config()?;
                (width, height)
            }
            _ => (source.width, source.height),
        };
        Ok(Plan::new(width, height, PixelFormat::Rgba8))
    }

    fn run(args: &Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error> {
        if args.during == Call::Run {
            misbehave(args.mode, host)?;
        }
        let (mut image, _) = source.into_pixels()?;
        match args.mode {
            Mode::LyingPlan => {
                image = Image::zeroed(image.width() + 1, image.height(), image.format())?;
            }
            Mode::WrongFormat => {
                image = Image::zeroed(image.width(), image.height(), PixelFormat::Gray8)?;
            }
            Mode::Random => {
                for pair in image.data_mut().chunks_mut(8) {
                    pair.copy_from_slice(&host.random().to_le_bytes()[..pair.len()]);
                }
            }
            Mode::Config => {
                let Settings { width, height, level } = host.parse_config()?;
                image = Image::zeroed(width, height, PixelFormat::Rgba8)?;
                fill(&mut image, level);
            }
            Mode::Progress => {
                for step in 0..args.steps {
                    work();
                    host.progress(step as f32 / args.steps as f32);
                }
                fill(&mut image, host.parse_config::<Settings>()?.level);
            }
            Mode::Sleep => std::thread::sleep(std::time::Duration::from_millis(u64::from(args.steps))),
            _ => {}
        }
        Ok(Output::Pixels(image))
    }
}

imgserve_sdk::export_operation!(Misbehave);

/// What can be done in any call.
fn misbehave(mode: Mode, host: &dyn Host) -> Result<(), Error> {
    match mode {
        Mode::Refuse => return Err(Error::failed(format!("{FAKE}{}", "x".repeat(40_000_000)))),
        Mode::Panic => panic!("as asked"),
        Mode::Loop => forever(),
        Mode::Grow => grow(),
        Mode::Recurse => drop(black_box(recurse(0))),
        Mode::Abort => std::process::abort(),
        Mode::Chatter => chatter(host),
        _ => {}
    }
    Ok(())
}

/// What would be three lines, the second of them as if of the host's own, if it were printed as it is.
const FAKE: &str = "one\n2026-01-01T00:00:00Z ERROR faked\r\x1b[2Kfaked\u{85}faked";

fn forever() {
    let mut turns = 0_u64;
    while black_box(turns) < u64::MAX {
        turns += black_box(1);
    }
}

fn grow() {
    let mut kept = Vec::new();
    loop {
        // Ones rather than zeros: the pages must be written to.
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return 0;
    }
    // Something is left to do after the call, so that no loop can be made of it.
    recurse(depth + 1) ^ black_box(depth)
}

/// One enormous line, then many, each of which tries to look like a line of the host's own.
fn chatter(host: &dyn Host) {
    host.log(Level::Info, &"x".repeat(100_000_000));
    for number in 0..100_000 {
        host.log(Level::Info, &format!("{number} {FAKE}"));
    }
}

/// Some milliseconds of arithmetic.
fn work() {
    let mut state = 1_u64;
    for _ in 0..1_000_000 {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Opaque gray of one level.
fn fill(image: &mut Image, level: u8) {
    for pixel in image.data_mut().chunks_exact_mut(4) {
        pixel.copy_from_slice(&[level, level, level, 255]);
    }
}
