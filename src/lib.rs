//! Eider: the code map is written here.

pub mod clock;
pub mod channels;
pub mod domain;
