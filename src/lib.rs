//! Eider: the code map is written here.

pub mod clock;
pub mod config;
pub mod http;
pub mod secret;
pub mod vault;
