//! One suite over an operation's builtin, native and wasm build: same description, same plans, same refusals, same pixels.
//! Those of the large operations that are shared libraries would take longer to build than all else; what a library is called
//! with and gives back, the small ones show.
//! The files are those that `tests/run` builds; `IMGSERVE_TEST_PLUGINS` names their directory.
#![allow(clippy::disallowed_methods, reason = "a test of files")]

use std::path::PathBuf;
use std::rc::Rc;

use imgserve_config::{CodecSettings, GuestSize, OperationSettings, PluginKind};
use imgserve_sdk::abi::{self, Product, RunInput, Table};
use imgserve_sdk::codec::Codec;
use imgserve_sdk::testing::{TestHost, header};
use imgserve_sdk::{Error, Host, Image, PixelFormat, SourceHeader, Window};
use serde_json::{Value, json};

use super::{CallError, Deadline, Loader, Plugin, prepare, table::TablePlugin};

/// Where the built plugins are.
fn built(name: &str) -> PathBuf {
    let named = std::env::var_os("IMGSERVE_TEST_PLUGINS").map(PathBuf::from);
    let directory =
        named.unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins")));
    let file = directory.join(name);
    assert!(file.exists(), "{} is missing: tests/run builds it", file.display());
    file
}

const EVERY: &[PluginKind] = &[PluginKind::Native, PluginKind::Wasm];

/// The builds of an operation.
struct Builds {
    _cache: tempfile::TempDir,
    all: Vec<(&'static str, Box<dyn Plugin>)>,
}

impl Builds {
    /// The builtin one, where it is one, and those `kinds` that come from a file. The first is what others are held to.
    fn of(name: &str, builtin: Option<&'static Table>, kinds: &[PluginKind]) -> Self {
        let cache = tempfile::tempdir().unwrap();
        let deadline = Rc::new(Deadline::start(|| {}).unwrap());
        let mut loader = Loader::new(&deadline, 100, GuestSize::default());
        let mut all: Vec<(&'static str, Box<dyn Plugin>)> = Vec::new();
        if let Some(table) = builtin {
            let builtin = TablePlugin::new(abi::Plugin::new(table).unwrap(), None, &deadline);
            all.push(("builtin", Box::new(builtin)));
        }
        for &kind in kinds {
            let extension = if kind == PluginKind::Native { "so" } else { "wasm" };
            let operation = OperationSettings::of_file(kind, built(&format!("{name}.{extension}")));
            // A debug build's native code and a first compile are slow; limits are tested elsewhere.
            let operation = OperationSettings { time_limit_ms: Some(120_000), ..operation };
            let artifact = prepare(&operation.file().unwrap(), cache.path(), || {}).unwrap();
            all.push((kind.name(), loader.load(&operation, Some(&artifact)).unwrap()));
        }
        Self { _cache: cache, all }
    }

    fn describe_alike(&self) {
        let host: Rc<dyn Host> = Rc::new(TestHost::default());
        let wanted = self.all[0].1.describe(&host).unwrap();
        for (kind, plugin) in &self.all {
            assert_eq!(plugin.describe(&host).unwrap(), wanted, "{kind}");
        }
    }

    /// Plans and runs on each build; gives the largest difference of a sample to the builtin one's.
    fn run_alike(&self, args: &Value, header: &SourceHeader, input: RunInput<'_>, window: Window) -> u16 {
        let host: Rc<dyn Host> = Rc::new(TestHost::default());
        let args = args.to_string();
        let mut outcomes = self.all.iter().map(|(kind, plugin)| {
            let planned = plugin.plan(args.as_bytes(), header, &host).map_err(refusal);
            let ran = planned.as_ref().ok().map(|_| {
                let results = plugin.run(args.as_bytes(), header, input, window, &host).map_err(refusal)?;
                let products = results.products().unwrap();
                Ok::<_, Error>(products.into_iter().map(owned).collect::<Vec<_>>())
            });
            (*kind, planned, ran)
        });
        let (_, wanted_plan, wanted) = outcomes.next().unwrap();
        let mut largest = 0;
        for (kind, plan, ran) in outcomes {
            assert_eq!(plan, wanted_plan, "{kind} {args}");
            match (&ran, &wanted) {
                (Some(Ok(ran)), Some(Ok(wanted))) => {
                    largest = largest.max(difference(ran, wanted, &format!("{kind} {args}")));
                }
                (ran, wanted) => assert_eq!(ran, wanted, "{kind} {args}"),
            }
        }
        largest
    }
}

fn refusal(error: CallError) -> Error {
    match error {
        CallError::Refused(error) => error,
        other => panic!("{other}"),
    }
}

fn owned(product: Product<'_>) -> Image {
    match product {
        Product::Pixels(image, _) => image.to_image(),
        Product::Encoded(_) => panic!("none of these gives encoded bytes"),
    }
}

fn difference(ran: &[Image], wanted: &[Image], what: &str) -> u16 {
    assert_eq!(ran.len(), wanted.len(), "{what}");
    // Most are the same bytes, which is sooner seen than sample by sample.
    let pairs = ran.iter().zip(wanted).filter(|(ran, wanted)| ran != wanted);
    let differences = pairs.flat_map(|(ran, wanted)| {
        assert_eq!(
            (ran.width(), ran.height(), ran.format()),
            (wanted.width(), wanted.height(), wanted.format())
        );
        samples(ran).zip(samples(wanted)).map(|(a, b)| a.abs_diff(b)).collect::<Vec<_>>()
    });
    differences.max().unwrap_or_default()
}

fn samples(image: &Image) -> Box<dyn Iterator<Item = u16> + '_> {
    match image.format() {
        PixelFormat::Rgba16 => {
            Box::new(image.data().as_chunks::<2>().0.iter().map(|&sample| u16::from_le_bytes(sample)))
        }
        _ => Box::new(image.data().iter().map(|&sample| u16::from(sample))),
    }
}

/// A picture in which every byte matters: gradients with noise on them.
fn picture(width: u32, height: u32, format: PixelFormat) -> Image {
    let mut state: u32 = 1;
    let data = (0..format.bytes(width, height)).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((i / 7) as u8).wrapping_add((state >> 28) as u8)
    });
    Image::new(width, height, format, data.collect()).unwrap()
}

