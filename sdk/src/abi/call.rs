//! The host's side of the C ABI: a checked [`Plugin`] over a [`Table`], with safe functions. It trusts the
//! plugin's pointers (native code is trusted) and checks everything that they point to.
#![allow(unsafe_code, reason = "calls the table's C functions and reads what they point to")]

use std::ffi::c_void;
use std::ptr;

use serde::de::DeserializeOwned;

use super::{
    ABI_MAJOR, Bytes, Call, DONE, ENCODED, HostCalls, MAGIC, REFUSED, RawImage, Reply, Table, format_code,
    format_of,
};
use crate::{Description, Error, Flow, Host, ImageRef, Level, PixelFormat, Plan, SourceHeader, Window};

/// What can go wrong between a host and a plugin's table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// The table does not begin with [`MAGIC`].
    #[error("not an imgserve operation: wrong magic {0:02x?}")]
    Magic([u8; 8]),
    /// The table is of another major version.
    #[error(
        "built for plugin ABI {0}.x, this host speaks {ABI_MAJOR}.x: rebuild it with a matching imgserve-sdk"
    )]
    Version(u16),
    /// The table is shorter than its version's.
    #[error("its table says {0} bytes, shorter than ABI {ABI_MAJOR}.0's {min}", min = size_of::<Table>())]
    Size(u32),
    /// The operation refused or failed.
    #[error(transparent)]
    Operation(#[from] Error),
    /// The operation panicked; the panic was caught.
    #[error("panicked: {0}")]
    Panic(String),
    /// The plugin answered what the contract does not allow.
    #[error("broke the contract: {0}")]
    Contract(String),
}

/// A plugin whose table was checked.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    table: &'static Table,
}

/// What [`Plugin::run`] hands over.
#[derive(Clone, Copy, Debug)]
pub enum RunInput<'a> {
    /// One decoded image.
    Pixels(ImageRef<'a>),
    /// All frames of an animation and how long each is shown, in milliseconds.
    Frames(&'a [(ImageRef<'a>, u32)]),
    /// The source's bytes.
    Encoded(&'a [u8]),
}

/// One of the results of a run.
#[derive(Clone, Copy, Debug)]
pub enum Product<'a> {
    /// An image, and how long it is shown in milliseconds when it is a frame.
    Pixels(ImageRef<'a>, u32),
    /// Bytes to store as they are.
    Encoded(&'a [u8]),
}

/// The results of a run; the plugin's memory, freed when dropped.
#[derive(Debug)]
pub struct Results(Owned);

impl Results {
    /// The results, each checked to be as long as it says.
    ///
    /// # Errors
    /// [`PluginError::Contract`] when one is not, or when there is none.
    pub fn products(&self) -> Result<Vec<Product<'_>>, PluginError> {
        let products = self.0.images().iter().map(product).collect::<Result<Vec<_>, _>>()?;
        if products.is_empty() {
            return Err(PluginError::Contract("run gave no result".to_owned()));
        }
        Ok(products)
    }
}

impl Plugin {
    /// Checks magic, version and size.
    ///
    /// # Errors
    /// [`PluginError::Magic`], [`PluginError::Version`] or [`PluginError::Size`].
    pub fn new(table: &'static Table) -> Result<Self, PluginError> {
        if table.magic != MAGIC {
            return Err(PluginError::Magic(table.magic));
        }
        if table.abi_major != ABI_MAJOR {
            return Err(PluginError::Version(table.abi_major));
        }
        if (table.struct_size as usize) < size_of::<Table>() {
            return Err(PluginError::Size(table.struct_size));
        }
        Ok(Self { table })
    }

