//! The whole system as its users see it: real hosts, real programs, one cluster for all tests, each with apps of its
//! own. `scripts/test e2e` runs it; `cargo test -p testbed --features e2e --test e2e -- NAME…` runs some of it.

mod bed;
mod hello;
mod runner;

use std::process::ExitCode;

use runner::Test;

/// In the order in which they run: what breaks hosts comes last.
fn tests() -> Vec<Test> {
    [hello::TESTS].concat()
}

fn main() -> ExitCode {
    runner::main(&tests())
}
