//! passphrase-broker keeps the passphrases of Azure Backup's MARS agents: it registers machines,
//! rotates passphrases with the agent's confirmation, and releases them with a reason and an audit
//! event that cannot be skipped.
//!
//! # The map
//!
//! | room | what happens there | may use |
//! |---|---|---|
//! | [`domain`] | the words: machine, passphrase, rotation, operation, audit event | nothing |
//! | [`audit`] | the log: an event goes in, a receipt comes out; its Merkle tree, and the check of both | domain |
//! | [`store`] | PostgreSQL, except the log: machines, rotations, idempotency keys | domain |
//! | [`azure`] | Key Vault, Resource Manager, Entra ID, credentials | domain; of `audit` the receipt only |
//! | [`broker`] | the use cases, one file each: registration, rotation, retrieval | all above |
//! | [`http`] | routes and problems, one file per noun | broker, domain |
//! | [`siem`] | the log's stream: a webhook, OCSF on standard output | audit, domain |
//! | [`config`] | the environment, every mistake at once | domain |
//! | [`listener`] | connections and their limits | config |
//! | [`process`], [`telemetry`] | no core dumps; logs and metrics | nothing |
//! | [`fail_point`] | where tests make it fail; empty in a release build | nothing; all may use it |
//! | [`server`] | puts it together and takes it down in order | all |
//!
//! `tests/architecture.rs` fails when an arrow points the other way.

#[macro_use]
pub mod fail_point;

pub mod audit;
pub mod azure;
pub mod broker;
pub mod config;
pub mod domain;
pub mod http;
pub mod listener;
pub mod process;
pub mod server;
pub mod siem;
pub mod store;
pub mod telemetry;
