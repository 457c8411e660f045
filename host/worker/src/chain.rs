//! One task's operations in a row, and the result in the making: images go through them one by one, or wait for one that
//! takes all frames together.

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_sdk::abi::{Product, RunInput};
use imgserve_sdk::{Image, ImageRef, InputKind, Window};

use super::fault::no_steps;
use super::sink::{Sink, SinkError, Written};
use super::stage::Stage;
use crate::plugin::{Results, Usage};

/// A task's operations, planned, and where their results go.
pub(super) struct Chain<'a> {
    stages: Vec<Stage<'a>>,
    pub(super) sink: Sink<'a>,
    /// Which part of the source its first operation is given.
    pub(super) window: Window,
    /// What is wrong with what it was given of the source.
    pub(super) damage: Option<String>,
    /// Why the colours of that are not in sRGB.
    pub(super) unconverted: Option<String>,
}

/// A task that is done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) usage: Usage,
    /// What is wrong with the part of the source that it shows.
    pub(super) damage: Option<String>,
    /// Why the source's colours could not be converted to sRGB.
    pub(super) unconverted: Option<String>,
    /// What of the source it does not keep though it was asked for.
    pub(super) left_out: Vec<String>,
    /// The encoded result.
    pub(super) bytes: Vec<u8>,
}

/// Pixels on their way from one operation to the next.
pub(super) enum Held<'h> {
    /// A decoded picture that others want too.
    Shared(&'h Image),
    /// One that is gone as soon as it has been used.
    Image(Image),
    Results(Box<dyn Results>),
}

impl<'a> Chain<'a> {
    pub(super) fn new(stages: Vec<Stage<'a>>, sink: Sink<'a>) -> Self {
        Self { stages, sink, window: Window::FULL, damage: None, unconverted: None }
    }

    /// The operation that the source goes to.
    pub(super) fn first(&self) -> Option<&Stage<'a>> {
        self.stages.first()
    }

    /// The only operation, if there is no other.
    pub(super) fn only(&self) -> Option<&Stage<'a>> {
        match &self.stages[..] {
            [stage] => Some(stage),
            _ => None,
        }
    }

    /// Whether it takes the source's pixels, and not its bytes.
    pub(super) fn takes_pixels(&self) -> bool {
        let input = self.first().map(|stage| &stage.operation.description.input);
        matches!(input, Some(InputKind::Pixels { .. }))
    }

    /// Whether more than one frame is of use.
    pub(super) fn takes_all(&self) -> bool {
        self.sink.animates() || self.stages.iter().any(Stage::takes_all)
    }

    /// Takes a frame of the source, shown for `delay_ms`.
    pub(super) fn take(&mut self, frame: Held<'_>, delay_ms: u32) -> Result<(), Fault> {
        pass(None, &self.stages, frame, (delay_ms, self.window), &mut self.sink)
    }

    /// Takes the source's bytes, which are gone when the first operation has read them.
    pub(super) fn take_bytes(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Fault> {
        let (first, rest) = self.stages.split_first().ok_or_else(no_steps)?;
        let results = first.run(RunInput::Encoded(bytes.as_ref()), Window::FULL)?;
        drop(bytes);
        pass(Some(first), rest, Held::Results(results), (0, Window::FULL), &mut self.sink)
    }

    /// Calls the operations that waited for all frames, and gives the result.
    pub(super) fn finish(mut self) -> Result<Done, Fault> {
        self.together()?;
        let usage = self.stages.iter().fold(Usage::default(), |usage, stage| usage.and(stage.usage.get()));
        let plan = &self.stages.last().ok_or_else(no_steps)?.plan;
        let (width, height) = (plan.width, plan.height);
        let Written { bytes, left_out } = self.sink.finish((width, height))?;
        let warned = self.stages.iter().find_map(|stage| stage.warned.take());
        Ok(Done {
            width,
            height,
            usage,
            damage: self.damage,
            unconverted: self.unconverted.or(warned),
            left_out,
            bytes,
        })
    }

    /// Calls the operations that waited for all frames, in order.
    fn together(&mut self) -> Result<(), Fault> {
        let mut window = self.window;
        for (index, stage) in self.stages.iter().enumerate() {
            let images = stage.waited();
            if !images.is_empty() {
                let frames: Vec<(ImageRef<'_>, u32)> =
                    images.iter().map(|(image, delay)| (image.as_ref(), *delay)).collect();
                let results = Held::Results(stage.run(RunInput::Frames(&frames), window)?);
                let rest = &self.stages[index + 1..];
                pass(Some(stage), rest, results, (0, Window::FULL), &mut self.sink)?;
            }
            // Only the first operation sees a part of the source.
            window = Window::FULL;
        }
        Ok(())
    }
}

/// Hands an image on through the operations that are left, and at last to the sink. Of two operations no more than what
/// the first gave and what the second gives is held at once.
fn pass<'s>(
    mut from: Option<&'s Stage<'s>>,
    stages: &'s [Stage<'s>],
    mut held: Held<'_>,
    (mut delay_ms, mut window): (u32, Window),
    sink: &mut Sink<'_>,
) -> Result<(), Fault> {
    for (index, stage) in stages.iter().enumerate() {
        let products = products(from, &held)?;
        let next = match products[..] {
            [Product::Pixels(image, own_delay)] => {
                delay_ms = own_delay.max(delay_ms);
                if stage.takes_all() {
                    return stage.wait(accepted(stage, image), delay_ms);
                }
                stage.run_on(image, window)?
            }
            ref many => {
                // An animation out of one call: each of its frames goes its own way, and the call's memory first.
                let mut frames = Vec::with_capacity(many.len());
                for product in many {
                    let Product::Pixels(image, own_delay) = product else {
                        return Err(from
                            .unwrap_or(stage)
                            .contract("gave encoded bytes to another operation"));
                    };
                    frames.push((Held::Image(image.to_image()), delay_ms.max(*own_delay)));
                }
                drop(products);
                drop(held);
                for (frame, delay_ms) in frames {
                    pass(from, &stages[index..], frame, (delay_ms, window), sink)?;
                }
                return Ok(());
            }
        };
        drop(products);
        held = Held::Results(next);
        (from, window) = (Some(stage), Window::FULL);
    }
    for product in products(from, &held)? {
        sink.take(product, delay_ms).map_err(|error| match (error, from) {
            (SinkError::Fault(fault), _) => fault,
            (SinkError::Contract(text), Some(stage)) => stage.contract(text),
            (SinkError::Contract(text), None) => Fault::new(FaultKind::OperationFailed, text),
        })?;
    }
    Ok(())
}

fn products<'h>(from: Option<&Stage<'_>>, held: &'h Held<'_>) -> Result<Vec<Product<'h>>, Fault> {
    match (held, from) {
        (Held::Shared(image), _) => Ok(vec![Product::Pixels(image.as_ref(), 0)]),
        (Held::Image(image), _) => Ok(vec![Product::Pixels(image.as_ref(), 0)]),
        (Held::Results(results), Some(stage)) => stage.products(results.as_ref()),
        (Held::Results(results), None) => {
            results.products().map_err(|error| Fault::of(FaultKind::OperationFailed, &error))
        }
    }
}

fn accepted(stage: &Stage<'_>, image: ImageRef<'_>) -> Image {
    stage.converted(image).unwrap_or_else(|| image.to_image())
}
