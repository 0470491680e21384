//! `POST /v1/preflight`: each of Microsoft's errors in a world that has it, and what is not proved is not passed.

mod estate;
mod forms;
mod groups;
mod hidden;
mod names;
mod obstacles;
mod rubbish;
mod samples;
mod unproven;