    /// The same for a table of which nothing is known yet: no more of it is read than its checked beginning says is there.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// # Safety
    /// `table` points to at least 8 readable bytes, and if these are [`MAGIC`], to a table of the size that it says, which
    /// stays as it is for ever.
    pub unsafe fn from_raw(table: *const Table) -> Result<Self, PluginError> {
        // SAFETY: the caller promises as much.
        let magic = unsafe { table.cast::<[u8; 8]>().read_unaligned() };
        if magic != MAGIC {
            return Err(PluginError::Magic(magic));
        }
        // SAFETY: with the magic there is a table, whose beginning is the same in all versions.
        let (abi_major, struct_size) =
            unsafe { ((&raw const (*table).abi_major).read(), (&raw const (*table).struct_size).read()) };
        if abi_major != ABI_MAJOR {
            return Err(PluginError::Version(abi_major));
        }
        if (struct_size as usize) < size_of::<Table>() {
            return Err(PluginError::Size(struct_size));
        }
        // SAFETY: all of our table is there, and stays.
        Self::new(unsafe { &*table })
    }

    /// What the operation says about itself.
    ///
    /// # Errors
    /// [`PluginError::Panic`] or [`PluginError::Contract`].
    pub fn describe(&self) -> Result<Description, PluginError> {
        // SAFETY: the table was checked; the reply is written before the call returns.
        self.call(|reply| unsafe { (self.table.describe)(reply) })?.parse()
    }

    /// What the operation would produce; `args` is the JSON of an object.
    ///
    /// # Errors
    /// [`PluginError::Operation`] when it refuses, [`PluginError::Panic`] or [`PluginError::Contract`].
    pub fn plan(&self, args: &[u8], header: &SourceHeader, host: &dyn Host) -> Result<Plan, PluginError> {
        let call = call_json(header, Window::FULL, false)?;
        let calls = host_calls(&host);
        let reply = self.call(|reply| {
            // SAFETY: the table was checked; everything pointed to lives until the call returns.
            unsafe {
                let (args, call, head) = (Bytes::new(args), Bytes::new(&call), Bytes::new(&header.head));
                (self.table.plan)(args, call, head, &calls, reply);
            }
        })?;
        let plan: Plan = reply.parse()?;
        if plan.width == 0 || plan.height == 0 {
            return Err(PluginError::Contract(format!("planned {}x{} pixels", plan.width, plan.height)));
        }
        Ok(plan)
    }

    /// Does the work. `window` says which part of the source the pixels show.
    ///
    /// # Errors
    /// [`PluginError::Operation`] when it fails, [`PluginError::Panic`] or [`PluginError::Contract`].
    pub fn run(
        &self,
        args: &[u8],
        header: &SourceHeader,
        input: RunInput<'_>,
        window: Window,
        host: &dyn Host,
    ) -> Result<Results, PluginError> {
        let call = call_json(header, window, matches!(input, RunInput::Frames(_)))?;
        let images: Vec<RawImage> = match input {
            RunInput::Pixels(image) => vec![raw(image, 0)],
            RunInput::Frames(frames) => frames.iter().map(|&(image, delay)| raw(image, delay)).collect(),
            RunInput::Encoded(bytes) => {
                vec![RawImage { bytes: Bytes::new(bytes), width: 0, height: 0, format: ENCODED, delay_ms: 0 }]
            }
        };
        let calls = host_calls(&host);
        let reply = self.call(|reply| {
            // SAFETY: the table was checked; everything pointed to lives until the call returns.
            unsafe {
                (self.table.run)(
                    Bytes::new(args),
                    Bytes::new(&call),
                    images.as_ptr(),
                    images.len(),
                    &calls,
                    reply,
                );
            }
        })?;
        Ok(Results(reply))
    }

    fn call(&self, function: impl FnOnce(*mut Reply)) -> Result<Owned, PluginError> {
        let mut reply = Reply {
            status: DONE,
            json: Bytes { ptr: ptr::null(), len: 0 },
            images: ptr::null(),
            image_count: 0,
            owner: ptr::null_mut(),
        };
        function(&mut reply);
        let owned = Owned { reply, free: self.table.free };
        match owned.reply.status {
            DONE => Ok(owned),
            REFUSED => Err(PluginError::Operation(owned.parse()?)),
            _ => Err(PluginError::Panic(owned.parse::<String>().unwrap_or_default())),
        }
    }
}

