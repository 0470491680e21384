//! The service as its callers see it: HTTP only, against azsim and a real PostgreSQL.

#![expect(
    unreachable_pub,
    reason = "a test binary has no callers; `pub` marks the words of the harness"
)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, what cannot be is a failure")]
#![expect(clippy::print_stdout, reason = "the figures that a test measured")]
#![expect(
    clippy::disallowed_methods,
    reason = "SQL that looks behind the service is made as it is needed"
)]

mod adoption;
mod adoption_accept;
mod adoption_pages;
mod adoption_scan;
mod agent_script;
mod agent_tasks;
mod agents;
mod audit;
mod audit_anchors;
mod audit_archive;
mod audit_checkpoints;
mod audit_coverage;
mod audit_export;
mod audit_faults;
mod audit_figures;
mod audit_flood;
mod audit_kept;
mod audit_list;
mod audit_list_speed;
mod audit_partitions;
mod audit_receipts;
mod audit_refusals;
mod audit_restart;
mod audit_safeguards;
mod audit_table;
mod audit_verify;
mod audit_victim;
mod authorization;
mod bad_bodies;
mod bad_input;
mod bad_parameters;
mod chaos;
mod clock;
mod coverage;
mod coverage_csv;
mod crash_points;
mod crashes;
mod crashes_unknown;
mod dependencies;
mod drift;
mod drift_identity;
mod dumps;
mod fail_points;
mod harness;
mod hostile_http;
mod hostile_json;
mod idempotency;
mod idempotency_everywhere;
mod invariants;
mod judgement;
mod key_vault_faults;
mod kills;
mod log_samples;
mod machines;
mod mars_disagrees;
mod mars_writes;
mod memory;
mod network;
mod openapi;
mod operations;
mod overload;
mod people;
mod preflight;
mod problems;
mod rebinding;
mod rebuild;
mod recovery;
mod recovery_crashes;
mod registration;
mod retrieval;
mod rolling_restart;
mod rotation;
mod rotation_endings;
mod saga;
mod search_speed;
mod second_witness;
mod secrecy;
mod siem;
mod signing_keys;
mod slow_clients;
mod takeover;
mod tokens;
mod versions;
