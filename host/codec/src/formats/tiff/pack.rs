//! What strips and tiles are compressed with, and how each becomes bytes again: never more than are expected, and of what is
//! broken as many as there are.

use std::borrow::Cow;
use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::StreamingDecoder;
use weezl::{BitOrder, LzwStatus};

use super::directory::{Directory, Trouble};
use super::fax::{self, Coding};
use super::layout::tag;

/// How the samples are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Fax(Coding),
    Lzw,
    /// A whole JPEG file, as TIFF 6.0 had it.
    JpegFile,
    Jpeg,
    Deflate,
    PackBits,
    Zstandard,
    /// Each strip or tile a whole file.
    WebP,
}

impl Compression {
    pub(super) fn read(directory: &Directory<'_>) -> Result<Self, Trouble> {
        let two_dimensional = || Ok::<_, Trouble>(directory.number(tag::FAX_OPTIONS)?.unwrap_or(0) & 1 == 1);
        let name = match directory.number(tag::COMPRESSION)?.unwrap_or(1) {
            1 => return Ok(Self::None),
            2 => return Ok(Self::Fax(Coding::Runs { words: false })),
            3 => return Ok(Self::Fax(Coding::Group3 { two_dimensional: two_dimensional()? })),
            4 => return Ok(Self::Fax(Coding::Group4)),
            5 => return Ok(Self::Lzw),
            6 if directory.number(tag::JPEG_FILE)?.is_some() => return Ok(Self::JpegFile),
            6 => "old JPEG compression without a JPEG file",
            7 => return Ok(Self::Jpeg),
            8 | 32946 => return Ok(Self::Deflate),
            32771 => return Ok(Self::Fax(Coding::Runs { words: true })),
            32773 => return Ok(Self::PackBits),
            32766 => "NeXT compression",
            32809 => "ThunderScan compression",
            32909 => "PixarLog compression",
            33003 | 33005 | 34712 => "JPEG 2000 compression",
            34661 => "JBIG compression",
            34676 | 34677 => "SGI Log compression",
            34887 => "LERC compression",
            34892 => "lossy JPEG compression of raw data",
            34925 => "LZMA compression",
            50000 => return Ok(Self::Zstandard),
            50001 => return Ok(Self::WebP),
            50002 | 52546 => "JPEG XL compression",
            other => return Err(Trouble::unsupported(format!("compression {other}"))),
        };
        Err(Trouble::unsupported(name))
    }

    pub(super) fn is_jpeg(self) -> bool {
        matches!(self, Self::Jpeg | Self::JpegFile)
    }

    /// Whether a strip or tile is a picture of its own, in a format that says how its samples lie.
    pub(super) fn is_picture(self) -> bool {
        self.is_jpeg() || self == Self::WebP
    }

    pub(super) fn is_fax(self) -> bool {
        matches!(self, Self::Fax(_))
    }

    /// Whether a predictor may stand before it.
    pub(super) fn is_predicted(self) -> bool {
        matches!(self, Self::Lzw | Self::Deflate | Self::Zstandard)
    }
}

/// The bytes of a strip or tile of `rows` rows of `width` pixels, `wanted` at most; fewer, or with something wrong in them,
/// when it is damaged. Pictures of their own are not read here.
pub(super) fn unpack(
    compression: Compression,
    packed: &[u8],
    reversed: bool,
    (width, rows): (usize, usize),
    wanted: usize,
) -> (Vec<u8>, Option<&'static str>) {
    let packed: Cow<'_, [u8]> = match reversed {
        true => packed.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>().into(),
        false => packed.into(),
    };
    let (unpacked, broken) = match compression {
        Compression::None | Compression::Jpeg | Compression::JpegFile | Compression::WebP => {
            (packed[..packed.len().min(wanted)].to_vec(), false)
        }
        Compression::Fax(coding) => fax::decode(&packed, coding, width, rows),
        Compression::Lzw => lzw(&packed, wanted),
        Compression::Deflate => inflate(&packed, wanted),
        Compression::PackBits => pack_bits(&packed, wanted),
        Compression::Zstandard => zstandard(&packed, wanted),
    };
    let wrong = match (broken, unpacked.len() < wanted) {
        (true, _) => Some("a strip or tile is broken"),
        (false, true) => Some("a strip or tile is cut off"),
        (false, false) => None,
    };
    (unpacked, wrong)
}

/// TIFF's own order of bits and change of widths; or that of before TIFF 5, which begins with a clear code the other way round
/// (as libtiff tells them apart).
fn lzw(packed: &[u8], wanted: usize) -> (Vec<u8>, bool) {
    let old = matches!(packed, [0, second, ..] if second & 1 == 1);
    let mut decoder = match old {
        true => weezl::decode::Decoder::new(BitOrder::Lsb, 8),
        false => weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8),
    };
    let mut out = vec![0; wanted];
    let (mut from, mut to) = (0, 0);
    loop {
        let step = decoder.decode_bytes(&packed[from..], &mut out[to..]);
        from += step.consumed_in;
        to += step.consumed_out;
        let broken = step.status.is_err();
        let ended = !matches!(step.status, Ok(LzwStatus::Ok)) || step.consumed_in + step.consumed_out == 0;
        if to == wanted || ended {
            out.truncate(to);
            return (out, broken && to < wanted);
        }
    }
}

