//! The main job through the real binary: orders arrive, go into the shop once, a shipment comes back, and
//! `kill -9` with the same command again goes on where it was.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use eider::clock::{Clock as _, SystemClock};
use eider::http::{Call, HttpSettings, HttpTransport, Transport as _};
use serde_json::{Value, json};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running demo. Dropping it kills it, as hard as can be.
struct Demo {
    child: Child,
    ready: Value,
    http: HttpTransport,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Demo {
    fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_eider"))
            .args(["demo", "--listen", "127.0.0.1:0", "--orders", "20", "--rate", "0", "--data"])
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let settings = HttpSettings { allow_private: true, ..HttpSettings::default() };
        Self { child, ready, http: HttpTransport::new(settings).unwrap() }
    }

    async fn call(&self, url: String, body: Option<Value>) -> (u16, String) {
        let token = self.ready["token"].as_str().unwrap();
        let request = http::Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(url)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string())))
            .unwrap();
        let answer = self.http.send(Call::new("test", request)).await.unwrap();
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
    }

    async fn sim(&self, platform: &str, name: &str, body: Option<Value>) -> Value {
        let base = self.ready["sims"][platform].as_str().unwrap();
        let (status, text) = self.call(format!("{base}/_sim/{name}"), body).await;
        assert!(status < 300, "{platform} {name}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn page(&self, path: &str) -> (u16, String) {
        let base = self.ready["url"].as_str().unwrap().trim_end_matches('/');
        self.call(format!("{base}{path}"), None).await
    }

    async fn sell(&self) -> String {
        self.sell_on("amazon").await
    }

    async fn sell_on(&self, marketplace: &str) -> String {
        let listings = self.sim(marketplace, "listings", None).await;
        let variants = self.sim("bigcommerce", "listings", None).await;
        let sku = listings
            .as_array()
            .unwrap()
            .iter()
            .filter(|listing| listing["fulfilled_by"] == "seller")
            .map(|listing| listing["sku"].clone())
            .find(|sku| variants.as_array().unwrap().iter().any(|variant| variant["sku"] == *sku))
            .unwrap();
        let sold = json!({"sku": sku, "quantity": 2, "paid": true});
        let sold = self.sim(marketplace, "sell", Some(sold)).await;
        sold["id"].as_str().unwrap().to_owned()
    }

    async fn copies(&self, id: &str) -> Vec<Value> {
        let all = self.sim("bigcommerce", "shop_orders", None).await;
        let all = all.as_array().unwrap().iter();
        all.filter(|order| order["external_order_id"] == id).cloned().collect()
    }

    /// Asks again and again until `is_there`.
    async fn wait(&self, what: &str, mut is_there: impl AsyncFnMut(&Self) -> bool) {
        let start = SystemClock.now();
        while !is_there(self).await {
            if SystemClock.now().duration_since(start) > PATIENCE.try_into().unwrap() {
                let (_, order) = self.page("/api/v1/orders?limit=1").await;
                let (_, effects) = self.page("/api/v1/effects").await;
                let (_, connections) = self.page("/api/v1/connections").await;
                panic!("no {what}: {order}\n{effects}\n{connections}");
            }
            SystemClock.sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_goes_into_the_shop_ships_and_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let demo = Demo::start(&data, &["--seed", "7"]);
    let first = demo.sell().await;
    demo.wait("shop order", async |demo| !demo.copies(&first).await.is_empty()).await;
    let second = demo.sell().await;
    drop(demo);

    let demo = Demo::start(&data, &["--seed", "7"]);
    demo.wait("second shop order", async |demo| !demo.copies(&second).await.is_empty()).await;
    assert_eq!(demo.copies(&first).await.len(), 1);
    let copy = demo.copies(&second).await.remove(0);
    let orders = demo.sim("amazon", "orders", None).await;
    let order = orders.as_array().unwrap().iter().find(|order| order["id"] == second.as_str()).unwrap();
    assert_eq!(copy["total_minor"], order["total_minor"]);

    let ship = json!({"id": copy["id"], "carrier": "UPS", "tracking": "1Z999AA10123456784"});
    demo.sim("bigcommerce", "ship", Some(ship)).await;
    demo.wait("confirmation", async |demo| {
        let orders = demo.sim("amazon", "orders", None).await;
        orders
            .as_array()
            .unwrap()
            .iter()
            .any(|order| order["id"] == second.as_str() && order["status"] == "shipped")
    })
    .await;
    assert_eq!(demo.copies(&second).await.len(), 1);

    let (status, list) = demo.page("/api/v1/orders?limit=2").await;
    assert_eq!(status, 200, "{list}");
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"][0]["external_id"], second.as_str());
    let number = &list["data"][0]["order_no"];
    let (status, order) = demo.page(&format!("/api/v1/orders/{number}")).await;
    assert_eq!(status, 200, "{order}");
    assert!(order.contains(&second) && order.contains("1Z999AA10123456784"), "{order}");
    let (status, events) = demo.page(&format!("/api/v1/orders/{number}/events")).await;
    assert_eq!(status, 200, "{events}");
    assert!(events.contains("shipment_sent"), "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etsy_order_goes_into_the_shop_and_its_buyer_gets_one_mail() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let demo = Demo::start(&data, &["--seed", "9"]);
    let id = demo.sell_on("etsy").await;
    demo.wait("shop order", async |demo| !demo.copies(&id).await.is_empty()).await;
    drop(demo);

    // The grant has rotated: the appliance goes on with the one that it kept.
    let demo = Demo::start(&data, &["--seed", "9"]);
    let copy = demo.copies(&id).await.remove(0);
    let of_id =
        |list: &Value, id: &str| list.as_array().unwrap().iter().filter(|one| one["id"] == id).count();
    let order = demo.sim("etsy", "orders", None).await;
    let order = order.as_array().unwrap().iter().find(|one| one["id"] == id.as_str()).unwrap().clone();
    assert_eq!(copy["total_minor"], order["total_minor"]);
    let ship = json!({"id": copy["id"], "carrier": "Bicycle Messengers", "tracking": "BM-77"});
    demo.sim("bigcommerce", "ship", Some(ship)).await;
    demo.wait("mail", async |demo| of_id(&demo.sim("etsy", "mails", None).await, &id) > 0).await;
    // A later sale is through the same polls: whatever would have been told again has had its time.
    let later = demo.sell_on("etsy").await;
    demo.wait("later shop order", async |demo| !demo.copies(&later).await.is_empty()).await;
    let mails = demo.sim("etsy", "mails", None).await;
    assert_eq!(of_id(&mails, &id), 1, "{mails}");
    assert_eq!(demo.copies(&id).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_its_seed() {
    let folder = tempfile::tempdir().unwrap();
    drop(Demo::start(folder.path(), &["--seed", "7"]));
    let output = Command::new(env!("CARGO_BIN_EXE_eider"))
        .args(["demo", "--listen", "127.0.0.1:0", "--seed", "8", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--seed"), "{said}");
}