/// Every build gives the same pixels, but for the last of 16 bits: fast_image_resize divides by a 16-bit alpha in floating
/// point on AVX2 and NEON, and by a table elsewhere. What is made sharper differs by more.
fn tolerance(format: PixelFormat, args: &Value) -> u16 {
    match (format, args.get("sharpen")) {
        (PixelFormat::Rgba16, None) => 1,
        (PixelFormat::Rgba16, Some(_)) => 4,
        _ => 0,
    }
}

fn on_pictures(builds: &Builds, formats: &[PixelFormat], all_args: &[Value]) {
    for &(width, height) in &[(64, 48), (333, 257), (1, 1), (1, 300), (500, 3)] {
        for &format in formats {
            let image = picture(width, height, format);
            for args in all_args {
                let header = header(width, height, format);
                let largest = builds.run_alike(args, &header, RunInput::Pixels(image.as_ref()), Window::FULL);
                assert!(largest <= tolerance(format, args), "{width}x{height} {format:?} {args}: {largest}");
            }
        }
    }
}

/// A large source of which an eighth was decoded.
fn on_a_scaled_window(builds: &Builds, args: &Value) {
    let image = picture(376, 251, PixelFormat::Rgb8);
    let window = Window { x: 0.0, y: 0.0, scale: 0.125 };
    let header = header(3001, 2003, PixelFormat::Rgb8);
    assert_eq!(builds.run_alike(args, &header, RunInput::Pixels(image.as_ref()), window), 0);
}

