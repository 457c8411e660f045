//! What files say beside their pixels: EXIF, XMP, IPTC's records and a colour profile, read out of one file and written into another.
//! None of it is believed: each block has a bound and is looked through once, and what cannot be understood is left out.
//!
//! - `exif`, `xmp`, `iptc`: what is kept of each block
//! - `rights`: who made a picture and whose it is, as all three say it

mod exif;
mod iptc;
mod rights;
#[cfg(test)]
mod tests;
mod xmp;

use imgserve_base::format::Format;
use imgserve_base::kept::Metadata;
use imgserve_base::units::MIB;
use imgserve_sdk::PixelFormat;

use crate::color;
use crate::error::CodecError;
use crate::formats;

/// The longest EXIF, XMP and IPTC that are kept, in bytes: what a segment of a JPEG holds of each.
pub(crate) const MAX_EXIF: usize = 65_527;
pub(crate) const MAX_XMP: usize = 65_502;
pub(crate) const MAX_IPTC: usize = 65_000;
/// The longest profile that is kept.
pub(crate) const MAX_PROFILE: usize = 4 * MIB as usize;

/// How it is called where it is too long.
const PROFILE: &str = "colour profile";

/// What is read of a file beside its pixels.
pub(crate) type Read = fn(&[u8]) -> Beside;

/// Writes blocks into a file that was written here without any; each is no longer than it may be.
pub(crate) type Write = fn(Vec<u8>, &Beside) -> Result<Vec<u8>, CodecError>;

/// How a format holds what stands beside the pixels.
#[derive(Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) read: Read,
    pub(crate) write: Write,
    /// Whether it holds EXIF and XMP.
    pub(crate) metadata: bool,
    /// Whether it holds IPTC's records.
    pub(crate) iptc: bool,
    pub(crate) profiles: Profiles,
}

/// Which colour profiles a format holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profiles {
    /// Any of RGB, and one of gray for a picture that is written as gray.
    RgbAndGray,
    /// Any of RGB.
    Rgb,
    /// Display P3's alone, which its encoder says by name: no profile is written.
    DisplayP3,
}

impl Profiles {
    pub(crate) fn hold(self, profile: &[u8]) -> bool {
        match self {
            Self::RgbAndGray => true,
            Self::Rgb => !color::fits(profile, PixelFormat::Gray8),
            Self::DisplayP3 => color::is_display_p3(profile),
        }
    }
}

/// The blocks of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// From its TIFF header on.
    pub(crate) exif: Option<Vec<u8>>,
    /// A packet of XML.
    pub(crate) xmp: Option<Vec<u8>>,
    /// Records of the Information Interchange Model.
    pub(crate) iptc: Option<Vec<u8>>,
    /// ICC.1.
    pub(crate) profile: Option<Vec<u8>>,
    /// What was longer than it may be.
    too_long: Vec<&'static str>,
}

impl Beside {
    /// What a file of this format says.
    pub fn read(format: Format, bytes: &[u8]) -> Self {
        formats::beside(format).map_or_else(Self::default, |holder| (holder.read)(bytes))
    }

    /// Whether there is a colour profile that is longer than is kept.
    pub fn has_long_profile(&self) -> bool {
        self.too_long.contains(&PROFILE)
    }

    /// The same with a colour profile.
    #[must_use]
    pub fn with_profile(mut self, profile: Option<Vec<u8>>) -> Self {
        self.profile = profile;
        self
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.exif.is_none() && self.xmp.is_none() && self.iptc.is_none() && self.profile.is_none()
    }

    pub(crate) fn put_exif(&mut self, block: &[u8]) {
        // Some writers of PNG and WebP put the mark of a JPEG's segment there too.
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        put(&mut self.exif, block, ("EXIF", MAX_EXIF), &mut self.too_long);
    }

    pub(crate) fn put_xmp(&mut self, packet: &[u8]) {
        put(&mut self.xmp, packet, ("XMP", MAX_XMP), &mut self.too_long);
    }

