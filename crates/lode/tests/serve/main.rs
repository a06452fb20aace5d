//! `lode serve` as its users meet it: a real process, over HTTP and by its own command line.

mod admin;
mod commands;
mod requests;
mod scripts;
mod support;
mod users;
