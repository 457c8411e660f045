//! What stands beside a source's pixels, and how much of it each task's result keeps. It is read once for all of them, and only where
//! one asks for it.

use std::rc::Rc;

use imgserve_base::fault::Fault;
use imgserve_base::format::Format;
use imgserve_base::kept::{Colors, Metadata};
use imgserve_codec as codec;

use super::fault::codec_fault;
use super::protocol::Task;
use super::reading::reading;

/// What a source says, as far as it is asked for.
#[derive(Debug, Default)]
pub(super) struct Beside {
    said: codec::Beside,
    /// The profile that a result may keep.
    profile: Option<Rc<[u8]>>,
}

impl Beside {
    /// What of a source the tasks may keep.
    ///
    /// # Errors
    /// That nobody can read the source.
    pub(super) fn read(tasks: &[Task], header: &codec::Header, source: &[u8]) -> Result<Self, Fault> {
        let mut kept = tasks.iter().map(|task| task.kept);
        let colors = kept.clone().any(|kept| kept.colors == Colors::Source);
        if !colors && kept.all(|kept| kept.metadata == Metadata::Strip) {
            return Ok(Self::default());
        }
        reading(source, || {
            let profile = if colors { codec::kept_profile(source, header) } else { None };
            Ok(Self { said: codec::Beside::read(header.format, source), profile: profile.map(Rc::from) })
        })
    }

    /// The profile that a task's result is to have; none where it has none, or its format holds no such one.
    pub(super) fn profile(&self, task: &Task) -> Option<&Rc<[u8]>> {
        let format = task.format.filter(|_| task.kept.colors == Colors::Source)?;
        self.profile.as_ref().filter(|profile| codec::holds_profile(format, profile))
    }

    /// A task's result of `size` in this format with what it keeps, `profile` the one that its pixels are in; and what it does not keep
    /// though it was asked for.
    pub(super) fn put_into(
        &self,
        file: Vec<u8>,
        (task, format): (&Task, Format),
        size: (u32, u32),
        profile: Option<&[u8]>,
    ) -> Result<(Vec<u8>, Vec<String>), Fault> {
        let (kept, mut left_out) = self.said.kept(task.kept.metadata, format, size);
        if task.kept.colors == Colors::Source && profile.is_none() {
            let why = match &self.profile {
                Some(_) if self.profile(task).is_some() => {
                    Some("it is not for pixels of the result's kind".to_owned())
                }
                Some(_) => Some(format!("a result in {format} holds no such one")),
                None if self.said.has_long_profile() => Some("it is longer than is kept".to_owned()),
                None => None,
            };
            left_out
                .extend(why.map(|why| format!("the source's colour profile: {why}; its colours are sRGB's")));
        }
        let kept = kept.with_profile(profile.map(<[u8]>::to_vec));
        let file = kept.written_into(format, file).map_err(codec_fault)?;
        Ok((file, left_out))
    }
}
