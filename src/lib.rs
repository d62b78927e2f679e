//! Eider: the code map is written here.

pub mod clock;
pub mod http;
pub mod secret;
pub mod vault;
