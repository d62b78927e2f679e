//! What BigCommerce pushes: ids only, signed with the client secret. It switches hooks off that fail for long or hear
//! nothing for 90 days; they are looked at daily and switched on again. A hook that is left at an earlier address fails
//! always, and for too many failures BigCommerce blocks everything at that host: such hooks are moved or removed.
//! Hooks of others under the same access token are never touched.

use std::collections::BTreeSet;

use async_trait::async_trait;
use http::Method;

use super::super::error::{ChannelError, RejectKind};
use super::super::pace::Priority;
use super::super::standard_webhooks::{self, Key};
use super::super::webhooks::{HookAddress, News, Push, PushError, Verified, Webhooks};
use super::client::{HOOKS_PATH, Outgoing, corrupt, parse};
use super::{BigCommerce, wire};

/// Events that concern orders, parcels, listings or the authorisation.
const SCOPES: &[&str] = &[
    "store/order/created",
    "store/order/updated",
    "store/order/archived",
    "store/order/refund/created",
    "store/shipment/created",
    "store/shipment/updated",
    "store/shipment/deleted",
    "store/product/created",
    "store/product/updated",
    "store/product/deleted",
    "store/sku/created",
    "store/sku/updated",
    "store/sku/deleted",
    "store/app/uninstalled",
];

/// Hooks on a page.
const PAGE_HOOKS: usize = 250;

/// Pages of hooks that are looked through.
const HOOK_PAGES_MAX: usize = 20;

#[async_trait]
impl Webhooks for BigCommerce {
    fn headers(&self) -> &'static [&'static str] {
        standard_webhooks::HEADERS
    }

    async fn verify(&self, push: &Push) -> Result<Verified, PushError> {
        let config = &self.client.config;
        let key = config.client_secret.as_ref().ok_or_else(|| {
            PushError::Refused(
                "the client secret is not entered, so that no signature can be checked".to_owned(),
            )
        })?;
        let key = Key::of_bytes(key.expose().as_bytes()).map_err(PushError::Refused)?;
        let id = standard_webhooks::verify(&key, push)?;
        let message: wire::Message = serde_json::from_slice(&push.body)
            .map_err(|error| PushError::Refused(format!("it has another shape than documented: {error}")))?;
        // One secret may serve several stores.
        if message.producer != format!("stores/{}", config.store_hash) {
            return Err(PushError::Refused("it is about another store".to_owned()));
        }
        Ok(Verified { id, news: vec![news(&message)] })
    }

    async fn subscribe(&self, address: HookAddress<'_>) -> Result<Option<String>, ChannelError> {
        let endpoint = address.endpoint;
        let config = &self.client.config;
        let reject = |message: &str| {
            Err(ChannelError::Reject { kind: RejectKind::Other, message: message.to_owned() })
        };
        if config.client_secret.is_none() {
            return reject("enter the client secret, which BigCommerce signs its messages with");
        }
        if config.is_real && !endpoint.starts_with("https://") {
            return reject("BigCommerce sends only to https on port 443: set public_url to such an address");
        }
        let mut own = self.hooks().await?;
        own.retain(|hook| hook.destination == endpoint || address.was_here(&hook.destination));
        // One that leads here stays rather than one that has to be moved.
        own.sort_by_key(|hook| (hook.destination != endpoint, !hook.is_active, hook.id));
        let (mut added, mut revived, mut moved) = (0, 0, 0);
        let mut kept = BTreeSet::new();
        for scope in SCOPES {
            let Some(hook) = own.iter().find(|hook| hook.scope == *scope) else {
                self.add_hook(scope, endpoint).await?;
                added += 1;
                continue;
            };
            kept.insert(hook.id);
            if hook.destination != endpoint {
                self.put_hook(hook.id, endpoint).await?;
                moved += 1;
            } else if !hook.is_active {
                self.put_hook(hook.id, endpoint).await?;
                revived += 1;
            }
        }
        let mut removed = 0;
        for hook in own.iter().filter(|hook| !kept.contains(&hook.id)) {
            self.remove_hook(hook.id).await?;
            removed += 1;
        }
        Ok((added + revived + moved + removed > 0).then(|| {
            format!(
                "BigCommerce sends messages here: {added} hooks were added, {revived} switched on again, {moved} moved \
                 from an earlier address, {removed} removed."
            )
        }))
    }
}

