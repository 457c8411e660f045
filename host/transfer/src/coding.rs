//! What a server has compressed for the way, or stored so (`Content-Encoding`; RFC 9110, section 8.4): undone as the bytes come,
//! in pieces, so that little which becomes much is counted before it is there. Nothing of it is looked at here.

use std::io::{self, Write};

use bytes::{Buf, Bytes};
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::clock::Clock;
use super::error::{TransferError, TransferErrorKind};
use super::http::next_chunk;

/// What servers are told that they may send.
pub(super) const ACCEPTED: &str = "gzip, deflate";
/// How many bytes are decompressed at once: deflate makes a thousand of one at most, so that a piece has a mebibyte or so.
const STEP: usize = 1 << 10;

/// A response's body, as it was before it was encoded.
pub(super) struct Download {
    pub(super) response: Response,
    decoder: Option<Decoder>,
}

impl Download {
    /// # Errors
    ///
    /// `Protocol` for an encoding that was not asked for.
    pub(super) fn of(response: Response) -> Result<Self, TransferError> {
        let coding = coding(response.headers()).map_err(|text| {
            TransferError::new(TransferErrorKind::Protocol, text).at(response.url().as_str())
        })?;
        Ok(Self { response, decoder: coding.map(Decoder::new) })
    }

    /// Its size, if the server tells that: of what is encoded it tells another.
    pub(super) fn size(&self) -> Option<u64> {
        if self.decoder.is_some() { None } else { self.response.content_length() }
    }

    /// The next piece.
    pub(super) async fn chunk(&mut self, clock: &Clock) -> Result<Option<Bytes>, TransferError> {
        let Some(decoder) = &mut self.decoder else { return next_chunk(&mut self.response, clock).await };
        loop {
            if let Some(piece) = decoder.piece().map_err(damaged)? {
                return Ok(Some(piece));
            }
            match next_chunk(&mut self.response, clock).await? {
                Some(chunk) => decoder.input.push(chunk),
                None => return decoder.rest().map_err(damaged),
            }
        }
    }
}

fn damaged(error: io::Error) -> TransferError {
    let message = "the response is compressed, and that is cut off or damaged";
    TransferError::new(TransferErrorKind::Protocol, message).with_source(error)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

/// How a body is encoded. What is no encoding at all (`utf-8`, `aws-chunked`) is passed over, as browsers do.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, String> {
    let mut found = None;
    let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    for name in values.flat_map(|value| value.split(',')) {
        let coding = match name.trim().to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Coding::Gzip,
            "deflate" => Coding::Deflate,
            other @ ("br" | "zstd" | "compress" | "x-compress" | "dcb" | "dcz") => {
                return Err(format!("the response is encoded as {other}, which is not read; {ACCEPTED} are"));
            }
            _ => continue,
        };
        if found.replace(coding).is_some() {
            return Err("the response is encoded more than once".to_owned());
        }
    }
    Ok(found)
}

/// Undoes an encoding.
struct Decoder {
    coding: Coding,
    input: Input,
    inner: Inner,
}

/// What has come and is not yet looked at.
#[derive(Default)]
struct Input {
    /// A byte that came alone.
    first: Option<u8>,
    chunk: Bytes,
}

impl Input {
    fn push(&mut self, chunk: Bytes) {
        self.chunk = match self.first.take() {
            Some(first) => Bytes::from([&[first][..], &chunk[..]].concat()),
            None => chunk,
        };
    }
}

enum Inner {
    /// Two bytes tell what it is.
    Open,
    Gzip(GzDecoder<Vec<u8>>),
    Zlib(ZlibDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
    /// Not encoded, whatever was said.
    Plain,
    /// What comes behind the end is no part of it.
    Ended,
}

impl Decoder {
    fn new(coding: Coding) -> Self {
        Self { coding, input: Input::default(), inner: Inner::Open }
    }

