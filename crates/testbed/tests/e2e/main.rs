//! The whole system as its users see it: real hosts, real programs, one cluster for all tests, each with apps of its
//! own. `scripts/test e2e` runs it; `cargo test -p testbed --features e2e --test e2e -- NAME…` runs some of it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test harness speaks to a terminal")]

mod bad_input;
mod bed;
mod builds;
mod commands;
mod crashes;
mod engine;
mod exec;
mod forged;
mod front;
mod git;
mod guard;
mod hello;
mod nodes;
mod outages;
mod power;
mod presets;
mod registries;
mod releases;
mod runner;
mod secrets;
mod traefik;
mod visitors;

use std::process::ExitCode;

use runner::Test;

/// In the order in which they run: what breaks hosts comes last.
fn tests() -> Vec<Test> {
    [
        nodes::TESTS,
        hello::TESTS,
        front::TESTS,
        bad_input::TESTS,
        forged::TESTS,
        git::TESTS,
        presets::TESTS,
        registries::TESTS,
        secrets::TESTS,
        releases::TESTS,
        power::TESTS,
        exec::TESTS,
        crashes::TESTS,
        commands::TESTS,
        guard::TESTS,
        traefik::TESTS,
        engine::TESTS,
        builds::TESTS,
        outages::TESTS,
    ]
    .concat()
}

fn main() -> ExitCode {
    runner::main(&tests())
}
