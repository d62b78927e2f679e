//! The connectors against Prism, a mock that is made from the platforms' specifications and refuses what these
//! do not allow. It has no state and its answers are the specifications' examples: it proves that requests pass a
//! stranger's check and that a stranger's answers can be read, nothing more.
//!
//! `EIDER_PRISM` names the program, else it is looked for; without it the test says that it was skipped, or fails
//! where `EIDER_REQUIRE_PRISM` is 1.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eider::channels::webhooks::HookAddress;
use eider::channels::{Connector, Cursor, FulfilmentOrder, PlacedWindow, PollStart, RaisedStock};
use eider::clock::SystemClock;
use eider::domain::customer::Address;
use eider::domain::draft::{DraftLine, ExInc, ExternalSource, ShopOrderDraft};
use eider::domain::listing::ShopVariant;
use eider::domain::shipment::{ShipmentDraft, ShippedLine};
use eider::http::{Answer, Call, HttpSettings, HttpTransport, Transport, TransportError};
use eider::secret::Secret;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::documents::shared;
use super::traffic::{connector, hook_at};
use super::{gate, operations_of};

/// Which specification answers which paths: platform, the paths' beginning, what Prism does not want of it, file.
const SERVED: [(&str, &str, &str, &str); 11] = [
    ("etsy", "/v3/application/", "", "etsy/3.0.0.json"),
    ("amazon", "/orders/2026-01-01/", "", "amazon/orders_2026-01-01.json"),
    ("amazon", "/orders/v0/", "", "amazon/ordersV0.json"),
    ("amazon", "/listings/", "", "amazon/listingsItems_2021-08-01.json"),
    ("amazon", "/sellers/", "", "amazon/sellers.json"),
    ("bigcommerce", "/stores/abc123/v2/orders", "/stores/abc123/v2", "bigcommerce/orders.v2.oas2.yml"),
    ("bigcommerce", "/stores/abc123/v2/", "/stores/abc123/v2", "bigcommerce/store_information.v2.yml"),
    ("bigcommerce", "/stores/abc123/v3/orders/", "/stores/abc123/v3", "bigcommerce/orders.v3.yml"),
    ("bigcommerce", "/stores/abc123/v3/inventory/", "/stores/abc123/v3", "bigcommerce/inventory.v3.yml"),
    ("bigcommerce", "/stores/abc123/v3/hooks", "/stores/abc123/v3", "bigcommerce/webhooks.v3.yml"),
    ("bigcommerce", "/stores/abc123/v3/", "/stores/abc123/v3", "bigcommerce/product-variants_catalog.v3.yml"),
];

/// Operations that Prism is not asked for. The examples of feeds stand in an extension of Amazon's, where it does not
/// look: all it could answer is `string`, which is no address to put a file at. Those of subscriptions do not go
/// together: what is subscribed goes to a destination that is not among the destinations.
const NOT_ASKED: [&str; 8] = [
    "createFeed",
    "createFeedDocument",
    "getFeed",
    "getFeedDocument",
    "getSubscription",
    "getDestinations",
    "createDestination",
    "createSubscription",
];

/// Longer than a mock takes to start, or is silent while it does, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// One mock, which ends with the test.
struct Mock {
    child: Child,
    port: u16,
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("EIDER_PRISM") {
        return Some(PathBuf::from(named));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join("prism")).find(|path| path.is_file());
    if found.is_none() {
        let is_required = std::env::var("EIDER_REQUIRE_PRISM").is_ok_and(|value| value == "1");
        assert!(!is_required, "prism is required and not installed");
        eprintln!("SKIPPED: prism is not installed");
    }
    found
}

impl Mock {
    fn prism(program: &Path, specification: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(["mock", "-h", "127.0.0.1", "-p", &port.to_string()]).arg(specification);
        Self::spawn(command, port)
    }

    fn spawn(mut command: Command, port: u16) -> Self {
        let piped = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Self { child: piped.spawn().unwrap(), port }
    }

