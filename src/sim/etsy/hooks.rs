//! Webhooks of the simulated Etsy: to the endpoint that a person entered in the webhook portal, signed with that
//! endpoint's secret. Nothing else can set one up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::ETSY;
use super::super::control::{self, ControlError};
use super::super::push::{Message, standard_headers};
use super::{Etsy, SHOP_ID};

/// What the portal gives secrets to begin with.
const SECRET_PREFIX: &str = "whsec_";

/// An endpoint in the portal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hook {
    url: String,
    secret: String,
}

impl Etsy {
    /// A person enters an endpoint: `{url, secret}`.
    pub fn truth_hook(&mut self, body: &Value) -> Result<Value, ControlError> {
        let hook = Hook { url: control::text(body, "url")?, secret: control::text(body, "secret")? };
        self.meta.hook = Some(hook);
        self.changes.meta = true;
        Ok(json!({}))
    }

    /// Something happened to a receipt that an endpoint hears of.
    pub(super) fn announce(&mut self, event: &str, index: usize, now: Timestamp) {
        let Some(hook) = &self.meta.hook else { return };
        let Some(receipt) = self.receipts.get(index) else { return };
        let body = json!({
            "event_type": event,
            "resource_url": format!("https://openapi.etsy.com/v3/application/shops/{SHOP_ID}/receipts/{}", receipt.id),
            "shop_id": SHOP_ID.to_string(),
        })
        .to_string();
        let key = STANDARD.decode(hook.secret.trim_start_matches(SECRET_PREFIX)).unwrap_or_default();
        self.meta.messages_sent += 1;
        let id = format!("msg_{}", self.meta.messages_sent);
        let headers = standard_headers(id, now, &body, &key);
        self.messages.push(Message { platform: ETSY, url: hook.url.clone(), headers, body, made_at: now });
        self.changes.meta = true;
    }

    /// Takes the messages that are on their way.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}
