//! Resources of batch.

pub mod cron_job;
pub mod job;
mod job_policies;
pub mod job_spec;
mod job_status;
