//! What imgserve's tests and benches talk to: real servers on loopback, each gone with its value.
//!
//! # Layout
//! - `authority`: a certificate authority of our own, and a certificate for localhost
//! - `emulators`: what speaks as Azure and Google Cloud Storage do
//! - `ftp`: an FTP and FTPS server (libunftp) on a temporary directory
//! - `postgres`: a PostgreSQL server in a temporary directory
//! - `s3`: an S3 server (s3s-fs) on a temporary directory, and what may go wrong with one
//! - `slow`: servers that send, take or answer a byte at a time, or never
//! - `web`: an HTTP and HTTPS server with files to fetch, an upload form, and a place to PUT to
//! - `wire`: a wire to a server, which can be cut
//! - `samples`: images made on the spot

mod authority;
mod emulators;
mod ftp;
mod postgres;
mod s3;
pub mod samples;
mod slow;
mod web;
mod wire;

pub use authority::Authority;
pub use emulators::Emulator;
pub use ftp::{Ftp, PASSWORD, USER};
pub use postgres::Postgres;
pub use s3::{PutObject, S3, Trouble};
pub use slow::{Pace, Slow};
pub use web::Web;
pub use wire::Wire;
