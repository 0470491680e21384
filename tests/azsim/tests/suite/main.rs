//! azsim judged from outside: by Microsoft's Rust client, by bytes on the wire, and by its own control API.

mod harness;
mod official_client;
