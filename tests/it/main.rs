//! The one integration binary: what must hold for the program as a whole, one file per matter.
//!
//! Each module is marked as test code by name, since lints cannot tell from the folder.

#[cfg(test)]
mod appliance;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod config;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod keep;
#[cfg(test)]
mod merchant;
#[cfg(test)]
mod specs;
#[cfg(test)]
mod tidy;
