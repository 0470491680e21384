//! azsim judged from outside: by Microsoft's Rust client, by bytes on the wire, and by its own control API.

mod access;
mod bodies;
mod conditions;
mod control;
mod faults;
mod harness;
mod identity;
mod key_vaults;
mod machines;
mod management_groups;
mod network;
mod official_client;
mod paging;
mod refusals;
mod resource_manager;
mod roles;
mod soft_delete;
mod states;
mod tokens;
mod wire;
mod worlds;