fn inflate(packed: &[u8], wanted: usize) -> (Vec<u8>, bool) {
    let mut decoder = Decompress::new(true);
    let mut out = vec![0; wanted];
    loop {
        let (from, to) = (decoder.total_in() as usize, decoder.total_out() as usize);
        let status = decoder.decompress(&packed[from..], &mut out[to..], FlushDecompress::None);
        let moved = (decoder.total_in() as usize, decoder.total_out() as usize) != (from, to);
        let to = decoder.total_out() as usize;
        if to == wanted || !moved || !matches!(status, Ok(Status::Ok | Status::BufError)) {
            out.truncate(to);
            return (out, status.is_err() && to < wanted);
        }
    }
}

/// RFC 8878.
fn zstandard(packed: &[u8], wanted: usize) -> (Vec<u8>, bool) {
    let mut out = vec![0; wanted];
    let mut to = 0;
    let Ok(mut decoder) = StreamingDecoder::new(packed) else { return (Vec::new(), true) };
    let broken = loop {
        match decoder.read(&mut out[to..]) {
            Ok(0) => break false,
            Ok(read) => to += read,
            Err(_) => break true,
        }
    };
    out.truncate(to);
    (out, broken && to < wanted)
}

/// Macintosh PackBits (TIFF 6.0, section 9).
fn pack_bits(packed: &[u8], wanted: usize) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(wanted);
    let mut rest = packed;
    while let [head, after @ ..] = rest
        && out.len() < wanted
    {
        let room = wanted - out.len();
        rest = match (*head, after) {
            (0..=127, _) => {
                let (some, left) = after.split_at(after.len().min(usize::from(*head) + 1));
                out.extend_from_slice(&some[..some.len().min(room)]);
                left
            }
            (129.., [value, left @ ..]) => {
                out.resize(out.len() + room.min(257 - usize::from(*head)), *value);
                left
            }
            (_, left) => left,
        };
    }
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(compression: Compression, packed: &[u8], wanted: usize) -> Vec<u8> {
        let (bytes, wrong) = unpack(compression, packed, false, (wanted, 1), wanted);
        assert_eq!((bytes.len(), wrong), (wanted, None));
        bytes
    }

    #[test]
    fn packed_bits_are_unpacked() {
        // Apple's example, Technical Note 1023.
        let packed =
            [0xFE, 0xAA, 0x02, 0x80, 0x00, 0x2A, 0xFD, 0xAA, 0x03, 0x80, 0x00, 0x2A, 0x22, 0xF7, 0xAA];
        let bytes = whole(Compression::PackBits, &packed, 24);
        assert_eq!(bytes[..7], [0xAA, 0xAA, 0xAA, 0x80, 0, 0x2A, 0xAA]);
        assert_eq!(bytes[14..], [0xAA; 10]);
    }

    #[test]
    fn both_kinds_of_lzw_are_read() {
        let bytes: Vec<u8> = (0..5000_u32).map(|at| (at * at / 77) as u8).collect();
        let new = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&bytes).unwrap();
        assert_eq!(whole(Compression::Lzw, &new, 5000), bytes);
        let old = weezl::encode::Encoder::new(BitOrder::Lsb, 8).encode(&bytes).unwrap();
        assert_eq!(old[0], 0);
        assert_eq!(whole(Compression::Lzw, &old, 5000), bytes);
    }

    #[test]
    fn what_is_cut_off_or_broken_is_given_as_far_as_it_goes_and_said() {
        let bytes = [7_u8; 3000];
        let lzw = weezl::encode::Encoder::with_tiff_size_switch(BitOrder::Msb, 8).encode(&bytes).unwrap();
        let mut deflate = flate2::Compress::new(flate2::Compression::fast(), true);
        let mut zipped = Vec::with_capacity(4000);
        deflate.compress_vec(&bytes, &mut zipped, flate2::FlushCompress::Finish).unwrap();
        assert_eq!(whole(Compression::Deflate, &zipped, 3000), bytes);
        assert_eq!(whole(Compression::Deflate, &zipped, 1000), bytes[..1000], "no more than is wanted");
        for (compression, packed) in [
            (Compression::Lzw, &lzw[..lzw.len() / 2]),
            (Compression::PackBits, &[0x81, 7, 0x05, 7, 7][..]),
            (Compression::None, &bytes[..99]),
            (Compression::Deflate, &zipped[..zipped.len() / 2]),
        ] {
            let (some, wrong) = unpack(compression, packed, false, (3000, 1), 3000);
            assert!(some.len() < 3000 && some.iter().all(|&byte| byte == 7), "{compression:?}");
            assert!(wrong.is_some(), "{compression:?}");
        }
        let (_, wrong) = unpack(Compression::Deflate, b"no zlib stream", false, (3000, 1), 3000);
        assert_eq!(wrong, Some("a strip or tile is broken"));
    }
}
