//! Colour profiles for tests: small ones, of each kind, made here.

/// Of a version 2 header with that space, connection space and intent.
pub(crate) fn profile(space: &[u8; 4], pcs: &[u8; 4], intent: u8, tags: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let (mut table, mut body) = (Vec::new(), Vec::new());
    for (name, data) in tags {
        let start = 132 + 12 * tags.len() + body.len();
        table.extend_from_slice(*name);
        table.extend_from_slice(&(start as u32).to_be_bytes());
        table.extend_from_slice(&(data.len() as u32).to_be_bytes());
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut file = vec![0; 128];
    file[..4].copy_from_slice(&((132 + table.len() + body.len()) as u32).to_be_bytes());
    file[8..12].copy_from_slice(&[2, 0x40, 0, 0]);
    file[12..16].copy_from_slice(b"scnr");
    file[16..20].copy_from_slice(space);
    file[20..24].copy_from_slice(pcs);
    file[36..40].copy_from_slice(b"acsp");
    file[67] = intent;
    file.extend_from_slice(&(tags.len() as u32).to_be_bytes());
    [file, table, body].concat()
}

fn word(value: f32) -> [u8; 2] {
    ((value.clamp(0.0, 1.0) * 65_535.0).round() as u16).to_be_bytes()
}

fn byte(value: f32) -> [u8; 1] {
    [(value.clamp(0.0, 1.0) * 255.0).round() as u8]
}

/// The types of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lut8,
    Lut16,
    /// lutAToBType of bytes, and of words.
    ToB8,
    ToB16,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Lut8, Kind::Lut16, Kind::ToB8, Kind::ToB16];

/// A table of that many channels and nodes a side; `color` gives L*a*b* for the channels' values.
pub(crate) fn table(kind: Kind, channels: usize, side: usize, color: impl Fn(&[f32]) -> [f32; 3]) -> Vec<u8> {
    let scale = if kind == Kind::Lut16 { 65_280.0 / 65_535.0 } else { 1.0 };
    let wide = matches!(kind, Kind::Lut16 | Kind::ToB16);
    let nodes = (0..side.pow(channels as u32)).flat_map(|node| {
        let place: Vec<f32> = (0..channels)
            .map(|channel| {
                (node / side.pow((channels - channel - 1) as u32) % side) as f32 / (side - 1) as f32
            })
            .collect();
        let [l, a, b] = color(&place);
        [l / 100.0, (a + 128.0) / 255.0, (b + 128.0) / 255.0].map(|value| value * scale)
    });
    let nodes: Vec<u8> = match wide {
        true => nodes.flat_map(word).collect(),
        false => nodes.flat_map(byte).collect(),
    };
    let head = |name: &[u8]| [name, &[0; 4], &[channels as u8, 3]].concat();
    match kind {
        Kind::Lut8 => {
            let ramp: Vec<u8> = (0..=255).collect();
            let mut file = [head(b"mft1"), vec![side as u8, 0], vec![0; 36]].concat();
            (0..channels).for_each(|_| file.extend(&ramp));
            file.extend(&nodes);
            (0..3).for_each(|_| file.extend(&ramp));
            file
        }
        Kind::Lut16 => {
            let ramp = [0, 0, 0xFF, 0xFF];
            let mut file = [head(b"mft2"), vec![side as u8, 0], vec![0; 36], vec![0, 2, 0, 2]].concat();
            (0..channels).for_each(|_| file.extend(ramp));
            file.extend(&nodes);
            (0..3).for_each(|_| file.extend(ramp));
            file
        }
        Kind::ToB8 | Kind::ToB16 => {
            let straight = b"curv\0\0\0\0\0\0\0\0";
            let (b, a) = (32_u32, 32 + 3 * 12_u32);
            let clut = a + 12 * channels as u32;
            let mut file = [head(b"mAB "), vec![0; 2]].concat();
            [b, 0, 0, clut, a].iter().for_each(|offset| file.extend(offset.to_be_bytes()));
            (0..3 + channels).for_each(|_| file.extend(straight));
            let mut sides = [0; 16];
            sides[..channels].fill(side as u8);
            [file, sides.to_vec(), vec![1 + u8::from(wide), 0, 0, 0], nodes].concat()
        }
    }
}

/// L*a*b* of the corners of sRGB, red and green swapped.
pub(crate) fn swapped(rgb: &[f32]) -> [f32; 3] {
    match rgb.iter().map(|value| *value > 0.5).collect::<Vec<_>>()[..] {
        [false, false, false] => [0.0, 0.0, 0.0],
        [false, true, false] => [54.29, 80.80, 69.89],
        [true, false, false] => [87.82, -79.27, 80.99],
        [false, false, true] => [29.57, 68.30, -112.03],
        [true, true, false] => [97.61, -15.75, 93.39],
        [false, true, true] => [60.17, 93.55, -60.50],
        [true, false, true] => [90.67, -50.66, -14.96],
        _ => [100.0, 0.0, 0.0],
    }
}

/// A profile of a table alone that swaps red and green.
pub(crate) fn swap() -> Vec<u8> {
    profile(b"RGB ", b"Lab ", 0, &[(b"A2B0", table(Kind::Lut16, 3, 2, swapped))])
}

/// A printer's: inks that are nearly ideal, on yellowish paper (which is white), and a black that is none: L* 20 of black
/// alone, 10 of all inks.
pub(crate) fn press() -> Vec<u8> {
    profile(b"CMYK", b"Lab ", 0, &[(b"A2B0", table(Kind::Lut16, 4, 2, printed))])
}

pub(crate) fn printed(ink: &[f32]) -> [f32; 3] {
    let (cyan, magenta, yellow, black) = (ink[0], ink[1], ink[2], ink[3]);
    let light = (1.0 - 0.4 * cyan) * (1.0 - 0.5 * magenta) * (1.0 - 0.1 * yellow);
    let shown = 1.0 - black;
    let l = 10.0
        + (90.0 * light - 10.0 * (cyan + magenta + yellow) / 3.0) * shown
        + 10.0 * black * (1.0 - (cyan + magenta + yellow) / 3.0);
    [l, shown * (70.0 * magenta - 30.0 * cyan), shown * (90.0 * yellow - 50.0 * cyan)]
}
