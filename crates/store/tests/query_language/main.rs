//! The query language: what each operator does, and that both databases do the same.

mod agree;
mod plans;
mod support;
