//! What a person does because a platform's API does not: enters an address that it withholds, tells it of a parcel on
//! its own pages.

use super::Engine;
use crate::channels::registry::is_shop;
use crate::domain::customer::Address;
use crate::domain::id::OrderNo;
use crate::store::{StoreError, WriteLane, entered_addresses, shipments};

impl Engine {
    /// Keeps a delivery address that a person entered, and lets the order go on. Says what happens next.
    ///
    /// # Errors
    /// Why not.
    pub async fn enter_address(
        &self,
        order_no: OrderNo,
        address: Address,
        actor: &str,
    ) -> Result<String, String> {
        let by = actor.to_owned();
        let enter = move |tx: &mut crate::store::Tx<'_>| {
            entered_addresses::enter(tx, order_no, &address, &by, is_shop)
        };
        let entered = self.store().write(WriteLane::Interactive, enter).await;
        let opened = entered.map_err(|error| in_words(&error))?;
        let is_going_on = !opened.is_empty();
        self.enqueue(opened);
        Ok(match is_going_on {
            true => "The address is kept, and the order goes on.".to_owned(),
            false => "The address is kept.".to_owned(),
        })
    }

    /// The marketplace was told of a parcel by hand: nothing is owed for it any more.
    ///
    /// # Errors
    /// Why that cannot be.
    pub async fn told_by_hand(&self, order_no: OrderNo, parcel: i64, actor: &str) -> Result<String, String> {
        let by = actor.to_owned();
        let tell = move |tx: &mut crate::store::Tx<'_>| shipments::told_by_hand(tx, order_no, parcel, &by);
        let ended = self.store().write(WriteLane::Interactive, tell).await;
        let ended = ended.map_err(|error| in_words(&error))?;
        self.with_queue(|queue| ended.iter().for_each(|effect| queue.remove(effect.id)));
        Ok(format!("Parcel {parcel} is done: nothing more is sent for it."))
    }
}

fn in_words(error: &StoreError) -> String {
    match error {
        StoreError::Invalid(why) => why.clone(),
        StoreError::NotFound => "This order or parcel does not exist.".to_owned(),
        other => other.to_string(),
    }
}
