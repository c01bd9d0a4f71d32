//! The journal as a whole, in a directory of its own.

mod archived;
mod commit;
mod credit;
mod exposure;
mod files;
mod holds;
mod lives;
mod payees;
mod repeats;
mod report;
mod reserve;
mod retention;
mod scan;
mod sinks;
mod speed;
mod tampering;
mod tree;
mod verify_speed;
mod windows;
