//! Kernels: decoding, resampling and encoding, each library beside the others.
//!
//! `cargo bench -p imgserve-bench --features turbojpeg --bench kernels -- --photos FOLDER` first runs the cases that have
//! a target, contenders taking turns, and prints their ratios to libjpeg-turbo; then criterion measures each step by itself.
//! Without the feature (it needs cmake and nasm: `apt-get install -y cmake nasm`) there is no libjpeg-turbo to compare with.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints, and a step that fails ends it")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use criterion::{BenchmarkId, Criterion, Throughput};
use imgserve_bench::kernels::{Pixels, Resampler, Settings, Window, compare, decoders};
use imgserve_bench::sources::{self, Coding, Rgb, SIX_MEGAPIXELS};
use jpeg_encoder::{ColorType, SamplingFactor};

#[derive(Debug, Parser)]
#[command(about = "Measures decoders, the resampler and encoders beside each other")]
struct Arguments {
    /// Folder of JPEGs (an absolute path: cargo starts benches in their crate's folder); synthetic pictures when it is not
    /// given
    #[arg(long)]
    photos: Option<PathBuf>,
    /// Tile the photographs to 6 and 24 MP instead of enlarging them: more detail for each pixel
    #[arg(long)]
    tile: bool,
    /// Photographs of the folder that are taken for the ratios
    #[arg(long, default_value_t = 4)]
    pictures: usize,
    /// Seconds for which the contenders take turns on one photograph
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Only one of the two parts
    #[arg(long)]
    only: Option<Part>,
    /// Only criterion's benches whose names contain this
    #[arg(long)]
    filter: Option<String>,
    #[arg(long, hide = true, help = "passed by cargo")]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Part {
    Ratios,
    Steps,
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    if !cfg!(feature = "turbojpeg") {
        println!(
            "without libjpeg-turbo; to compare with it: apt-get install -y cmake nasm, and run with --features turbojpeg"
        );
    }
    if arguments.only != Some(Part::Steps) {
        compare(&Settings {
            photos: arguments.photos.as_deref(),
            tile: arguments.tile,
            pictures: arguments.pictures,
            time: Duration::from_secs_f64(arguments.seconds),
        })?;
    }
    if arguments.only != Some(Part::Ratios) {
        steps(&arguments)?;
    }
    Ok(())
}

/// One photograph of 6 MP, and pictures of 400×300 to encode.
fn steps(arguments: &Arguments) -> Result<(), String> {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    if let Some(filter) = &arguments.filter {
        criterion = criterion.with_filter(filter);
    }
    let photograph =
        sources::decode(&sources::photographs(arguments.photos.as_deref(), &sources::JPEGS)?[0])?;
    let large = if arguments.tile {
        sources::tiled(&photograph, SIX_MEGAPIXELS)
    } else {
        sources::resized(&photograph, SIX_MEGAPIXELS)?
    };
    for (name, coding) in [("baseline", Coding::Baseline), ("progressive", Coding::Progressive)] {
        decoding(&mut criterion, name, &sources::encode(&large, coding)?)?;
    }
    resampling(&mut criterion, &large);
    encoding(&mut criterion, &large)?;
    criterion.final_summary();
    Ok(())
}

fn decoding(criterion: &mut Criterion, name: &str, file: &[u8]) -> Result<(), String> {
    let window = Window { x: 0.0, y: 0.0, width: SIX_MEGAPIXELS.0.into(), height: SIX_MEGAPIXELS.1.into() };
    let mut group = criterion.benchmark_group(format!("decode {name}"));
    group.throughput(Throughput::Bytes(file.len() as u64));
    for mut decoder in decoders()? {
        for (eighths, scale) in [(1, "1-8"), (2, "1-4"), (4, "1-2"), (8, "1-1")] {
            let scaled = decoder.decode(file, eighths, window)?.scale * 8.0 == f64::from(eighths);
            if scaled {
                group.bench_function(BenchmarkId::new(decoder.name(), scale), |bencher| {
                    bencher.iter(|| decoder.decode(file, eighths, window).unwrap().data[0]);
                });
            }
        }
    }
    group.finish();
    Ok(())
}

fn resampling(criterion: &mut Criterion, large: &Rgb) {
    let mut group = criterion.benchmark_group("resample");
    let mut resampler = Resampler::default();
    for (from, size) in [((375, 250), (200, 120)), ((1500, 1000), (720, 588)), ((3000, 2000), (800, 600))] {
        let source = small(large, from);
        let window = Window { x: 0.0, y: 0.0, width: from.0.into(), height: from.1.into() };
        let pixels =
            Pixels { width: from.0, height: from.1, origin: (0.0, 0.0), scale: 1.0, data: &source.data };
        let name = format!("{}x{} to {}x{}", from.0, from.1, size.0, size.1);
        group.bench_function(BenchmarkId::new("fast_image_resize", name), |bencher| {
            bencher.iter(|| resampler.resample(&pixels, window, size).unwrap()[0]);
        });
    }
    group.finish();
}

