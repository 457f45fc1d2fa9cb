//! The whole system as its users see it: real hosts, real programs, few clusters for all tests, each with apps of its
//! own. `scripts/test e2e` runs it; `cargo test -p testbed --features e2e --test e2e -- NAME…` runs some of it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a test harness speaks to a terminal")]

mod bad_input;
mod bed;
mod builds;
mod certificates;
mod clocks;
mod commands;
mod crashes;
mod doctor;
mod domains;
mod drains;
mod engine;
mod examples;
mod exec;
mod forged;
mod forward_auth;
mod front;
mod git;
mod guard;
mod healing;
mod hello;
mod images;
mod isolation;
mod joining;
mod mesh_keys;
mod node_pages;
mod nodes;
mod oneoff;
mod outages;
mod power;
mod presets;
mod private;
mod private_git;
mod registries;
mod relays;
mod relays_lost;
mod releases;
mod restarts;
mod runner;
mod secrets;
mod streams;
mod traefik;
mod visitors;
mod zones;

use std::process::ExitCode;

use runner::{Test, alone, ignored};

/// In the order in which they begin, long ones first where they run together. What stops programs, breaks hosts, has a
/// service of one name, looks at whole hosts or waits for an idle one has a cluster to itself, and what breaks hosts
/// comes last. What needs more than any machine has is ignored unless it is asked for.
fn tests() -> Vec<Test> {
    let together = [
        power::TESTS,
        hello::TESTS,
        bad_input::TESTS,
        forward_auth::TESTS,
        front::TESTS,
        crashes::TESTS,
        oneoff::TESTS,
        isolation::TESTS,
        presets::TESTS,
        releases::TESTS,
        exec::TESTS,
        domains::TESTS,
        doctor::TESTS,
        secrets::TESTS,
        streams::TESTS,
    ];
    let breaking = [
        nodes::TESTS,
        node_pages::TESTS,
        joining::TESTS,
        drains::TESTS,
        private::TESTS,
        forged::TESTS,
        restarts::TESTS,
        images::TESTS,
        registries::TESTS,
        guard::TESTS,
        git::TESTS,
        private_git::TESTS,
        commands::TESTS,
        traefik::TESTS,
        engine::TESTS,
        builds::TESTS,
        relays::TESTS,
        clocks::TESTS,
        relays_lost::TESTS,
        mesh_keys::TESTS,
        outages::TESTS,
        healing::TESTS,
        zones::TESTS,
        certificates::TESTS,
    ];
    let asked_for = ignored(examples::TESTS);
    [together.concat(), asked_for, alone(&breaking.concat())].concat()
}

fn main() -> ExitCode {
    runner::main(&tests())
}
