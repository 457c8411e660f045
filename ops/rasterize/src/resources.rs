//! What a drawing may refer to: images that it carries itself as `data:` URLs, within limits. A path or any
//! other URL resolves to nothing, so that a drawing can read no file and reach no server.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use imagesize::ImageType;
use resvg::usvg::{ImageHrefResolver, ImageKind, Options, Tree};

use crate::parse;

/// Embedded images per drawing, those in embedded drawings included. Each use of one counts.
const MAX_IMAGES: usize = 64;
/// Bytes of all embedded images together, as encoded: 64 MiB.
const MAX_BYTES: usize = 64 << 20;
/// Pixels of one embedded image: 16 megapixels, which take 64 MiB while it is drawn.
const MAX_PIXELS: usize = 16 << 20;
/// Drawings embedded in drawings embedded in drawings; deeper ones are left out.
const MAX_DEPTH: usize = 2;

/// What all embedded drawings together may come to of what one drawing may, each as often as it is used, in millionths: two fifths.
const MAX_SHARE: u64 = 400_000;
/// Pixels of all images together that are converted before they are drawn, and kept as such; the others are drawn as they are.
#[cfg(feature = "codec")]
const MAX_CONVERTED: usize = MAX_PIXELS;
/// Bytes that converting one may take: 256 MiB.
#[cfg(feature = "codec")]
const MAX_CONVERSION: u64 = 256 << 20;

/// What one drawing has used of its limits so far.
#[derive(Default)]
struct Usage {
    images: AtomicUsize,
    bytes: AtomicUsize,
    #[cfg(feature = "codec")]
    converted: AtomicUsize,
    share: AtomicU64,
    depth: AtomicUsize,
    #[cfg_attr(not(feature = "codec"), expect(dead_code, reason = "without codecs nothing is converted"))]
    notes: Notes,
}

/// Why a picture is not shown in the colours that it means; of several the first.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Option<String>>>);

impl Notes {
    #[cfg(feature = "codec")]
    fn add(&self, why: &str) {
        if let Ok(mut note) = self.0.lock() {
            note.get_or_insert_with(|| format!("a picture in the drawing: {why}"));
        }
    }

    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().ok()?.take()
    }
}

impl Usage {
    /// Counts an image of that many bytes; whether it is still within the limits.
    fn admits(&self, bytes: usize) -> bool {
        let images = self.images.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        images <= MAX_IMAGES && bytes <= MAX_BYTES
    }
}

/// A resolver for one drawing: its limits count from nothing. An image beyond them is left out, the rest drawn.
pub(crate) fn resolver(notes: Notes) -> ImageHrefResolver<'static> {
    let usage = Usage { notes, ..Usage::default() };
    ImageHrefResolver {
        resolve_data: Box::new(move |mime, data, options| match usage.admits(data.len()) {
            true if mime == "image/svg+xml" => drawing(&data, options, &usage),
            true => raster(data, &usage),
            false => None,
        }),
        resolve_string: Box::new(|_, _| None),
    }
}

/// A raster image, by what its bytes say it is (a `data:` URL's media type is often wrong), if it is not too
/// large. The size is that of its header: nothing is decoded before it is drawn.
fn raster(data: Arc<Vec<u8>>, usage: &Usage) -> Option<ImageKind> {
    let size = imagesize::blob_size(&data).ok()?;
    let pixels = size.width.checked_mul(size.height).filter(|pixels| (1..=MAX_PIXELS).contains(pixels))?;
    let data = plain(data, pixels, usage)?;
    match imagesize::image_type(&data).ok()? {
        ImageType::Png => Some(ImageKind::PNG(data)),
        ImageType::Jpeg => Some(ImageKind::JPEG(data)),
        ImageType::Gif => Some(ImageKind::GIF(data)),
        ImageType::Webp => Some(ImageKind::WEBP(data)),
        _ => None,
    }
}

/// The image as the renderer understands it, which knows neither colour profiles nor inks nor orientations; as it is when too much
/// would have to be converted. What is broken is left as it is too: the renderer may see some of it.
#[cfg(feature = "codec")]
fn plain(data: Arc<Vec<u8>>, pixels: usize, usage: &Usage) -> Option<Arc<Vec<u8>>> {
    use imgserve_codec::{Bounds, CodecError, Restated, restated};
    let bounds =
        Bounds { max_pixels: MAX_PIXELS as u64, max_frames: u32::MAX, repair: true, keep_colors: false };
    let all = usage.converted.load(Ordering::Relaxed).saturating_add(pixels);
    // It is looked at all the same: most need not be converted.
    let bytes = if all <= MAX_CONVERTED { MAX_CONVERSION } else { 0 };
    let restated = restated(&data, &bounds, bytes);
    if !matches!(restated, Ok(None) | Err(CodecError::Limit { .. })) {
        usage.converted.fetch_add(pixels, Ordering::Relaxed);
    }
    match restated {
        Ok(None) | Err(CodecError::Malformed { .. }) => Some(data),
        Ok(Some(Restated { png, unconverted })) => {
            if let Some(why) = unconverted {
                usage.notes.add(&why);
            }
            Some(Arc::new(png))
        }
        Err(CodecError::Limit { .. }) => {
            usage.notes.add(&format!("more than {MAX_CONVERTED} pixels of them would have to be converted"));
            Some(data)
        }
        Err(_) => None,
    }
}

#[cfg(not(feature = "codec"))]
fn plain(data: Arc<Vec<u8>>, _: usize, _: &Usage) -> Option<Arc<Vec<u8>>> {
    Some(data)
}