/// A reply and the function that frees it.
#[derive(Debug)]
struct Owned {
    reply: Reply,
    free: unsafe extern "C" fn(*mut c_void),
}

impl Owned {
    fn parse<T: DeserializeOwned>(&self) -> Result<T, PluginError> {
        // SAFETY: the plugin keeps the bytes readable until the reply is freed, which is in `drop`.
        let json = unsafe { self.reply.json.as_slice() };
        serde_json::from_slice(json)
            .map_err(|error| PluginError::Contract(format!("unreadable answer: {error}")))
    }

    fn images(&self) -> &[RawImage] {
        if self.reply.images.is_null() || self.reply.image_count == 0 {
            return &[];
        }
        // SAFETY: the plugin keeps that many images readable until the reply is freed, which is in `drop`.
        unsafe { std::slice::from_raw_parts(self.reply.images, self.reply.image_count) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: `owner` is the plugin's own and is given back to its own function, once.
        unsafe { (self.free)(self.reply.owner) };
    }
}

fn product(raw: &RawImage) -> Result<Product<'_>, PluginError> {
    // SAFETY: `raw` is borrowed from a reply that is not freed yet.
    let data = unsafe { raw.bytes.as_slice() };
    if raw.format == ENCODED {
        return Ok(Product::Encoded(data));
    }
    let format: PixelFormat = format_of(raw.format)
        .ok_or_else(|| PluginError::Contract(format!("gave pixels of unknown format {}", raw.format)))?;
    ImageRef::new(raw.width, raw.height, format, data)
        .map(|image| Product::Pixels(image, raw.delay_ms))
        .map_err(|error| PluginError::Contract(error.to_string()))
}

fn raw(image: ImageRef<'_>, delay_ms: u32) -> RawImage {
    RawImage {
        bytes: Bytes::new(image.data()),
        width: image.width(),
        height: image.height(),
        format: format_code(image.format()),
        delay_ms,
    }
}

fn call_json(header: &SourceHeader, window: Window, frames: bool) -> Result<Vec<u8>, PluginError> {
    let call = Call { header: header.clone(), window, frames };
    serde_json::to_vec(&call).map_err(|error| PluginError::Contract(error.to_string()))
}

/// The calls that reach `host`, to be used while the borrow lasts.
fn host_calls(host: &&dyn Host) -> HostCalls {
    HostCalls {
        struct_size: size_of::<HostCalls>() as u32,
        context: ptr::from_ref(host).cast(),
        log,
        progress,
        random,
        config,
    }
}

unsafe extern "C" fn log(context: *const c_void, level: u32, message: Bytes) {
    // SAFETY: `run` passes a pointer to its `&dyn Host`, alive during the call.
    let host = unsafe { *context.cast::<&dyn Host>() };
    // SAFETY: the plugin keeps the message readable during the call.
    let text = String::from_utf8_lossy(unsafe { message.as_slice() });
    let level = [Level::Debug, Level::Info, Level::Warn].get(level as usize).copied().unwrap_or(Level::Error);
    host.log(level, &text);
}

unsafe extern "C" fn progress(context: *const c_void, done: f32) -> u32 {
    // SAFETY: as for `log`.
    let host = unsafe { *context.cast::<&dyn Host>() };
    match host.progress(done) {
        Flow::Continue => 0,
        Flow::Cancelled => 1,
    }
}

unsafe extern "C" fn random(context: *const c_void) -> u64 {
    // SAFETY: as for `log`.
    unsafe { *context.cast::<&dyn Host>() }.random()
}

