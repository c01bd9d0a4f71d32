//! Tests of the whole crate, through its public face.

mod acts;
mod allowance;
mod complaints;
mod errors;
mod fixture;
mod guardrails;
mod identity;
mod loading;
mod prepaid;
mod sign_ins;
mod slicing;
mod speed;
mod starter;
mod subjects;
mod team;
mod truth;
