//! What the trade knows: values, and decisions on them.
//!
//! Everything here is pure: values in, values out. No clock, no IO, no SQL, no async, no floating point, and no
//! use of any other part of the program. A platform's own words end in its `map.rs`; ours begin here.

pub mod connection;
pub mod country;
pub mod customer;
pub mod draft;
pub mod effect;
pub mod id;
pub mod listing;
pub mod money;
pub mod order;
pub mod pasted_address;
pub mod person;
pub mod plan;
pub mod reason;
pub mod refund;
pub mod shipment;
pub mod user;
