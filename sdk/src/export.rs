//! `export_operation!`, `export_codec!`: from a type that implements [`Operation`](crate::Operation) or
//! [`Codec`](crate::codec::Codec) to something a host can load.

/// Makes the crate a plugin: a WebAssembly component when it is built for wasm32, a shared library with the C ABI
/// table otherwise. Once in a crate of type `cdylib`, with the operation's type:
///
/// ```
/// # use imgserve_sdk::{Description, Error, Host, Operation, Output, Plan, Source, SourceHeader, schemars, serde};
/// # #[derive(serde::Deserialize, schemars::JsonSchema)]
/// # #[serde(crate = "imgserve_sdk::serde")]
/// # #[schemars(crate = "imgserve_sdk::schemars")]
/// # struct Args {}
/// struct Copy;
///
/// impl Operation for Copy {
///     // …
/// #   type Args = Args;
/// #   fn describe() -> Description {
/// #       Description::new::<Args>("copy", env!("CARGO_PKG_VERSION"), "Changes nothing.")
/// #   }
/// #   fn plan(_: &Args, source: &SourceHeader, _: &dyn Host) -> Result<Plan, Error> {
/// #       Ok(Plan::new(source.width, source.height, source.pixels))
/// #   }
/// #   fn run(_: &Args, source: Source<'_>, _: &dyn Host) -> Result<Output, Error> {
/// #       Ok(Output::Pixels(source.into_pixels()?.0))
/// #   }
/// }
///
/// imgserve_sdk::export_operation!(Copy);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export_operation {
    ($operation:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::guest::Component<$operation>;
    $crate::guest::export!(Component with_types_in $crate::guest::bindings);
        };

        // A test program may hold several operations, and no host looks for one there.
        #[cfg(test)]
        const _: $crate::abi::Table = $crate::abi::table::<$operation>();

        #[cfg(not(any(target_arch = "wasm32", test)))]
        #[allow(unsafe_code, reason = "a symbol that a host finds by name")]
        const _: () = {
            static TABLE: $crate::abi::Table = $crate::abi::table::<$operation>();

            #[unsafe(export_name = "imgserve_operation")]
            extern "C" fn entry() -> *const $crate::abi::Table {
                &TABLE
            }
        };
    };
}

/// Makes the crate a codec, when it is built for wasm32; natively it is a library for its own tests alone. Once in a crate of
/// type `cdylib`, with the type that implements [`Codec`](crate::codec::Codec). An example is in [`codec`](crate::codec).
#[macro_export]
macro_rules! export_codec {
    ($codec:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Component = $crate::guest::codec::Component<$codec>;
    $crate::guest::codec::export!(Component with_types_in $crate::guest::codec::bindings);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() -> $crate::codec::Description = <$codec as $crate::codec::Codec>::describe;
    };
}