#[test]
fn resize_is_the_same_in_every_build() {
    static TABLE: Table = abi::table::<imgserve_resize::Resize>();
    let builds = Builds::of("resize", Some(&TABLE), &[PluginKind::Wasm]);
    builds.describe_alike();
    let sized = |more: Value| {
        let mut args = json!({ "width": 40, "height": 30, "enlarge": true });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let all = [
        sized(json!({})),
        sized(json!({ "fit": "contain", "background": "#11223380", "gravity": "south" })),
        sized(json!({ "fit": "fill", "filter": "nearest" })),
        sized(json!({ "fit": "inside", "filter": "mitchell" })),
        sized(json!({ "width": 700, "height": 500, "filter": "bilinear", "background": "white" })),
        sized(json!({ "gravity": "smart", "enlarge": "never", "flip": "both" })),
        sized(
            json!({ "crop": ["10%", "20%", "70%", "60%"], "rotate": 90, "blur": 1.5, "sharpen": 1, "pad": [1, 2] }),
        ),
        sized(json!({ "trim": true, "fit": "contain", "gravity": [0.2, 0.7], "background": "orange" })),
        json!({ "width": 40 }),
        json!({ "rotate": 180, "dpr": 2 }),
        // Refusals, each of another kind.
        json!({ "crop": [9000, 0, 1, 1] }),
        json!({ "width": 40, "trim": true }),
        json!({ "width": 5000, "height": 5000, "enlarge": "refuse" }),
        json!({ "width": "40", "height": 30 }),
        json!({ "width": 0, "height": 30 }),
        json!({ "width": 40, "height": 30, "fit": "none" }),
        json!({ "width": 5000, "height": 5000 }),
    ];
    on_pictures(&builds, &PixelFormat::ALL, &all);
    on_a_scaled_window(&builds, &json!({ "width": 200, "height": 120 }));
}

#[test]
fn sepia_is_the_same_in_every_build() {
    static TABLE: Table = abi::table::<sepia::Sepia>();
    let builds = Builds::of("sepia", Some(&TABLE), EVERY);
    builds.describe_alike();
    let all =
        [json!({}), json!({ "strength": 0.3 }), json!({ "strength": 2 }), json!({ "strength": "much" })];
    on_pictures(&builds, &[PixelFormat::Rgb8, PixelFormat::Rgba8, PixelFormat::Rgba16], &all);
    on_a_scaled_window(&builds, &json!({}));
}

#[test]
fn qoi_is_the_same_in_every_build() {
    // No builtin: one program has one `export_operation!`, and this one has that of `sepia`.
    let builds = Builds::of("qoi", None, EVERY);
    builds.describe_alike();
    // Five by three, a colour and a run of it; then the same without its end, and what is nothing of the kind.
    let mut file = b"qoif\0\0\0\x05\0\0\0\x03\x03\0".to_vec();
    file.extend([0xfe, 10, 200, 30, 0xc0 | 13, 0, 0, 0, 0, 0, 0, 0, 1]);
    for bytes in [&file[..], &file[..16], &file[..9], b"nothing of the kind"] {
        let header = SourceHeader {
            format: "qoi".to_owned(),
            head: bytes.to_vec(),
            ..header(5, 3, PixelFormat::Rgb8)
        };
        let largest = builds.run_alike(&json!({}), &header, RunInput::Encoded(bytes), Window::FULL);
        assert_eq!(largest, 0);
    }
}

/// The files of a codec, each in full and cut off, read natively and in the sandbox; and pictures, written.
fn codec_is_the_same<C: Codec>(name: &str, files: &[Vec<u8>]) {
    let cache = tempfile::tempdir().unwrap();
    let deadline = Rc::new(Deadline::start(|| {}).unwrap());
    let settings = CodecSettings { time_limit_ms: Some(120_000), ..CodecSettings::of_file(built(name)) };
    let artifact = prepare(&settings.file(), cache.path(), || {}).unwrap();
    let sandboxed =
        Loader::new(&deadline, 100, GuestSize::default()).load_codec(&settings, &artifact).unwrap();
    let host: Rc<dyn Host> = Rc::new(TestHost::default());
    let described = sandboxed.describe(&host).unwrap();
    assert_eq!(described, C::describe());
    let format = &described.formats[0];
    for file in files {
        for end in [file.len(), file.len() - 1, file.len() / 2, 30, 10] {
            let bytes = &file[..end];
            for complete in [true, false] {
                let answer = sandboxed.probe(&format.name, bytes, complete, &host).unwrap();
                match C::probe(&format.name, bytes, complete) {
                    // The host says itself that a whole file ends too early.
                    Ok(None) if complete => assert!(answer.is_err(), "{name}"),
                    wanted => assert_eq!(answer, wanted, "{name}, {end} bytes"),
                }
            }
            if let Ok(Some(header)) = C::probe(&format.name, bytes, true) {
                let answer = sandboxed.decode(&format.name, bytes, &header, &host).unwrap();
                assert_eq!(answer, C::decode(&format.name, bytes), "{name}, {end} bytes");
            }
        }
    }
    for pixels in format.written.iter().flat_map(|written| &written.pixels) {
        let image = picture(61, 37, *pixels);
        let written = sandboxed.encode(&format.name, image.as_ref(), 70, &host).unwrap();
        assert_eq!(written, C::encode(&format.name, &image, 70));
    }
}

#[test]
fn a_codec_is_the_same_in_the_sandbox() {
    let [rgb, rgba] = [PixelFormat::Rgb8, PixelFormat::Rgba8].map(|format| picture(97, 61, format));
    let qoi = [rgb, rgba].map(|image| qoi_codec::Qoi::encode("qoi", &image, 80).unwrap());
    codec_is_the_same::<qoi_codec::Qoi>("qoi-codec.wasm", &qoi);
    let heic = [
        include_str!("../../../../plugins/heic/tests/small.hex"),
        include_str!("../../../../plugins/heic/tests/rgba.hex"),
        include_str!("../../../../plugins/heic/tests/deep.hex"),
    ];
    codec_is_the_same::<heic::Heic>("heic.wasm", &heic.map(bytes_of));
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A drawing with a filter on something turned, which resvg draws to the bit alike everywhere.
const DRAWING: &str = "<svg xmlns='http://www.w3.org/2000/svg' width='120' height='90'>
  <linearGradient id='g'><stop stop-color='#fa0'/><stop offset='1' stop-color='#06c' stop-opacity='.5'/></linearGradient>
  <filter id='f'><feGaussianBlur stdDeviation='2.5'/></filter>
  <rect x='3' y='4' width='90.5' height='60.25' rx='11' fill='url(#g)' stroke='#222' stroke-width='1.7'/>
  <g opacity='.7' transform='rotate(13 60 45)'><circle cx='70' cy='50' r='22' fill='red' filter='url(#f)'/></g>
  <text x='8' y='40' font-size='19' font-family='serif' fill='#003'>Sphinx &amp; Öl</text>
</svg>";

/// A drawing that vello_cpu draws, whose sums are rounded as the processor's vectors do it.
const PLAIN_DRAWING: &str = "<svg xmlns='http://www.w3.org/2000/svg' width='120' height='90'>
  <radialGradient id='g'><stop stop-color='#fa0'/><stop offset='1' stop-color='#06c' stop-opacity='.5'/></radialGradient>
  <filter id='f'><feGaussianBlur stdDeviation='4'/></filter>
  <rect x='3' y='4' width='90.5' height='60.25' rx='11' fill='url(#g)' stroke='#222' stroke-width='1.7' stroke-dasharray='9 4'/>
  <g opacity='.7' transform='rotate(13 60 45)'><circle cx='70' cy='50' r='22' fill='red'/><path d='M20 20Q60 90 99 9z'/></g>
  <circle cx='90' cy='70' r='15' fill='#083' filter='url(#f)' style='mix-blend-mode:multiply'/>
  <text x='8' y='40' font-size='19' font-family='serif' fill='#003'>Sphinx &amp; Öl</text>
</svg>";
/// Of 255, per channel.
const PLAIN_TOLERANCE: u16 = 3;

#[test]
fn rasterize_is_the_same_in_every_build() {
    static TABLE: Table = abi::table::<imgserve_rasterize::Rasterize>();
    let builds = Builds::of("rasterize", Some(&TABLE), &[PluginKind::Wasm]);
    builds.describe_alike();
    let of = |drawing: &str| SourceHeader {
        format: "svg".to_owned(),
        head: drawing.as_bytes().to_vec(),
        ..header(120, 90, PixelFormat::Rgba8)
    };
    for args in [
        json!({ "width": 240, "height": 180 }),
        json!({ "width": 97, "height": 211, "fit": "contain", "background": "#ffeedd" }),
        json!({ "width": 64, "height": 64, "fit": "cover" }),
        json!({ "width": 0, "height": 64 }),
        json!({ "width": 64, "height": 64, "fit": "never" }),
    ] {
        let input = RunInput::Encoded(DRAWING.as_bytes());
        let largest = builds.run_alike(&args, &of(DRAWING), input, Window::FULL);
        assert_eq!(largest, 0, "{args}");
        let input = RunInput::Encoded(PLAIN_DRAWING.as_bytes());
        let largest = builds.run_alike(&args, &of(PLAIN_DRAWING), input, Window::FULL);
        assert!(largest <= PLAIN_TOLERANCE, "{args}: {largest}");
    }
    for broken in ["no drawing", "<svg xmlns='http://www.w3.org/2000/svg'><g></svg>"] {
        let args = json!({ "width": 9, "height": 9 });
        builds.run_alike(&args, &of(broken), RunInput::Encoded(broken.as_bytes()), Window::FULL);
    }
}

/// How often an instruction stands in a component's code, by the name that wasmparser gives it.
fn count(component: &[u8], instruction: &str) -> usize {
    let bodies =
        wasmparser::Parser::new(0).parse_all(component).filter_map(|payload| match payload.unwrap() {
            wasmparser::Payload::CodeSectionEntry(body) => Some(body),
            _ => None,
        });
    let named = |body: wasmparser::FunctionBody<'_>| {
        let operators = body.get_operators_reader().unwrap().into_iter();
        operators.filter(|operator| format!("{:?}", operator.as_ref().unwrap()) == instruction).count()
    };
    bodies.map(named).sum()
}

#[test]
fn the_inner_loops_of_sepia_and_smartcrop_are_vectors() {
    // Of the loops themselves: what the standard library brings along (memcpy) multiplies nothing.
    for (name, instruction, at_least) in [("sepia", "I32x4Mul", 9), ("smartcrop", "I32x4DotI16x8S", 50)] {
        let component = std::fs::read(built(&format!("{name}.wasm"))).unwrap();
        let found = count(&component, instruction);
        assert!(found >= at_least, "{name}.wasm has {found} {instruction}");
    }
}
