//! What the tests speak: a broker, actors with tokens, machines.
//!
//! The broker is the production binary in a process of its own, against azsim and a real PostgreSQL.
//! Most tests share one ([`Broker::shared`]) and keep apart by machine names of their own; those that
//! break something start theirs ([`Broker::start`]), with its own database and Key Vault.

mod actor;
mod broker;
mod database;
mod keeper;
mod key_vault;
mod log;
mod outage;
mod port;
mod raw;
mod relay;
mod size;

pub use actor::{Actor, Answer, unique_fqdn};
pub use broker::{AUDIENCE, Broker, LOG_NAME, PUBLIC_KEY, RSV, SIGNING_KEY, Setup, azure};
pub use database::Database;
pub use key_vault::{refusal, secret_name_of};
pub use log::Logged;
pub use outage::Postgres;
pub use port::free_port;
pub use raw::until_closed;
pub use relay::Relay;
pub use size::full_size_or;
