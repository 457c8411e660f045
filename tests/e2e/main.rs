//! End-to-end tests: the real binary, real HTTP and FTP peers, real images.

mod architecture;
mod cli;
mod codes;
mod config;
mod golden;
mod harness;
mod hostile;
mod load;
mod operations;
mod schemes;
mod v1;
mod workers;
