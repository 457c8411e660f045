//! Calls `rasterize` as a host does, through its C ABI table, and holds it to what it planned.

use imgserve_rasterize::Rasterize;
use imgserve_sdk::abi::{Plugin, PluginError, Product, RunInput, Table, table};
use imgserve_sdk::serde_json::{Value, json};
use imgserve_sdk::testing::TestHost;
use imgserve_sdk::{Error, Image, PixelFormat, Plan, SourceHeader, Window};

static TABLE: Table = table::<Rasterize>();

pub(crate) fn plugin() -> Plugin {
    Plugin::new(&TABLE).unwrap()
}

pub(crate) fn header(width: u32, height: u32) -> SourceHeader {
    let pixels = PixelFormat::Rgba8;
    SourceHeader { format: "svg".to_owned(), width, height, frames: Some(1), pixels, head: Vec::new() }
}

fn operation_error(error: PluginError) -> Error {
    match error {
        PluginError::Operation(error) => error,
        other => panic!("{other}"),
    }
}

pub(crate) fn plan(args: &Value, header: &SourceHeader) -> Result<Plan, Error> {
    plugin().plan(args.to_string().as_bytes(), header, &TestHost::default()).map_err(operation_error)
}

/// Draws a drawing whose own size a host has read as `header` says.
pub(crate) fn try_draw(args: &Value, header: &SourceHeader, svg: &[u8]) -> Result<Image, Error> {
    let planned = plan(args, header)?;
    let args = args.to_string();
    let results = plugin()
        .run(args.as_bytes(), header, RunInput::Encoded(svg), Window::FULL, &TestHost::default())
        .map_err(operation_error)?;
    let products = results.products().unwrap();
    let [Product::Pixels(result, _)] = products[..] else { panic!("not one image: {products:?}") };
    assert_eq!((result.width(), result.height()), (planned.width, planned.height), "{args}");
    assert_eq!(result.format(), planned.pixels, "{args}");
    Ok(result.to_image())
}

/// Draws `content`, which is in a view box of 100 × 100, at `width` × `height`.
pub(crate) fn draw(width: u32, height: u32, content: &str) -> Image {
    draw_with(&json!({ "width": width, "height": height }), 100, 100, content)
}

/// Draws `content`, which is in a view box of `view_width` × `view_height`.
pub(crate) fn draw_with(args: &Value, view_width: u32, view_height: u32, content: &str) -> Image {
    let svg = svg(view_width, view_height, content);
    try_draw(args, &header(view_width, view_height), svg.as_bytes()).unwrap()
}

pub(crate) fn svg(width: u32, height: u32, content: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
            width="{width}" height="{height}" viewBox="0 0 {width} {height}">{content}</svg>"#
    )
}

/// The pixel at (x, y).
pub(crate) fn pixel(image: &Image, x: u32, y: u32) -> [u8; 4] {
    let start = (y as usize * image.width() as usize + x as usize) * 4;
    image.data()[start..start + 4].try_into().unwrap()
}

/// A `data:` URL of `bytes`.
pub(crate) fn data_url(media_type: &str, bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    format!("data:{media_type},{text}")
}

/// A PNG of one colour.
pub(crate) fn png(width: u32, height: u32, [red, green, blue]: [u8; 3]) -> Vec<u8> {
    let mut pixmap = resvg::tiny_skia::Pixmap::new(width, height).unwrap();
    pixmap.fill(resvg::tiny_skia::Color::from_rgba8(red, green, blue, 255));
    pixmap.encode_png().unwrap()
}