impl BigCommerce {
    /// All hooks that were made with this access token.
    async fn hooks(&self) -> Result<Vec<wire::Hook>, ChannelError> {
        let mut hooks = Vec::new();
        for number in 1..=HOOK_PAGES_MAX {
            let query = vec![("limit", PAGE_HOOKS.to_string()), ("page", number.to_string())];
            let outgoing = Outgoing::get("getWebhooks", HOOKS_PATH.to_owned(), query, Priority::Bulk);
            let body = self.client.send(&outgoing).await?;
            let page: Option<wire::Hooks> = parse(&outgoing, &body)?;
            let page = page.ok_or_else(|| corrupt(&outgoing, "there is no list of hooks"))?;
            let is_last = page.data.len() < PAGE_HOOKS;
            hooks.extend(page.data);
            if is_last {
                break;
            }
        }
        Ok(hooks)
    }

    async fn add_hook(&self, scope: &str, endpoint: &str) -> Result<(), ChannelError> {
        let hook = wire::NewHook { scope, destination: endpoint, is_active: true };
        self.write_hook("createWebhooks", Method::POST, HOOKS_PATH.to_owned(), &hook).await
    }

    async fn put_hook(&self, id: i64, endpoint: &str) -> Result<(), ChannelError> {
        let change = wire::HookChange { destination: endpoint, is_active: true };
        self.write_hook("updateWebhook", Method::PUT, format!("{HOOKS_PATH}/{id}"), &change).await
    }

    async fn remove_hook(&self, id: i64) -> Result<(), ChannelError> {
        let outgoing =
            Outgoing::write("deleteWebhook", Method::DELETE, format!("{HOOKS_PATH}/{id}"), Vec::new());
        match self.client.send(&Outgoing { body: None, ..outgoing }).await {
            // Somebody else was quicker.
            Ok(_) | Err(ChannelError::Reject { kind: RejectKind::NotFound, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A lost answer is no doubt that matters: the next day's look finds what became of it.
    async fn write_hook(
        &self,
        operation: &'static str,
        method: Method,
        path: String,
        body: &impl serde::Serialize,
    ) -> Result<(), ChannelError> {
        let body = serde_json::to_vec(body)
            .map_err(|error| ChannelError::Fatal { message: format!("{operation}: {error}") })?;
        self.client.send(&Outgoing::write(operation, method, path, body)).await.map(|_| ())
    }
}

fn news(message: &wire::Message) -> News {
    let scope = message.scope.as_str();
    match scope.split('/').nth(1) {
        // The message is about the parcel; its order is read with the shop's changes.
        Some("order") => message.data.id.map_or(News::Orders, |id| News::Order(id.to_string())),
        Some("shipment") => News::Orders,
        Some("product" | "sku") => News::Listings,
        Some("app") => News::Authorisation,
        _ => News::Other(scope.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> wire::Message {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_message_says_what_to_look_at_and_no_more() {
        let of = |scope: &str, data: &str| {
            news(&message(&format!(r#"{{"scope":"{scope}","producer":"stores/a","data":{data}}}"#)))
        };
        assert_eq!(of("store/order/updated", r#"{"type":"order","id":250}"#), News::Order("250".to_owned()));
        assert_eq!(
            of("store/order/updated", r#"{"type":"order","id":"250"}"#),
            News::Order("250".to_owned())
        );
        assert_eq!(of("store/order/created", "{}"), News::Orders);
        assert_eq!(of("store/shipment/created", r#"{"id":12,"orderId":251}"#), News::Orders);
        assert_eq!(of("store/sku/inventory/updated", r#"{"id":461}"#), News::Listings);
        assert_eq!(of("store/app/uninstalled", "{}"), News::Authorisation);
        assert_eq!(of("store/cart/created", "{}"), News::Other("store/cart/created".to_owned()));
    }
}
