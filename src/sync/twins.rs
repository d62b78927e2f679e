//! A second appliance on the same shop: both would create the same orders, so ours stops and a person decides.

use super::{Engine, EngineError};
use crate::domain::connection::{Connection, ConnectionState};
use crate::domain::draft::ExternalSource;
use crate::domain::id::OrderNo;
use crate::store::incidents::NewIncident;
use crate::store::mirror::{MirrorRow, TwinSign};
use crate::store::{WriteLane, incidents};

/// What every one of these says at its end.
const WHY: &str = "Two appliances on one shop create orders twice.";

/// Opens an incident for each sign, if there is any, and pauses the shop's connection, once: who resumes it meanwhile is
/// not stopped by the next sign of the same page.
pub(super) async fn report(
    engine: &Engine,
    shop: &Connection,
    signs: Vec<TwinSign>,
) -> Result<(), EngineError> {
    let found: Vec<NewIncident> = signs.into_iter().map(|sign| incident(shop, sign)).collect();
    let Some(text) = found.first().map(|first| first.text.clone()) else { return Ok(()) };
    let now = engine.now();
    engine
        .store()
        .write(WriteLane::Interactive, move |tx| {
            for incident in &found {
                incidents::open(tx, incident, now)?;
            }
            Ok(())
        })
        .await?;
    engine.set_connection_state(shop.id, ConnectionState::Paused, Some(text), "eider").await?;
    Ok(())
}

fn incident(shop: &Connection, sign: TwinSign) -> NewIncident {
    match sign {
        TwinSign::Other(row) => other(shop, &row),
        TwinSign::Copy(row) => copy(shop, &row),
        TwinSign::Twice { order_no, external_id, shop_order_ids } => {
            twice(shop, order_no, &external_id, &shop_order_ids)
        }
    }
}

fn other(shop: &Connection, row: &MirrorRow) -> NewIncident {
    let source = row.external_source.as_deref().and_then(|text| text.parse::<ExternalSource>().ok());
    let other = source.map(|source| source.installation).unwrap_or_default();
    NewIncident {
        connection: Some(shop.id),
        order_no: None,
        kind: "second_appliance".to_owned(),
        text: format!(
            "Another Eider (installation {other}) created order {} in {}. {WHY}",
            row.shop_order_id, shop.alias
        ),
        next_step:
            "Stop the other appliance, or remove the marketplace from one of the two, then resume this \
                    connection."
                .to_owned(),
    }
}

fn copy(shop: &Connection, row: &MirrorRow) -> NewIncident {
    NewIncident {
        connection: Some(shop.id),
        order_no: None,
        kind: "second_appliance".to_owned(),
        text: format!(
            "Order {} in {} was created in the name of this installation, but not by it: another appliance works on a \
             copy of this data folder. {WHY}",
            row.shop_order_id, shop.alias
        ),
        next_step: "Stop the other appliance, then resume this connection. Where there is none, this data folder is an \
                    older copy of itself: put backups back with `eider restore`, which knows what came after them."
            .to_owned(),
    }
}

fn twice(shop: &Connection, order_no: Option<OrderNo>, external_id: &str, ids: &[String]) -> NewIncident {
    NewIncident {
        connection: Some(shop.id),
        order_no,
        kind: "duplicate_in_shop".to_owned(),
        text: format!(
            "{} holds several orders for the marketplace's order {external_id}: {}. {WHY}",
            shop.alias,
            ids.join(", ")
        ),
        next_step: format!(
            "Stop the other appliance if there is one. In the shop, cancel the order that the order's page here does not \
             name as its own; where it names none, all but one. Then resume {}, and press Retry on the order where it waits.",
            shop.alias
        ),
    }
}
