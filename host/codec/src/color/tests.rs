//! Profiles of every kind on pixels of every kind. What LittleCMS 2.19 gives is the measure where numbers stand.

use imgserve_sdk::{Image, PixelFormat};
use proptest::prelude::*;

use super::samples::{KINDS, Kind, press, printed, profile, swap, swapped, table};
use super::*;

fn image(format: PixelFormat, data: &[u8]) -> Image {
    Image::new((data.len() / format.bytes_per_pixel()) as u32, 1, format, data.to_vec()).unwrap()
}

/// The pixels by a profile that can be used.
fn by(icc: &[u8], format: PixelFormat, data: &[u8]) -> Vec<u8> {
    let (image, fault) = to_srgb(image(format, data), Some(icc));
    assert_eq!(fault, None);
    image.into_data()
}

fn near(got: &[u8], wanted: &[u8], most: u8) -> bool {
    got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) <= most)
}

fn xyz(color: [f32; 3]) -> Vec<u8> {
    let fixed = color.map(|value| ((value * 65_536.0).round() as i32).to_be_bytes());
    [b"XYZ \0\0\0\0".as_slice(), fixed.as_flattened()].concat()
}

fn gamma(exponent: f32) -> Vec<u8> {
    [b"curv\0\0\0\0\0\0\0\x01".as_slice(), &((exponent * 256.0).round() as u16).to_be_bytes()].concat()
}

/// Of curves and primary colours; the colours in XYZ under D50.
fn shaper(exponent: f32, colors: [[f32; 3]; 3]) -> Vec<u8> {
    let [red, green, blue] = colors.map(xyz);
    let curve = || gamma(exponent);
    let tags = [
        (b"rXYZ", red),
        (b"gXYZ", green),
        (b"bXYZ", blue),
        (b"rTRC", curve()),
        (b"gTRC", curve()),
        (b"bTRC", curve()),
    ];
    profile(b"RGB ", b"XYZ ", 0, &tags)
}

const RED: [f32; 3] = [0.436_07, 0.222_49, 0.013_92];
const GREEN: [f32; 3] = [0.385_15, 0.716_87, 0.097_08];
const BLUE: [f32; 3] = [0.143_07, 0.060_61, 0.714_10];
const DISPLAY_P3: [[f32; 3]; 3] =
    [[0.515_12, 0.241_2, -0.001_05], [0.291_98, 0.692_25, 0.041_89], [0.157_1, 0.066_57, 0.784_07]];

#[test]
fn a_table_is_followed_whatever_its_type_its_intent_and_the_pixels() {
    for (kind, intent, name) in KINDS.into_iter().flat_map(|kind| {
        [(kind, 0, b"A2B0"), (kind, 1, b"A2B0"), (kind, 0, b"A2B1"), (kind, 2, b"A2B2"), (kind, 3, b"A2B1")]
    }) {
        let icc = profile(b"RGB ", b"Lab ", intent, &[(name, table(kind, 3, 2, swapped))]);
        let case = format!("{kind:?} {intent} {}", String::from_utf8_lossy(name));
        let most = if matches!(kind, Kind::Lut8 | Kind::ToB8) { 10 } else { 2 };
        let rgb = by(&icc, PixelFormat::Rgb8, &[255, 0, 0, 0, 255, 0, 255, 255, 255, 0, 0, 0]);
        assert!(near(&rgb, &[0, 255, 0, 255, 0, 0, 255, 255, 255, 0, 0, 0], most), "{case}: {rgb:?}");
        let rgba = by(&icc, PixelFormat::Rgba8, &[255, 0, 0, 77]);
        assert!(near(&rgba[..3], &[0, 255, 0], most) && rgba[3] == 77, "{case}: {rgba:?}");
        let wide = by(&icc, PixelFormat::Rgba16, &[255, 255, 0, 0, 0, 0, 7, 9]);
        // The high bytes of red, green and blue.
        assert!(near(&[wide[1], wide[3], wide[5]], &[0, 255, 0], most), "{case}: {wide:?}");
        assert_eq!(wide[6..], [7, 9], "{case}");
        let gray = by(&icc, PixelFormat::Gray8, &[0, 255]);
        assert!(near(&gray, &[0, 255], most), "{case}: {gray:?}");
    }
}

#[test]
fn between_the_nodes_is_what_others_see_there() {
    let given = [128, 128, 128, 200, 50, 100, 10, 20, 30, 90, 200, 250];
    let wanted = [119, 119, 119, 103, 195, 120, 28, 20, 31, 223, 124, 251];
    let got = by(&swap(), PixelFormat::Rgb8, &given);
    assert!(near(&got, &wanted, 2), "{got:?}");
    let wide: Vec<u8> =
        given.chunks(3).flat_map(|p| [p[0], p[0], p[1], p[1], p[2], p[2], 255, 255]).collect();
    let got = by(&swap(), PixelFormat::Rgba16, &wide);
    let high: Vec<u8> = got.chunks(8).flat_map(|p| [p[1], p[3], p[5]]).collect();
    assert!(near(&high, &wanted, 2), "{high:?}");
}

