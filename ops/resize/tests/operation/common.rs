//! Calls `resize` as a host does, through its C ABI table, and holds it to what it planned.

use imgserve_resize::Resize;
use imgserve_sdk::abi::{Plugin, PluginError, Product, RunInput, Table, table};
use imgserve_sdk::serde_json::Value;
use imgserve_sdk::testing::TestHost;
use imgserve_sdk::{Error, Image, ImageRef, PixelFormat, Plan, SourceHeader, Window};

static TABLE: Table = table::<Resize>();

pub(crate) fn plugin() -> Plugin {
    Plugin::new(&TABLE).unwrap()
}

pub(crate) fn header(width: u32, height: u32, pixels: PixelFormat) -> SourceHeader {
    SourceHeader { format: "png".to_owned(), width, height, frames: Some(1), pixels, head: Vec::new() }
}

pub(crate) fn plan(args: &Value, header: &SourceHeader) -> Result<Plan, Error> {
    plugin().plan(args.to_string().as_bytes(), header, &TestHost::default()).map_err(|error| match error {
        PluginError::Operation(error) => error,
        other => panic!("{other}"),
    })
}

/// Resizes a source that was decoded in full.
pub(crate) fn resize(args: &Value, image: &Image) -> Image {
    let header = header(image.width(), image.height(), image.format());
    resize_window(args, &header, image.as_ref(), Window::FULL)
}

/// Resizes a source of which `image` shows `window`.
pub(crate) fn resize_window(
    args: &Value,
    header: &SourceHeader,
    image: ImageRef<'_>,
    window: Window,
) -> Image {
    let planned = plan(args, header).unwrap();
    let args = args.to_string();
    let results =
        plugin().run(args.as_bytes(), header, RunInput::Pixels(image), window, &TestHost::default()).unwrap();
    let products = results.products().unwrap();
    let [Product::Pixels(result, _)] = products[..] else { panic!("not one image: {products:?}") };
    assert_eq!((result.width(), result.height()), (planned.width, planned.height), "{args}");
    assert_eq!(result.format(), planned.pixels, "{args}");
    result.to_image()
}

/// An image whose pixel at (x, y) is what `pixel` gives.
pub(crate) fn image<const N: usize>(
    width: u32,
    height: u32,
    format: PixelFormat,
    pixel: impl Fn(u32, u32) -> [u8; N],
) -> Image {
    let positions = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Image::new(width, height, format, positions.flat_map(|(x, y)| pixel(x, y)).collect()).unwrap()
}

/// The bytes of the pixel at (x, y).
pub(crate) fn pixel(image: &Image, x: u32, y: u32) -> &[u8] {
    let bytes = image.format().bytes_per_pixel();
    let start = (y as usize * image.width() as usize + x as usize) * bytes;
    &image.data()[start..start + bytes]
}
