//! What Etsy pushes: which receipt a message is about. It is signed by the Standard Webhooks specification; what it says
//! of the order is never believed.

use async_trait::async_trait;

use super::super::error::ChannelError;
use super::super::standard_webhooks::{self, Key};
use super::super::webhooks::{HookAddress, News, Push, PushError, Verified, Webhooks};
use super::{Etsy, wire};

/// Etsy has no call for it.
const PORTAL_STEPS: &str = "Etsy takes the address of webhooks in its own portal only: open etsy.com/developers → Manage \
    your apps → your app → Go to Webhook portal (commercial apps only), choose Add Endpoint, enter the address below with \
    the event order.paid, then copy the endpoint's signing secret into this connection. Until then orders come by schedule";

#[async_trait]
impl Webhooks for Etsy {
    fn headers(&self) -> &'static [&'static str] {
        standard_webhooks::HEADERS
    }

    async fn verify(&self, push: &Push) -> Result<Verified, PushError> {
        let secret = self.client.webhook_secret.as_ref().ok_or_else(|| {
            PushError::Refused("this connection has no signing secret; copy it from Etsy's portal".to_owned())
        })?;
        let key = Key::of_secret(secret.expose()).map_err(PushError::Refused)?;
        let id = standard_webhooks::verify(&key, push)?;
        let message = serde_json::from_slice(&push.body)
            .map_err(|_| PushError::Refused("it is signed, and no message of Etsy's".to_owned()))?;
        Ok(Verified { id, news: vec![news(&message, &self.client.shop_id)] })
    }

    async fn subscribe(&self, address: HookAddress<'_>) -> Result<Option<String>, ChannelError> {
        let is_set_up = self.client.webhook_secret.is_some();
        Ok((!is_set_up).then(|| format!("{PORTAL_STEPS}: {}", address.endpoint)))
    }
}

/// What a message is about. Etsy has sent its events as `order.paid` and as `ORDER_PAID`; whatever is about a receipt of
/// ours is a reason to read it.
fn news(message: &wire::Message, shop_id: &str) -> News {
    let event = message.event_type.as_deref().unwrap_or("a message without a name").to_lowercase();
    let event = event.replace('_', ".");
    let url = message.resource_url.as_deref().unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let after = |name: &str| {
        let mut parts = path.split('/').skip_while(|part| *part != name);
        parts.nth(1).filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // One endpoint hears of every shop that uses the app.
    let is_ours = message.shop_id.as_deref() == Some(shop_id) || after("shops") == Some(shop_id);
    match after("receipts") {
        Some(receipt) if is_ours => News::Order(receipt.to_owned()),
        Some(_) => News::Other(format!("{event} of another shop")),
        None if is_ours && event.starts_with("order") => News::Orders,
        None => News::Other(event),
    }
}
