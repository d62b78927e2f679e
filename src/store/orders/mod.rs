//! Orders: brought in by [`import`], listed by [`page`], shown by [`detail`], moved on by the deeds in `state`.
//!
//! The columns of an order have one writer each: facts are the import's, the export state and the shop's ids are
//! the export's, so an update from the platform never undoes what the export wrote.

mod detail;
mod import;
mod item;
mod page;
mod parked;
mod rows;
mod state;

pub use crate::store::connections::StreamUpdate;
pub use detail::{
    HeldFacts, OrderDetail, OrderParts, PayloadRow, ShopLines, believed_payload, detail, facts, facts_of,
    find, find_everywhere, in_shop_since, open_placed_before, parts, payload, row, shop_lines, shop_order_id,
};
pub use import::{ImportBatch, ImportOutcome, import};
pub use item::ImportItem;
pub(in crate::store) use item::people_search;
pub use page::{OrderCursor, OrderFilter, OrderPage, OrderRow, page};
pub use parked::{
    ParkedChoice, ParkedPayload, Reread, StillParked, keep_parked, mark_replayed, numbers, parked,
    parked_batch, parked_ids, parked_of, parked_one,
};
pub use rows::append_bare;
pub(in crate::store) use state::go_on;
pub use state::{begin_export, pick, retry, set_created, set_export, set_shop_lines};
