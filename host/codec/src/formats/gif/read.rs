//! A GIF's frames as they are shown: each the whole canvas.

use weezl::BitOrder;
use weezl::decode::Decoder;

use super::blocks::{Blocks, Frame};
use super::malformed;
use crate::bounds::Bounds;
use crate::canvas::{Area, Canvas};
use crate::codec::{self, DecodedFrame, Loops};
use crate::error::CodecError;
use crate::header::Header;
use crate::{color, damage};

/// What a pixel is that is missing from the first frame. In later ones, what was there before stays.
const MISSING: [u8; 4] = [damage::GRAY, damage::GRAY, damage::GRAY, 0xFF];

/// The frames of an animation. Of a damaged one those before the damage are shown, and more of it only if it is repaired.
pub(super) struct Frames<'a> {
    blocks: Blocks<'a>,
    loops: Loops,
    canvas: Canvas,
    undo: Undo,
    bounds: Bounds,
    shown: u32,
    damage: Option<String>,
    icc: Option<Vec<u8>>,
    /// Why its colours are not in sRGB.
    unconverted: Option<String>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], header: &Header, bounds: &Bounds) -> Result<Self, CodecError> {
        let screen = super::Screen::read(bytes);
        if screen.map(|screen| (screen.width, screen.height)) != Some((header.width, header.height)) {
            return Err(malformed("not the file that was probed"));
        }
        let mut before_first = Blocks::new(bytes);
        before_first.next();
        let canvas = Canvas::new(header.width, header.height);
        Ok(Self {
            blocks: Blocks::new(bytes),
            loops: before_first.loops,
            canvas,
            undo: Undo::Nothing,
            bounds: *bounds,
            shown: 0,
            damage: None,
            icc: before_first.icc(),
            unconverted: None,
        })
    }

    /// Notes what is wrong with the frame behind those that were shown. An error, if it is the first and nothing is repaired.
    fn note(&mut self, wrong: &str) -> Result<(), CodecError> {
        let repair = self.bounds.repair;
        if self.shown == 0 && !repair {
            return Err(malformed(wrong));
        }
        let rest = if repair { "" } else { "; it ends before that" };
        self.damage.get_or_insert(format!("frame {}: {wrong}{rest}", self.shown + 1));
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.damage.is_some() && !self.bounds.repair
    }
}

impl codec::Frames for Frames<'_> {
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        if self.is_over() {
            return Ok(None);
        }
        let Some(frame) = self.blocks.next() else {
            return if self.shown == 0 { Err(malformed("no frame")) } else { Ok(None) };
        };
        self.bounds.check_size(frame.width, frame.height)?;
        if !frame.is_shown(self.shown == 0, self.bounds.repair) {
            self.note("cut off")?;
            return Ok(None);
        }
        let (numbers, wrong) = unpack(&frame);
        if let Some(wrong) = wrong {
            self.note(wrong)?;
            if self.is_over() {
                return Ok(None);
            }
        }
        std::mem::replace(&mut self.undo, Undo::Nothing).apply(&mut self.canvas);
        let part = Area::new(&self.canvas, frame.left, frame.top, frame.width, frame.height);
        self.undo = match frame.disposal {
            2 => Undo::Clear(part),
            3 => Undo::Restore(part, self.canvas.copy(part)),
            _ => Undo::Nothing,
        };
        let missing = (wrong.is_some() && self.shown == 0).then_some(MISSING);
        draw(&mut self.canvas, part, &frame, &numbers, missing);
        self.shown += 1;
        let (image, unconverted) = color::to_srgb(self.canvas.image(), self.icc.as_deref());
        self.unconverted = unconverted;
        Ok(Some(DecodedFrame { image, delay_ms: u32::from(frame.delay) * 10 }))
    }

    fn loops(&self) -> Loops {
        self.loops
    }

    fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    fn unconverted(&self) -> Option<&str> {
        self.unconverted.as_deref()
    }
}

/// What is to be done before the next frame is drawn.
enum Undo {
    Nothing,
    Clear(Area),
    /// What was there, which is no more than the frame hides.
    Restore(Area, Vec<[u8; 4]>),
}

impl Undo {
    fn apply(self, canvas: &mut Canvas) {
        match self {
            Self::Nothing => {}
            Self::Clear(part) => canvas.clear(part),
            Self::Restore(part, saved) => canvas.put_back(part, &saved),
        }
    }
}

/// The numbers of the colours in the order in which they are stored; fewer than there are pixels when something is wrong.
fn unpack(frame: &Frame<'_>) -> (Vec<u8>, Option<&'static str>) {
    // Codes have 12 bits at most, and one more than the numbers.
    if frame.code_size > 11 {
        return (Vec::new(), Some("an impossible size of its codes"));
    }
    let mut decoder = Decoder::new(BitOrder::Lsb, frame.code_size);
    let mut numbers = vec![0; frame.width as usize * frame.height as usize];
    let mut filled = 0;
    let mut wrong = None;
    'blocks: for mut block in frame.data() {
        while filled < numbers.len() && wrong.is_none() {
            let step = decoder.decode_bytes(block, &mut numbers[filled..]);
            (block, filled) = (&block[step.consumed_in..], filled + step.consumed_out);
            match step.status {
                Err(_) => wrong = Some("broken"),
                Ok(weezl::LzwStatus::Done) => break 'blocks,
                Ok(_) if step.consumed_in + step.consumed_out == 0 => continue 'blocks,
                Ok(_) => {}
            }
        }
    }
    if filled == numbers.len() {
        return (numbers, None);
    }
    numbers.truncate(filled);
    (numbers, wrong.or(Some("cut off")))
}

/// Draws as many pixels as there are numbers; the others are `missing`, or stay as they were.
fn draw(canvas: &mut Canvas, part: Area, frame: &Frame<'_>, numbers: &[u8], missing: Option<[u8; 4]>) {
    let (colors, _) = frame.colors.as_chunks::<3>();
    let width = frame.width as usize;
    let rows = stored_rows(frame.height as usize, frame.interlaced);
    for (target, stored) in canvas.rows(part).zip(rows) {
        let row = numbers.get(stored * width..).unwrap_or_default();
        let row = row.iter().take(width).map(Some).chain(std::iter::repeat(None));
        for (pixel, number) in target.iter_mut().zip(row) {
            // Where there are no colours at all, numbers are grays.
            let color = |number: u8| match colors {
                [] => Some([number; 3]),
                colors => colors.get(usize::from(number)).copied(),
            };
            match number.map(|&number| (number, color(number))) {
                None => *pixel = missing.unwrap_or(*pixel),
                // A number without a colour shows what is below it, as in browsers.
                Some((number, Some([r, g, b]))) if frame.transparent != Some(number) => {
                    *pixel = [r, g, b, 255]
                }
                Some(_) => {}
            }
        }
    }
}

/// For each row that is shown, which of the stored ones it is (GIF89a, appendix E).
fn stored_rows(height: usize, interlaced: bool) -> Vec<usize> {
    if !interlaced {
        return (0..height).collect();
    }
    let passes = [(0, 8), (4, 8), (2, 4), (1, 2)];
    let shown = passes.into_iter().flat_map(|(first, step)| (first..height).step_by(step));
    let mut stored = vec![0; height];
    shown.enumerate().for_each(|(at, row)| stored[row] = at);
    stored
}
