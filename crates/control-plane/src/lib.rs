//! API, dashboard, hub and planner over Postgres.
