//! Eider: the code map is written here.

pub mod channels;
pub mod clock;
pub mod config;
pub mod domain;
pub mod http;
pub mod secret;
pub mod store;
pub mod vault;
pub mod web;
