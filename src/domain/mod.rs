//! The words of this service. No async, no I/O, and nothing of axum, sqlx or Azure's crates.
//!
//! Each type has one fallible constructor and is right from then on, so the rooms further out never
//! check a value twice. States are enums whose variants hold just the fields that exist then; the
//! migrations say the same in `CHECK`s.

pub mod audit_event;
pub mod caller;
pub mod clock;
pub mod drift;
pub mod effective_permission;
pub mod key_vault_id;
pub mod key_vault_resource;
pub mod machine;
pub mod operation;
pub mod passphrase;
pub mod preflight;
pub mod principal;
pub mod reason;
pub mod recovery_services_resource;
pub mod recovery_services_vault;
pub mod resource_id;
pub mod retry_after;
pub mod role_definition_id;
pub mod rotation;
pub mod rotation_policy;
pub mod secret_name;
pub mod service_secret;
