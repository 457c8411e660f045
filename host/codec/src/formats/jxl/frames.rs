//! The pictures of a JPEG XL, each as it is shown: the decoder draws one upon the other.

use jxl::api::{Event, JxlDecoder};
use jxl::image::JxlOutputBuffer;

use super::layout::Layout;
use super::{fault, malformed, options};
use crate::bounds::Bounds;
use crate::codec::{self, DecodedFrame, Loops};
use crate::error::CodecError;
use crate::header::Header;

/// What is said of a file that ends before its picture does.
const CUT_OFF: &str = "the file is cut off";

pub(super) struct Frames<'a> {
    decoder: JxlDecoder,
    rest: &'a [u8],
    layout: Layout,
    loops: Loops,
    bounds: Bounds,
    shown: u32,
    /// Whether nothing more is shown.
    over: bool,
    damage: Option<String>,
    unconverted: Option<String>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], header: &Header, bounds: &Bounds) -> Result<Self, CodecError> {
        let mut decoder = JxlDecoder::new(options(bounds, false));
        let mut rest = bytes;
        decoder.process(&mut rest, None, None).map_err(|error| fault(error, bounds))?;
        let layout = Layout::of(&decoder)
            .filter(|layout| layout.size == (header.width, header.height) && layout.pixels == header.pixels)
            .ok_or_else(|| malformed("not the file that was probed"))?;
        decoder.set_pixel_format(layout.asked()).map_err(malformed)?;
        let animation = decoder.basic_info().and_then(|info| info.animation.as_ref());
        let loops = match animation.map(|animation| animation.num_loops) {
            None => Loops::Times(1),
            Some(0) => Loops::Forever,
            Some(times) => Loops::Times(times),
        };
        let (over, damage, unconverted) = (false, None, None);
        Ok(Self { decoder, rest, layout, loops, bounds: *bounds, shown: 0, over, damage, unconverted })
    }

    /// Goes on to the next picture, and how long that is shown, in milliseconds; none after the last.
    fn begin(&mut self) -> Result<Option<u32>, CodecError> {
        match self.decoder.process(&mut self.rest, None, None).map_err(|error| fault(error, &self.bounds))? {
            Event::FrameHeader => {
                let duration = self.decoder.frame_header().and_then(|header| header.duration);
                // As a cast: what is no number, or too large a one, is nothing, or the largest.
                Ok(Some(duration.unwrap_or(0.0).round() as u32))
            }
            Event::NeedMoreInput { .. } => Err(malformed(CUT_OFF)),
            Event::Complete => Ok(None),
            Event::BasicInfo | Event::FrameComplete { .. } => Err(malformed("a frame without header")),
        }
    }

    /// Decodes the picture that was begun. Of the first one, if it is damaged and repaired, what there is of it on gray.
    fn draw(&mut self) -> Result<Vec<Vec<u8>>, CodecError> {
        let blank = self.layout.blank();
        let mut planes: Vec<Plane> = blank.iter().map(|pixel| Plane::new(pixel, self.layout.size)).collect();
        let mut buffers: Vec<JxlOutputBuffer<'_>> = planes.iter_mut().map(Plane::buffer).collect();
        let wrong = match self.decoder.process(&mut self.rest, Some(&mut buffers), None) {
            Ok(Event::FrameComplete { has_more_frames }) => {
                self.over = !has_more_frames;
                None
            }
            Ok(_) => Some(malformed(CUT_OFF)),
            Err(error) => Some(fault(error, &self.bounds)),
        };
        if let Some(error) = wrong {
            let CodecError::Malformed { text, .. } = &error else { return Err(error) };
            if !self.bounds.repair || self.shown > 0 {
                return Err(error);
            }
            // Whether there is anything to draw is seen in the picture.
            let _ = self.decoder.flush_pixels(&mut buffers, None);
            self.damage = Some(text.clone());
            self.over = true;
        }
        drop(buffers);
        Ok(planes.into_iter().map(Plane::into_data).collect())
    }

    fn next(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        let Some(delay_ms) = self.begin()? else { return Ok(None) };
        let given = self.draw()?;
        let (image, unconverted) = self.layout.image(given, self.decoder.output_color_profile())?;
        self.unconverted = unconverted;
        self.shown += 1;
        Ok(Some(DecodedFrame { image, delay_ms }))
    }
}

impl codec::Frames for Frames<'_> {
    /// The next picture. Of a damaged animation, those before the damage are shown.
    fn next_frame(&mut self) -> Result<Option<DecodedFrame>, CodecError> {
        if self.over {
            return Ok(None);
        }
        match self.next() {
            Err(CodecError::Malformed { text, .. }) if self.shown > 0 => {
                self.damage = Some(format!("frame {}: {text}; it ends before that", self.shown + 1));
                self.over = true;
                Ok(None)
            }
            Ok(None) if self.shown == 0 => Err(malformed("no frame")),
            next => next,
        }
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

/// Samples that the decoder writes, which wants words of 16 bits where words may lie.
struct Plane {
    data: Vec<u8>,
    start: usize,
    row: usize,
    rows: usize,
}

impl Plane {
    /// All of one pixel.
    fn new(pixel: &[u8], (width, rows): (u32, u32)) -> Self {
        let (row, rows) = (pixel.len() * width as usize, rows as usize);
        let mut data = vec![0; row * rows + 1];
        let start = usize::from(!data.as_ptr().addr().is_multiple_of(2));
        data[start..].chunks_exact_mut(pixel.len()).for_each(|blank| blank.copy_from_slice(pixel));
        Self { data, start, row, rows }
    }

    fn buffer(&mut self) -> JxlOutputBuffer<'_> {
        JxlOutputBuffer::new(&mut self.data[self.start..], self.rows, self.row)
    }

    fn into_data(mut self) -> Vec<u8> {
        self.data.drain(..self.start);
        self.data.truncate(self.row * self.rows);
        self.data
    }
}
