//! The pages and the API through their handlers, over a real store and vault; only the engine is a recorder.

mod rules;
mod shown_orders;
mod site;
