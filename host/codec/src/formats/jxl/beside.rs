//! What a JPEG XL says beside its pixels, in boxes of its container (ISO/IEC 18181-2): EXIF and XMP; what is compressed with Brotli is
//! not read. A profile would be part of the picture's own data, and is not written.

use imgserve_base::format::Format;

use super::super::avif::{Parts, boxed};
use crate::beside::{Beside, Holder};
use crate::error::CodecError;

pub(super) const HOLDER: Holder =
    Holder { read, write, metadata: true, iptc: false, profile: false, gray: false };

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
