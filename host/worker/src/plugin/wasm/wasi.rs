//! WASI 0.2 as guests import it that other languages' tools make: a stub that opens nothing. There are no files, no
//! sockets, no environment and no arguments; the clock stands still but for what is waited for, which takes no time; random
//! numbers are the job's; what is written to stdout and stderr goes into the plugin's log. Whatever of WASI a guest imports is
//! there, of any 0.2, so that it can be loaded; what it cannot have fails when it is called.
//!
//! # Layout
//! - this file: a guest's imports linked
//! - `given`: what works; `denied`: what does not, and what a guest is told of it
//! - `kept`: what is kept of a guest meanwhile

mod denied;
mod given;
mod kept;

use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, ResourceType};

use super::state::State;
use crate::plugin::component;

pub(super) use denied::Denied;
pub(super) use kept::Kept;

/// Whatever a guest holds of WASI: a stream, or what can be waited for. Its number says which.
struct Held;

/// Gives a component what it imports of WASI.
///
/// # Errors
/// A text, when its functions have other types than WASI's.
pub(super) fn link(linker: &mut Linker<State>, component: &Component) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let (Some(interface), ComponentItem::ComponentInstance(instance)) =
            (component::wasi_interface(name), import.ty)
        else {
            continue;
        };
        let mut linker = linker.instance(name)?;
        for (item, export) in instance.exports(&engine) {
            match export.ty {
                ComponentItem::Resource(_) => {
                    let waits = item == "pollable";
                    let dropped = move |mut store: StoreContextMut<'_, State>, number| {
                        if waits {
                            store.data_mut().wasi.clock.forget(number);
                        }
                        Ok(())
                    };
                    linker.resource(item, ResourceType::host::<Held>(), dropped)?;
                }
                ComponentItem::ComponentFunc(_) if given::link(&mut linker, interface, item)? => {}
                ComponentItem::ComponentFunc(_) => denied::link(&mut linker, interface, item)?,
                _ => {}
            }
        }
    }
    Ok(())
}
