//! Pictures of AV1's data by re_rav1d, which is dav1d in Rust, behind an interface without unsafe code. Its loops are in Rust alone
//! here: those in assembler need nasm.

use re_rav1d::dav1d::pixel::YUVRange;
use re_rav1d::dav1d::{Decoder, Error, PixelLayout, PlanarImageComponent, Plane, Settings};

/// A decoder of pictures that may refer to those before.
pub(super) struct Av1 {
    decoder: Decoder,
}

/// One decoded picture, in planes.
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Bits of a sample: 8, 10 or 12; more than 8 lie in words.
    pub(super) bits: u8,
    /// Whether the samples use all values.
    pub(super) full: bool,
    luma: Band,
    /// None of a gray picture.
    chroma: Option<Chroma>,
}

struct Chroma {
    bands: [Band; 2],
    /// Whether there are half as many columns, and rows.
    halved: (bool, bool),
}

struct Band {
    plane: Plane,
    stride: usize,
}

impl Av1 {
    /// For pictures of `size` at most.
    ///
    /// # Errors
    /// A text: why there is none.
    pub(super) fn new((width, height): (u32, u32), operating_point: u8) -> Result<Self, String> {
        let mut settings = Settings::new();
        // A worker is one thread.
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_operating_point(u32::from(operating_point & 31));
        settings.set_all_layers(false);
        settings.set_frame_size_limit(width.saturating_mul(height));
        let decoder = Decoder::with_settings(&settings).map_err(text)?;
        Ok(Self { decoder })
    }

    /// The same one for other pictures, which refer to none of those before.
    pub(super) fn afresh(mut self) -> Self {
        self.decoder.flush();
        self
    }

    /// The picture that `data` codes.
    ///
    /// # Errors
    /// A text: what is wrong with it.
    pub(super) fn picture(&mut self, data: Vec<u8>) -> Result<Picture, String> {
        let mut sent = self.decoder.send_data(data, None, None, None);
        let mut picture = None;
        loop {
            match sent {
                Ok(()) => break,
                Err(Error::Again) => {}
                Err(error) => return Err(text(error)),
            }
            // What is shown of several pictures is the first.
            let next = self.decoder.get_picture().map_err(text)?;
            picture.get_or_insert(next);
            sent = self.decoder.send_pending_data();
        }
        let picture = match picture {
            Some(picture) => picture,
            None => self.decoder.get_picture().map_err(text)?,
        };
        while self.decoder.get_picture().is_ok() {}
        let bits = picture.bits_per_component().map_or(8, |bits| bits.0 as u8);
        let band =
            |component| Band { plane: picture.plane(component), stride: picture.stride(component) as usize };
        let halved = match picture.pixel_layout() {
            PixelLayout::I400 => None,
            PixelLayout::I420 => Some((true, true)),
            PixelLayout::I422 => Some((true, false)),
            PixelLayout::I444 => Some((false, false)),
        };
        let chroma = halved.map(|halved| Chroma {
            bands: [band(PlanarImageComponent::U), band(PlanarImageComponent::V)],
            halved,
        });
        Ok(Picture {
            width: picture.width(),
            height: picture.height(),
            bits,
            full: picture.color_range() == YUVRange::Full,
            luma: band(PlanarImageComponent::Y),
            chroma,
        })
    }
}

fn text(error: Error) -> String {
    match error {
        Error::Again => "AV1 data without a picture".to_owned(),
        error => format!("broken AV1 data: {error}"),
    }
}

impl Picture {
    /// Whether it has no colours.
    pub(super) fn is_gray(&self) -> bool {
        self.chroma.is_none()
    }

    /// The samples of a row of luma.
    pub(super) fn luma(&self, row: u32, out: &mut Vec<f32>) {
        self.luma.row(row as usize, self.width as usize, self.bits, out);
    }

    /// The samples of a row of one of the two chromas, one for each pixel: between those that are there, by how far they are.
    pub(super) fn chroma(&self, which: usize, row: u32, scratch: &mut Scratch, out: &mut Vec<f32>) {
        let Some(Chroma { bands, halved: (across, down) }) = &self.chroma else { return };
        let band = &bands[which];
        let (row, rows) = (row as usize, self.height as usize);
        let columns = if *across { (self.width as usize).div_ceil(2) } else { self.width as usize };
        let coarse = if *across { &mut scratch.row } else { &mut *out };
        if *down {
            let (near, last) = (row / 2, rows.div_ceil(2) - 1);
            let far = if row % 2 == 1 { (near + 1).min(last) } else { near.saturating_sub(1) };
            band.row(near, columns, self.bits, coarse);
            band.row(far, columns, self.bits, &mut scratch.far);
            coarse.iter_mut().zip(&scratch.far).for_each(|(near, far)| *near = 0.75 * *near + 0.25 * far);
        } else {
            band.row(row, columns, self.bits, coarse);
        }
        if *across {
            widen(&scratch.row, self.width as usize, out);
        }
    }
}

/// Rows in between, kept for the next ones.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    row: Vec<f32>,
    far: Vec<f32>,
}

impl Band {
    fn row(&self, row: usize, columns: usize, bits: u8, out: &mut Vec<f32>) {
        out.clear();
        let bytes = self.plane.get(row * self.stride..).unwrap_or_default();
        if bits > 8 {
            let words = bytes.as_chunks::<2>().0.iter().take(columns);
            out.extend(words.map(|word| f32::from(u16::from_ne_bytes(*word))));
        } else {
            out.extend(bytes.iter().take(columns).map(|&byte| f32::from(byte)));
        }
        out.resize(columns, 0.0);
    }
}

/// Two columns for one: three quarters of the nearer sample, and one of the next.
fn widen(coarse: &[f32], width: usize, out: &mut Vec<f32>) {
    out.clear();
    let at = |index: usize| coarse[index.min(coarse.len() - 1)];
    out.extend((0..width).map(|x| {
        let near = x / 2;
        let far = if x % 2 == 1 { near + 1 } else { near.saturating_sub(1) };
        0.75 * at(near) + 0.25 * at(far)
    }));
}