unsafe extern "C" fn config(context: *const c_void) -> Bytes {
    // SAFETY: as for `log`.
    Bytes::new(unsafe { *context.cast::<&dyn Host>() }.config().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestHost, header};
    use crate::{Operation, Output, Source};

    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Args {
        width: u32,
        #[serde(default)]
        mode: String,
    }

    struct Test;

    impl Operation for Test {
        type Args = Args;

        fn describe() -> Description {
            Description::new::<Args>("test", "1.2.3", "For tests.")
        }

        fn plan(args: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
            assert!(args.mode != "panic", "as asked");
            Ok(Plan::new(args.width, source.height, source.pixels))
        }

        fn run(args: &Args, source: Source<'_>, host: &dyn Host) -> Result<Output, Error> {
            host.log(Level::Warn, &args.mode);
            if host.progress(0.5) == Flow::Cancelled {
                return Err(Error::failed("cancelled"));
            }
            Ok(Output::Pixels(source.pixels()?.0.to_image()))
        }
    }

    static TABLE: Table = super::super::table::<Test>();

    #[test]
    fn describes_and_plans_through_the_table() {
        let plugin = Plugin::new(&TABLE).unwrap();
        let description = plugin.describe().unwrap();
        assert_eq!((description.name.as_str(), description.version.as_str()), ("test", "1.2.3"));
        assert_eq!(description.arguments["required"], serde_json::json!(["width"]));
        let plan =
            plugin.plan(br#"{"width": 7}"#, &header(2, 1, PixelFormat::Gray8), &TestHost::default()).unwrap();
        assert_eq!((plan.width, plan.height), (7, 1));
    }

    #[test]
    fn refusals_panics_and_broken_plans_are_told_apart() {
        let plugin = Plugin::new(&TABLE).unwrap();
        let error =
            plugin.plan(br#"{}"#, &header(2, 1, PixelFormat::Gray8), &TestHost::default()).unwrap_err();
        assert!(matches!(error, PluginError::Operation(e) if e.kind() == crate::ErrorKind::MissingArgument));
        let error = plugin
            .plan(
                br#"{"width": 7, "mode": "panic"}"#,
                &header(2, 1, PixelFormat::Gray8),
                &TestHost::default(),
            )
            .unwrap_err();
        assert!(matches!(error, PluginError::Panic(text) if text == "as asked"));
        let error = plugin
            .plan(br#"{"width": 0}"#, &header(2, 1, PixelFormat::Gray8), &TestHost::default())
            .unwrap_err();
        assert!(matches!(error, PluginError::Contract(_)));
    }

    #[test]
    fn runs_with_log_and_cancellation() {
        let plugin = Plugin::new(&TABLE).unwrap();
        let image = ImageRef::new(2, 1, PixelFormat::Gray8, &[1, 2]).unwrap();
        let args = br#"{"width": 7, "mode": "hello"}"#;
        let host = TestHost::default();
        let header = header(2, 1, PixelFormat::Gray8);
        let results = plugin.run(args, &header, RunInput::Pixels(image), Window::FULL, &host).unwrap();
        assert!(matches!(results.products().unwrap()[..], [Product::Pixels(out, 0)] if out == image));
        assert_eq!(host.lines(), [(Level::Warn, "hello".to_owned())]);

        let host = TestHost::default().cancelled();
        let error = plugin.run(args, &header, RunInput::Pixels(image), Window::FULL, &host).unwrap_err();
        assert!(matches!(error, PluginError::Operation(e) if e.message() == "cancelled"));
    }

    #[test]
    fn a_foreign_table_is_refused_before_it_is_called() {
        let broken = |change: fn(&mut Table)| {
            let mut table = super::super::table::<Test>();
            change(&mut table);
            Plugin::new(Box::leak(Box::new(table))).unwrap_err()
        };
        assert!(matches!(broken(|t| t.magic[0] = 0), PluginError::Magic(_)));
        assert!(matches!(broken(|t| t.abi_major = 9), PluginError::Version(9)));
        assert!(matches!(broken(|t| t.struct_size = 8), PluginError::Size(8)));
    }
}
