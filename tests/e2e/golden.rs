//! Golden images. One case shows one thing; sources are made on the spot; results are PNG. A pixel, times its alpha, may differ by 2 of
//! 255 in a channel (SIMD variants round differently) and by 0.1 on average. `IMGSERVE_UPDATE_GOLDEN=1` writes the files
//! anew; a failure leaves `NAME-diff.png` (wanted, got, difference) under the target directory.

use std::path::PathBuf;

use image::{ImageFormat, Rgba, RgbaImage, imageops};
use imgserve_peers::samples;
use serde_json::{Value, json};

use crate::harness::{Server, beside, plugin, program};

const MOST: u16 = 2;
const MEAN: f64 = 0.1;

#[tokio::test]
async fn results_look_as_they_did() {
    let server = Server::start("");
    let photo = server.write("photo.png", samples::encoded(320, 200, ImageFormat::Png));
    let drawing = server.write("drawing.svg", samples::DRAWING);
    let cases: [(&str, &str, &str, Value); 12] = [
        ("resize-cover", "resize", &photo, json!({ "width": 60, "height": 60 })),
        ("resize-southeast", "resize", &photo, json!({ "width": 60, "height": 60, "gravity": "southeast" })),
        (
            "resize-contain",
            "resize",
            &photo,
            json!({ "width": 60, "height": 60, "fit": "contain", "background": "#336" }),
        ),
        ("resize-inside", "resize", &photo, json!({ "width": 60, "height": 60, "fit": "inside" })),
        ("resize-nearest", "resize", &photo, json!({ "width": 60, "height": 60, "filter": "nearest" })),
        ("resize-enlarge", "resize", &photo, json!({ "width": 400, "height": 60, "enlarge": true })),
        ("resize-smart", "resize", &photo, json!({ "width": 40, "height": 60, "gravity": "smart" })),
        (
            "resize-turned",
            "resize",
            &photo,
            json!({ "crop": ["25%", 0, 120, "90%"], "rotate": 90, "flip": "horizontal", "height": 60 }),
        ),
        (
            "resize-rotated",
            "resize",
            &photo,
            json!({ "rotate": 20, "width": 80, "height": 60, "fit": "contain", "background": "orange" }),
        ),
        (
            "resize-effects",
            "resize",
            &photo,
            json!({ "width": 60, "blur": 1.5, "sharpen": 3, "pad": [2, 6], "background": "hsl(200 60% 40%)" }),
        ),
        ("rasterize-fill", "rasterize", &drawing, json!({ "width": 120, "height": 120 })),
        (
            "rasterize-contain",
            "rasterize",
            &drawing,
            json!({ "width": 120, "height": 120, "fit": "contain", "background": "white" }),
        ),
    ];
    let mut wrong = Vec::new();
    for (name, operation, source, args) in cases {
        server.succeed(operation, source, &server.file_url("out.png"), args).await;
        wrong.extend(compare(name, &image::load_from_memory(&server.read("out.png")).unwrap().to_rgba8()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The example plugins' own cases, by the command that their authors use.
#[test]
fn example_plugins_pass_their_golden_cases() {
    let cache = tempfile::tempdir().unwrap();
    let config = cache.path().join("imgserve.toml");
    std::fs::write(&config, format!("[plugins]\ncache_dir = '{}'\n", cache.path().join("cache").display()))
        .unwrap();
    let mut tested = 0;
    for directory in std::fs::read_dir(beside("../plugins")).unwrap().map(|entry| entry.unwrap().path()) {
        if !directory.join("golden").exists() {
            continue;
        }
        let file = plugin(&format!("{}.wasm", directory.file_name().unwrap().to_str().unwrap()));
        let output = program()
            .args(["plugin", "test"])
            .arg(&directory)
            .arg("--file")
            .arg(file)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}:\n{text}", directory.display());
        assert!(text.ends_with(" passed, 0 failed\n"), "{text}");
        tested += 1;
    }
    assert!(tested >= 5, "only {tested} plugins have golden cases");
}

/// What is wrong with a result, if anything.
fn compare(name: &str, got: &RgbaImage) -> Option<String> {
    let path = beside(&format!("golden/{name}.png"));
    if std::env::var_os("IMGSERVE_UPDATE_GOLDEN").is_some() {
        got.save(&path).unwrap();
        return None;
    }
    let wanted = image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).to_rgba8();
    if wanted.dimensions() != got.dimensions() {
        return Some(format!("{name}: {:?} instead of {:?}", got.dimensions(), wanted.dimensions()));
    }
    // As they are seen: what colour a pixel has that hardly shows is nobody's business.
    let seen = |pixel: &Rgba<u8>| {
        let [color @ .., alpha] = pixel.0.map(u16::from);
        color.map(|channel| channel * alpha / 255).into_iter().chain([alpha])
    };
    let pairs = wanted.pixels().zip(got.pixels()).flat_map(|(a, b)| seen(a).zip(seen(b)));
    let differences: Vec<u16> = pairs.map(|(a, b)| a.abs_diff(b)).collect();
    let most = differences.iter().copied().max().unwrap_or(0);
    let mean = differences.iter().copied().map(f64::from).sum::<f64>() / differences.len() as f64;
    (most > MOST || mean > MEAN).then(|| {
        let shown = show(name, &wanted, got);
        format!("{name}: differs by up to {most}, {mean:.3} on average; see {}", shown.display())
    })
}

fn show(name: &str, wanted: &RgbaImage, got: &RgbaImage) -> PathBuf {
    let (width, height) = wanted.dimensions();
    let mut panels = RgbaImage::from_pixel(width * 3, height, Rgba([0, 0, 0, 255]));
    imageops::overlay(&mut panels, wanted, 0, 0);
    imageops::overlay(&mut panels, got, i64::from(width), 0);
    for (x, y, pixel) in wanted.enumerate_pixels() {
        let other = got.get_pixel(x, y);
        let strong = |channel: usize| pixel.0[channel].abs_diff(other.0[channel]).saturating_mul(16);
        panels.put_pixel(x + 2 * width, y, Rgba([strong(0), strong(1), strong(2), 255]));
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-diff.png"));
    panels.save(&path).unwrap();
    path
}
