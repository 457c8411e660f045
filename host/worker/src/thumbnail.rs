//! The short way from a JPEG to a smaller one, beside the general way of `run`: each component's samples go from the decoder
//! through the resampler to the encoder and are never pixels, which would be made RGB, averaged in three channels, and made
//! luminance and halved colours again. Samples are decoded and averaged as there, so that the result differs by no more than
//! what the general way rounds and cuts off in between.
//!
//! [`suits`] says what leads here. Whatever else is to be done with a source, or is wrong with it, is the general way's alone:
//! that one judges damage, converts colours and warns.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use imgserve_base::fault::Fault;
use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_codec as codec;
use imgserve_codec::planes::{Plane, Thumbnail};
use imgserve_config::PluginKind;
use imgserve_resize::planes::{self, Shrink, Shrinker, Weights};
use imgserve_sdk::Rect;

use super::chain::Chain;
use super::fault::codec_fault;
use super::reading::reading;
use super::stage::Stage;
use crate::plugin::Usage;

/// What the weights and rows for one picture may take, and what is kept of them for the next one, in bytes. For a photograph of
/// 50 million pixels they take a quarter of it.
const MOST_BYTES: u64 = 4 * MIB;

thread_local! {
    static SHRINKER: RefCell<Shrinker> = RefCell::default();
}

/// Makes a chain's result, if this way leads to it.
///
/// # Errors
/// That the result cannot be encoded, or that nobody waits for it any more.
pub(super) fn make(chain: &mut Chain<'_>, header: &codec::Header, source: &[u8]) -> Result<bool, Fault> {
    let Some(Way { stage, shrink, options }) = suits(chain, header, source) else { return Ok(false) };
    stage.link.go_on()?;
    let (hint, crop, size) = (&stage.plan.decode, shrink.crop, shrink.size);
    let thumbnail = Thumbnail { source, header, hint, crop, size, options: &options };
    let (file, took) = SHRINKER.with_borrow_mut(|shrinker| {
        let mut work =
            Work { stage, shrink, shrinker, weights: Vec::new(), took: Duration::ZERO, gone: None };
        let file = reading(source, || codec::planes::thumbnail(&thumbnail, &mut work).map_err(codec_fault));
        let made = work.gone.map_or(file, Err).map(|file| (file, work.took));
        if shrinker.bytes() as u64 > MOST_BYTES {
            *shrinker = Shrinker::default();
        }
        made
    })?;
    let Some(file) = file else { return Ok(false) };
    stage.usage.set(Usage { operation_us: took.as_secs_f64() * 1e6, ..Usage::default() });
    chain.sink.put(file);
    Ok(true)
}

/// Where this way leads.
struct Way<'c> {
    stage: &'c Stage<'c>,
    /// The part of the source that is shown, in its pixels, and what becomes of it.
    shrink: Shrink,
    options: codec::EncodeOptions,
}

/// Whether it is one `resize`, built in, that averages a part of an upright JPEG to fewer pixels and does nothing else, and the
/// result is a JPEG with halved colours. The source must have the samples that a JPEG is made of here, with no profile to apply.
///
/// No more memory is taken than was planned, which is for the general way: it holds the decoded pixels and what `resize` says it
/// needs, neither of which is there; weights and rows must fit into that, and into [`MOST_BYTES`].
fn suits<'c>(chain: &'c Chain<'_>, header: &codec::Header, source: &[u8]) -> Option<Way<'c>> {
    let stage = chain.only()?;
    let (format, options) = chain.sink.encodes()?;
    let (operation, plan) = (stage.operation, &stage.plan);
    let resizes = operation.settings.kind == PluginKind::Builtin && operation.description.name == "resize";
    if !resizes || header.format != Format::Jpeg || format != Format::Jpeg {
        return None;
    }
    let (crop, filter) = imgserve_resize::shrinks(&stage.args, &stage.header)?;
    let shrink = Shrink { crop, size: (plan.width, plan.height), filter, halved: false };
    let scale = codec::decoded_scale(header, &plan.decode);
    let whole = [header.width, header.height].map(|side| (f64::from(side) * scale).ceil() as u32);
    let needed = planes::most_bytes(whole.into(), &Shrink { crop: scaled(crop, scale), ..shrink });
    let planned = codec::decoded_bytes(header, &plan.decode, header.pixels).saturating_add(plan.peak_bytes);
    let fits = needed <= MOST_BYTES.min(planned);
    let plain = header.orientation == codec::Orientation::UPRIGHT && codec::planes::is_plain(source);
    (fits && plain && codec::planes::halves_colors(&options)).then_some(Way { stage, shrink, options })
}

fn scaled(Rect { x, y, width, height }: Rect, scale: f64) -> Rect {
    Rect { x: x * scale, y: y * scale, width: width * scale, height: height * scale }
}

/// The resampling of a picture's planes.
struct Work<'w> {
    stage: &'w Stage<'w>,
    shrink: Shrink,
    shrinker: &'w mut Shrinker,
    /// By plane.
    weights: Vec<Weights>,
    /// The time that it took.
    took: Duration,
    /// Why it was given up.
    gone: Option<Fault>,
}

impl codec::planes::Shrink for Work<'_> {
    fn begin(&mut self, planes: &[Plane<'_>]) -> bool {
        self.gone = self.stage.link.go_on().err();
        let began = Instant::now();
        let weights = |plane: &Plane<'_>| {
            let shrink = Shrink { crop: plane.crop, halved: plane.halved, ..self.shrink };
            self.shrinker.weights((plane.width, plane.height), &shrink)
        };
        self.weights = planes.iter().map(weights).collect();
        self.took += began.elapsed();
        self.gone.is_none()
    }

    fn eight_rows(&mut self, (number, plane): (usize, &Plane<'_>), row: usize, out: &mut [f32]) {
        let began = Instant::now();
        self.shrinker.eight_rows((plane.samples, plane.stride), &self.weights[number], row, out);
        self.took += began.elapsed();
    }
}
