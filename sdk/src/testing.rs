//! An operation or a codec run without a server, for its tests: held to what it has said before, as a host does it.

use std::cell::{Cell, RefCell};

use serde_json::Value;

use crate::codec::{self, Codec, Decoded, Header};
use crate::{
    Error, Flow, Frame, Frames, Host, Image, Input, InputKind, Level, Operation, Output, PixelFormat, Pixels,
    Plan, Source, SourceHeader, Window, arguments,
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

/// What codec `C` finds in a file by its magic, by all of its bytes.
///
/// # Errors
/// The codec's; also `unsupported` when it has no format whose files begin so, and `malformed` when it wants more bytes than
/// there are.
pub fn probe<C: Codec>(file: &[u8]) -> Result<Header, codec::Error> {
    let format = format_of::<C>(file)?;
    let header = C::probe(&format, file, true)?;
    header.ok_or_else(|| codec::Error::malformed("it ends before its header does"))
}

/// Decodes a file by codec `C`, and holds the pixels against the header, and that against what is told by each beginning of the
/// file.
///
/// # Errors
/// As for [`probe`], and the codec's.
///
/// # Panics
/// When the codec contradicts itself, which a host takes for a broken contract.
pub fn decode<C: Codec>(file: &[u8]) -> Result<Decoded, codec::Error> {
    let (format, header) = (format_of::<C>(file)?, probe::<C>(file)?);
    for eighth in 0..8 {
        match C::probe(&format, &file[..file.len() * eighth / 8], false) {
            Ok(early) => {
                assert!(early.is_none() || early == Some(header), "told by {eighth} eighths: {early:?}")
            }
            Err(error) => panic!("{eighth} eighths are refused ({error}), and all are {header:?}"),
        }
    }
    let decoded = C::decode(&format, file)?;
    assert_eq!(decoded.frames.len(), header.frames as usize, "frames");
    for Frame { image, .. } in &decoded.frames {
        let given = (image.width(), image.height(), image.format());
        assert_eq!(given, (header.width, header.height, header.pixels), "a frame and the header");
    }
    Ok(decoded)
}

/// Writes a picture by codec `C`, and reads it again.
///
/// # Errors
/// The codec's; also `unsupported` when it has no format of this name that it writes.
pub fn encode<C: Codec>(
    format: &str,
    image: &Image,
    quality: u8,
) -> Result<(Vec<u8>, Decoded), codec::Error> {
    let described = C::describe().formats.into_iter().find(|known| known.name == format);
    if described.and_then(|format| format.written).is_none() {
        return Err(codec::Error::unsupported(format!("{format} is not written")));
    }
    let file = C::encode(format, image, quality)?;
    let decoded = decode::<C>(&file)?;
    Ok((file, decoded))
}

/// The name of the format whose files begin like this one.
fn format_of<C: Codec>(file: &[u8]) -> Result<String, codec::Error> {
    let begins = |magic: &codec::Magic| {
        file.get(magic.offset as usize..).is_some_and(|rest| rest.starts_with(&magic.bytes))
    };
    let found = C::describe().formats.into_iter().find(|format| format.magic.iter().any(begins));
    found.map(|format| format.name).ok_or_else(|| codec::Error::unsupported("no format's magic"))
}
