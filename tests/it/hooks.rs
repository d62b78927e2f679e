//! What a platform pushes, over real HTTP to the real program: read at once where it is the platform's own, also beside
//! a backup, and dropped where it is not. The connection's next poll is hours away.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use eider::clock::{Clock as _, SystemClock};
use eider::http::{Call, HttpTransport, Transport as _};
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::appliance::{Appliance, Platforms, client, eider, until};

/// A shop that tells of its orders.
struct Shop {
    http: HttpTransport,
    connection: i64,
    hook: String,
    secret: String,
    store_hash: String,
}

impl Shop {
    /// Connects it, and waits until it knows the hook.
    async fn connects(platforms: &Platforms, appliance: &Appliance) -> Self {
        let mut offer = platforms.offer("bigcommerce");
        offer["settings"] = json!({"poll_interval_s": 7_200});
        let held = |name: &str| offer["credentials"][name].as_str().unwrap().to_owned();
        let (secret, store_hash, token) = (held("client_secret"), held("store_hash"), held("access_token"));
        let hooks = format!("{}/stores/{store_hash}/v3/hooks", offer["base_url"].as_str().unwrap());
        let connection = appliance.connects(offer.clone()).await;
        let knows_the_hook = async || {
            let calls = platforms.sim("bigcommerce", "calls", None).await;
            calls["createWebhooks"]["200"].as_u64() == Some(14)
        };
        assert!(until(knows_the_hook).await, "it has no hook: {}", appliance.running.said());
        let http = client();
        let request = http::Request::get(hooks).header("x-auth-token", token).body(Bytes::new()).unwrap();
        let listed = http.send(Call::new("test", request)).await.unwrap();
        let listed: Value = serde_json::from_slice(&listed.body).unwrap();
        let hook = listed["data"][0]["destination"].as_str().unwrap().to_owned();
        Self { http, connection, hook, secret, store_hash }
    }

    /// A paid order of the storefront.
    async fn sells(&self, platforms: &Platforms) -> String {
        let listings = platforms.sim("bigcommerce", "listings", None).await;
        let mut listings = listings.as_array().unwrap().iter();
        let sku = listings.find(|one| one["quantity"].as_i64() > Some(5)).unwrap()["sku"].clone();
        let wish = json!({"sku": sku, "quantity": 1, "paid": true});
        let sold = platforms.sim("bigcommerce", "sell", Some(wish)).await;
        sold["id"].as_str().unwrap().to_owned()
    }

    /// Sends a message of an order to the hook, signed with `secret`, and gives the answer's status.
    async fn tells_of(&self, order: &str, id: &str, secret: &str) -> u16 {
        let body = json!({
            "scope": "store/order/created",
            "producer": format!("stores/{}", self.store_hash),
            "data": {"type": "order", "id": order.parse::<i64>().unwrap()},
        })
        .to_string();
        let second = SystemClock.now().as_second();
        let signature = signature(secret, id, second, &body);
        let request = http::Request::post(&self.hook)
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", second.to_string())
            .header("webhook-signature", signature)
            .body(Bytes::from(body))
            .unwrap();
        self.http.send(Call::new("test", request)).await.unwrap().status.as_u16()
    }

    /// Waits until its next poll is far away.
    async fn rests(&self, appliance: &Appliance) {
        let is_far = async || {
            let (_, found) = appliance.api("GET", &format!("connections/{}", self.connection), None).await;
            let next = found["next_run_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            next.is_some_and(|next| next > SystemClock.now() + SignedDuration::from_mins(30))
        };
        assert!(until(is_far).await, "it goes on polling: {}", appliance.running.said());
    }

    async fn is_read(&self, appliance: &Appliance, order: &str) -> bool {
        let (status, page) =
            appliance.api("GET", &format!("orders?connection={}", self.connection), None).await;
        assert_eq!(status, 200, "{page}");
        page["data"].as_array().unwrap().iter().any(|one| one["external_id"] == order)
    }
}

/// A message's signature as BigCommerce makes it: Standard Webhooks, with the app's secret as it is.
pub fn signature(secret: &str, id: &str, second: i64, body: &str) -> String {
    let code = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    let code = code.chain_update(format!("{id}.{second}.{body}")).finalize().into_bytes();
    format!("v1,{}", STANDARD.encode(code))
}

async fn polls(platforms: &Platforms) -> Value {
    platforms.sim("bigcommerce", "calls", None).await["getOrders"].clone()
}

/// Enough for a backup to take a while.
fn add_large_file(dir: &Path) {
    let files = dir.join("data/files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("large"), vec![7; 64 << 20]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_hook_has_its_order_read_without_a_poll_also_beside_a_backup_and_a_forged_one_has_not() {
    let dir = tempfile::tempdir().unwrap();
    let platforms = Platforms::start(dir.path(), "0").await;
    let appliance = Appliance::start_reachable(dir.path());
    let shop = Shop::connects(&platforms, &appliance).await;
    assert!(shop.hook.contains("/hooks/"), "{}", shop.hook);

    // Its own messages are lost, so that what arrives is what is sent here.
    let lost = json!({"operation": "*", "kind": "lost_webhook", "count": 999});
    platforms.sim("bigcommerce", "fault", Some(lost)).await;
    shop.rests(&appliance).await;
    let told = shop.sells(&platforms).await;
    assert_eq!(shop.tells_of(&told, "first", &shop.secret).await, 200);
    assert!(until(async || shop.is_read(&appliance, &told).await).await, "{}", appliance.running.said());

    shop.rests(&appliance).await;
    let untold = shop.sells(&platforms).await;
    let before = polls(&platforms).await;
    assert_eq!(shop.tells_of(&untold, "forged", "another secret").await, 200, "it is looked at later");
    let is_dropped = async || appliance.running.said().contains("a pushed message was dropped");
    assert!(until(is_dropped).await, "{}", appliance.running.said());
    assert_eq!(polls(&platforms).await, before, "what is forged costs no call");
    assert!(!shop.is_read(&appliance, &untold).await, "no poll is due");

    add_large_file(dir.path());
    let path = dir.path().to_owned();
    let backup = tokio::task::spawn_blocking(move || eider(&path, &["backup", "--to", "backups"]));
    let mut number = 0;
    while number == 0 || !backup.is_finished() {
        number += 1;
        assert_eq!(shop.tells_of(&untold, &format!("own{number}"), &shop.secret).await, 200);
    }
    let made = backup.await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(until(async || shop.is_read(&appliance, &untold).await).await, "{}", appliance.running.said());
    appliance.stop().await;
}
