//! What of WASI a guest cannot have: a call of it gives the guest's own error where its type has one, and else ends the guest;
//! either way the log says which call it was, and what to use instead.

use imgserve_sdk::Level;
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{LinkerInstance, Type, Val};

use crate::plugin::wasm::state::State;

/// The words for "you may not" of WASI's errors, the fittest first.
const REFUSALS: [&str; 4] = ["access-denied", "not-permitted", "unsupported", "HTTP-request-denied"];

/// A guest was ended for a call that no plugin has.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::plugin::wasm) struct Denied(String);

impl Denied {
    /// Of the function of an interface, which is written as `cli/exit` is.
    pub(super) fn of(interface: &str, function: &str) -> Self {
        let package = interface.split('/').next().unwrap_or_default();
        let (what, instead) = match package {
            "sockets" => (
                "reached for the network (a socket, or a name's address)",
                "a plugin has none: what it is to work on comes as its source, which the host fetches",
            ),
            "http" => (
                "reached for the network (`fetch`)",
                "a plugin has none: what it is to work on comes as its source, which the host fetches",
            ),
            "filesystem" => (
                "reached for a file (`open`)",
                "a plugin has none: what it needs stands in its code, or in its `config` table, which the host's `config` gives",
            ),
            "cli" if interface == "cli/exit" => {
                ("ended itself (`exit`)", "a plugin that cannot go on gives an error of the contract")
            }
            _ => ("called what no plugin has", "see `sdk/docs/languages.md`"),
        };
        Self(format!("{what} by `wasi:{interface}` `{function}`: {instead}"))
    }
}

/// Defines a function that is not to be had.
pub(super) fn link(
    linker: &mut LinkerInstance<'_, State>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<()> {
    let (interface, name) = (interface.to_owned(), function.to_owned());
    linker.func_new(function, move |store, signature, _, results| {
        let denied = Denied::of(&interface, &name);
        note(store, &denied);
        match (results, refusal(&signature)) {
            ([result], Some(refusal)) => {
                *result = refusal;
                Ok(())
            }
            _ => Err(denied.into()),
        }
    })
}

/// Says so in the log, the first time.
fn note(mut store: StoreContextMut<'_, State>, Denied(text): &Denied) {
    if store.data_mut().wasi.deny(text) {
        store.data().log(Level::Warn, text);
    }
}

/// What a function of this type gives when it may not do what it does.
fn refusal(signature: &ComponentFunc) -> Option<Val> {
    let mut results = signature.results();
    let Some(Type::Result(result)) = results.next() else { return None };
    let error = match result.err()? {
        Type::Enum(kinds) => Val::Enum(refused(kinds.names())?),
        Type::Variant(kinds) => {
            Val::Variant(refused(kinds.cases().filter(|case| case.ty.is_none()).map(|case| case.name))?, None)
        }
        _ => return None,
    };
    Some(Val::Result(Err(Some(Box::new(error)))))
}

fn refused<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.collect();
    REFUSALS.into_iter().find(|refusal| names.contains(refusal)).map(str::to_owned)
}
