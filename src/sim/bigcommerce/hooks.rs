//! The store's hooks: V3 calls that keep them, and the messages that go out for what changes.

use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::push::{Message, standard_headers};
use super::super::{BIGCOMMERCE, control, reply};
use super::calls::{Answer, Call, PAGE_MAX, Query, Refusal};
use super::v3::collection;
use super::{CLIENT_ID, CLIENT_SECRET, STORE_HASH, Shop};

/// A hook is switched off after so long without an event.
const IDLE_DAYS: i64 = 90;

/// One hook.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hook {
    pub(super) id: i64,
    scope: String,
    destination: String,
    is_active: bool,
    created: Timestamp,
    updated: Timestamp,
    /// When it was last sent to, or switched on.
    used: Timestamp,
}

impl Shop {
    pub(super) fn list_hooks(&self, query: &Query) -> Answer {
        let wanted = |name: &str, value: &str| query.one(name).is_none_or(|asked| asked == value);
        let found = self
            .hooks
            .values()
            .filter(|hook| {
                wanted("destination", &hook.destination)
                    && wanted("scope", &hook.scope)
                    && wanted("is_active", &hook.is_active.to_string())
            })
            .map(hook_json)
            .collect();
        collection(query, found, 50, PAGE_MAX)
    }

    pub(super) fn add_hook(&mut self, call: &Call<'_>) -> Answer {
        let body = body(call)?;
        let text = |name: &str| {
            let text = body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.map(str::to_owned).ok_or_else(|| unprocessable(&format!("{name} is required")))
        };
        let (scope, destination) = (text("scope")?, text("destination")?);
        if !scope.starts_with("store/") {
            return Err(unprocessable("scope: the given scope does not exist"));
        }
        // The real store takes https on port 443 only; here a test's own address will do.
        let url: http::Uri = destination.parse().map_err(|_| unprocessable("destination: no URL"))?;
        let is_secure = url.scheme_str() == Some("https") && url.port_u16().is_none_or(|port| port == 443);
        if !is_secure && !url.host().is_some_and(control::is_loopback) {
            return Err(unprocessable("destination: must be https on port 443"));
        }
        self.meta.hooks += 1;
        self.changes.meta = true;
        let (id, now) = (self.meta.hooks, call.now);
        let is_active = body.get("is_active").and_then(Value::as_bool).unwrap_or(true);
        let hook = Hook { id, scope, destination, is_active, created: now, updated: now, used: now };
        let answer = json!({"data": hook_json(&hook), "meta": {}});
        self.put_hook(hook);
        Ok(reply::json(StatusCode::OK, &answer))
    }

    pub(super) fn change_hook(&mut self, id: i64, call: &Call<'_>) -> Answer {
        let body = body(call)?;
        let mut hook = self.hook(id)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        hook.scope = text("scope").unwrap_or(hook.scope);
        hook.destination = text("destination").unwrap_or(hook.destination);
        hook.is_active = body.get("is_active").and_then(Value::as_bool).unwrap_or(hook.is_active);
        (hook.updated, hook.used) = (call.now, call.now);
        let answer = json!({"data": hook_json(&hook), "meta": {}});
        self.put_hook(hook);
        Ok(reply::json(StatusCode::OK, &answer))
    }

    pub(super) fn remove_hook(&mut self, id: i64) -> Answer {
        let hook = self.hook(id)?;
        let answer = json!({"data": hook_json(&hook), "meta": {}});
        self.hooks.remove(&id);
        self.changes.hooks.insert(id);
        Ok(reply::json(StatusCode::OK, &answer))
    }

    fn hook(&self, id: i64) -> Result<Hook, Refusal> {
        let missing = || Refusal(StatusCode::NOT_FOUND, "The hook does not exist.".to_owned());
        self.hooks.get(&id).cloned().ok_or_else(missing)
    }

    pub(super) fn put_hook(&mut self, hook: Hook) {
        self.changes.hooks.insert(hook.id);
        self.hooks.insert(hook.id, hook);
    }

    /// Every hook is switched off, as the store does after failed deliveries.
    pub fn switch_hooks_off(&mut self, now: Timestamp) {
        for hook in self.hooks.values_mut() {
            (hook.is_active, hook.updated) = (false, now);
            self.changes.hooks.insert(hook.id);
        }
    }

    /// Something changed that hooks may be set for.
    pub(super) fn announce(&mut self, scope: &'static str, data: Value, now: Timestamp) {
        let oldest = crate::clock::shifted(now, jiff::SignedDuration::from_hours(-24 * IDLE_DAYS));
        let mut destinations = Vec::new();
        for hook in self.hooks.values_mut().filter(|hook| hook.scope == scope && hook.is_active) {
            self.changes.hooks.insert(hook.id);
            if hook.used < oldest {
                (hook.is_active, hook.updated) = (false, now);
                continue;
            }
            hook.used = now;
            destinations.push(hook.destination.clone());
        }
        for url in destinations {
            self.meta.messages += 1;
            self.changes.meta = true;
            let number = self.meta.messages;
            let body = json!({
                "scope": scope,
                "store_id": "1025646",
                "data": data,
                "hash": format!("{number:040x}"),
                "created_at": now.as_second(),
                "producer": format!("stores/{STORE_HASH}"),
            })
            .to_string();
            let headers = standard_headers(format!("msg_{number}"), now, &body, CLIENT_SECRET.as_bytes());
            self.messages.push(Message { platform: BIGCOMMERCE, url, headers, body, made_at: now });
        }
    }

    /// Takes the messages that are on their way.
    pub fn take_messages(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.messages)
    }
}

fn body(call: &Call<'_>) -> Result<Value, Refusal> {
    serde_json::from_slice(call.request.body())
        .map_err(|error| unprocessable(&format!("the body is no JSON: {error}")))
}

fn unprocessable(text: &str) -> Refusal {
    Refusal(StatusCode::UNPROCESSABLE_ENTITY, text.to_owned())
}

fn hook_json(hook: &Hook) -> Value {
    json!({
        "id": hook.id,
        "client_id": CLIENT_ID,
        "store_hash": STORE_HASH,
        "scope": hook.scope,
        "destination": hook.destination,
        "headers": null,
        "is_active": hook.is_active,
        "created_at": hook.created.as_second(),
        "updated_at": hook.updated.as_second(),
    })
}
