//! Eider: the code map is written here.

pub mod clock;
pub mod sim;