#[test]
fn of_several_tables_the_one_of_the_intent_is_taken() {
    let gray = |l: f32| table(Kind::Lut16, 3, 2, move |_| [l, 0.0, 0.0]);
    for (intent, wanted) in [(0, 119), (1, 198), (2, 226), (3, 198)] {
        let tags = [(b"A2B0", gray(50.0)), (b"A2B1", gray(80.0)), (b"A2B2", gray(90.0))];
        let icc = profile(b"RGB ", b"Lab ", intent, &tags);
        let plain = darkest(&icc);
        assert!(plain.abs_diff(wanted) <= 1, "{intent}: {plain}");
    }
}

/// What a profile's table says of its darkest colour, before black is made black.
fn darkest(icc: &[u8]) -> u8 {
    let Ok(Model::Table(pipeline)) = Profile::parse(icc).unwrap().model() else { panic!("no table") };
    u8::nearest(ToSrgb::plain(pipeline).gray([0.0; 4]))
}

#[test]
fn a_table_to_xyz_is_followed() {
    let side = 33;
    let nodes = (0..side).flat_map(|node| {
        let y = f32::from(node as u8) / (side - 1) as f32;
        [0.9642 * y, y, 0.8249 * y].map(|value| ((value * 32_768.0).round() as u16).to_be_bytes())
    });
    let head =
        [b"mft2\0\0\0\0\x01\x03".as_slice(), &[side as u8, 0], &[0; 36], &[0, 2, 0, 2], &[0, 0, 255, 255]];
    let ramps = [0, 0, 255, 255].repeat(3);
    let file = [head.concat(), nodes.flatten().collect(), ramps].concat();
    let icc = profile(b"GRAY", b"XYZ ", 0, &[(b"A2B0", file)]);
    let got = by(&icc, PixelFormat::Gray8, &[0, 55, 255]);
    assert!(near(&got, &[0, 128, 255], 1), "{got:?}");
}

#[test]
fn gray_of_curves_and_of_tables_is_converted_in_every_format() {
    let curve = profile(b"GRAY", b"XYZ ", 0, &[(b"kTRC", gamma(1.0))]);
    // L* of 50 is 119 in sRGB; so is this curve in Lab at the middle.
    let lab = profile(b"GRAY", b"Lab ", 0, &[(b"kTRC", gamma(1.0))]);
    let lut =
        profile(b"GRAY", b"Lab ", 0, &[(b"A2B0", table(Kind::ToB16, 1, 2, |v| [100.0 * v[0], 0.0, 0.0]))]);
    for (icc, level, wanted) in [(&curve, 55, 128), (&lab, 128, 119), (&lut, 128, 119)] {
        let near = |value: u8| value.abs_diff(wanted) <= 1;
        assert!(near(by(icc, PixelFormat::Gray8, &[level])[0]));
        let rgb = by(icc, PixelFormat::Rgb8, &[level; 3]);
        assert!(rgb.iter().all(|value| near(*value)), "{rgb:?}");
        let rgba = by(icc, PixelFormat::Rgba8, &[level, level, level, 7]);
        assert!(rgba[..3].iter().all(|value| near(*value)) && rgba[3] == 7, "{rgba:?}");
        let wide = by(icc, PixelFormat::Rgba16, &[level, level, level, level, level, level, 7, 9]);
        assert!([1, 3, 5].iter().all(|&at| near(wide[at])) && wide[6..] == [7, 9], "{wide:?}");
    }
}

#[test]
fn curves_and_primaries_are_converted_and_srgb_is_left_alone() {
    // The sRGB red (255, 0, 0) is (234, 51, 35) in Display P3 (CSS Color 4, section 10.4's sample code).
    let red = by(&shaper(2.2, DISPLAY_P3), PixelFormat::Rgb8, &[234, 51, 35]);
    assert!(near(&red, &[255, 0, 0], 9), "{red:?}");
    let swapped = shaper(2.2, [GREEN, RED, BLUE]);
    let rgba = by(&swapped, PixelFormat::Rgba8, &[250, 10, 10, 3]);
    assert!(near(&rgba, &[3, 250, 3, 3], 2), "{rgba:?}");
    let gray = by(&shaper(1.0, [RED, GREEN, BLUE]), PixelFormat::Gray8, &[0, 55, 255]);
    assert!(near(&gray, &[0, 128, 255], 1), "{gray:?}");
    let srgb = moxcms::ColorProfile::new_srgb().encode().unwrap();
    assert_eq!(by(&srgb, PixelFormat::Rgb8, &[1, 128, 254]), [1, 128, 254]);
    let ramp: Vec<u8> = (0..=255).collect();
    assert_eq!(by(&srgb, PixelFormat::Gray8, &ramp), ramp);
}

