//! A run: one probe and one decode of a source for any number of tasks, each with its own operations and its own result. A
//! task that fails drops out, and the others go on.

use std::rc::Rc;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::MIB;
use imgserve_codec::{self as codec, DecodedFrame, Decoder};
use imgserve_sdk::{DecodeHint, Plan};

use super::beside::Beside;
use super::chain::{Chain, Done, Held};
use super::fault::{caught, codec_fault, ends_early};
use super::host::{Link, Share};
use super::protocol::{RESULTS_TOGETHER, Task};
use super::reading::reading;
use super::sink::Sink;
use super::task::{Source, Worker, animates};
use super::thumbnail;

/// What became of the tasks of a run.
#[derive(Debug)]
pub(super) struct Ran {
    /// One for each task.
    pub(super) results: Vec<Result<Done, Fault>>,
    /// Frames of the source that were decoded.
    pub(super) decoded: u32,
}

/// One task of a run.
struct Lane<'a> {
    state: State<'a>,
    share: Share,
}

enum State<'a> {
    Open(Box<Chain<'a>>),
    Ended(Result<Done, Fault>),
}

/// How much room there is for results.
struct Room<'a> {
    link: &'a Link,
    max_result_mb: u64,
    taken: u64,
}

impl Worker {
    /// Does the work of all tasks.
    ///
    /// # Errors
    /// That nobody can read the source.
    pub(super) fn run(&self, tasks: &[Task], source: Vec<u8>) -> Result<Ran, Fault> {
        let (mut lanes, header) = self.lanes(tasks, &source);
        let mut room = Room { link: &self.link, max_result_mb: self.limits.max_result_mb, taken: 0 };
        let mut decoded = 0;
        if let Some(header) = header.filter(|_| lanes.iter().any(Lane::takes_pixels)) {
            let beside = Rc::new(Beside::read(tasks, &header, &source)?);
            for chain in lanes.iter_mut().filter_map(Lane::chain) {
                chain.sink.beside = Rc::clone(&beside);
            }
            let made = match &mut lanes[..] {
                [lane] => lane.by_planes(&header, &source, &mut room),
                _ => false,
            };
            decoded += u32::from(made);
            // Those that want sRGB, and those that want the colours of the source's profile.
            for keep in [false, true] {
                let all = self.decode(&header, &source, (&mut lanes, keep), &mut room, &mut decoded);
                for lane in lanes.iter_mut().filter(|lane| lane.takes_pixels_of(keep)) {
                    lane.step(|_| all.clone());
                    lane.finish(&mut room);
                }
            }
        }
        hand_over(&mut lanes, source, &mut room);
        let results: Vec<_> = lanes.into_iter().map(Lane::into_result).collect();
        match unreadable(&results) {
            Some(fault) => Err(fault),
            None => Ok(Ran { results, decoded }),
        }
    }

    /// All tasks, planned, and what the codec knows of the source if one of them wants its pixels.
    fn lanes<'a>(&'a self, tasks: &'a [Task], source: &[u8]) -> (Vec<Lane<'a>>, Option<codec::Header>) {
        let source = Source::new(source, true);
        let mut found = None;
        let mut planned = |task: &'a Task, share| {
            let header = self.header(task, &source)?.ok_or_else(ends_early)?;
            let stages = self.stages(task, &header, share, animates(task))?;
            // Of a source that was planned on its beginning all frames are known only now.
            self.made_pixels(animates(task), &header, &stages)?;
            let chain = Chain::new(stages, Sink::new(task, &self.limits));
            if chain.takes_pixels() && header.codec.is_none() {
                return Err(Fault::new(FaultKind::UnreadableSource, "the source is not an image"));
            }
            found = found.take().or(header.codec);
            Ok(chain)
        };
        let lanes = tasks.iter().enumerate().map(|(index, task)| {
            let share = Share::WHOLE.part(index, tasks.len());
            let state = match caught(|| planned(task, share)) {
                Ok(chain) => State::Open(Box::new(chain)),
                Err(fault) => State::Ended(Err(fault)),
            };
            Lane { state, share }
        });
        (lanes.collect(), found)
    }

    /// Decodes the source and hands each frame to the tasks that want it in such colours; no further than one of them does.
    fn decode(
        &self,
        header: &codec::Header,
        source: &[u8],
        (lanes, keep_colors): (&mut [Lane<'_>], bool),
        room: &mut Room<'_>,
        decoded: &mut u32,
    ) -> Result<(), Fault> {
        let takers = lanes.iter_mut().filter(|lane| lane.takes_pixels_of(keep_colors));
        let mut takers: Vec<&mut Lane<'_>> = takers.collect();
        if takers.is_empty() {
            return Ok(());
        }
        let hint = joint_hint(takers.iter().filter_map(|lane| lane.first_plan()));
        let bounds = codec::Bounds { keep_colors, ..self.codec_bounds() };
        let new = || Decoder::new(source, header, &hint, &bounds).map_err(codec_fault);
        let mut decoder = reading(source, new)?;
        for chain in takers.iter_mut().filter_map(|lane| lane.chain()) {
            chain.sink.loops = decoder.loops();
            chain.window = decoder.window();
            chain.sink.profile = decoder.profile().map(Rc::from);
        }
        while !takers.is_empty()
            && let Some(frame) = reading(source, || decoder.next_frame().map_err(codec_fault))?
        {
            *decoded += 1;
            tell(&decoder, &mut takers);
            deal(frame, &mut takers, room);
            takers.retain(|lane| lane.takes_pixels());
            self.link.go_on()?;
        }
        // Where an animation breaks off is known when there is no more of it.
        tell(&decoder, &mut takers);
        Ok(())
    }
}

fn tell(decoder: &Decoder<'_>, takers: &mut [&mut Lane<'_>]) {
    for chain in takers.iter_mut().filter_map(|lane| lane.chain()) {
        if let Some(damage) = decoder.damage() {
            chain.damage = Some(damage.to_owned());
        }
        if let Some(why) = decoder.unconverted() {
            chain.unconverted = Some(why.to_owned());
        }
    }
}

