//! The service as its callers see it: HTTP only, against azsim and a real PostgreSQL.

#![expect(unreachable_pub, reason = "a test binary has no callers; `pub` marks the words of the harness")]

mod adoption;
mod crashes;
mod crashes_unknown;
mod harness;
mod kills;
mod registration;
mod retrieval;
mod rotation;
mod rotation_endings;
mod secrecy;
