//! An operation run without a server, for its tests: planned, run and held to its plan, as a host does it.

use std::cell::{Cell, RefCell};

use serde_json::Value;

use crate::{
    Error, Flow, Frames, Host, Image, Input, InputKind, Level, Operation, Output, PixelFormat, Pixels, Plan,
    Source, SourceHeader, Window, arguments,
};

/// A host that remembers what it was told.
#[derive(Debug)]
pub struct TestHost {
    lines: RefCell<Vec<(Level, String)>>,
    random: Cell<u64>,
    config: String,
    flow: Flow,
}

impl Default for TestHost {
    fn default() -> Self {
        Self {
            lines: RefCell::default(),
            random: Cell::new(0),
            config: "{}".to_owned(),
            flow: Flow::Continue,
        }
    }
}

impl TestHost {
    /// With this `config` table.
    #[must_use]
    pub fn config(mut self, config: &Value) -> Self {
        self.config = config.to_string();
        self
    }

    /// One that wants no result any more.
    #[must_use]
    pub fn cancelled(mut self) -> Self {
        self.flow = Flow::Cancelled;
        self
    }

    /// What was logged.
    pub fn lines(&self) -> Vec<(Level, String)> {
        self.lines.borrow().clone()
    }
}

impl Host for TestHost {
    fn log(&self, level: Level, message: &str) {
        self.lines.borrow_mut().push((level, message.to_owned()));
    }

    fn progress(&self, _: f32) -> Flow {
        self.flow
    }

    /// 1, 2, 3, …: enough to see that it is asked.
    fn random(&self) -> u64 {
        self.random.set(self.random.get() + 1);
        self.random.get()
    }

    fn config(&self) -> &str {
        &self.config
    }
}

/// The header of a PNG of this size.
pub fn header(width: u32, height: u32, pixels: PixelFormat) -> SourceHeader {
    SourceHeader { format: "png".to_owned(), width, height, frames: Some(1), pixels, head: Vec::new() }
}

/// What operation `O` plans for `args`, a JSON object.
///
/// # Errors
/// The operation's refusal.
pub fn plan<O: Operation>(args: &Value, header: &SourceHeader, host: &dyn Host) -> Result<Plan, Error> {
    O::plan(&arguments::parse(args.to_string().as_bytes())?, header, host)
}

/// Runs operation `O` on an image that was decoded in full, and checks the result against the plan.
///
/// # Errors
/// The operation's refusal or failure; also `failed` when it takes no pixels of this format, and when the result is
/// not what was planned.
pub fn run<O: Operation>(args: &Value, image: &Image, host: &dyn Host) -> Result<Output, Error> {
    let header = header(image.width(), image.height(), image.format());
    match O::describe().input {
        InputKind::Pixels { formats, frames } if formats.contains(&image.format()) => match frames {
            Frames::Each => {
                let input = Input::Pixels { image: Pixels::Borrowed(image.as_ref()), window: Window::FULL };
                run_input::<O>(args, &header, input, host)
            }
            Frames::All => {
                let frames = [(image.as_ref(), 0)];
                run_input::<O>(args, &header, Input::Frames { frames: &frames, window: Window::FULL }, host)
            }
        },
        _ => Err(Error::failed(format!("the operation does not take {:?} pixels", image.format()))),
    }
}

/// Runs operation `O` on any input, and checks the result against the plan.
///
/// # Errors
/// As for [`run`].
pub fn run_input<O: Operation>(
    args: &Value,
    header: &SourceHeader,
    input: Input<'_>,
    host: &dyn Host,
) -> Result<Output, Error> {
    let args = arguments::parse(args.to_string().as_bytes())?;
    let plan = O::plan(&args, header, host)?;
    let output = O::run(&args, Source { header, input }, host)?;
    let images = match &output {
        Output::Pixels(image) => vec![image],
        Output::Frames(frames) => frames.iter().map(|frame| &frame.image).collect(),
        Output::Encoded(_) => vec![],
    };
    for image in images {
        let planned = (plan.width, plan.height, plan.pixels);
        let given = (image.width(), image.height(), image.format());
        if planned != given {
            return Err(Error::failed(format!("planned {planned:?} and gave {given:?}")));
        }
    }
    Ok(output)
}
