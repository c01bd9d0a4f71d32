//! Everything asynchronous and everything a person touches: listeners, identity, the CLI.
//!
//! [`serve`] wires the four pure or synchronous crates together; [`turnstile`] is the queue in front of the gate;
//! [`cli`] is the `pursekeeper` command.

mod budget;
pub mod chain;
pub mod cli;
pub mod clock;
pub mod config;
mod demo;
mod halts;
mod hardening;
mod http;
pub mod identity;
pub mod metrics;
mod output;
mod prepaid;
mod record;
pub mod serve;
pub mod sinks;
pub mod standing;
mod traces;
pub mod turnstile;