    /// Waits until it says that it listens.
    fn listens(&mut self, limit: Duration) -> Result<(), String> {
        let output = self.child.stdout.take().unwrap();
        let (lines, heard) = std::sync::mpsc::channel();
        // It reads to the end, so that the mock never waits for somebody to read what it says.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody hears what comes later.
                drop(lines.send(line));
            }
        });
        let mut said = String::new();
        while !said.contains("listening on") {
            said.push_str(&heard.recv_timeout(limit).map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("the mock was silent for {limit:?}; it said: {said}"),
                RecvTimeoutError::Disconnected => format!("the mock ended; it said: {said}"),
            })?);
            said.push('\n');
        }
        Ok(())
    }
}

#[test]
fn a_mock_that_does_not_listen_is_an_error_and_ends_with_its_owner() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Mock::spawn(command, 0)
    };
    let error = shell("echo no such file").listens(PATIENCE).unwrap_err();
    assert_eq!(error, "the mock ended; it said: no such file\n");
    let mut silent = shell("exec sleep 600");
    let process = PathBuf::from(format!("/proc/{}", silent.child.id()));
    let error = silent.listens(Duration::ZERO).unwrap_err();
    assert!(error.starts_with("the mock was silent for 0ns"), "{error}");
    assert!(process.exists());
    let owner = std::thread::spawn(move || {
        let _silent = silent;
        // A panic that says nothing.
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(owner.join().is_err());
    assert!(!process.exists(), "it outlives its owner");
}

/// Every platform's host in front of its mocks: Prism knows no base path and one specification each.
#[derive(Debug)]
struct Mocked {
    http: HttpTransport,
    /// Port by the place in [`SERVED`].
    ports: Vec<u16>,
    answered: Mutex<Vec<(String, u16, String)>>,
}

#[async_trait]
impl Transport for Mocked {
    async fn send(&self, mut call: Call) -> Result<Answer, TransportError> {
        if call.operation == "token" {
            // No specification describes it, so nothing mocks it.
            let body = Bytes::from_static(br#"{"access_token":"T","token_type":"bearer","expires_in":3600}"#);
            let headers = HeaderMap::new();
            return Ok(Answer { status: StatusCode::OK, headers, body, duration: Duration::ZERO });
        }
        let path = call.request.uri().path_and_query().unwrap().as_str().to_owned();
        let place = SERVED.iter().position(|(_, start, _, _)| path.starts_with(start));
        let place = place.unwrap_or_else(|| panic!("nothing serves {path}"));
        let (port, (_, _, base, _)) = (self.ports[place], SERVED[place]);
        // The direction is a deviation: see the list.
        let path = path.strip_prefix(base).unwrap().replace("%3Aasc", "");
        *call.request.uri_mut() = format!("http://127.0.0.1:{port}{path}").parse().unwrap();
        // BigCommerce lists `Content-Type` as required on reads. OpenAPI says to ignore that; Prism does not.
        let json = http::HeaderValue::from_static("application/json");
        call.request.headers_mut().entry(http::header::CONTENT_TYPE).or_insert(json);
        let operation = call.operation.to_owned();
        let mut answer = self.http.send(call).await?;
        if operation == "getMarketplaceParticipations" {
            // That model's example lacks its media type, so that Prism takes `payload` for one and drops it.
            answer.body = Bytes::from([b"{\"payload\":", &answer.body[..], b"}"].concat());
        }
        if operation == "getWebhooks" {
            // No example stands there, so that each text is `string`: it is made two hooks of ours, one too many.
            let mut page: Value = serde_json::from_slice(&answer.body).unwrap();
            let hook = page["data"][0].take();
            let hook = |id: i64| {
                let mut hook = hook.clone();
                hook["id"] = id.into();
                hook["scope"] = "store/order/created".into();
                hook["destination"] = hook_at('A').into();
                hook
            };
            page["data"] = Value::Array(vec![hook(1), hook(2)]);
            answer.body = page.to_string().into();
        }
        let text = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
        self.answered.lock().unwrap().push((operation, answer.status.as_u16(), text));
        Ok(answer)
    }
}

/// Waits for the mocks; all start at the same time, since each takes seconds.
fn mocked(program: &Path, specifications: &Path) -> (Arc<Mocked>, Vec<Mock>) {
    let mut mocks: Vec<Mock> =
        SERVED.iter().map(|(_, _, _, file)| Mock::prism(program, &specifications.join(file))).collect();
    for (mock, (_, _, _, file)) in mocks.iter_mut().zip(SERVED) {
        mock.listens(PATIENCE).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    let settings = HttpSettings { allow_private: true, ..HttpSettings::default() };
    let mocked = Mocked {
        http: HttpTransport::new(settings).unwrap(),
        ports: mocks.iter().map(|mock| mock.port).collect(),
        answered: Mutex::default(),
    };
    (Arc::new(mocked), mocks)
}

#[tokio::test]
async fn the_connectors_work_against_a_mock_made_from_the_specifications() {
    let (Some(shared), Some(program)) = (shared(), program()) else { return };
    let (mocked, _mocks) = mocked(&program, &shared.join("specs"));
    let entered = [
        ("access_token", "x"),
        ("client_id", "x"),
        ("client_secret", "x"),
        ("keystring", "x"),
        ("marketplace_ids", "ATVPDKIKX0DER"),
        ("refresh_token", "x"),
        ("seller_id", "A1"),
        ("shared_secret", "x"),
        ("shop_id", "52"),
        ("store_hash", "abc123"),
    ];
    let credentials: BTreeMap<String, Secret> =
        entered.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value))).collect();
    let connected = |channel: &str| {
        let transport = Arc::clone(&mocked) as Arc<dyn Transport>;
        connector(channel, credentials.clone(), transport, Arc::new(SystemClock))
    };
    every_call_of_amazon(&*connected("amazon")).await;
    every_call_of_the_shop(&*connected("bigcommerce")).await;
    let transport = Arc::clone(&mocked) as Arc<dyn Transport>;
    let setup = super::traffic::setup("etsy", credentials.clone(), transport, Arc::new(SystemClock));
    super::etsy::every_call(&*connected("etsy"), setup).await;
    let answered = mocked.answered.lock().unwrap().clone();
    let refused: Vec<_> = answered.iter().filter(|(_, status, _)| *status >= 300).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    let operations: BTreeSet<&str> = answered.iter().map(|(operation, _, _)| operation.as_str()).collect();
    let gate = gate().unwrap();
    let own =
        ["amazon", "bigcommerce", "etsy"].into_iter().flat_map(|platform| operations_of(gate, platform));
    let own = own.filter(|operation| !NOT_ASKED.contains(operation));
    assert_eq!(operations, own.collect());
}

