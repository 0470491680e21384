//! The service as its callers see it: HTTP only, against azsim and a real PostgreSQL.

mod harness;
mod registration;
mod retrieval;
mod rotation;
mod rotation_endings;
