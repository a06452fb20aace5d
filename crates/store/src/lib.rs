//! Apps, entities, users and sessions, in SQLite or PostgreSQL.
#![forbid(unsafe_code)]

pub mod query;
