//! The service as its callers see it: HTTP only, against azsim and a real PostgreSQL.

#![expect(unreachable_pub, reason = "a test binary has no callers; `pub` marks the words of the harness")]

mod harness;
mod registration;
mod retrieval;
mod rotation;
mod secrecy;
mod rotation_endings;
