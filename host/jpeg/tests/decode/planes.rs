//! Samples at their own resolution are those that the pixels are made of.

use imgserve_jpeg::{
    Color, DecodeError, DecodeOptions, EncodeOptions, EncodeScratch, Reduction, Region, Scale, Scratch,
    Unsupported, decode, decode_planes, encode,
};

fn file(color: Color, (width, height): (u16, u16), subsample_chroma: bool) -> Vec<u8> {
    let channels = if color == Color::Gray { 1 } else { 3 };
    let pixel = |n: usize| (n * 7 % 255) as u8 / 2 + (n / 97 % 100) as u8;
    let pixels: Vec<u8> = (0..usize::from(width) * usize::from(height) * channels).map(pixel).collect();
    let mut file = Vec::new();
    let options = EncodeOptions { subsample_chroma, ..EncodeOptions::default() };
    encode(&pixels, width, height, color, &options, &mut EncodeScratch::default(), &mut file).unwrap();
    file
}

#[test]
fn a_gray_plane_is_the_picture() {
    let file = file(Color::Gray, (70, 45), false);
    let region = Region { x: 9, y: 17, width: 40, height: 11 };
    for scale in [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full] {
        for options in [DecodeOptions::at(scale), DecodeOptions::at(scale).within(region)] {
            let options = options.reduced_by(Reduction::Lowest);
            let picture = decode(&file, &options, &mut Scratch::new()).unwrap();
            let mut scratch = Scratch::new();
            let planes = decode_planes(&file, &options, &mut scratch).unwrap();
            let [plane] = planes.planes[..] else { panic!("{planes:?}") };
            assert_eq!((plane.width, plane.height), (picture.width as usize, picture.height as usize));
            assert_eq!((plane.left, plane.top), (picture.left as usize, picture.top as usize));
            assert_eq!((plane.step, planes.damage), ((1, 1), None));
            for (row, wanted) in picture.data.chunks_exact(plane.width).enumerate() {
                assert_eq!(&plane.samples[row * plane.stride..][..plane.width], wanted, "{scale:?} {row}");
            }
        }
    }
}

#[test]
fn colours_have_the_pictures_resolution_as_soon_as_their_blocks_do() {
    for subsample in [true, false] {
        let file = file(Color::Rgb, (75, 43), subsample);
        for scale in [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full] {
            let mut scratch = Scratch::new();
            let options = DecodeOptions::at(scale).reduced_by(Reduction::Lowest);
            let planes = decode_planes(&file, &options, &mut scratch).unwrap().planes;
            let [luma, blue, red] = planes[..] else { panic!("{planes:?}") };
            let size = (scale.apply(75) as usize, scale.apply(43) as usize);
            assert_eq!((luma.width, luma.height, luma.step), (size.0, size.1, (1, 1)));
            let step = if subsample && scale == Scale::Full { 2 } else { 1 };
            for chroma in [blue, red] {
                assert_eq!(chroma.step, (step, step));
                assert_eq!((chroma.width, chroma.height), (size.0.div_ceil(step), size.1.div_ceil(step)));
            }
        }
    }
}

/// What is wrong with a file is the same by both ways, whichever byte of it is.
#[test]
fn damage_is_judged_as_of_pixels() {
    let file = file(Color::Rgb, (75, 60), true);
    let region = Region { x: 20, y: 24, width: 30, height: 12 };
    let scan = file.windows(2).position(|bytes| bytes == [0xFF, 0xDA]).unwrap() + 14;
    let (mut damaged, mut one, mut other) = (0, Scratch::new(), Scratch::new());
    for scale in [Scale::Eighth, Scale::Quarter, Scale::Half, Scale::Full] {
        let whole = DecodeOptions::at(scale).reduced_by(Reduction::Lowest);
        for (options, at) in
            [whole, whole.within(region)].iter().flat_map(|o| (scan..file.len()).map(move |at| (o, at)))
        {
            let mut bytes = file.clone();
            match at % 3 {
                0 => bytes[at] ^= 1 << (at / 3 % 8),
                1 => bytes[at] = 0xFF,
                _ => bytes.truncate(at),
            }
            let pixels = decode(&bytes, options, &mut one).map(|picture| picture.damage);
            let samples = decode_planes(&bytes, options, &mut other).map(|planes| planes.damage);
            assert_eq!(samples, pixels, "{scale:?} {at}");
            damaged += u32::from(pixels.is_ok_and(|damage| damage.is_some()));
        }
    }
    assert!(damaged > 500, "{damaged}");
}

#[test]
fn what_has_no_luminance_is_left_to_pixels() {
    let file = file(Color::Rgb, (16, 16), false);
    // Adobe's marker says that the three components are red, green and blue, and JFIF's would say that they are not.
    let jfif = file.windows(4).position(|bytes| bytes == b"JFIF").unwrap() - 4;
    let rgb = [&file[..jfif], b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0\0", &file[jfif + 18..]].concat();
    let options = DecodeOptions::at(Scale::Full);
    let error = decode_planes(&rgb, &options, &mut Scratch::new()).map(|_| ()).unwrap_err();
    assert_eq!(error, DecodeError::Unsupported(Unsupported::Colors));
    decode(&rgb, &options, &mut Scratch::new()).unwrap();
}
