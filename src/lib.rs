//! Eider: the code map is written here.

pub mod app;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod domain;
pub mod http;
pub mod secret;
pub mod sim;
pub mod store;
pub mod sync;
pub mod vault;
pub mod web;
