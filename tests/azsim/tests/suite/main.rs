//! azsim judged from outside: by Microsoft's Rust client, by bytes on the wire, and by its own control API.

mod access;
mod bodies;
mod control;
mod faults;
mod harness;
mod identity;
mod network;
mod official_client;
mod refusals;
mod soft_delete;
mod tokens;
mod wire;
