//! The suite, within a module that says which store's `Place` it is.

mod held;
mod keys;
mod life;
mod notices;
mod turns;

use super::*;
