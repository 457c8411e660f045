//! What a JPEG XL says beside its pixels, in boxes of its container (ISO/IEC 18181-2): EXIF and XMP; what is compressed with Brotli is
//! not read. Its colours are told in the picture's own data: by name, which the encoder does. A profile could stand there too, if nothing
//! else were to be told from it: what is written with a loss is brought to XYB, for which the encoder would have to follow the profile.

use imgserve_base::format::Format;

use super::super::avif::{Parts, boxed};
use crate::beside::{Beside, Holder, Profiles};
use crate::error::CodecError;

pub(super) const HOLDER: Holder =
    Holder { read, write, metadata: true, iptc: false, profiles: Profiles::DisplayP3 };

/// The first box of a container.
const SIGNATURE: &[u8] = b"\0\0\0\x0CJXL \r\n\x87\n";

fn read(bytes: &[u8]) -> Beside {
    let mut beside = Beside::default();
    if !bytes.starts_with(SIGNATURE) {
        return beside;
    }
    for part in Parts(bytes).filter(|part| part.whole) {
        match &part.kind {
            b"Exif" => {
                // Before it stands how far behind that it begins.
                let start = part.data.first_chunk().map_or(0, |start| u32::from_be_bytes(*start)) as usize;
                beside.put_exif(part.data.get(start.saturating_add(4)..).unwrap_or_default());
            }
            b"xml " => beside.put_xmp(part.data),
            _ => {}
        }
    }
    beside
}

fn write(file: Vec<u8>, beside: &Beside) -> Result<Vec<u8>, CodecError> {
    if beside.exif.is_none() && beside.xmp.is_none() {
        return Ok(file);
    }
    if !file.starts_with(b"\xFF\x0A") {
        return Err(failed("it is in a container already"));
    }
    let mut written = SIGNATURE.to_vec();
    written.extend(boxed(b"ftyp", &[b"jxl \0\0\0\0jxl "]));
    if let Some(block) = &beside.exif {
        written.extend(boxed(b"Exif", &[&[0; 4], block]));
    }
    if let Some(packet) = &beside.xmp {
        written.extend(boxed(b"xml ", &[packet]));
    }
    written.extend(boxed(b"jxlc", &[&file]));
    Ok(written)
}

fn failed(text: impl std::fmt::Display) -> CodecError {
    CodecError::encode(Format::Jxl, text)
}