#[test]
fn inks_are_what_others_make_of_them_and_black_is_black() {
    let ink = [
        [0, 0, 0, 0],
        [0, 0, 0, 255],
        [255, 255, 255, 255],
        [0, 0, 0, 128],
        [255, 0, 0, 0],
        [0, 0, 255, 0],
        [64, 128, 32, 20],
        [10, 200, 200, 100],
        [130, 100, 90, 60],
    ];
    let wanted = [
        [255, 255, 255],
        [37, 37, 37],
        [0, 0, 0],
        [142, 142, 142],
        [0, 162, 234],
        [251, 217, 0],
        [192, 141, 171],
        [150, 78, 34],
        [127, 135, 150],
    ];
    let (rgb, fault) = cmyk_to_rgb::<u8>(ink.as_flattened(), Some(&press()));
    assert!(fault.is_none() && near(&rgb, wanted.as_flattened(), 3), "{rgb:?}");
    let wide: Vec<u16> = ink.as_flattened().iter().map(|&sample| u16::from(sample) * 257).collect();
    let (rgb, fault) = cmyk_to_rgb::<u16>(&wide, Some(&press()));
    let high: Vec<u8> = rgb.iter().map(|value| (value >> 8) as u8).collect();
    assert!(fault.is_none() && near(&high, wanted.as_flattened(), 3), "{high:?}");
    for kind in KINDS {
        let icc = profile(b"CMYK", b"Lab ", 1, &[(b"A2B0", table(kind, 4, 2, printed))]);
        let (rgb, fault) = cmyk_to_rgb::<u8>(&[255; 4], Some(&icc));
        assert!(fault.is_none() && near(&rgb, &[0; 3], 3), "{kind:?}: {rgb:?}");
    }
}

#[test]
fn without_a_profile_inks_are_ideal_filters() {
    let ink = [0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 0, 128, 255, 0];
    assert_eq!(cmyk_to_rgb::<u8>(&ink, None).0, [255, 255, 255, 0, 255, 255, 0, 0, 0, 255, 127, 0]);
}

#[test]
fn what_cannot_be_converted_is_as_it_was_and_said() {
    let linear = profile(b"GRAY", b"XYZ ", 0, &[(b"kTRC", gamma(1.0))]);
    let (none, lab) = (profile(b"RGB ", b"XYZ ", 0, &[]), profile(b"Lab ", b"Lab ", 0, &[]));
    let mut cut = swap();
    cut.truncate(200);
    let huge = profile(b"RGB ", b"Lab ", 0, &[(b"A2B0", b"mft1\0\0\0\0\x03\x03\xFF\0".repeat(20))]);
    for (icc, reason) in [
        (&b"not a profile"[..], "no ICC profile"),
        (&linear, "for gray"),
        (&none, "`rTRC` is missing"),
        (&lab, "`Lab `"),
        (&press(), "for CMYK"),
        (&cut, "ends too early"),
        (&huge, "ends too early"),
    ] {
        let given = image(PixelFormat::Rgb8, &[9, 99, 199]);
        let (image, fault) = to_srgb(given.clone(), Some(icc));
        let fault = fault.unwrap_or_default();
        assert!(image == given && fault.contains(reason), "{reason}: {fault}");
    }
    let (rgb, fault) = cmyk_to_rgb::<u8>(&[0, 255, 255, 0], Some(&swap()));
    assert_eq!((rgb.as_slice(), fault.is_some()), (&[255, 0, 0][..], true), "inks by a profile for RGB");
}

#[test]
fn the_last_profile_is_kept_and_no_other_is_taken_for_it() {
    let (green, red) = (swap(), shaper(2.2, DISPLAY_P3));
    for _ in 0..3 {
        assert!(near(&by(&green, PixelFormat::Rgb8, &[255, 0, 0]), &[0, 255, 0], 2));
        assert!(near(&by(&red, PixelFormat::Rgb8, &[234, 51, 35]), &[255, 0, 0], 9));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_mutated_profile_is_followed_or_refused_without_a_panic(
        which in 0..6_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut icc = match which {
            0 => swap(),
            1 => press(),
            2 => shaper(2.2, DISPLAY_P3),
            3 => profile(b"GRAY", b"Lab ", 0, &[(b"kTRC", gamma(1.8))]),
            kind => profile(b"RGB ", b"Lab ", 1, &[(b"A2B1", table(KINDS[kind - 2], 3, 3, swapped))]),
        };
        for (at, value) in changes {
            let at = at.index(icc.len());
            icc[at] = value;
        }
        if let Some(cut) = cut {
            icc.truncate(cut.index(icc.len()));
        }
        for format in PixelFormat::ALL {
            let given = image(format, &vec![90; 2 * format.bytes_per_pixel()]);
            let (converted, fault) = to_srgb(given.clone(), Some(&icc));
            prop_assert!(fault.is_none() || converted == given);
        }
        prop_assert_eq!(cmyk_to_rgb::<u8>(&[9, 99, 199, 20], Some(&icc)).0.len(), 3);
    }
}