/// An embedded drawing. usvg hands our own resolver on to it, so it is held to the same limits.
fn drawing(data: &[u8], options: &Options<'_>, usage: &Usage) -> Option<ImageKind> {
    // Once there has been too much, no more is looked at.
    if usage.share.load(Ordering::Relaxed) > MAX_SHARE {
        return None;
    }
    let (share, text) = parse::embedded(data).ok()?;
    let share = (share * 1e6).ceil() as u64;
    if usage.share.fetch_add(share, Ordering::Relaxed).saturating_add(share) > MAX_SHARE {
        return None;
    }
    let tree = if usage.depth.fetch_add(1, Ordering::Relaxed) < MAX_DEPTH {
        Tree::from_data_nested(text.as_bytes(), options).ok()
    } else {
        None
    };
    usage.depth.fetch_sub(1, Ordering::Relaxed);
    tree.map(ImageKind::SVG)
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "codec")]
    use std::io::Read;

    use super::*;

    /// A GIF of that size, as far as its header goes.
    fn gif(width: u16, height: u16) -> Arc<Vec<u8>> {
        let mut bytes = b"GIF89a".to_vec();
        bytes.extend(width.to_le_bytes());
        bytes.extend(height.to_le_bytes());
        bytes.extend([0; 16]);
        Arc::new(bytes)
    }

    fn resolves(resolver: &ImageHrefResolver<'_>, data: Arc<Vec<u8>>) -> bool {
        (resolver.resolve_data)("image/png", data, &Options::default()).is_some()
    }

    #[test]
    fn paths_and_urls_resolve_to_nothing() {
        let resolver = resolver(Notes::default());
        for href in ["/etc/hostname", "file:///etc/hostname", "Cargo.toml", "http://127.0.0.1/a.png"] {
            assert!((resolver.resolve_string)(href, &Options::default()).is_none(), "{href}");
        }
    }

    #[test]
    fn too_many_pixels_are_left_out_by_the_header_alone() {
        let resolver = resolver(Notes::default());
        assert!(resolves(&resolver, gif(4096, 4096)));
        assert!(!resolves(&resolver, gif(4097, 4096)));
        assert!(!resolves(&resolver, gif(65_535, 65_535)));
        assert!(!resolves(&resolver, gif(0, 1)));
        assert!(!resolves(&resolver, Arc::new(b"BM and more that is no image".to_vec())));
    }

    /// Whether it shows in the end is one thing; each conversion takes as long as that of a large photograph.
    #[cfg(feature = "codec")]
    #[test]
    fn no_more_is_converted_than_is_shown() {
        let mut pixmap = resvg::tiny_skia::Pixmap::new(4096, 4096).unwrap();
        pixmap.fill(resvg::tiny_skia::Color::from_rgba8(90, 80, 70, 255));
        let plain = pixmap.encode_png().unwrap();
        // A gamma of 1 with its checksum, behind the header.
        let gamma =
            [4_u32, u32::from_be_bytes(*b"gAMA"), 100_000, 0x31e8_965f].map(u32::to_be_bytes).concat();
        let bright = Arc::new([&plain[..33], &gamma[..], &plain[33..]].concat());
        let notes = Notes::default();
        let resolver = resolver(notes.clone());
        let began = std::time::Instant::now();
        assert!((0..60).all(|_| resolves(&resolver, bright.clone())), "the others are drawn as they are");
        assert!(began.elapsed() < std::time::Duration::from_secs(8), "{:?}", began.elapsed());
        assert!(notes.take().is_some_and(|note| note.contains("would have to be converted")));
        assert!(resolves(&resolver, Arc::new(plain)), "what need not be converted is shown");
    }

    #[test]
    fn too_many_images_or_bytes_are_left_out() {
        let resolver = resolver(Notes::default());
        assert_eq!((0..100).filter(|_| resolves(&resolver, gif(1, 1))).count(), MAX_IMAGES);
        let usage = Usage::default();
        assert!(usage.admits(MAX_BYTES));
        assert!(!usage.admits(1));
    }

    /// A PNG of nothing but black that is to be turned.
    #[cfg(feature = "codec")]
    fn turned(width: u32, height: u32) -> Arc<Vec<u8>> {
        let mut rows = Vec::new();
        let mut packed = flate2::write::ZlibEncoder::new(&mut rows, flate2::Compression::fast());
        std::io::copy(&mut std::io::repeat(0).take(u64::from(height) * u64::from(width + 1)), &mut packed)
            .unwrap();
        packed.finish().unwrap();
        let head = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
        let mut file = b"\x89PNG\r\n\x1A\n".to_vec();
        for (name, data) in [(b"IHDR", head), (b"eXIf", exif), (b"IDAT", rows), (b"IEND", Vec::new())] {
            let named = [&name[..], &data].concat();
            let mut sum = flate2::Crc::new();
            sum.update(&named);
            file.extend([&(data.len() as u32).to_be_bytes()[..], &named, &sum.sum().to_be_bytes()].concat());
        }
        Arc::new(file)
    }

    #[test]
    #[cfg(feature = "codec")]
    fn what_is_too_much_to_convert_is_drawn_as_it_is_and_said() {
        let notes = Notes::default();
        let resolver = resolver(notes.clone());
        let converted = |picture: Arc<Vec<u8>>| match (resolver.resolve_data)(
            "image/png",
            picture.clone(),
            &Options::default(),
        ) {
            Some(ImageKind::PNG(shown)) => shown != picture,
            other => panic!("{other:?}"),
        };
        assert!(converted(turned(4096, 4000)) && converted(turned(40, 30)));
        assert_eq!(notes.take(), None);
        assert!(!converted(turned(4000, 4096)));
        assert!(notes.take().unwrap().contains("would have to be converted"));
    }
}
