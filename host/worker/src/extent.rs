//! How many pixels a task would decode and make: of all frames, in all steps. Each number of a product may be within its limit
//! and the product out of all bounds, so the products are limited too, before anything is decoded.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_codec as codec;
use imgserve_sdk::InputKind;

use super::fault::codec_fault;
use super::protocol::RESULTS_TOGETHER;
use super::stage::Stage;
use super::task::{Header, Worker};

impl Worker {
    /// The pixels that the operations of a task make; none while only more of the source shows that they are not too many.
    /// `animates`: whether more than one frame of the result is of use.
    ///
    /// # Errors
    /// [`FaultKind::LimitExceeded`], with the key.
    pub(super) fn made_pixels(
        &self,
        animates: bool,
        header: &Header,
        stages: &[Stage<'_>],
    ) -> Result<Option<u64>, Fault> {
        // What takes all frames together gives one picture, as far as anybody knows before it runs.
        let together = stages.iter().position(Stage::takes_all).unwrap_or(stages.len());
        let moving = self.moving(header, stages).filter(|_| animates || together < stages.len());
        let frames = moving.map_or(1, |moving| u64::from(moving.so_far.frames));
        if let Some(moving) = moving {
            self.codec_bounds().check_all_frames(moving).map_err(codec_fault)?;
        }
        let limit = self.limits.max_output_pixels;
        let (mut made, mut largest) = (0_u64, 0_u64);
        for (index, stage) in stages.iter().enumerate() {
            let one = u64::from(stage.plan.width) * u64::from(stage.plan.height);
            let pixels = if index < together { one.saturating_mul(frames) } else { one };
            if pixels > limit {
                let text = format!(
                    "the result of `{}` would have {pixels} pixels in all its {frames} frames, more than [limits] \
                     max_output_pixels = {limit}",
                    stage.operation.name
                );
                return Err(stage.spot.named(Fault::new(FaultKind::LimitExceeded, text)));
            }
            made = made.saturating_add(pixels);
            largest = largest.max(if index < together { one } else { 0 });
        }
        check_made(made, limit, "the steps")?;
        let known = moving.is_none_or(|moving| moving.frames.is_some() || self.any_number(moving, largest));
        Ok(known.then_some(made))
    }

    /// The source as its codec knows it, if that decodes more than one frame of it.
    fn moving<'h>(&self, header: &'h Header, stages: &[Stage<'_>]) -> Option<&'h codec::Header> {
        let decoded =
            |stage: &&Stage<'_>| matches!(stage.operation.description.input, InputKind::Pixels { .. });
        let codec = stages.first().filter(decoded).and(header.codec.as_ref());
        codec.filter(|codec| codec.frames != Some(1))
    }

    /// Whether as many frames as there may be would be within the limits, at `largest` pixels each.
    fn any_number(&self, moving: &codec::Header, largest: u64) -> bool {
        let most = |pixels: u64| pixels.saturating_mul(self.limits.max_source_frames.into());
        let canvas = u64::from(moving.width) * u64::from(moving.height);
        most(canvas) <= self.limits.max_source_pixels && most(largest) <= self.limits.max_output_pixels
    }
}

/// Refuses `pixels` that `who` would make for one source, if they are more than that may be.
///
/// # Errors
/// [`FaultKind::LimitExceeded`], with the key.
pub fn check_made(pixels: u64, max_output_pixels: u64, who: &str) -> Result<(), Fault> {
    if pixels <= max_output_pixels.saturating_mul(RESULTS_TOGETHER) {
        return Ok(());
    }
    let text = format!(
        "{who} would make {pixels} pixels together, more than {RESULTS_TOGETHER} times [limits] max_output_pixels = \
         {max_output_pixels}"
    );
    Err(Fault::new(FaultKind::LimitExceeded, text))
}
