//! Reads HEIC, photographs as iPhones and others take them: HEVC intra pictures (ISO/IEC 23008-2) in HEIF's boxes (ISO/IEC
//! 23008-12), by the crate `heifer`. Of several pictures the first one; what lies turned in the file comes upright.

use heifer::Options;
use heifer::heifer_isobmff::boxes::Property;
use heifer::heifer_isobmff::{HeifFile, ItemId, read_box_header};
use imgserve_sdk::codec::{Codec, Decoded, Description, Error, Format, Header};
use imgserve_sdk::{Image, PixelFormat};

/// Brands of files with HEVC pictures, and those of any HEIF file, of which the boxes tell what is in them. That of AVIF is
/// imgserve's own, and asked before.
const BRANDS: [&[u8; 8]; 7] =
    [b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftyphevc", b"ftypmif1", b"ftypmif2"];

/// Bytes a pixel that decoding takes at its peak, beside the file and the result: planes of 16 bits, and RGBA of as many as are decoded
/// to.
const PLANES: u64 = 3 * 2;

/// The codec.
#[derive(Debug)]
pub struct Heic;

impl Codec for Heic {
    fn describe() -> Description {
        let mut format = Format::new("heic", "image/heic", "heic");
        format
            .media_types
            .extend(["image/heif", "image/heic-sequence", "image/heif-sequence"].map(str::to_owned));
        format.extensions.extend(["heif", "hif"].map(str::to_owned));
        let format = BRANDS.iter().fold(format, |format, brand| format.magic(4, *brand));
        Description::new("heic", env!("CARGO_PKG_VERSION"), "Reads HEIC files.").format(format)
    }

    fn probe(_: &str, bytes: &[u8], complete: bool) -> Result<Option<Header>, Error> {
        match boxes(bytes)? {
            Some(boxes) => picture(&boxes).map(|picture| Some(picture.header())),
            None if complete => Err(Error::malformed("it ends before the boxes that say what it holds")),
            None => Ok(None),
        }
    }

    fn decode(_: &str, bytes: &[u8]) -> Result<Decoded, Error> {
        let file = HeifFile::parse(bytes).map_err(Error::malformed)?;
        let Picture { width, height, pixels, .. } = picture(&file)?;
        // The host has found the size to be one that may be; there is one thread.
        let options = Options { max_threads: 1, max_pixels: 0 };
        // A profile is the host's to convert by; colours that are told otherwise are not.
        let profile = file.icc_profile(file.primary_id).map_err(Error::malformed)?.map(<[u8]>::to_vec);
        let (size, data) = match (pixels, &profile) {
            (PixelFormat::Rgba16, Some(_)) => wide(heifer::decode_with_options(bytes, &options))?,
            (PixelFormat::Rgba16, None) => wide(heifer::decode_srgb_with_options(bytes, &options))?,
            (_, Some(_)) => narrow(heifer::decode_rgba8(bytes, &options), pixels)?,
            (_, None) => narrow(heifer::decode_srgb_rgba8(bytes, &options), pixels)?,
        };
        if size != (width, height) {
            return Err(Error::malformed("the picture is not of the size that its boxes say"));
        }
        let image = Image::new(width, height, pixels, data).map_err(Error::malformed)?;
        Ok(Decoded { profile, ..Decoded::still(image) })
    }
}

imgserve_sdk::export_codec!(Heic);

/// The boxes of a file that say what it holds, once they are there: what lies in others is not looked at.
fn boxes(bytes: &[u8]) -> Result<Option<HeifFile<'_>>, Error> {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        // A header has 32 bytes at most.
        let header = match read_box_header(rest) {
            Ok(header) => header,
            Err(_) if rest.len() < 32 => return Ok(None),
            Err(error) => return Err(Error::malformed(error)),
        };
        let size = header.size.and_then(|size| usize::try_from(size).ok());
        let Some(end) = size.and_then(|size| at.checked_add(size)).filter(|end| *end <= bytes.len()) else {
            return Ok(None);
        };
        if header.box_type.0 == *b"meta" {
            return HeifFile::parse(&bytes[..end]).map(Some).map_err(Error::malformed);
        }
        at = end;
    }
}

/// The first picture of a file, as it will be decoded.
struct Picture {
    width: u32,
    height: u32,
    pixels: PixelFormat,
}

impl Picture {
    fn header(&self) -> Header {
        let Self { width, height, pixels } = *self;
        let rgba = if pixels == PixelFormat::Rgba16 { PixelFormat::Rgba16 } else { PixelFormat::Rgba8 };
        let area = u64::from(width) * u64::from(height);
        // Turned or converted, there are two of it.
        let peak_bytes = area.saturating_mul(PLANES).saturating_add(2 * rgba.bytes(width, height));
        Header { peak_bytes, ..Header::new(width, height, pixels) }
    }
}

