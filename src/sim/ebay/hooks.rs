//! Notifications of the simulated eBay: signed with a key of its own, sent to the destinations that are subscribed.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::EBAY;
use super::super::push::Message;
use super::Ebay;

/// The id of the key that notifications are signed with.
const KEY_ID: &str = "9936261a-7d7b-4621-a0f1-96ccb428af49";

/// What stands before a point of P-256 in the DER of its public key (RFC 5480).
const SPKI_OF_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// That key. It is nobody's secret.
fn key() -> Option<SigningKey> {
    SigningKey::from_slice(&Sha256::digest(b"simulated eBay signs with this")).ok()
}

/// The public key of that id, as eBay writes it: PEM without its line breaks.
pub(super) fn public_key(id: &str) -> Option<Value> {
    let point = key().filter(|_| id == KEY_ID)?.verifying_key().to_encoded_point(false);
    let der = [SPKI_OF_P256, point.as_bytes()].concat();
    let text = format!("-----BEGIN PUBLIC KEY-----{}-----END PUBLIC KEY-----", STANDARD.encode(der));
    Some(json!({"key": text, "algorithm": "ECDSA", "digest": "SHA1"}))
}

fn signature(body: &str) -> Option<String> {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, body.as_bytes());
    let signature: Signature = key()?.sign_prehash(hash.as_ref()).ok()?;
    let said = json!({
        "alg": "ecdsa",
        "kid": KEY_ID,
        "signature": STANDARD.encode(signature.to_der().as_bytes()),
        "digest": "SHA1",
    });
    Some(STANDARD.encode(said.to_string()))
}

impl Ebay {
    /// A buyer paid: who subscribed to confirmations hears of it.
    pub(super) fn announce(&mut self, index: usize, now: Timestamp) {
        let Some(order) = self.orders.get(index).filter(|order| order.is_paid) else { return };
        let topic = "ORDER_CONFIRMATION";
        let says = |body: &Value, name: &str, word: &str| body.get(name).is_some_and(|value| value == word);
        let is_sent = |body: &Value| says(body, "topicId", topic) && says(body, "status", "ENABLED");
        let subscribed = self.meta.subscriptions.iter().filter(|one| is_sent(&one.body));
        let urls: Vec<String> = subscribed
            .filter_map(|one| {
                let mut all = self.meta.destinations.iter();
                let known = all.find(|known| says(&one.body, "destinationId", &known.id));
                known?.body.pointer("/deliveryConfig/endpoint").and_then(Value::as_str).map(str::to_owned)
            })
            .collect();
        let data = json!({"order": {"orderId": order.id}});
        for url in urls {
            let id = self.new_number(18);
            let body = json!({
                "metadata": {"topic": topic, "schemaVersion": "1.0", "deprecated": false},
                "notification": {
                    "notificationId": id,
                    "eventDate": now.to_string(),
                    "publishDate": now.to_string(),
                    "publishAttemptCount": 1,
                    "data": data,
                },
            })
            .to_string();
            let headers = signature(&body).map(|signature| ("x-ebay-signature", signature));
            let headers = headers.into_iter().collect();
            self.messages.push(Message { platform: EBAY, url, headers, body, made_at: now });
        }
    }

    /// Takes the messages that are on their way.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}
