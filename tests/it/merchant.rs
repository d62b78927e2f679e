//! What a merchant does in the browser, from the setup link to the confirmed shipment: the real binary, its pages
//! over HTTP with nothing but links and forms, and simulated platforms in a process of their own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use eider::clock::{Clock as _, SystemClock};
use eider::http::{Answer, Call, HttpSettings, HttpTransport, Transport as _};
use scraper::{Html, Selector};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An appliance without anything in it, simulated platforms, and somebody with a browser.
struct Merchant {
    http: HttpTransport,
    base: String,
    sims: Value,
    connections: Value,
    cookie: String,
    _processes: [Running; 2],
    // Kept open, so that nobody writes into a closed pipe.
    _said: [BufReader<ChildStderr>; 2],
    _data: TempDir,
}

/// A page as read.
struct Page {
    status: u16,
    location: String,
    body: String,
}

impl Page {
    fn texts(&self, selector: &str) -> Vec<String> {
        let html = Html::parse_document(&self.body);
        let read = |element: scraper::ElementRef<'_>| element.text().collect::<String>();
        html.select(&Selector::parse(selector).unwrap())
            .map(|element| read(element).split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    fn main(&self) -> String {
        self.texts("main").join(" ")
    }

    #[track_caller]
    fn says(&self, wanted: &[&str]) {
        let text = self.main();
        for part in wanted {
            assert!(text.contains(part), "“{part}” is not on the page: {text}");
        }
    }

    fn link(&self, selector: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        let element = html.select(&Selector::parse(selector).unwrap()).next()?;
        element.value().attr("href").map(str::to_owned)
    }
}

fn started(arguments: &[&str], data: &TempDir) -> (Running, Value, BufReader<ChildStderr>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_eider"))
        .args(arguments)
        .current_dir(data.path())
        .env("EIDER__NETWORK__ALLOW_PRIVATE", "true")
        .env("EIDER__SYNC__POLL_INTERVAL_S", "1")
        .env("EIDER__SYNC__SHOP_POLL_INTERVAL_S", "1")
        .env("EIDER__LOG__LEVEL", "error")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    (Running(child), ready, said)
}

impl Merchant {
    /// Opens the setup link and chooses a password.
    async fn arrives() -> Self {
        let data = tempfile::tempdir().unwrap();
        let sim = ["simulate", "--listen", "127.0.0.1:0", "--orders", "8", "--rate", "0", "--quotas", "off"];
        let (simulator, sims, heard) = started(&sim, &data);
        let (appliance, ready, mut said) =
            started(&["serve", "--listen", "127.0.0.1:0", "--data", "data"], &data);
        let welcome =
            said.by_ref().lines().map(Result::unwrap).find(|line| line.contains("/setup/")).unwrap();
        let setup = welcome.rsplit_once(": ").unwrap().1.trim();
        let settings = HttpSettings { allow_private: true, ..HttpSettings::default() };
        let mut merchant = Self {
            http: HttpTransport::new(settings).unwrap(),
            base: ready["url"].as_str().unwrap().trim_end_matches('/').to_owned(),
            sims: sims["sims"].clone(),
            connections: Value::Null,
            cookie: String::new(),
            _processes: [simulator, appliance],
            _said: [heard, said],
            _data: data,
        };
        let url = format!("{}_sim/connections", sims["url"].as_str().unwrap());
        merchant.connections = serde_json::from_slice(&merchant.send("GET", &url, None).await.body).unwrap();
        let path = setup.strip_prefix(&merchant.base).unwrap();
        let chosen = [("name", "ada"), ("password", "a long enough one"), ("repeated", "a long enough one")];
        let form = Some(("application/x-www-form-urlencoded", form(&chosen)));
        let answer = merchant.send("POST", &format!("{}{path}", merchant.base), form).await;
        let cookie = answer.headers["set-cookie"].to_str().unwrap();
        merchant.cookie = cookie.split(';').next().unwrap().to_owned();
        merchant
    }

    async fn send(&self, method: &str, url: &str, body: Option<(&str, String)>) -> Answer {
        let (kind, body) = body.unwrap_or_default();
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header("cookie", &self.cookie)
            .header("content-type", kind)
            .header("sec-fetch-site", "same-origin")
            .body(Bytes::from(body))
            .unwrap();
        self.http.send(Call::new("test", request)).await.unwrap()
    }

    async fn opens(&self, path: &str) -> Page {
        page(self.send("GET", &format!("{}{path}", self.base), None).await)
    }

    /// Sends a form and goes where it leads.
    async fn submits(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let form = Some(("application/x-www-form-urlencoded", form(fields)));
        let sent = page(self.send("POST", &format!("{}{path}", self.base), form).await);
        if sent.status != 303 {
            return sent;
        }
        let there = self.opens(&sent.location).await;
        Page { location: sent.location, ..there }
    }

    async fn sim(&self, platform: &str, name: &str, body: Option<Value>) -> Value {
        let url = format!("{}/_sim/{name}", self.sims[platform].as_str().unwrap());
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.map(|body| ("application/json", body.to_string()));
        let answer = self.send(method, &url, body).await;
        assert!(answer.status.is_success(), "{platform} {name}: {:?}", answer.body);
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// A credential of a simulated platform.
    fn credential(&self, channel: &str, name: &str) -> String {
        let all = self.connections.as_array().unwrap();
        let one = all.iter().find(|connection| connection["channel"] == channel).unwrap();
        match &one["credentials"][name] {
            Value::Array(all) => all.iter().map(|id| id.as_str().unwrap()).collect::<Vec<_>>().join(","),
            value => value.as_str().unwrap().to_owned(),
        }
    }

    /// Sells something that the shop has, and gives the order's id.
    async fn sells(&self, is_paid: bool) -> String {
        let listings = self.sim("amazon", "listings", None).await;
        let variants = self.sim("bigcommerce", "listings", None).await;
        let is_in_shop =
            |sku: &Value| variants.as_array().unwrap().iter().any(|variant| variant["sku"] == *sku);
        let mut own = listings.as_array().unwrap().iter().filter(|one| one["fulfilled_by"] == "seller");
        let sku = own.find(|listing| is_in_shop(&listing["sku"])).unwrap()["sku"].clone();
        let sold = json!({"sku": sku, "quantity": 1, "paid": is_paid});
        self.sim("amazon", "sell", Some(sold)).await["id"].as_str().unwrap().to_owned()
    }

    /// Loads the page again and again until it says `wanted`.
    async fn waits_for(&self, path: &str, wanted: &str) -> Page {
        let start = SystemClock.now();
        loop {
            let page = self.opens(path).await;
            if page.main().contains(wanted) {
                return page;
            }
            let waited = SystemClock.now().duration_since(start);
            assert!(waited < PATIENCE.try_into().unwrap(), "{path} never said “{wanted}”: {}", page.main());
            SystemClock.sleep(Duration::from_millis(200)).await;
        }
    }

    /// Where the order's page is, once it is there.
    async fn finds_order(&self, external_id: &str) -> String {
        let list = format!("/orders?q={external_id}");
        self.waits_for(&list, external_id).await.link("#orders td.lead a").unwrap()
    }
}

fn page(answer: Answer) -> Page {
    let location = answer.headers.get("location").map(|value| value.to_str().unwrap().to_owned());
    Page {
        status: answer.status.as_u16(),
        location: location.unwrap_or_default(),
        body: String::from_utf8(answer.body.to_vec()).unwrap(),
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// FEATURES A1, A9: the file as handed out, tested before it is saved; what is missing is named.
async fn connects_the_shop(merchant: &Merchant) {
    merchant.opens("/orders").await.says(&["Connect your shop first"]);
    merchant.opens("/connections/new/bigcommerce").await.says(&["Create API account", "Paste the file"]);
    let token = merchant.credential("bigcommerce", "access_token");
    let file = |token: &str| {
        format!(
            "ACCESS TOKEN: {token}\nCLIENT ID: cid\nCLIENT SECRET: sec\nAPI PATH: https://api.bigcommerce.com/stores/{}/v3/",
            merchant.credential("bigcommerce", "store_hash")
        )
    };
    let base = merchant.sims["bigcommerce"].as_str().unwrap();
    let (good, bad) = (file(&token), file("wrong"));
    let path = "/connections/new/bigcommerce";
    let send = |file, what| {
        [("alias", "Main shop"), ("pasted", file), ("base_url", base), ("import_orders", "on"), ("do", what)]
    };

    let refused = merchant.submits(path, &send(&bad, "test")).await;
    refused.says(&["Something is missing.", "does not work"]);
    let tested = merchant.submits(path, &send(&good, "test")).await;
    tested.says(&["Everything that orders need works.", "Orders: works", "Products: works"]);
    let raw = tested.texts("#test pre").join(" ");
    assert!(raw.contains("currency") && !raw.contains(&token), "the raw answer, without secrets: {raw}");
    let saved = merchant.submits(path, &send(&good, "save")).await;
    assert_eq!(saved.location, "/connections/1", "{}", saved.main());
    saved.says(&["Main shop", "Active", "Next run"]);
}

/// FEATURES A3, A6, A8, A10, B1: history, deadlines, state and quota.
async fn connects_amazon(merchant: &Merchant) {
    let names = ["client_id", "client_secret", "refresh_token", "seller_id", "marketplace_ids"];
    let credentials: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("credential_{name}"), merchant.credential("amazon", name)))
        .collect();
    let base = merchant.sims["amazon"].as_str().unwrap();
    let mut fields: Vec<(&str, &str)> =
        credentials.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.extend([("alias", "Amazon US"), ("base_url", base), ("history", "everything"), ("shop", "1")]);
    fields.extend([
        ("import_orders", "on"),
        ("export_orders", "on"),
        ("secret_made_on", "2020-01-01"),
        ("do", "save"),
    ]);
    let path = "/connections/new/amazon";
    let form = merchant.opens(path).await;
    for choice in [
        "Today’s orders",
        "None",
        "The last 7 days",
        "The last 30 days",
        "The last 90 days",
        "Since a date",
        "Everything the platform gives",
    ] {
        assert!(form.texts("select[name=history] option").contains(&choice.to_owned()), "{choice}");
    }
    let saved = merchant.submits(path, &fields).await;
    assert_eq!(saved.location, "/connections/2", "{}", saved.main());
    saved.says(&[
        "Active",
        "since",
        "client secret",
        "ended on",
        "The authorisation",
        "ends on",
        "Main shop",
    ]);
    let running = merchant.waits_for("/connections/2", "Quota: searchOrders").await;
    running.says(&["Last success", "Behind the platform", "Next run"]);
    merchant.opens("/orders").await.says(&["Amazon US: The app's client secret ended on"]);
    let history = merchant.waits_for("/orders?history=true", "History").await;
    assert!(history.texts("#orders tbody tr").len() > 1, "{}", history.main());
}

/// FEATURES B2, B3, B13, C1, C12: an order comes by itself, goes into the shop, and is found by its id.
async fn sells_and_looks(merchant: &Merchant) -> String {
    let unpaid = merchant.sells(false).await;
    let order = merchant.finds_order(&unpaid).await;
    merchant.waits_for(&order, "The marketplace has not confirmed the payment yet.").await;
    let paid = merchant.sells(true).await;
    let order = merchant.finds_order(&paid).await;
    let page = merchant.waits_for(&order, "In the shop").await;
    page.says(&[
        "Ship to",
        "Goods",
        "Total paid by the buyer",
        "Shippedby you",
        "Ship by",
        "Main shop",
        "payload",
    ]);
    let to_shop = page.link(".state a").unwrap();
    assert!(merchant.opens(&to_shop).await.location.starts_with("http"), "the shop's own page of it");
    let find =
        async |id: &str| merchant.submits("/orders/find", &[("external_id", id), ("connection", "")]).await;
    find(&paid).await.says(&["It is in the shop."]);
    find(&unpaid)
        .await
        .says(&["has not confirmed the payment yet", "goes into the shop by itself once it is paid"]);
    find("999-9999999-9999999").await.says(&["No connection has an order", "Check the number"]);
    merchant.submits("/connections/2/pause", &[]).await.says(&["Paused", "Paused by ada."]);
    merchant.opens("/orders").await.says(&["Amazon US: Paused."]);
    find(&unpaid).await.says(&["Amazon US is paused, so it was not asked."]);
    merchant.submits("/connections/2/resume", &[]).await.says(&["Active"]);
    order
}

/// FEATURES D1, D4, C11: a parcel without a carrier is held with the reason, and goes after the setting is mended.
async fn ships_without_a_carrier(merchant: &Merchant, order: &str) {
    let page = merchant.opens(order).await;
    let (id, external) = (page.texts(".state a.id").remove(0), page.texts("h1 .id").remove(0));
    let parcel = json!({"id": id, "carrier": "", "tracking": "TRACK-1"});
    merchant.sim("bigcommerce", "ship", Some(parcel)).await;
    let held = merchant.waits_for(order, "A parcel's carrier is missing").await;
    held.says(&["set one under Carriers in the connection", "Held"]);
    let settings = [("alias", "Amazon US"), ("import_orders", "on"), ("export_orders", "on"), ("shop", "1")];
    let wrong = [settings.as_slice(), &[("carrier_shop_0", "Acme"), ("do", "save")]].concat();
    let again = merchant.submits("/connections/2/settings", &wrong).await;
    assert_eq!(again.status, 422);
    again.says(&["“Acme” lacks the marketplace’s code."]);
    let right = [
        settings.as_slice(),
        &[("carrier_shop_0", "Acme"), ("carrier_code_0", "DHL"), ("default_carrier", "USPS"), ("do", "save")],
    ];
    merchant.submits("/connections/2/settings", &right.concat()).await.says(&["Amazon US"]);
    merchant.submits(&format!("{order}/retry"), &[]).await.says(&["Shipments"]);
    merchant.waits_for(order, "the marketplace was told").await;
    let told = merchant.sim("amazon", "orders", None).await;
    let told = told.as_array().unwrap().iter().find(|known| known["id"] == external.as_str()).unwrap();
    assert_eq!(told["shipments"][0]["tracking"], "TRACK-1", "{told}");
    assert_eq!(told["shipments"][0]["carrier"], "USPS", "{told}");
}

/// FEATURES B7: an order that no poll saw is fetched when its day is compared, a time is read again, nothing is doubled.
async fn compares_a_day(merchant: &Merchant) {
    let listings = merchant.sim("amazon", "listings", None).await;
    let yesterday = SystemClock.now() - jiff::SignedDuration::from_hours(30);
    let late =
        json!({"sku": listings[0]["sku"], "quantity": 1, "paid": true, "placed_at": yesterday.to_string()});
    let id = merchant.sim("amazon", "sell", Some(late)).await["id"].as_str().unwrap().to_owned();
    let path = "/connections/2/reconciliation";
    let day = yesterday.to_zoned(jiff::tz::TimeZone::UTC).date().to_string();
    let asked = merchant.submits(path, &[("from", &day), ("to", &day)]).await;
    assert_eq!(asked.location, path, "{}", asked.main());
    merchant.waits_for(path, "of them were not here, and 1 were fetched").await;
    // What was fetched is compared once more.
    let found = merchant.waits_for(path, "Gap closed").await;
    let row = found.texts("#reconciliation tbody tr").into_iter().find(|row| row.starts_with(&day)).unwrap();
    assert!(row.contains("Gap closed"), "{row}");
    let list = format!("/orders?all_time=true&q={id}");
    assert_eq!(merchant.waits_for(&list, &id).await.texts("#orders tbody tr").len(), 1);

    let since = yesterday.strftime("%Y-%m-%dT%H:%M").to_string();
    let running = merchant.submits("/connections/2/replay", &[("from", &since)]).await;
    running.says(&["Times that were read again", "ada asked to read everything again"]);
    merchant.waits_for(path, "Finished").await.says(&["ada"]);
    assert_eq!(merchant.opens(&list).await.texts("#orders tbody tr").len(), 1, "read twice, held once");
    merchant.opens("/parked").await.says(&["Nothing is parked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_connects_sells_and_ships_with_nothing_but_a_browser() {
    let merchant = Merchant::arrives().await;
    connects_the_shop(&merchant).await;
    connects_amazon(&merchant).await;
    let order = sells_and_looks(&merchant).await;
    compares_a_day(&merchant).await;
    ships_without_a_carrier(&merchant, &order).await;
    let storefront = merchant.sim("bigcommerce", "listings", None).await[0]["sku"].clone();
    let sold = json!({"sku": storefront, "quantity": 1, "paid": true});
    let own = merchant.sim("bigcommerce", "sell", Some(sold)).await["id"].as_str().unwrap().to_owned();
    let list = format!("/orders?connection=1&q={own}");
    merchant.waits_for(&list, "Not for the shop").await.says(&["Main shop"]);
}