impl<'a> Lane<'a> {
    fn chain(&mut self) -> Option<&mut Chain<'a>> {
        match &mut self.state {
            State::Open(chain) => Some(chain),
            State::Ended(_) => None,
        }
    }

    /// Whether it waits for pixels.
    fn takes_pixels(&self) -> bool {
        matches!(&self.state, State::Open(chain) if chain.takes_pixels())
    }

    /// The same, of pixels in sRGB or in the colours of the source's profile.
    fn takes_pixels_of(&self, keep_colors: bool) -> bool {
        let keeps = |chain: &Chain<'_>| chain.takes_pixels() && chain.sink.keeps_colors() == keep_colors;
        matches!(&self.state, State::Open(chain) if keeps(chain))
    }

    fn first_plan(&self) -> Option<&Plan> {
        match &self.state {
            State::Open(chain) => chain.first().map(|stage| &stage.plan),
            State::Ended(_) => None,
        }
    }

    /// Does something with its chain; when that fails, the task has.
    fn step(&mut self, step: impl FnOnce(&mut Chain<'a>) -> Result<(), Fault>) {
        if let Some(chain) = self.chain()
            && let Err(fault) = caught(|| step(chain))
        {
            self.state = State::Ended(Err(fault));
        }
    }

    /// Does its task by the short way from a JPEG to a smaller one, if it leads there.
    fn by_planes(&mut self, header: &codec::Header, source: &[u8], room: &mut Room<'_>) -> bool {
        let mut made = false;
        self.step(|chain| {
            made = thumbnail::make(chain, header, source)?;
            Ok(())
        });
        if made {
            self.finish(room);
        }
        made
    }

    /// A frame, the only one for a task that has no use for more.
    fn take(&mut self, frame: Held<'_>, delay_ms: u32, room: &mut Room<'_>) {
        self.step(|chain| chain.take(frame, delay_ms));
        if self.chain().is_some_and(|chain| !chain.takes_all()) {
            self.finish(room);
        }
    }

    fn finish(&mut self, room: &mut Room<'_>) {
        let nothing = State::Ended(Err(Fault::new(FaultKind::OperationFailed, "the task was not begun")));
        self.state = match std::mem::replace(&mut self.state, nothing) {
            State::Open(chain) => State::Ended(caught(|| chain.finish()).and_then(|done| room.take(done))),
            ended => ended,
        };
        room.link.progress(self.share.at(1.0));
    }

    fn into_result(self) -> Result<Done, Fault> {
        match self.state {
            State::Ended(result) => result,
            State::Open(_) => {
                Err(Fault::new(FaultKind::UnreadableSource, "the source ends before its first picture"))
            }
        }
    }
}