fn picture(file: &HeifFile<'_>) -> Result<Picture, Error> {
    let id = file.primary_id;
    let kind = file.primary_item().map_err(Error::malformed)?.item_type;
    if !matches!(&kind.0, b"hvc1" | b"hev1" | b"grid" | b"iovl" | b"iden") {
        return Err(Error::unsupported(format!("a picture of type {kind}, which is none of HEVC")));
    }
    let size = file.image_size(id).map_err(Error::malformed)?;
    let (mut width, mut height) = size.ok_or_else(|| Error::malformed("it does not say how large it is"))?;
    for property in file.item_properties(id).map_err(Error::malformed)? {
        match *property {
            Property::CleanAperture { width: across, height: down, horiz_offset, vert_offset } => {
                (width, height) = (
                    cut(width, across, horiz_offset).ok_or_else(no_aperture)?,
                    cut(height, down, vert_offset).ok_or_else(no_aperture)?,
                );
            }
            Property::Rotation(1 | 3) => (width, height) = (height, width),
            _ => {}
        }
    }
    if width == 0 || height == 0 {
        return Err(Error::malformed("it has no pixels"));
    }
    let pixels = match (is_deep(file, id)?, has_alpha(file, id)?) {
        (true, _) => PixelFormat::Rgba16,
        (false, true) => PixelFormat::Rgba8,
        (false, false) => PixelFormat::Rgb8,
    };
    Ok(Picture { width, height, pixels })
}

fn no_aperture() -> Error {
    Error::malformed("its clean aperture is none")
}

/// What a clean aperture leaves of a side; both are fractions, the offset that of the middles.
fn cut(side: u32, aperture: (u32, u32), offset: (i32, u32)) -> Option<u32> {
    if aperture.1 == 0 || offset.1 == 0 {
        return None;
    }
    let length = f64::from(aperture.0) / f64::from(aperture.1);
    let middle = f64::from(offset.0) / f64::from(offset.1) + (f64::from(side) - 1.0) / 2.0;
    let begin = ((middle - (length - 1.0) / 2.0).round().max(0.0) as u32).min(side);
    Some((length.round() as u32).min(side - begin))
}

/// Whether a sample has more than 8 bits, of a picture or of the first that it is made of.
fn is_deep(file: &HeifFile<'_>, id: ItemId) -> Result<bool, Error> {
    let mut item = id;
    for _ in 0..4 {
        if let Some(config) = file.hevc_config(item).map_err(Error::malformed)? {
            return Ok(config.bit_depth_luma.max(config.bit_depth_chroma) > 8);
        }
        match file.referenced_items(item, b"dimg").first() {
            Some(first) => item = *first,
            None => break,
        }
    }
    Ok(false)
}

fn has_alpha(file: &HeifFile<'_>, id: ItemId) -> Result<bool, Error> {
    for auxiliary in file.referencing_items(id, b"auxl") {
        let mut properties = file.item_properties(auxiliary).map_err(Error::malformed)?;
        let is_alpha = |property: &Property| {
            matches!(property, Property::AuxiliaryType(kind)
                if kind == "urn:mpeg:hevc:2015:auxid:1" || kind == "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
        };
        if properties.any(is_alpha) {
            return Ok(true);
        }
    }
    Ok(false)
}

type Pixels = ((u32, u32), Vec<u8>);

fn narrow(decoded: Result<heifer::Image<u8>, heifer::Error>, pixels: PixelFormat) -> Result<Pixels, Error> {
    let image = decoded.map_err(error)?;
    let size = (image.width, image.height);
    Ok((size, if pixels == PixelFormat::Rgb8 { image.into_rgb8() } else { image.data }))
}

/// Samples of as many bits as there are, as ones of 16.
fn wide(decoded: Result<heifer::Image, heifer::Error>) -> Result<Pixels, Error> {
    let image = decoded.map_err(error)?;
    let max = u32::from(image.max_value()).max(1);
    let scaled = |sample: &u16| (((u32::from(*sample) * 65_535 + max / 2) / max) as u16).to_le_bytes();
    Ok(((image.width, image.height), image.data.iter().flat_map(scaled).collect()))
}

fn error(error: heifer::Error) -> Error {
    match error {
        heifer::Error::Unsupported(text) => Error::unsupported(text),
        other => Error::malformed(other),
    }
}
