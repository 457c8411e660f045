//! What a JPEG says beside its pixels, in segments: EXIF and XMP (APP1), IPTC among Photoshop's resources (APP13), the profile in pieces
//! (APP2).

use imgserve_base::format::Format;

use super::markers::{Markers, Until};
use crate::beside::{Beside, Holder, Profiles};
use crate::error::CodecError;

pub(super) const HOLDER: Holder =
    Holder { read, write, metadata: true, iptc: true, profiles: Profiles::RgbAndGray };

/// What the segments begin with.
const EXIF: &[u8] = b"Exif\0\0";
pub(super) const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
pub(super) const PHOTOSHOP: &[u8] = b"Photoshop 3.0\0";
const PROFILE: &[u8] = b"ICC_PROFILE\0";
/// The number of IPTC's records among the resources.
const IPTC: u16 = 0x0404;
/// Bytes of a piece of a profile.
const PIECE: usize = 65_519;

fn read(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    let Ok(markers) = Markers::walk(bytes, Until::Scan) else { return beside };
    if let Some(block) = markers.exif(bytes) {
        beside.put_exif(block);
    }
    if let Some(packet) = markers.xmp(bytes) {
        beside.put_xmp(&packet[XMP.len()..]);
    }
    if let Some(records) = markers.resources(bytes).and_then(|all| records(&all[PHOTOSHOP.len()..])) {
        beside.put_iptc(records);
    }
    // That of inks is for inks.
    let inks = markers.frame.as_ref().is_some_and(|frame| frame.components.len() == 4);
    if let (false, Ok(Some(profile))) = (inks, markers.icc(bytes)) {
        beside.put_profile(&profile);
    }
    beside
}

/// IPTC's records among Photoshop's resources: each has a mark, a number, a name, and bytes, both of which fill pairs.
fn records(mut resources: &[u8]) -> Option<&[u8]> {
    loop {
        let (number, rest) = resources.strip_prefix(b"8BIM")?.split_first_chunk()?;
        let name = (1 + usize::from(*rest.first()?)).next_multiple_of(2);
        let (length, rest) = rest.get(name..)?.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let data = rest.get(..length)?;
        if u16::from_be_bytes(*number) == IPTC {
            return Some(data);
        }
        resources = rest.get(length.next_multiple_of(2)..)?;
    }
}

fn write(file: Vec<u8>, beside: &Beside) -> Result<Vec<u8>, CodecError> {
    let Beside { exif, xmp, iptc, profile, .. } = beside;
    let mut segments = Vec::new();
    if let Some(block) = exif {
        append(&mut segments, 0xE1, &[EXIF, block])?;
    }
    if let Some(packet) = xmp {
        append(&mut segments, 0xE1, &[XMP, packet])?;
    }
    if let Some(records) = iptc {
        let (number, length) = (IPTC.to_be_bytes(), (records.len() as u32).to_be_bytes());
        let odd = &[0][..records.len() % 2];
        append(&mut segments, 0xED, &[PHOTOSHOP, b"8BIM", &number, &[0, 0], &length, records, odd])?;
    }
    let pieces: Vec<&[u8]> = profile.iter().flat_map(|profile| profile.chunks(PIECE)).collect();
    for (number, piece) in (1..).zip(&pieces) {
        append(&mut segments, 0xE2, &[PROFILE, &[number, pieces.len() as u8], piece])?;
    }
    // Behind the mark of JFIF, which wants to be the first.
    let at = match file.get(2..6) {
        Some(&[0xFF, 0xE0, high, low]) => 4 + usize::from(u16::from_be_bytes([high, low])),
        _ => 2,
    };
    let (before, behind) = file.split_at_checked(at).ok_or_else(|| failed("it ends in its first segment"))?;
    Ok([before, &segments, behind].concat())
}

fn append(segments: &mut Vec<u8>, marker: u8, content: &[&[u8]]) -> Result<(), CodecError> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let length = u16::try_from(length + 2).map_err(|_| failed("a segment longer than 65535 bytes"))?;
    segments.extend([0xFF, marker]);
    segments.extend(length.to_be_bytes());
    content.iter().for_each(|part| segments.extend(*part));
    Ok(())
}

fn failed(text: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::Jpeg, text)
}
