//! The query language: what each operator does, and that both databases do the same.

#![allow(clippy::unwrap_used)]

mod agree;
mod groups;
mod plans;
mod support;
