//! What every host does: joining, the link to the control plane, the WireGuard mesh, the ledger.