    pub(crate) fn put_iptc(&mut self, records: &[u8]) {
        put(&mut self.iptc, records, ("IPTC", MAX_IPTC), &mut self.too_long);
    }

    pub(crate) fn put_profile(&mut self, profile: &[u8]) {
        put(&mut self.profile, profile, (PROFILE, MAX_PROFILE), &mut self.too_long);
    }

    /// What a result of `size` and of this format has of a source's metadata, and what of it is left out though it was asked for.
    /// A profile is none of it.
    pub fn kept(&self, metadata: Metadata, format: Format, size: (u32, u32)) -> (Self, Vec<String>) {
        if metadata == Metadata::Strip {
            return (Self::default(), Vec::new());
        }
        let long: Vec<&str> = self.too_long.iter().copied().filter(|name| *name != PROFILE).collect();
        let Some(holder) = formats::beside(format).filter(|holder| holder.metadata) else {
            let said =
                [&self.exif, &self.xmp, &self.iptc].into_iter().any(Option::is_some) || !long.is_empty();
            let left_out = said.then(|| format!("a result in {format} holds no metadata"));
            return (Self::default(), left_out.into_iter().collect());
        };
        let long = long.into_iter().map(|name| format!("the source's {name} is longer than is kept"));
        match metadata {
            Metadata::All => {
                let kept = self.all(holder, size);
                let left_out = long.chain(self.dropped(&kept, format)).collect();
                (kept, left_out)
            }
            _ => (self.rights(holder), long.collect()),
        }
    }

    fn all(&self, holder: Holder, size: (u32, u32)) -> Self {
        Self {
            exif: self.exif.as_ref().and_then(|block| exif::settled(block, size)),
            xmp: self.xmp.as_ref().and_then(|packet| xmp::upright(packet)),
            iptc: self.iptc.clone().filter(|_| holder.iptc),
            ..Self::default()
        }
    }

    fn dropped(&self, kept: &Self, format: Format) -> impl Iterator<Item = String> {
        let gone = |own: &Option<Vec<u8>>, kept: &Option<Vec<u8>>| own.is_some() && kept.is_none();
        let unread = |name: &str| format!("the source's {name} cannot be read");
        let exif = gone(&self.exif, &kept.exif).then(|| unread("EXIF"));
        let xmp = gone(&self.xmp, &kept.xmp).then(|| unread("XMP"));
        let iptc = gone(&self.iptc, &kept.iptc).then(|| format!("a result in {format} holds no IPTC"));
        [exif, xmp, iptc].into_iter().flatten()
    }

    fn rights(&self, holder: Holder) -> Self {
        let records = self.iptc.as_deref();
        let own = self.xmp.as_ref().and_then(|packet| xmp::rights(packet)).unwrap_or_default();
        // Where there is no place for IPTC's, XMP has one.
        let others = records.filter(|_| !holder.iptc).map(iptc::rights).unwrap_or_default();
        Self {
            exif: self.exif.as_ref().and_then(|block| exif::rights(block)),
            xmp: xmp::packet(&own.or(others)),
            iptc: records.filter(|_| holder.iptc).and_then(iptc::only_rights),
            ..Self::default()
        }
    }

    /// A file that was written here, with these blocks in it; what its format does not hold is left out.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when it is not as our encoder writes it.
    pub fn written_into(&self, format: Format, file: Vec<u8>) -> Result<Vec<u8>, CodecError> {
        match formats::beside(format) {
            Some(holder) if !self.is_empty() => (holder.write)(file, self),
            _ => Ok(file),
        }
    }
}

/// The first of its kind, if it is not too long.
fn put(
    place: &mut Option<Vec<u8>>,
    block: &[u8],
    (name, most): (&'static str, usize),
    too_long: &mut Vec<&'static str>,
) {
    if block.len() > most {
        too_long.push(name);
    } else if place.is_none() && !block.is_empty() {
        *place = Some(block.to_vec());
    }
}
