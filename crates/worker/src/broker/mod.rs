//! What answers host calls: the only way from a sandbox to the outside.

pub mod egress;
