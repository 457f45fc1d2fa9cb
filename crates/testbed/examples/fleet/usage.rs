//! What the control plane and the database use.

use anyhow::{Context, Result};
use sysinfo::{Pid, Process, ProcessRefreshKind, ProcessesToUpdate, System};

/// Since the start of the processes.
pub(crate) struct Usage {
    /// Seconds of CPU.
    pub(crate) plane_s: f64,
    /// Of Postgres and all its processes.
    pub(crate) database_s: f64,
    /// Of the control plane.
    pub(crate) resident_mib: f64,
}

impl Usage {
    pub(crate) fn of(plane: u32, postgres: u32) -> Result<Self> {
        let mut system = System::new();
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let postgres = Pid::from_u32(postgres);
        let plane = system.process(Pid::from_u32(plane)).context("the control plane ended: see its log")?;
        let of_database = |(pid, process): &(&Pid, &Process)| {
            process.thread_kind().is_none() && (**pid == postgres || process.parent() == Some(postgres))
        };
        let database =
            system.processes().iter().filter(of_database).map(|(_, process)| seconds(process)).sum();
        #[expect(clippy::cast_precision_loss, reason = "bytes of one process")]
        let resident_mib = plane.memory() as f64 / f64::from(1 << 20);
        Ok(Self { plane_s: seconds(plane), database_s: database, resident_mib })
    }

    /// The CPU used after `before`; memory as it is now.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            plane_s: self.plane_s - before.plane_s,
            database_s: self.database_s - before.database_s,
            resident_mib: self.resident_mib,
        }
    }

    pub(crate) fn both_s(&self) -> f64 {
        self.plane_s + self.database_s
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of one measurement")]
fn seconds(process: &Process) -> f64 {
    process.accumulated_cpu_time() as f64 / 1000.0
}
