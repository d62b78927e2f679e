//! One payload as received, put together with its person data and set out for reading.

use actix_web::{HttpResponse, web};
use askama::Template;

use super::{Shell, Visit};
use crate::domain::id::{OrderNo, PayloadId};
use crate::store::orders;
use crate::web::auth::{CanReadOrders, Signed};
use crate::web::error::WebError;
use crate::web::{AppState, routes};

#[derive(Template)]
#[template(path = "pages/payload.html", config = ".askama.toml")]
struct PayloadPage {
    shell: Shell,
    address: String,
    back: &'static str,
    payload_id: String,
    text: String,
}

/// The page.
///
/// # Errors
/// Where there is no such payload of this order.
pub async fn show(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    path: web::Path<(OrderNo, PayloadId)>,
) -> Result<HttpResponse, WebError> {
    let (no, payload_id) = path.into_inner();
    let text = state
        .store
        .read(move |read| {
            let detail = orders::detail(read, no)?;
            let is_its = detail
                .is_some_and(|detail| detail.payloads.iter().any(|payload| payload.payload_id == payload_id));
            if is_its { orders::payload(read, payload_id, true) } else { Ok(None) }
        })
        .await?
        .ok_or_else(|| {
            WebError::NotFound("This order has no such payload. Open the order again.".to_owned())
        })?;
    visit.page(&PayloadPage {
        shell: visit.shell(&who, format!("Payload {payload_id}"), "orders"),
        address: routes::order(no),
        back: "Back to the order",
        payload_id: payload_id.to_string(),
        text: set_out(text),
    })
}

/// A parked one: whole, as it arrived.
///
/// # Errors
/// Where it is not parked.
pub async fn show_parked(
    who: Signed<CanReadOrders>,
    visit: Visit,
    state: web::Data<AppState>,
    id: web::Path<PayloadId>,
) -> Result<HttpResponse, WebError> {
    let payload_id = *id;
    let text = state
        .store
        .read(move |read| match orders::parked_one(read, payload_id)? {
            Some(_) => orders::payload(read, payload_id, true),
            None => Ok(None),
        })
        .await?
        .ok_or_else(|| WebError::no_parked(payload_id))?;
    visit.page(&PayloadPage {
        shell: visit.shell(&who, format!("Payload {payload_id}"), "connections"),
        address: routes::PARKED.to_owned(),
        back: "Parked payloads",
        payload_id: payload_id.to_string(),
        text: set_out(text),
    })
}

/// Indented where it is JSON; as received where it is not.
fn set_out(text: String) -> String {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) else { return text };
    serde_json::to_string_pretty(&value).unwrap_or(text)
}