fn window() -> PlacedWindow {
    let at = |text: &str| text.parse().unwrap();
    PlacedWindow { from: at("2026-11-01T00:00:00Z"), until: at("2026-11-02T00:00:00Z"), is_bulk: false }
}

async fn every_call_of_amazon(amazon: &dyn Connector) {
    let start = PollStart { since: None, is_bulk: false };
    let source = amazon.order_source().unwrap();
    let page = source.changed_orders(&Cursor::default(), start).await.unwrap();
    assert!(page.orders.iter().all(|order| order.facts.is_ok()) && !page.orders.is_empty());
    let after = Cursor { updated_until: page.cursor.updated_until, window: None };
    source.changed_orders(&after, start).await.unwrap();
    source.changed_orders(&page.cursor, start).await.unwrap();
    source.placed_orders(window(), None).await.unwrap();
    source.placed_orders(window(), Some("next")).await.unwrap();
    assert!(source.order("902-1106328-1059050").await.unwrap().unwrap().facts.is_ok());
    let order = FulfilmentOrder { external_id: "902-1106328-1059050".to_owned(), site: None };
    amazon.fulfilment().unwrap().confirm_shipment(&order, &parcel()).await.unwrap();
    assert!(!amazon.catalogue().unwrap().listings(None).await.unwrap().listings.is_empty());
    amazon.catalogue().unwrap().listings(Some("next")).await.unwrap();
    let report = amazon.probe().probe().await;
    assert!(report.is_ok(), "{:?}", report.lines);
}