/// Hands a frame to each task that wants it: to the last one for good, so that it is gone as soon as may be.
fn deal(frame: DecodedFrame, takers: &mut [&mut Lane<'_>], room: &mut Room<'_>) {
    let DecodedFrame { image, delay_ms } = frame;
    if let Some((last, others)) = takers.split_last_mut() {
        for lane in others {
            lane.take(Held::Shared(&image), delay_ms, room);
        }
        last.take(Held::Image(image), delay_ms, room);
    }
}

/// Hands the source's bytes to each task that wants them: to the last one for good.
fn hand_over(lanes: &mut [Lane<'_>], source: Vec<u8>, room: &mut Room<'_>) {
    let mut takers: Vec<_> = lanes.iter_mut().filter(|lane| matches!(lane.state, State::Open(_))).collect();
    if let Some((last, others)) = takers.split_last_mut() {
        for lane in others {
            lane.step(|chain| chain.take_bytes(&source));
            lane.finish(room);
        }
        last.step(|chain| chain.take_bytes(source));
        last.finish(room);
    }
}

/// What suffices for all: decoding has one scale, the largest that a task needs.
fn joint_hint<'p>(plans: impl Iterator<Item = &'p Plan>) -> DecodeHint {
    let joint = |all: DecodeHint, hint: DecodeHint| DecodeHint {
        min_scale: all.min_scale.zip(hint.min_scale).map(|(one, other)| one.max(other)),
        region: all.region.filter(|_| all.region == hint.region),
    };
    plans.map(|plan| plan.decode).reduce(joint).unwrap_or_default()
}

/// A source that nobody can read is one fault, and not one for each task.
fn unreadable(results: &[Result<Done, Fault>]) -> Option<Fault> {
    let first = results.first()?.as_ref().err()?;
    let unreadable = matches!(first.kind, FaultKind::UnreadableSource | FaultKind::InvalidSvg);
    let shared = results.iter().all(|result| result.as_ref().err() == Some(first));
    (unreadable && shared).then(|| first.clone())
}

impl Room<'_> {
    /// Lets a result in.
    ///
    /// # Errors
    /// That it is too large, or all are together.
    fn take(&mut self, done: Done) -> Result<Done, Fault> {
        let (bytes, limit) = (done.bytes.len() as u64, self.max_result_mb);
        let refuse = |text: String| Err(Fault::new(FaultKind::LimitExceeded, text));
        if bytes > limit * MIB {
            let have = bytes / MIB;
            return refuse(format!("the result has {have} MiB, more than [limits] max_result_mb = {limit}"));
        }
        let together = self.taken + bytes;
        if together > RESULTS_TOGETHER * (limit * MIB) {
            let have = together / MIB;
            return refuse(format!(
                "the results have {have} MiB together, more than {RESULTS_TOGETHER} times [limits] max_result_mb = {limit}"
            ));
        }
        self.taken = together;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use imgserve_sdk::{PixelFormat, Rect};

    use super::*;

    #[test]
    fn a_hint_suffices_for_all() {
        let region = Rect { x: 1.0, y: 2.0, width: 3.0, height: 4.0 };
        let plan = |min_scale, region| Plan {
            decode: DecodeHint { min_scale, region },
            ..Plan::new(1, 1, PixelFormat::Rgb8)
        };
        let joint = |plans: &[Plan]| joint_hint(plans.iter());
        let small = plan(Some(0.1), Some(region));
        assert_eq!(joint(std::slice::from_ref(&small)), small.decode);
        let both = joint(&[small.clone(), plan(Some(0.4), Some(region))]);
        assert_eq!(both, DecodeHint { min_scale: Some(0.4), region: Some(region) });
        assert_eq!(joint(&[plan(None, None), small.clone()]), DecodeHint::default());
        assert_eq!(joint(&[small, plan(None, None)]), DecodeHint::default());
        assert_eq!(joint(&[]), DecodeHint::default());
    }

    #[test]
    fn results_have_a_limit_each_and_together() {
        let (stream, _server) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut room = Room { link: &Link::new(stream), max_result_mb: 1, taken: 0 };
        let mut take = |bytes| {
            let done = Done {
                width: 1,
                height: 1,
                usage: Default::default(),
                damage: None,
                unconverted: None,
                left_out: Vec::new(),
                bytes: vec![0; bytes],
            };
            room.take(done).map(|_| ()).map_err(|fault| fault.text)
        };
        let alone = take(MIB as usize + 1).unwrap_err();
        assert!(alone.contains("the result has 1 MiB, more than [limits] max_result_mb = 1"), "{alone}");
        for _ in 0..RESULTS_TOGETHER {
            take(MIB as usize).unwrap();
        }
        let together = take(1).unwrap_err();
        assert!(together.contains("together, more than 4 times [limits] max_result_mb = 1"), "{together}");
    }
}
