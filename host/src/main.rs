//! Arguments → command → exit code. Exit codes: 0 done, 1 failed, 2 wrong arguments, 64 bad configuration; `status` has
//! its own (see `imgserve help status`).

use std::process::ExitCode;

fn main() -> ExitCode {
    imgserve::cli::run(std::env::args_os())
}