async fn every_call_of_the_shop(shop: &dyn Connector) {
    let orders = shop.shop_orders().unwrap();
    orders.changed_shop_orders(&Cursor::default(), PollStart { since: None, is_bulk: false }).await.unwrap();
    let since = Some("2026-11-01T00:00:00Z".parse().unwrap());
    orders.changed_shop_orders(&Cursor::default(), PollStart { since, is_bulk: false }).await.unwrap();
    orders.find("902-1106328-1059050").await.unwrap();
    orders.create(&draft()).await.unwrap();
    assert!(!orders.lines("218").await.unwrap().is_empty());
    assert!(!orders.shipments("218").await.unwrap().is_empty());
    orders.refunds("218", "USD".parse().unwrap()).await.unwrap();
    orders.add_shipment("218", "1", &parcel()).await.unwrap();
    orders.set_status("218", 2).await.unwrap();
    orders.variants_by_sku(&["one".to_owned(), "two, with a comma".to_owned()]).await.unwrap();
    // The one item of the specification's example, with ten units.
    let shown =
        ShopVariant { product_id: "120".to_owned(), variant_id: "79".to_owned(), sku: "RE-130".to_owned() };
    let raised = orders.raise_stock(&[(shown, 25)]).await.unwrap();
    assert_eq!(raised, [RaisedStock { sku: "RE-130".to_owned(), from: 10, to: 25 }]);
    assert_eq!(orders.profile().await.unwrap().currency.len(), 3);
    shop.order_source().unwrap().placed_orders(window(), None).await.unwrap();
    assert!(shop.order_source().unwrap().order("218").await.unwrap().unwrap().facts.is_ok());
    let hooks = shop.webhooks().unwrap();
    let said = hooks.subscribe(HookAddress { endpoint: &hook_at('B'), others: &[] }).await.unwrap().unwrap();
    assert!(said.contains("13 hooks were added, 0 switched on again, 1 moved"), "{said}");
    assert!(said.contains("1 removed"), "{said}");
    let report = shop.probe().probe().await;
    assert!(report.is_ok(), "{:?}", report.lines);
}

fn parcel() -> ShipmentDraft {
    ShipmentDraft {
        parcel: 1,
        carrier: Some("Bicycle Messengers".to_owned()),
        service: Some("Ground".to_owned()),
        tracking: Some("BM-1".to_owned()),
        shipped_at: "2026-11-20T10:00:00Z".parse().unwrap(),
        lines: vec![ShippedLine { external_line_id: "5".to_owned(), quantity: 1 }],
    }
}

/// A shop order with a line of either kind.
pub fn draft() -> ShopOrderDraft {
    let line = |variant: Option<ShopVariant>| DraftLine {
        external_line_id: "1".to_owned(),
        name: "Fog Linen Towel".to_owned(),
        variant,
        quantity: 2,
        unit_price_ex_tax: "10.5".parse().unwrap(),
        unit_price_inc_tax: "11.55".parse().unwrap(),
        total_ex_tax_minor: 2_100,
        total_inc_tax_minor: 2_310,
    };
    let variant =
        ShopVariant { product_id: "118".to_owned(), variant_id: "93".to_owned(), sku: "S-ORAN".to_owned() };
    let amount = |ex_tax_minor, inc_tax_minor| ExInc { ex_tax_minor, inc_tax_minor };
    let address = Address {
        name: Some("Jane Doe".to_owned()),
        company: Some("Acme".to_owned()),
        street: vec!["1 Harbour Way".to_owned(), "Flat 2".to_owned()],
        city: Some("Austin".to_owned()),
        region: Some("TX".to_owned()),
        postal_code: Some("78751".to_owned()),
        country: Some("US".to_owned()),
        phone: Some("+1 555 0100".to_owned()),
    };
    ShopOrderDraft {
        external_order_id: "902-1106328-1059050".to_owned(),
        external_source: ExternalSource {
            channel: "amazon".into(),
            account: "A1".to_owned(),
            installation: "i1".to_owned(),
        },
        status_id: 11,
        currency: "USD".parse().unwrap(),
        lines: vec![line(Some(variant)), line(None)],
        subtotal: amount(4_200, 4_620),
        shipping: amount(500, 550),
        wrapping: amount(0, 0),
        handling: amount(0, 0),
        discount_minor: 0,
        total: amount(4_700, 5_170),
        bill_to: address.clone(),
        ship_to: address,
        email: Some("relay@example.com".to_owned()),
        shipping_method: Some("Standard".to_owned()),
        payment_method: "Amazon".to_owned(),
        staff_notes: "Amazon order".to_owned(),
        customer_message: Some("Ring twice".to_owned()),
    }
}
