//! The pages and the API through their handlers, over a real store and vault; only the engine is a recorder.

mod addresses;
mod hooks;
mod metrics;
mod panel;
mod people;
mod rules;
mod shown_connections;
mod shown_orders;
mod shown_reconciliation;
mod site;
