//! What the file of a result keeps of its source, as a request asks for it.

use serde::{Deserialize, Serialize};

use crate::fault::{Fault, FaultKind};
use crate::format::Format;
use crate::named;

/// What is kept, where there is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whether it is each pixel's exact value, as far as the format's bits say it. Quality says nothing then.
    pub lossless: bool,
    /// Of what the source says beside its pixels.
    pub metadata: Metadata,
    /// What its colours are told by.
    pub colors: Colors,
}

named! {
    /// How much is kept of what a source says beside its pixels. How it lies is told by its pixels then, and its small picture is gone.
    #[derive(Default)]
    pub enum Metadata {
        /// Nothing.
        #[default]
        Strip = "strip",
        /// Whose the picture is and who made it.
        Copyright = "copyright",
        /// All of it.
        All = "all",
    }
}

named! {
    /// What a result's colours are told by.
    #[derive(Default)]
    pub enum Colors {
        /// By nothing: they are sRGB's.
        #[default]
        Srgb = "srgb",
        /// By the source's own profile, where it has one and the result's format holds it; its pixels are as they were then.
        Source = "source",
    }
}

impl Kept {
    /// Refuses what a result of this format cannot keep; one that its operation encodes itself is not ours to judge.
    ///
    /// # Errors
    /// [`FaultKind::InvalidArgument`], which says what can.
    pub fn check(&self, format: Option<Format>) -> Result<(), Fault> {
        match format {
            Some(format) if self.lossless && !format.can_be_lossless() => {
                let able: Vec<&str> =
                    Format::written().filter(|format| format.can_be_lossless()).map(Format::name).collect();
                let text = format!(
                    "argument `lossless`: {format} is written with a loss: give {} as `format`, or leave `lossless` out",
                    able.join(" or ")
                );
                Err(Fault::new(FaultKind::InvalidArgument, text))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_always_loses_something_is_refused_and_the_others_are_named() {
        let kept = Kept { lossless: true, ..Kept::default() };
        for format in [Format::Jpeg, Format::Avif] {
            let fault = kept.check(Some(format)).unwrap_err();
            assert_eq!(fault.kind, FaultKind::InvalidArgument);
            assert!(fault.text.contains(&format!("{format} is written with a loss: give png")), "{fault}");
            assert!(fault.text.contains("webp or jxl"), "{fault}");
            assert_eq!(Kept::default().check(Some(format)), Ok(()));
        }
        for format in [Format::Png, Format::WebP, Format::Jxl, Format::Tiff] {
            assert_eq!(kept.check(Some(format)), Ok(()), "{format}");
        }
        assert_eq!(kept.check(None), Ok(()));
    }
}
