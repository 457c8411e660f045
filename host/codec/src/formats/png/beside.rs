//! What a PNG says beside its pixels, in chunks: EXIF (eXIf), XMP (iTXt of a certain keyword), the profile (iCCP), which is compressed.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};
use imgserve_base::format::Format;

use super::{chunk, stands_before};
use crate::beside::{Beside, Holder, MAX_PROFILE, MAX_XMP, Profiles};
use crate::error::CodecError;

pub(super) const HOLDER: Holder =
    Holder { read, write, metadata: true, iptc: false, profiles: Profiles::RgbAndGray };

/// The keyword of a text that is XMP.
const XMP: &[u8] = b"XML:com.adobe.xmp";
/// Where the chunks behind the header's begin.
const BEHIND_HEADER: usize = 33;

fn read(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    // Of what is compressed the first alone is unpacked.
    let (mut packet, mut profile) = (None, None);
    let mut at = 8;
    while let Some((name, data, next)) = chunk(bytes, at) {
        match name {
            b"eXIf" => beside.put_exif(data),
            b"iTXt" if data.starts_with(XMP) => packet = packet.or(Some(data)),
            b"iCCP" => profile = profile.or(Some(data)),
            _ => {}
        }
        at = next;
    }
    if let Some(packet) = packet.and_then(xmp) {
        beside.put_xmp(&packet);
    }
    // Code points go before it.
    if let Some(profile) = profile.and_then(icc).filter(|_| !stands_before(bytes, &[b"cICP"])) {
        beside.put_profile(&profile);
    }
    beside
}

/// A profile: behind a name, and how it is compressed.
fn icc(data: &[u8]) -> Option<Vec<u8>> {
    let end = data.iter().position(|&byte| byte == 0)?;
    unpacked(data.get(end + 2..)?, MAX_PROFILE)
}

/// A packet out of a text of its keyword: behind it are whether and how it is compressed, a language and a translation.
fn xmp(text: &[u8]) -> Option<Vec<u8>> {
    let [0, compressed, 0, rest @ ..] = text.strip_prefix(XMP)? else { return None };
    let mut rest = rest;
    for _ in 0..2 {
        let end = rest.iter().position(|&byte| byte == 0)?;
        rest = &rest[end + 1..];
    }
    if *compressed == 0 { Some(rest.to_vec()) } else { unpacked(rest, MAX_XMP) }
}

/// At most one byte more than `most`, so that it is seen to be too long.
fn unpacked(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    ZlibDecoder::new(packed).take(most as u64 + 1).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

fn write(file: Vec<u8>, beside: &Beside) -> Result<Vec<u8>, CodecError> {
    let (before, behind) =
        file.split_at_checked(BEHIND_HEADER).ok_or_else(|| failed("it ends in its header"))?;
    let mut written = before.to_vec();
    if let Some(profile) = &beside.profile {
        append(&mut written, b"iCCP", &[b"icc\0\0", &packed(profile)?]);
    }
    if let Some(block) = &beside.exif {
        append(&mut written, b"eXIf", &[block]);
    }
    if let Some(packet) = &beside.xmp {
        append(&mut written, b"iTXt", &[XMP, &[0; 5], packet]);
    }
    written.extend(behind);
    Ok(written)
}

fn packed(bytes: &[u8]) -> Result<Vec<u8>, CodecError> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut encoder, bytes).and_then(|()| encoder.finish()).map_err(failed)
}

fn append(file: &mut Vec<u8>, name: &[u8; 4], parts: &[&[u8]]) {
    let data = parts.concat();
    file.extend((data.len() as u32).to_be_bytes());
    let mut sum = Crc::new();
    for part in [&name[..], &data] {
        sum.update(part);
        file.extend(part);
    }
    file.extend(sum.sum().to_be_bytes());
}

fn failed(text: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::Png, text)
}
