//! TIFF (TIFF 6.0 with its supplements, and BigTIFF): of several pictures the first.
//!
//! - `directory`: tags and their values; `layout`: what they say of the picture, and what is refused
//! - `pack`, `fax`, `jpeg`, `webp`: what strips and tiles are compressed with
//! - `samples`: from their bytes to the picture's samples; `colors`: from these to pixels
//! - `write`: one picture to a file

mod colors;
mod directory;
mod fax;
mod jpeg;
mod layout;
mod pack;
mod samples;
#[cfg(test)]
mod tests;
mod webp;
mod write;

use imgserve_base::format::Format;
use imgserve_base::units::MIB;

use crate::beside::{Beside, Holder, Profiles};
use crate::bounds::Bounds;
use crate::codec::Codec;
use crate::damage;
use crate::error::CodecError;
use crate::header::{Cost, Header};
use crate::orientation::Orientation;
use crate::still::{self, Still};
use directory::{Directory, Trouble};
use layout::{Layout, tag};

pub(super) const CODEC: Codec = Codec {
    format: Format::Tiff,
    probe,
    decode: Some(|bytes, header, _, bounds| {
        let (header, bounds) = (header.clone(), *bounds);
        Ok(still::frames(move || decode(bytes, &header, &bounds)))
    }),
    part: None,
    encode: Some(|options, _| {
        let as_given = options.as_given;
        Ok(still::sink(move |image| write::encode(image, as_given)))
    }),
    beside: Some(HOLDER),
};

/// Its tags are its own metadata, of which none is carried over; the profile is.
const HOLDER: Holder = Holder {
    read: |bytes| {
        let mut beside = Beside::default();
        let Ok(directory) = Directory::read(bytes, true) else { return beside };
        // Gray, RGB, palettes and YCbCr; that of inks is for inks.
        let colors = directory.number(tag::PHOTOMETRIC);
        if let (Ok(Some(0..=3 | 6)), Ok(Some(profile))) = (colors, directory.raw(tag::PROFILE)) {
            beside.put_profile(profile);
        }
        beside
    },
    write: |file, beside| match &beside.profile {
        Some(profile) => write::with_profile(file, profile),
        None => Ok(file),
    },
    metadata: false,
    iptc: false,
    profiles: Profiles::RgbAndGray,
};

fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Option<Header>, CodecError> {
    let layout = Directory::read(bytes, complete).and_then(|directory| Layout::read(&directory, bounds));
    match layout {
        Ok(layout) => Ok(Some(header(&layout))),
        Err(Trouble::Ends) => Ok(None),
        Err(Trouble::Refused(error)) => Err(error),
    }
}

fn header(layout: &Layout) -> Header {
    let (width, height) = layout.size;
    let mut header = Header::still(Format::Tiff, layout.size, layout.orientation, layout.pixels());
    let picture = header.cost.fixed;
    // A strip or tile as it is in the file, unpacked and in rows; the picture's samples; what becomes of them, and its turned copy.
    let chunk = layout.packed_bytes(layout.chunk.1 as usize) as u64;
    let sample = if layout.is_wide() { 2 } else { 1 };
    let samples = u64::from(width) * u64::from(height) * layout.shown() as u64 * sample;
    let turned = if layout.orientation == Orientation::UPRIGHT { 0 } else { picture };
    let pictures = picture.saturating_mul(2).saturating_add(turned);
    let fixed = chunk.saturating_mul(4).saturating_add(samples).saturating_add(pictures);
    header.cost = Cost { fixed: fixed.saturating_add(2 * MIB), scaled: 0 };
    header
}

fn decode(bytes: &[u8], header: &Header, bounds: &Bounds) -> Result<Still, CodecError> {
    read(bytes, header, bounds).map_err(|trouble| match trouble {
        Trouble::Ends => CodecError::malformed(Format::Tiff, "the file ends before its header does"),
        Trouble::Refused(error) => error,
    })
}

fn read(bytes: &[u8], header: &Header, bounds: &Bounds) -> Result<Still, Trouble> {
    let directory = Directory::read(bytes, true)?;
    let layout = Layout::read(&directory, bounds)?;
    if layout.size != header.coded_size() || layout.pixels() != header.pixels {
        return Err(Trouble::malformed("not the file that was probed"));
    }
    let ((mut image, unconverted), missing, damage) = if layout.is_wide() {
        let samples = samples::read::<u16>(&directory, &layout)?;
        (colors::wide(&directory, &layout, samples.data, bounds)?, samples.missing, samples.damage)
    } else {
        let samples = samples::read::<u8>(&directory, &layout)?;
        (colors::narrow(&directory, &layout, samples.data, bounds)?, samples.missing, samples.damage)
    };
    if let Some(damage) = damage.as_ref().filter(|_| !bounds.repair) {
        return Err(Trouble::malformed(damage));
    }
    missing
        .into_iter()
        .for_each(|[left, top, width, height]| damage::gray(&mut image, left, top, width, height));
    Ok(Still { image, damage, unconverted })
}