fn small(large: &Rgb, size: (u32, u32)) -> Rgb {
    sources::resized(large, size).unwrap()
}

fn encoding(criterion: &mut Criterion, large: &Rgb) -> Result<(), String> {
    for size in [(200, 120), (480, 320), (800, 600)] {
        let picture = small(large, size);
        let mut group = criterion.benchmark_group(format!("encode {}x{}", size.0, size.1));
        group.throughput(Throughput::Elements(u64::from(size.0) * u64::from(size.1)));
        for (name, mut encode) in encoders() {
            let bytes = encode(&picture).len();
            group.bench_function(BenchmarkId::new(name, format!("{bytes} bytes")), |bencher| {
                bencher.iter(|| encode(&picture).len());
            });
        }
        group.finish();
    }
    Ok(())
}

type Encode = Box<dyn FnMut(&Rgb) -> Vec<u8>>;

fn encoders() -> Vec<(&'static str, Encode)> {
    vec![
        ("JPEG q80 imgserve", ours(false)),
        ("JPEG q80 imgserve, progressive", ours(true)),
        ("JPEG q80 jpeg-encoder", Box::new(|picture| jpeg(picture, false))),
        ("JPEG q80 jpeg-encoder, own tables", Box::new(|picture| jpeg(picture, true))),
        (
            "PNG fast adaptive",
            Box::new(|picture| {
                png(picture, |encoder| {
                    encoder.set_compression(png::Compression::Fast);
                    encoder.set_filter(png::Filter::Adaptive);
                })
            }),
        ),
        (
            "PNG level 3 no filter",
            Box::new(|picture| {
                png(picture, |encoder| {
                    encoder.set_deflate_compression(png::DeflateCompression::Level(3));
                    encoder.set_filter(png::Filter::NoFilter);
                })
            }),
        ),
        ("WebP q80 method 4", Box::new(|picture| webp(picture, 4))),
        ("WebP q80 method 2", Box::new(|picture| webp(picture, 2))),
    ]
}

fn ours(progressive: bool) -> Encode {
    let options = imgserve_jpeg::EncodeOptions { progressive, ..Default::default() };
    let mut scratch = imgserve_jpeg::EncodeScratch::default();
    Box::new(move |picture| {
        let (mut file, size) = (Vec::new(), (picture.width as u16, picture.height as u16));
        let color = imgserve_jpeg::Color::Rgb;
        imgserve_jpeg::encode(&picture.data, size.0, size.1, color, &options, &mut scratch, &mut file)
            .unwrap();
        file
    })
}

fn jpeg(picture: &Rgb, own_tables: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 80);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(own_tables);
    encoder.encode(&picture.data, picture.width as u16, picture.height as u16, ColorType::Rgb).unwrap();
    file
}

fn png(picture: &Rgb, set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>)) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    set(&mut encoder);
    encoder.write_header().unwrap().write_image_data(&picture.data).unwrap();
    file
}

/// libwebp by its simple interface for one picture, with another method.
#[allow(unsafe_code, reason = "libwebp is C; host/codec/src/formats/webp, which wraps it, is private")]
fn webp(picture: &Rgb, method: i32) -> Vec<u8> {
    use libwebp_sys as webp;
    let (width, height) = (picture.width as i32, picture.height as i32);
    assert_eq!(picture.data.len(), 3 * picture.width as usize * picture.height as usize);
    let mut config = webp::WebPConfig::new_with_preset(webp::WebPPreset::WEBP_PRESET_DEFAULT, 80.0).unwrap();
    config.method = method;
    // SAFETY: the structures are initialised by libwebp's own functions before they are used; the pixels are as many as
    // width, height and stride say; the writer's memory is copied before it is cleared, and each is freed once.
    unsafe {
        let mut writer = std::mem::MaybeUninit::uninit();
        webp::WebPMemoryWriterInit(writer.as_mut_ptr());
        let mut writer: webp::WebPMemoryWriter = writer.assume_init();
        let mut view = webp::WebPPicture::new().unwrap();
        (view.width, view.height) = (width, height);
        view.writer = Some(webp::WebPMemoryWrite);
        view.custom_ptr = (&raw mut writer).cast();
        assert!(webp::WebPPictureImportRGB(&mut view, picture.data.as_ptr(), 3 * width) != 0);
        assert!(webp::WebPEncode(&config, &mut view) != 0);
        let file = std::slice::from_raw_parts(writer.mem, writer.size).to_vec();
        webp::WebPPictureFree(&mut view);
        webp::WebPMemoryWriterClear(&mut writer);
        file
    }
}