    /// The next piece of what has come; none when all of that is used up.
    fn piece(&mut self) -> io::Result<Option<Bytes>> {
        if matches!(self.inner, Inner::Open) {
            match self.input.chunk[..] {
                [] => return Ok(None),
                [first] => {
                    self.input = Input { first: Some(first), chunk: Bytes::new() };
                    return Ok(None);
                }
                [first, second, ..] => self.inner = Inner::of(self.coding, [first, second]),
            }
        }
        while self.input.chunk.has_remaining() {
            if matches!(self.inner, Inner::Plain) {
                return Ok(Some(std::mem::take(&mut self.input.chunk)));
            }
            let step = self.input.chunk.len().min(STEP);
            let used = self.inner.write(&self.input.chunk[..step])?;
            if used == 0 {
                self.inner.finish()?;
                let rest = self.inner.take();
                (self.inner, self.input) = (Inner::Ended, Input::default());
                return Ok(rest);
            }
            self.input.chunk.advance(used);
            if let Some(piece) = self.inner.take() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// The last piece, when nothing more comes.
    fn rest(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(first) = self.input.first.take() {
            self.inner = Inner::Ended;
            return Ok(Some(Bytes::copy_from_slice(&[first])));
        }
        self.inner.finish()?;
        let rest = self.inner.take();
        self.inner = Inner::Ended;
        Ok(rest)
    }
}

impl Inner {
    fn of(coding: Coding, first: [u8; 2]) -> Self {
        // RFC 1950, section 2.2. Some servers have always sent it without (RFC 9110, section 8.4.1.2).
        let zlib = first[0] & 0x0f == 8 && u16::from_be_bytes(first).is_multiple_of(31);
        match coding {
            Coding::Gzip if first == [0x1f, 0x8b] => Self::Gzip(GzDecoder::new(Vec::new())),
            Coding::Gzip => Self::Plain,
            Coding::Deflate if zlib => Self::Zlib(ZlibDecoder::new(Vec::new())),
            Coding::Deflate => Self::Deflate(DeflateDecoder::new(Vec::new())),
        }
    }

    /// How many bytes were taken: 0 behind the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.write(bytes),
            Self::Zlib(decoder) => decoder.write(bytes),
            Self::Deflate(decoder) => decoder.write(bytes),
            Self::Open | Self::Plain | Self::Ended => Ok(bytes.len()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Open | Self::Plain | Self::Ended => Ok(()),
        }
    }

    /// What is decompressed.
    fn take(&mut self) -> Option<Bytes> {
        let made = match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Open | Self::Plain | Self::Ended => return None,
        };
        (!made.is_empty()).then(|| std::mem::take(made).into())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    /// What `body`, that comes in chunks of so many bytes, is without its encoding; and the largest piece.
    fn decoded(coding: Coding, body: &[u8], chunk: usize) -> io::Result<(Vec<u8>, usize)> {
        let mut decoder = Decoder::new(coding);
        let (mut all, mut largest) = (Vec::new(), 0);
        let mut take = |piece: Bytes| {
            largest = largest.max(piece.len());
            all.extend_from_slice(&piece);
        };
        for chunk in body.chunks(chunk) {
            decoder.input.push(Bytes::copy_from_slice(chunk));
            while let Some(piece) = decoder.piece()? {
                take(piece);
            }
        }
        if let Some(piece) = decoder.rest()? {
            take(piece);
        }
        Ok((all, largest))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_encoding_is_undone_however_it_comes() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(|i| i.wrapping_mul(i).to_le_bytes()).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&plain).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&plain).unwrap();
        let padded = [gzip(&plain), b"\0\0\0padding".to_vec()].concat();
        for (coding, body) in [
            (Coding::Gzip, gzip(&plain)),
            (Coding::Gzip, padded),
            (Coding::Deflate, zlib.finish().unwrap()),
            (Coding::Deflate, raw.finish().unwrap()),
            (Coding::Gzip, plain.clone()),
        ] {
            for chunk in [1, 2, 1000, body.len()] {
                assert!(decoded(coding, &body, chunk).unwrap().0 == plain, "{coding:?} {chunk}");
            }
        }
        for short in [&b""[..], b"\x1f", b"x"] {
            assert_eq!(decoded(Coding::Gzip, short, 1).unwrap().0, short);
        }
    }

    #[test]
    fn a_little_that_becomes_much_does_so_piece_by_piece() {
        let bomb = gzip(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        let (all, largest) = decoded(Coding::Gzip, &bomb, bomb.len()).unwrap();
        assert_eq!(all.len(), 64 << 20);
        assert!(largest <= 2 << 20, "{largest}");
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_an_error() {
        let whole = gzip(&(0..=255).cycle().take(10_000).collect::<Vec<u8>>());
        for end in [3, 12, whole.len() / 2, whole.len() - 1] {
            assert!(decoded(Coding::Gzip, &whole[..end], 10).is_err(), "{end} of {}", whole.len());
        }
        let mut damaged = whole.clone();
        let crc = damaged.len() - 6;
        damaged[crc] ^= 1;
        assert!(decoded(Coding::Gzip, &damaged, 10).is_err());
    }

    #[test]
    fn what_is_not_asked_for_is_refused_and_what_is_no_encoding_is_none() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, value.parse().unwrap());
            }
            coding(&headers)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["identity"]), Ok(None));
        assert_eq!(read(&["UTF-8"]), Ok(None));
        assert_eq!(read(&["aws-chunked, GZIP"]), Ok(Some(Coding::Gzip)));
        assert_eq!(read(&["identity", "deflate"]), Ok(Some(Coding::Deflate)));
        assert!(read(&["br"]).unwrap_err().contains("encoded as br"));
        assert!(read(&["gzip", "gzip"]).is_err());
    }
}
