//! What is promised of any bytes that a worker says or that are handed in as a plugin: the fuzz targets, each of which panics
//! where a promise is not kept. `fuzz/` calls them for hours, the tests here in short, with the seeds stored there.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::frame;
use super::inbox::Inbox;
use super::plugin::{self, component};
use super::protocol::{Reply, Request};

/// The longest payload that the server takes here, in bytes.
const MAX_PAYLOAD: u64 = 1 << 16;
/// What fits a socket at once, so that nobody needs to read while it is written.
const MAX_WIRE: usize = 32 << 10;

/// What comes from a worker that has gone wild, and the same bytes on the other side: whole frames or errors.
pub fn frame(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
    runtime.block_on(from_worker(bytes));
    from_server(bytes);
}

async fn from_worker(bytes: &[u8]) {
    let mut rest = bytes;
    while let Ok((reply, payload)) = frame::receive::<Reply>(&mut rest, MAX_PAYLOAD).await {
        assert!(payload.len() as u64 <= MAX_PAYLOAD && payload.len() < bytes.len());
        let mut wire = Vec::new();
        // A number may be told in more than one way, but once told by us it stays as it is.
        let (told, arrived) = again(&reply, &payload, &mut wire).await;
        assert_eq!(arrived, payload);
        let (again, _) = again(&told, &payload, &mut wire).await;
        assert_eq!(format!("{told:?}"), format!("{again:?}"));
    }
}

async fn again<T: Serialize + DeserializeOwned>(
    message: &T,
    payload: &[u8],
    wire: &mut Vec<u8>,
) -> (T, bytes::Bytes) {
    wire.clear();
    frame::write(wire, message, &[payload]).expect("what was read can be written");
    let mut rest = wire.as_slice();
    let read = frame::receive(&mut rest, MAX_PAYLOAD).await.expect("what was written can be read");
    assert!(rest.is_empty(), "{} bytes too many", rest.len());
    read
}

fn from_server(bytes: &[u8]) {
    let (mut ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    ours.write_all(&bytes[..bytes.len().min(MAX_WIRE)]).expect("there is room");
    drop(ours);
    let mut inbox = Inbox::new(theirs);
    // The server is trusted: room is made for whatever it announces, which here is to be little.
    if bytes.get(4..12).is_none_or(|length| length[2..].iter().any(|&byte| byte != 0)) {
        return;
    }
    if let Ok((_, payload)) = frame::read::<Request>(&mut inbox) {
        assert!(payload.len() < bytes.len());
    }
}

/// A file that claims to be a plugin: refused, or made a component that is one in every respect that is checked.
pub fn plugin(bytes: &[u8]) {
    let _any = component::has_simd(bytes);
    if has_foreign_type(bytes) {
        return;
    }
    let inspected = component::inspect(bytes);
    match component::read(bytes) {
        Ok(made) => {
            let inspected = inspected.unwrap_or_else(|error| panic!("read and not inspected: {error}"));
            assert!(inspected.world.versions().contains(&inspected.version.as_str()));
            let again =
                component::inspect(&made).unwrap_or_else(|error| panic!("made, and no plugin: {error}"));
            assert_eq!(again, inspected);
            assert_eq!(component::has_simd(&made), component::has_simd(bytes));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// SHA-256 of the component type in the seed `module`.
const SEED_TYPE: &str = "045ca80ed46a929a6b6bc8465b28f35710e693215e3e46bf5292cdcd9fd32e52";

/// Whether a module carries another component type than the seed's. Of such, wit-component 0.254 panics (unreachable code), or
/// follows packages that depend on each other until the stack is used up, and a fuzzer would find nothing else. In the
/// product that ends a process which does nothing but make plugins ready.
fn has_foreign_type(file: &[u8]) -> bool {
    let types = wasmparser::Parser::new(0).parse_all(file).filter_map(|payload| match payload {
        Ok(wasmparser::Payload::CustomSection(section)) if section.name().starts_with("component-type") => {
            Some(plugin::hex(&Sha256::digest(section.data())))
        }
        _ => None,
    });
    types.into_iter().any(|digest| digest != SEED_TYPE)
}

#[cfg(test)]
mod tests {
    use imgserve_fuzz::{seeds, short_run};

    #[test]
    fn any_frame_in_short() {
        short_run(&seeds(include_str!("../fuzz/seeds/frame.txt")), 500, super::frame);
    }

    #[test]
    fn any_plugin_file_in_short() {
        short_run(&seeds(include_str!("../fuzz/seeds/plugin.txt")), 500, super::plugin);
    }
}
