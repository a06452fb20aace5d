//! The query language: what each operator does, and that both databases do the same.

#![allow(clippy::unwrap_used)]

mod agree;
mod alike;
mod elements;
mod groups;
mod operators;
mod plans;
mod support;
mod updates;
