//! The job's way: from a request's JSON to a result at its destination. Names no HTTP server, no plugin loader and no
//! codec library.
//!
//! # Layout
//! - `json`: what JSON is read; `request`: 0.2's checks 101 to 113, in their order: JSON → a `Request` that cannot be invalid;
//!   `strict`: what requests that 0.2 could have had are held to; `formats`: the file formats of source and result; `wanted`:
//!   what a request of either API asks for; `headers`: what it wants said of results; `stores`: whether it may have its stores
//! - `generation`: a registry and the workers that serve it, swapped by a reload
//! - `intake`: a source on its way in, read once, within a memory limit; `gathered`: its bytes; `room`: one
//!   that a client sends
//! - `flow`: whose turn it is; `shares`: what is given in turns
//! - `accept`: what happens before the reply; `later`: jobs for which nothing happens before it
//! - `direct`: operations called directly, whose client waits for the result itself
//! - `dispatch`: which job runs; `run`: one attempt at it; `retry`: whether there is another one; `store`: its results
//! - `manage`: looking at jobs, cancelling them, trying them again; `notify`: webhooks
//! - `service`: what all of them share, and how it stops; `start`: how it starts. Its parts: `current`: what a reload
//!   replaces, and `settings` of that; `queue`: how many jobs may wait; `turns`: how much may be under way; `parking`: what waits for a place; `wakeups`: who
//!   is to look again; `warm`: jobs that have not begun; `live`: jobs under way; `locks`: what goes one after the other;
//!   `tally`: what is counted; `lifecycle`: what a stop waits for; `leases`: for how long what is done is this server's to do
//! - `nodes`: what a node knows of the others that share its journal
//! - `order`: how a job is done; `stored`: that as the journal keeps it, of every version; `story`: a job's story as clients
//!   are told it, with what was `asked`

mod accept;
mod asked;
mod current;
mod direct;
mod dispatch;
mod flow;
mod formats;
mod gathered;
mod generation;
mod headers;
mod intake;
mod json;
mod later;
mod leases;
mod lifecycle;
mod live;
mod locks;
mod manage;
mod nodes;
mod notify;
mod order;
mod parking;
mod queue;
mod request;
mod retry;
mod room;
mod run;
mod service;
mod settings;
mod shares;
mod start;
mod store;
mod stored;
mod stores;
mod story;
mod strict;
mod tally;
mod turns;
mod wakeups;
mod wanted;
mod warm;

pub(crate) use accept::{Api, Submission};
pub(crate) use direct::{Answer, CacheUse, Call, Product, Purge, Render, Sent, Sourced, Was};
pub(crate) use flow::flow;
pub(crate) use gathered::{Gathered, NoMemory};
pub(crate) use imgserve_base::job::{JobId, JobState};
pub(crate) use imgserve_journal::Filter;
pub(crate) use manage::{Known, Wish};
pub(crate) use notify::MOST_WEBHOOKS;
pub(crate) use order::Accepted;
pub(crate) use request::unknown_operation;
pub(crate) use room::Room;
pub(crate) use service::{Overview, Service};
pub(crate) use stored::reader;
