//! Etsy from recorded and made-up answers.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::super::CredentialSink;
use super::super::consent::{ConsentAnswer, ConsentRequest};
use super::super::script::{self, Asked, NOW, Script};
use super::super::webhooks::{HookAddress, News, Push, PushError};
use super::*;
use crate::clock::ManualClock;
use crate::domain::id::ConnectionId;
use crate::domain::order::AmountKind;
use crate::domain::refund::GivenBack;
use crate::http::TransportError;
use crate::secret::Secret;

const CREDENTIALS: &[(&str, &str)] = &[
    ("keystring", "key"),
    ("shared_secret", "s3cret"),
    ("refresh_token", "7.refresh-0"),
    ("shop_id", "52"),
    ("webhook_secret", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
];

/// Keeps what it is told to keep, in order; fails while it is told to.
#[derive(Debug, Default)]
struct Sink {
    kept: Mutex<Vec<(String, String)>>,
    is_full: Mutex<bool>,
}

impl CredentialSink for Sink {
    fn keep(&self, _: ConnectionId, name: &str, value: &Secret) -> Result<(), String> {
        if *self.is_full.lock().unwrap() {
            return Err("no space left on device".to_owned());
        }
        self.kept.lock().unwrap().push((name.to_owned(), value.expose().to_owned()));
        Ok(())
    }

    fn kept(&self, _: ConnectionId, name: &str) -> Option<Secret> {
        let kept = self.kept.lock().unwrap();
        kept.iter().rev().find(|(known, _)| known == name).map(|(_, value)| Secret::from(value.as_str()))
    }
}

impl Sink {
    fn refresh_tokens(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.iter().filter(|(name, _)| name == "refresh_token").map(|(_, value)| value.clone()).collect()
    }
}

struct Bench {
    etsy: Etsy,
    script: Arc<Script>,
    clock: Arc<ManualClock>,
    sink: Arc<Sink>,
}

fn bench() -> Bench {
    bench_with(CREDENTIALS)
}

fn bench_with(credentials: &[(&str, &str)]) -> Bench {
    bench_of(credentials, Arc::default(), Arc::default())
}

/// One of several connectors of a connection.
fn bench_of(credentials: &[(&str, &str)], sink: Arc<Sink>, renewals: Arc<tokio::sync::Mutex<()>>) -> Bench {
    let script = Arc::new(Script::default());
    let (mut setup, clock) = script::setup(script.clone(), credentials);
    setup.credential_sink = sink.clone();
    setup.renewals = renewals;
    Bench { etsy: Etsy { client: Client::new(&setup).unwrap() }, script, clock, sink }
}

fn token(number: u32) -> String {
    json!({"access_token": format!("7.access-{number}"), "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": format!("7.refresh-{number}")})
    .to_string()
}

fn money(cents: i64) -> Value {
    json!({"amount": cents, "divisor": 100, "currency_code": "USD"})
}

/// A paid receipt of two units at 10.00 and one at 5.00.
fn receipt() -> Value {
    let mut receipt = json!({
        "receipt_id": 9001, "buyer_user_id": 77, "buyer_email": null,
        "name": "Jo O&#39;Neill", "first_line": "1 Main St", "second_line": "", "city": "Seattle", "state": "WA",
        "zip": "98101", "country_iso": "us", "status": "Paid", "is_paid": true, "is_shipped": false,
        "create_timestamp": 1_790_000_000, "update_timestamp": 1_790_000_100,
        "message_from_buyer": "Don&#39;t rush &amp; thanks",
        "gift_message": "Happy &lt;3", "gift_sender": "Zoë",
        "grandtotal": money(2_930), "subtotal": money(2_250), "total_price": money(2_500),
        "discount_amt": money(250), "total_shipping_cost": money(400), "total_tax_cost": money(180),
        "total_vat_cost": money(0), "gift_wrap_price": money(100), "payment_method": "cc",
        "shipments": [], "refunds": [],
    });
    receipt["transactions"] = json!([
            {"transaction_id": 1, "title": "Mug &quot;Fox&quot;", "quantity": 2, "sku": "MUG-1", "listing_id": 500,
             "is_digital": false, "price": money(1_000), "expected_ship_date": 1_790_200_000,
             "shipping_upgrade": null, "shipping_method": "Standard &amp; tracked",
             "variations": [{"formatted_name": "Color", "formatted_value": "Blue"},
                            {"formatted_name": "Personalization", "formatted_value": "For Ann &amp; Bo"}]},
            {"transaction_id": 2, "title": "Card", "quantity": 1, "sku": null, "listing_id": 501, "is_digital": false,
             "price": money(500), "variations": []},
    ]);
    receipt
}

fn changed(change: impl FnOnce(&mut Value)) -> OrderFacts {
    let mut receipt = receipt();
    change(&mut receipt);
    map::order(&receipt.to_string()).unwrap()
}

#[test]
fn a_receipt_says_everything() {
    insta::assert_debug_snapshot!(map::order(&receipt().to_string()).unwrap());
}

#[test]
fn every_recorded_receipt_can_be_read() {
    for (name, text) in script::fixtures("etsy", "receipts") {
        let page: wire::Receipts<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(page.count, Some(5));
        for payload in page.results {
            let facts = map::order(payload.get()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((facts.status, facts.is_paid), (OrderStatus::Shipped, true));
            let is_digital = facts.fulfilled_by == FulfilledBy::Platform;
            assert_eq!(facts.shipments.unwrap().is_empty(), is_digital, "files have no parcels");
        }
    }
    for (name, text) in script::fixtures("etsy", "listings") {
        let page: wire::Listings = serde_json::from_str(&text).unwrap();
        let listings: Vec<_> = page.results.iter().flat_map(map::listings).collect();
        assert_eq!(listings.len(), 7, "{name}");
        assert!(listings.iter().all(|one| one.price_minor == Some(2_500) && one.quantity == Some(5)));
    }
}

#[test]
fn the_parts_make_what_the_buyer_paid_whichever_way_etsy_means_them() {
    let sums = |change: &dyn Fn(&mut Value)| {
        let facts = changed(|receipt| change(receipt));
        assert_eq!(facts.sum_paid().unwrap(), facts.total_minor, "{:?}", facts.amounts);
        facts
    };
    let facts = sums(&|_| ());
    // The coupon lies on the lines by their prices, to the cent.
    assert_eq!(facts.amount(AmountKind::SellerDiscount, Some(0)).unwrap(), -200);
    assert_eq!(facts.amount(AmountKind::SellerDiscount, Some(1)).unwrap(), -50);
    assert_eq!(facts.amount(AmountKind::ItemTax, None).unwrap(), 180);

    let inside = sums(&|receipt| receipt["total_vat_cost"] = money(300));
    assert_eq!(inside.amount(AmountKind::Item, None).unwrap(), 2_200, "the tax stood in the prices");
    let beside = sums(&|receipt| {
        receipt["total_vat_cost"] = money(300);
        receipt["grandtotal"] = money(3_230);
    });
    assert_eq!(beside.amount(AmountKind::ItemTax, None).unwrap(), 480);
    let wrapped = sums(&|receipt| receipt["grandtotal"] = money(2_830));
    assert_eq!(wrapped.amount(AmountKind::Item, None).unwrap(), 2_400, "gift wrap stood in the prices");
    let free = sums(&|receipt| receipt["grandtotal"] = money(2_530));
    assert_eq!(free.amount(AmountKind::ShippingDiscount, None).unwrap(), -400);
    sums(&|receipt| receipt["discount_amt"] = money(-250));
    sums(&|receipt| {
        for name in ["grandtotal", "total_price", "discount_amt", "total_shipping_cost", "total_tax_cost"] {
            receipt[name]["amount"] = json!(receipt[name]["amount"].as_i64().unwrap() * 10);
            receipt[name]["divisor"] = json!(1_000);
        }
    });
    let yen = changed(|receipt| {
        receipt["transactions"] = json!([]);
        for name in ["grandtotal", "total_price"] {
            receipt[name] = json!({"amount": 1_500, "divisor": 1, "currency_code": "JPY"});
        }
        for name in
            ["discount_amt", "total_shipping_cost", "total_tax_cost", "total_vat_cost", "gift_wrap_price"]
        {
            receipt[name] = Value::Null;
        }
    });
    assert_eq!((yen.total_minor, yen.sum_paid().unwrap()), (1_500, 1_500));

    // As scrubbed answers have it: every amount the same. It sums only where the goods cost less than nothing.
    let same = changed(|receipt| {
        for name in [
            "grandtotal",
            "total_price",
            "discount_amt",
            "total_shipping_cost",
            "total_tax_cost",
            "total_vat_cost",
            "gift_wrap_price",
        ] {
            receipt[name] = money(2_500);
        }
    });
    assert_ne!(same.sum_paid().unwrap(), 2_500, "the draft holds it");
    let neither = changed(|receipt| receipt["grandtotal"] = money(9_999));
    assert_ne!(neither.sum_paid().unwrap(), 9_999, "the draft holds it");
}

#[test]
fn what_cannot_be_money_or_a_time_is_unreadable() {
    let wrong: [fn(&mut Value); 7] = [
        |receipt| receipt["grandtotal"] = Value::Null,
        |receipt| receipt["grandtotal"]["divisor"] = json!(0),
        |receipt| receipt["grandtotal"] = json!({"amount": 29_305, "divisor": 1_000, "currency_code": "USD"}),
        |receipt| receipt["transactions"][0]["price"]["currency_code"] = json!("CAD"),
        |receipt| receipt["create_timestamp"] = json!("soon"),
        |receipt| receipt["receipt_id"] = Value::Null,
        |receipt| receipt["transactions"][0]["quantity"] = Value::Null,
    ];
    for change in wrong {
        let mut receipt = receipt();
        change(&mut receipt);
        assert!(map::order(&receipt.to_string()).is_err(), "{receipt}");
    }
}

#[test]
fn statuses_in_any_case_and_booleans_first() {
    use OrderStatus::{Cancelled, Open, Pending, Shipped};
    let read = |word: Value, is_paid: Value, is_shipped: Value| {
        let facts = changed(|receipt| {
            (receipt["status"], receipt["is_paid"], receipt["is_shipped"]) = (word, is_paid, is_shipped);
        });
        (facts.status, facts.is_paid)
    };
    let (yes, no, none) = (json!(true), json!(false), Value::Null);
    for (word, is_paid, is_shipped, expected) in [
        (json!("Paid"), &yes, &no, (Open, true)),
        (json!("paid"), &none, &none, (Open, true)),
        (json!("COMPLETED"), &none, &none, (Shipped, true)),
        (json!("Completed"), &yes, &no, (Open, true)),
        (json!("Payment Processing"), &no, &no, (Pending, false)),
        (json!("open"), &none, &none, (Pending, false)),
        (json!("Canceled"), &yes, &no, (Cancelled, true)),
        (json!("Cancelled"), &no, &no, (Cancelled, false)),
        (json!("Fully Refunded"), &yes, &no, (Cancelled, true)),
        (json!("fully_refunded"), &yes, &yes, (Shipped, true)),
        (json!("Partially Refunded"), &yes, &no, (Open, true)),
        (json!("From the future"), &none, &none, (Pending, false)),
        (none.clone(), &yes, &yes, (Shipped, true)),
        (json!("Paid"), &json!("true"), &json!(0), (Open, true)),
    ] {
        let read = read(word.clone(), is_paid.clone(), is_shipped.clone());
        assert_eq!(read, expected, "{word} {is_paid} {is_shipped}");
    }
    let cancelled = changed(|receipt| receipt["status"] = json!("Canceled"));
    assert_eq!(cancelled.unit_count(), 0);
}

#[test]
fn what_etsys_own_time_does_not_tell_still_counts_as_newer() {
    let open = changed(|_| ());
    let cancelled = changed(|receipt| receipt["status"] = json!("Canceled"));
    assert!(cancelled.updated_at > open.updated_at, "a copy that lags behind must not open it again");
    let refunded = changed(|receipt| {
        receipt["refunds"] = json!([{"amount": money(500), "created_timestamp": 1_790_000_900}]);
    });
    assert_eq!(refunded.updated_at.as_second(), 1_790_000_900);
    assert_eq!(refunded.platform_status, "Paid, 5.00 USD refunded");
    assert_eq!(refunded.total_minor, 2_930, "what the buyer paid stays what the buyer paid");
}

#[test]
fn a_refund_has_an_id_that_does_not_change_and_counts_once_it_went_back() {
    let refund = |second: i64, cents: i64, status: Value| json!({"amount": money(cents), "created_timestamp": second, "reason": "late", "status": status});
    let read = |refunds: &[Value]| changed(|receipt| receipt["refunds"] = json!(refunds)).refunds.unwrap();
    let rows = |given_back: &GivenBack| -> Vec<(String, i64)> {
        given_back.refunds.iter().map(|one| (one.refund_id.clone(), one.total_minor)).collect()
    };
    assert_eq!(read(&[]), GivenBack::default());
    let first = refund(1_790_000_900, 500, json!("ok"));
    let second = refund(1_790_000_900, 250, Value::Null);
    let later = refund(1_790_000_950, 100, json!("From the future"));
    let all = read(&[later.clone(), first.clone(), second.clone()]);
    let expected = [("1790000900-1", 500), ("1790000900-2", 250), ("1790000950-1", 100)];
    assert_eq!(rows(&all), expected.map(|(id, minor)| (id.to_owned(), minor)), "oldest first");
    assert_eq!((all.refunds[0].lines.len(), all.is_more_under_way), (0, false), "Etsy names no line");
    // What did not go back leaves the others their ids.
    for (word, is_more_under_way) in [("failed", false), ("CANCELED", false), ("Pending", true)] {
        let given_back = read(&[refund(1_790_000_900, 500, json!(word)), second.clone()]);
        assert_eq!(rows(&given_back), [("1790000900-2".to_owned(), 250)], "{word}");
        assert_eq!(given_back.is_more_under_way, is_more_under_way, "{word}");
    }
    let mut foreign = first;
    foreign["amount"]["currency_code"] = json!("GBP");
    let facts = changed(|receipt| receipt["refunds"] = json!([foreign]));
    assert_eq!(facts.platform_status, "Paid", "another currency is not blended in");
    assert_eq!(facts.refunds.unwrap().refunds[0].currency.code(), "GBP");
    let one_line = changed(|receipt| {
        receipt["transactions"].as_array_mut().unwrap().truncate(1);
        receipt["refunds"] = json!([second]);
    });
    let lines = &one_line.refunds.unwrap().refunds[0].lines;
    assert_eq!((lines[0].external_line_id.as_str(), lines[0].minor), ("1", 250));
}

#[test]
fn a_withheld_address_is_missing_and_nothing_else_is() {
    let wall = |receipt: &mut Value| {
        for name in ["first_line", "second_line", "city", "state", "zip", "country_iso"] {
            receipt[name] = Value::Null;
        }
    };
    let open = changed(wall);
    let people = open.people.unwrap();
    assert_eq!((people.ship_to, people.buyer.external_id.as_deref()), (None, Some("77")));
    assert_eq!(people.buyer_note.as_deref(), Some("Don't rush & thanks"));
    let country = changed(|receipt| {
        wall(receipt);
        receipt["country_iso"] = json!("FR");
    });
    assert!(country.people.unwrap().ship_to.unwrap().is_unusable());
    let over = changed(|receipt| {
        wall(receipt);
        receipt["is_shipped"] = json!(true);
    });
    assert_eq!(over.people, None, "what is held stays");
    let files = changed(|receipt| {
        wall(receipt);
        receipt["is_shipped"] = json!(true);
        for line in receipt["transactions"].as_array_mut().unwrap() {
            line["is_digital"] = json!(true);
        }
    });
    assert_eq!(files.fulfilled_by, FulfilledBy::Platform);
    assert!(files.people.is_some());
}

#[test]
fn everything_about_people_is_cut_out() {
    let cut = crate::domain::person::cut(&receipt().to_string(), PERSON_PATHS).unwrap();
    for text in ["Neill", "Main St", "Seattle", "98101", "rush", "Happy", "Zoë", "Ann", "77"] {
        assert!(!cut.payload.contains(text), "{text}: {}", cut.payload);
    }
    let whole = crate::domain::person::restore(&cut.payload, &cut.values).unwrap();
    assert_eq!(whole, receipt().to_string());
}

fn row(id: i64, at: i64) -> Row {
    Row { id: Some(id.to_string()), at: Some(at) }
}

/// Reads a list that `change` alters after each page, as Etsy would page it. The answer is every receipt seen.
fn walked(mut list: Vec<(i64, i64)>, mut change: impl FnMut(usize, &mut Vec<(i64, i64)>)) -> Vec<i64> {
    let mut walk = Some(Walk::new(List::Changed, Timestamp::from_second(1_000_000_000).unwrap()));
    let mut seen = Vec::new();
    let mut pages = 0;
    while let Some(current) = walk {
        let query = current.query();
        let number = |name: &str| -> i64 {
            query.iter().find(|(known, _)| *known == name).unwrap().1.parse().unwrap()
        };
        list.sort_by_key(|(id, at)| (*at, *id));
        let found: Vec<_> = list.iter().filter(|(_, at)| *at >= number("min_last_modified")).collect();
        let offset = usize::try_from(number("offset")).unwrap();
        let rows: Vec<Row> = found.iter().skip(offset).take(100).map(|(id, at)| row(*id, *at)).collect();
        seen.extend(rows.iter().map(|row| row.id.as_ref().unwrap().parse::<i64>().unwrap()));
        walk = current.after(&rows, Some(found.len().try_into().unwrap()));
        change(pages, &mut list);
        pages += 1;
        assert!(pages < 100, "it does not end");
    }
    seen.sort_unstable();
    seen.dedup();
    seen
}

#[test]
fn no_receipt_is_passed_by_while_the_list_changes() {
    let all: Vec<i64> = (0..450).collect();
    let spread: Vec<(i64, i64)> = all.iter().map(|id| (*id, 1_000_000_100 + id)).collect();
    assert_eq!(walked(spread.clone(), |_, _| ()), all);
    let moved = walked(spread, |page, list| {
        // Thirty of what was read change and move to the end.
        for (_, at) in list.iter_mut().take(30) {
            *at = 1_000_900_000 + i64::try_from(page).unwrap();
        }
    });
    assert_eq!(moved, all);
    // All in one second, where only the offset is left.
    let crowded: Vec<(i64, i64)> = all.iter().map(|id| (*id, 1_000_000_100)).collect();
    assert_eq!(walked(crowded.clone(), |_, _| ()), all);
    let moved = walked(crowded, |page, list| {
        if page < 3 {
            for (_, at) in list.iter_mut().take(40) {
                *at = 1_000_900_000;
            }
        }
    });
    assert_eq!(moved, all);
}

#[test]
fn a_page_out_of_order_or_without_times_is_paged_by_offset() {
    let walk = Walk::new(List::Open, NOW.parse().unwrap());
    let mut rows: Vec<Row> = (0..100).map(|id| row(id, 1_800_000_000 + id)).collect();
    rows.swap(0, 99);
    let next = walk.after(&rows, Some(500)).unwrap();
    assert!(next.query().contains(&("offset", "90".to_owned())));
    assert_eq!(walk.after(&rows[..50], Some(50)), None);
    assert!(
        walk.after(&rows[..50], Some(120)).is_some(),
        "a short page is not the last one while more are counted"
    );
    assert_eq!(walk.after(&[], Some(120)), None, "an empty one is");
}

fn list(receipts: &[Value], count: usize) -> String {
    json!({"count": count, "results": receipts}).to_string()
}

#[tokio::test]
async fn a_poll_keeps_etsys_time_and_sweeps_follow() {
    let Bench { etsy, script, clock, .. } = bench();
    let start = PollStart { since: Some("2026-09-22T00:00:00Z".parse().unwrap()), is_bulk: false };
    let spaced = receipt().to_string().replacen(',', " ,\n ", 1);
    script.answer(200, token(1));
    script.answer(
        200,
        format!(r#"{{"count":2,"results":[{spaced}, {{"receipt_id":3,"create_timestamp":[]}}]}}"#),
    );
    let first = etsy.changed_orders(&Cursor::default(), start).await.unwrap();
    assert_eq!(first.orders[0].payload, spaced, "byte for byte");
    assert!(first.orders[1].facts.is_err() && !first.has_more);
    let until = Timestamp::from_second(1_790_000_100).unwrap();
    assert_eq!(first.cursor.updated_until, Some(until), "Etsy's own time, not ours and not a refund's");

    // Nothing is due yet: one call.
    script.answer(200, list(&[], 0));
    let quiet = etsy.changed_orders(&first.cursor, start).await.unwrap();
    assert_eq!((quiet.cursor.updated_until, quiet.has_more), (Some(until), false));

    clock.advance(Duration::from_secs(601));
    script.answer(200, list(&[], 0)).answer(200, list(&[receipt()], 1)).answer(200, list(&[], 0));
    let poll = etsy.changed_orders(&quiet.cursor, start).await.unwrap();
    let cancelled = etsy.changed_orders(&poll.cursor, start).await.unwrap();
    assert!(poll.has_more && cancelled.has_more && cancelled.orders.len() == 1);
    assert_eq!(cancelled.cursor.updated_until, Some(until), "a sweep moves no cursor");
    let open = etsy.changed_orders(&cancelled.cursor, start).await.unwrap();
    assert!(!open.has_more);
    insta::assert_debug_snapshot!(script.lines(), @r#"
    [
        "POST /v3/public/oauth/token",
        "GET /v3/application/shops/52/receipts?min_last_modified=1790035200&sort_on=updated&sort_order=asc&limit=100&offset=0",
        "GET /v3/application/shops/52/receipts?min_last_modified=1789999980&sort_on=updated&sort_order=asc&limit=100&offset=0",
        "GET /v3/application/shops/52/receipts?min_last_modified=1789999980&sort_on=updated&sort_order=asc&limit=100&offset=0",
        "GET /v3/application/shops/52/receipts?min_created=1790079001&sort_on=created&sort_order=asc&limit=100&offset=0&was_canceled=true",
        "GET /v3/application/shops/52/receipts?min_created=1790079001&sort_on=created&sort_order=asc&limit=100&offset=0&was_paid=true&was_shipped=false&was_canceled=false",
    ]
    "#);
}

#[tokio::test]
async fn a_long_sweep_goes_on_a_few_pages_after_each_poll_and_never_keeps_one_waiting() {
    let Bench { etsy, script, clock, .. } = bench();
    let start = PollStart { since: None, is_bulk: false };
    script.answer(200, token(1)).answer(200, list(&[receipt()], 1));
    let mut cursor = etsy.changed_orders(&Cursor::default(), start).await.unwrap().cursor;
    clock.advance(Duration::from_secs(90_000));
    script.answer(200, token(2));
    let full = |from: i64| {
        let at = |id: i64| json!({"receipt_id": id, "create_timestamp": 1_793_000_000 + id});
        list(&(from..from + 100).map(at).collect::<Vec<_>>(), 100_000)
    };
    let mut swept = 0;
    for poll in 0..3 {
        script.answer(200, list(&[], 0));
        let mut page = etsy.changed_orders(&cursor, start).await.unwrap();
        while page.has_more {
            script.answer(200, full(swept * 100));
            page = etsy.changed_orders(&page.cursor, start).await.unwrap();
            swept += 1;
        }
        cursor = page.cursor;
        assert_eq!(swept, (poll + 1) * 5);
    }
    // The quota is used up: the poll after it asks for what changed all the same.
    script.asked();
    script.answer(200, list(&[], 0)).answer_with(429, &[("retry-after", "1")], r#"{"error":"Exceeded"}"#);
    let poll = etsy.changed_orders(&cursor, start).await.unwrap();
    let stopped = etsy.changed_orders(&poll.cursor, start).await.unwrap();
    assert!(poll.has_more && !stopped.has_more);
    clock.advance(Duration::from_secs(2));
    script.answer(200, list(&[], 0)).answer(200, full(swept * 100));
    let poll = etsy.changed_orders(&stopped.cursor, start).await.unwrap();
    etsy.changed_orders(&poll.cursor, start).await.unwrap();
    let lines = script.lines();
    assert!(lines[0].contains("min_last_modified") && lines[2].contains("min_last_modified"));
    assert_eq!(lines[1], lines[3], "the sweep goes on where it was");
}

#[tokio::test]
async fn placed_orders_are_those_of_the_window() {
    let Bench { etsy, script, .. } = bench();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let window =
        PlacedWindow { from: at("2026-11-01T00:00:00Z"), until: at("2026-11-02T00:00:00Z"), is_bulk: true };
    let placed = |id: i64, second: i64| json!({"receipt_id": id, "create_timestamp": second});
    let (from, until) = (window.from.as_second(), window.until.as_second());
    script
        .answer(200, token(1))
        .answer(200, list(&[placed(1, from), placed(2, until - 1), placed(3, until)], 3));
    let page = etsy.placed_orders(window, None).await.unwrap();
    assert_eq!((page.external_ids, page.next), (vec!["1".to_owned(), "2".to_owned()], None));
    let asked = script.lines().pop().unwrap();
    assert!(asked.contains(&format!("min_created={from}&max_created={until}&sort_on=created")), "{asked}");
    let broken = etsy.placed_orders(window, Some("x")).await;
    assert!(matches!(broken, Err(ChannelError::Reject { .. })));
}

#[tokio::test]
async fn a_new_refresh_token_is_kept_before_its_access_token_is_used() {
    let Bench { etsy, script, clock, sink } = bench();
    script.answer(200, token(1));
    for _ in 0..10 {
        script.answer(404, r#"{"error":"Resource not found"}"#);
    }
    let ids: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let found = futures_util::future::join_all(ids.iter().map(|id| etsy.order(id))).await;
    assert!(found.iter().all(|order| *order == Ok(None)));
    let asked: Vec<Asked> = script.asked();
    assert_eq!(
        asked.iter().filter(|one| one.line.contains("/token")).count(),
        1,
        "one renewal for ten callers"
    );
    assert_eq!(asked[0].body, "grant_type=refresh_token&client_id=key&refresh_token=7.refresh-0");
    assert_eq!(asked[1].headers["x-api-key"], "key:s3cret");
    assert_eq!(asked[1].headers["authorization"], "Bearer 7.access-1");
    assert_eq!(sink.refresh_tokens(), ["7.refresh-1"]);

    // The disk is full: what Etsy gave is neither used nor lost, and no third token is asked for.
    clock.advance(Duration::from_secs(3_600));
    *sink.is_full.lock().unwrap() = true;
    script.answer(200, token(2));
    for _ in 0..3 {
        let refused = etsy.order("1").await.unwrap_err();
        assert!(
            matches!(&refused, ChannelError::Retry { in_doubt: false, message, .. } if message.contains("no space"))
        );
    }
    *sink.is_full.lock().unwrap() = false;
    script.answer(404, "{}");
    assert_eq!(etsy.order("1").await, Ok(None));
    assert_eq!(sink.refresh_tokens(), ["7.refresh-1", "7.refresh-2"]);
    let asked = script.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0].body.ends_with("refresh_token=7.refresh-1"));
    assert_eq!(asked[1].headers["authorization"], "Bearer 7.access-2");
}

#[tokio::test]
async fn a_renewal_that_nobody_waits_for_is_kept_all_the_same() {
    let Bench { etsy, script, sink, .. } = bench();
    script.answer(200, token(1)).answer(404, "{}");
    // The caller gives up at its first pause.
    assert_eq!(futures_util::FutureExt::now_or_never(etsy.order("1")), None);
    while sink.refresh_tokens().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(etsy.order("1").await, Ok(None));
    assert_eq!(sink.refresh_tokens(), ["7.refresh-1"], "nothing was renewed twice");
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_kept() {
    let Bench { etsy, script, sink, .. } = bench();
    script.answer(200, token(1)).answer(404, "{}");
    etsy.order("1").await.unwrap();
    let kept = sink.kept.lock().unwrap().clone();
    let mut credentials = CREDENTIALS.to_vec();
    credentials.retain(|(name, _)| *name != "refresh_token");
    credentials.extend(kept.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let again = bench_with(&credentials);
    again.script.answer(404, "{}");
    again.etsy.order("1").await.unwrap();
    assert_eq!(again.script.asked()[0].headers["authorization"], "Bearer 7.access-1", "nothing was renewed");

    // After a new authorisation the access token that is left from before is nobody's.
    credentials.retain(|(name, _)| *name != "refresh_token");
    credentials.push(("refresh_token", "8.other"));
    let other = bench_with(&credentials);
    other.script.answer(200, token(5)).answer(404, "{}");
    other.etsy.order("1").await.unwrap();
    assert!(other.script.asked()[0].body.ends_with("refresh_token=8.other"));
}

#[tokio::test]
async fn two_connectors_of_one_connection_share_what_is_kept() {
    let first = bench();
    let second = bench();
    first.script.answer(200, token(1)).answer(404, "{}");
    first.etsy.order("1").await.unwrap();
    for (name, value) in first.sink.kept.lock().unwrap().iter() {
        second.sink.keep(ConnectionId(1), name, &Secret::from(value.as_str())).unwrap();
    }
    // The second one was built before: it goes on with what the first one kept, and renews nothing.
    second.script.answer(404, "{}");
    second.etsy.order("1").await.unwrap();
    assert_eq!(second.script.asked()[0].headers["authorization"], "Bearer 7.access-1");
    // Where that is refused, too, the newest refresh token is what is renewed.
    second.script.answer(401, "{}").answer(200, token(2)).answer(404, "{}");
    second.etsy.order("1").await.unwrap();
    assert!(second.script.asked()[1].body.ends_with("refresh_token=7.refresh-1"));
}

/// Etsy has answered one of them, which has not kept it yet: what the other one holds is dead.
#[tokio::test]
async fn a_connector_does_not_renew_what_another_one_is_renewing() {
    let (sink, renewals) = (Arc::<Sink>::default(), Arc::<tokio::sync::Mutex<()>>::default());
    let Bench { etsy, script, .. } = bench_of(CREDENTIALS, sink.clone(), renewals.clone());
    let renewal = renewals.lock().await;
    let waiting = tokio::spawn(async move { etsy.order("1").await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished() && script.asked().is_empty());
    sink.keep(ConnectionId(1), "refresh_token", &Secret::from("7.refresh-1")).unwrap();
    script.answer(200, token(2)).answer(404, "{}");
    drop(renewal);
    assert_eq!(waiting.await.unwrap(), Ok(None));
    assert!(script.asked()[0].body.ends_with("refresh_token=7.refresh-1"));
}

#[tokio::test]
async fn a_lost_renewal_costs_nothing_while_the_old_token_lives_and_says_so_afterwards() {
    let Bench { etsy, script, clock, .. } = bench();
    script.answer(200, token(1)).answer(404, "{}");
    etsy.order("1").await.unwrap();
    clock.advance(Duration::from_secs(3_600 - 240));
    script.lose(TransportError::TimedOut { request_sent: true }).answer(404, "{}").answer(404, "{}");
    for _ in 0..2 {
        assert_eq!(etsy.order("1").await, Ok(None), "four minutes are left of it");
    }
    script.asked();
    clock.advance(Duration::from_secs(240));
    script.answer(400, r#"{"error":"invalid_grant","error_description":"used"}"#);
    let refused = etsy.order("1").await.unwrap_err();
    let ChannelError::Reauth { message } = refused else { panic!("{refused:?}") };
    assert!(message.contains("never arrived") && message.contains("Connect again"), "{message}");
    assert!(script.asked()[0].body.ends_with("refresh_token=7.refresh-1"), "the old one is tried");
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let Bench { etsy, script, .. } = bench();
    let expired = r#"{"error":"invalid_token","error_description":"access token is expired"}"#;
    script.answer(200, token(1)).answer(401, expired).answer(200, token(2)).answer(404, "{}");
    assert_eq!(etsy.order("1").await, Ok(None));
    script.answer(401, expired).answer(200, token(3)).answer(401, expired);
    assert!(matches!(etsy.order("1").await, Err(ChannelError::Reauth { .. })));
}

fn parcel(carrier: &str, tracking: Option<&str>) -> ShipmentDraft {
    ShipmentDraft {
        parcel: 1,
        carrier: Some(carrier.to_owned()),
        service: None,
        tracking: tracking.map(str::to_owned),
        shipped_at: NOW.parse().unwrap(),
        lines: Vec::new(),
    }
}

#[tokio::test]
async fn a_parcel_is_told_in_a_form_and_what_is_missing_costs_no_mail() {
    let Bench { etsy, script, .. } = bench();
    let order = FulfilmentOrder { external_id: "9001".to_owned(), site: None };
    script.answer(200, token(1)).answer(200, receipt().to_string()).answer(200, receipt().to_string());
    etsy.confirm_shipment(&order, &parcel("ups", Some(" 1Z 9 "))).await.unwrap();
    etsy.confirm_shipment(&order, &parcel("Bike & Co", Some("B1"))).await.unwrap();
    let asked = script.asked();
    assert_eq!(asked[1].line, "POST /v3/application/shops/52/receipts/9001/tracking");
    assert_eq!(asked[1].headers["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(asked[1].body, "tracking_code=1Z%209&carrier_name=UPS&send_bcc=false");
    assert_eq!(
        asked[2].body,
        "tracking_code=B1&carrier_name=other&send_bcc=false&note_to_buyer=Shipped%20with%20Bike%20%26%20Co"
    );
    for draft in [parcel("UPS", None), parcel(" ", Some("1Z"))] {
        assert!(matches!(etsy.confirm_shipment(&order, &draft).await, Err(ChannelError::Reject { .. })));
    }
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn what_became_of_a_parcel_is_either_known_or_in_doubt() {
    let Bench { etsy, script, clock, .. } = bench();
    let order = FulfilmentOrder { external_id: "9001".to_owned(), site: None };
    let tell = async || etsy.confirm_shipment(&order, &parcel("UPS", Some("1Z"))).await.unwrap_err();
    script.answer(200, token(1));
    for (status, body) in
        [(500, ""), (503, "<html>"), (200, "<html>"), (200, ""), (200, "{}"), (400, "<html>")]
    {
        script.answer(status, body);
        let error = tell().await;
        assert!(error.is_in_doubt(), "{status} {body}: {error:?}");
    }
    script.lose(TransportError::TimedOut { request_sent: true });
    assert!(tell().await.is_in_doubt());
    script.lose(TransportError::ConnectFailed("refused".to_owned()));
    assert!(!tell().await.is_in_doubt());
    script.answer(429, r#"{"error":"Exceeded per second rate limit"}"#);
    assert!(matches!(tell().await, ChannelError::Retry { throttled: true, in_doubt: false, .. }));
    clock.advance(Duration::from_secs(10));
    script.answer(409, r#"{"error":"conflict"}"#);
    assert!(matches!(tell().await, ChannelError::Reject { kind: RejectKind::AlreadyDone, .. }));
    script.answer(403, r#"{"error":"Unauthorized"}"#);
    let ChannelError::Reject { kind: RejectKind::Other, message } = tell().await else { panic!() };
    assert!(message.contains("Shop Manager"), "{message}");
}

#[tokio::test]
async fn the_receipt_says_which_parcels_were_told() {
    let Bench { etsy, script, .. } = bench();
    let order = FulfilmentOrder { external_id: "9001".to_owned(), site: None };
    let mut told = receipt();
    told["shipments"] = json!([
        {"receipt_shipping_id": 5, "shipment_notification_timestamp": 1_790_000_500, "carrier_name": "UPS",
         "tracking_code": "1Z"},
        {"receipt_shipping_id": null, "carrier_name": "other", "tracking_code": ""},
    ]);
    script.answer(200, token(1)).answer(200, told.to_string());
    let parcels = etsy.told_parcels(&order).await.unwrap().unwrap();
    let ids: Vec<_> = parcels.iter().map(|one| (one.external_id.as_str(), one.tracking.as_deref())).collect();
    assert_eq!(ids, [("5", Some("1Z")), ("shipment 2", None)]);
    // A receipt that does not say is no receipt without parcels.
    let mut silent = receipt();
    silent["shipments"] = Value::Null;
    script.answer(200, silent.to_string());
    assert!(matches!(etsy.told_parcels(&order).await, Err(ChannelError::Corrupt { .. })));
    script.answer(404, "{}");
    assert!(etsy.told_parcels(&order).await.is_err());
}

#[tokio::test]
async fn the_days_quota_is_learnt_and_kept() {
    let Bench { etsy, script, clock, .. } = bench();
    let headers = [
        ("x-limit-per-second", "10"),
        ("x-remaining-this-second", "9"),
        ("x-limit-per-day", "5000"),
        ("x-remaining-today", "400"),
    ];
    assert_eq!(etsy.poll_interval_min(), Duration::from_secs(25));
    script.answer(200, token(1)).answer_with(404, &headers, "{}").answer(404, "{}");
    etsy.order("1").await.unwrap();
    assert_eq!(etsy.poll_interval_min(), Duration::from_secs(51));
    let day = etsy.quota().into_iter().find(|line| line.operation == client::PER_DAY).unwrap();
    assert_eq!((day.left, day.limit), (Some(400), Some(5_000)));
    // Bulk work leaves the last tenth to orders and parcels.
    assert!(matches!(etsy.listings(None).await, Err(ChannelError::Retry { throttled: true, .. })));
    etsy.order("1").await.unwrap();
    clock.advance(Duration::from_secs(601));
    let used_up = [("x-limit-per-day", "5000"), ("x-remaining-today", "0"), ("retry-after", "7200")];
    script.answer_with(429, &used_up, r#"{"error":"Exceeded per day rate limit"}"#);
    for _ in 0..2 {
        let error = etsy.order("1").await.unwrap_err();
        assert!(
            matches!(error, ChannelError::Retry { after: Some(after), throttled: true, .. }
            if after == Duration::from_secs(7_200)),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn listings_come_with_their_variants() {
    let Bench { etsy, script, .. } = bench();
    let product = |id: i64, sku: &str, value: &str| {
        json!({"product_id": id, "sku": sku, "is_deleted": false, "property_values": [{"values": [value]}],
            "offerings": [{"quantity": 3, "is_deleted": true}, {"quantity": 7, "price": money(1_250)}]})
    };
    let page = json!({"count": 2, "results": [
        {"listing_id": 1, "title": "Mug &amp; cup", "quantity": 9, "price": money(900), "skus": ["A", "B"],
         "listing_type": "physical", "inventory": {"products": [product(11, "A", "Cr&egrave;me"), product(12, "", "Blue"),
         {"product_id": 13, "is_deleted": true}]}},
        {"listing_id": 2, "title": "Pattern", "quantity": 5, "price": money(500), "skus": [], "listing_type": "download"},
    ]});
    script.answer(200, token(1)).answer(200, page.to_string()).answer(200, r#"{"count":0,"results":[]}"#);
    let first = etsy.listings(None).await.unwrap();
    let shown: Vec<_> = first
        .listings
        .iter()
        .map(|one| {
            (
                one.external_id.as_str(),
                one.sku.as_deref(),
                one.title.as_deref(),
                one.quantity,
                one.price_minor,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("11", Some("A"), Some("Mug & cup - Crème"), Some(7), Some(1_250)),
            ("12", None, Some("Mug & cup - Blue"), Some(7), Some(1_250)),
            ("2", None, Some("Pattern"), Some(5), Some(500)),
        ]
    );
    assert_eq!(first.listings[2].fulfilled_by, FulfilledBy::Platform);
    let last = etsy.listings(first.next.as_deref()).await.unwrap();
    assert_eq!(last.next, None);
    let lines = script.lines();
    assert!(lines[1].ends_with("listings?state=active&includes=Inventory&limit=100&offset=0"), "{lines:?}");
    assert!(lines[2].contains("state=sold_out"));
}

#[tokio::test]
async fn a_test_says_what_works_and_shows_the_wall() {
    let Bench { etsy, script, .. } = bench();
    let shop = r#"{"shop_id":52,"shop_name":"Fox &amp; Co","currency_code":"EUR"}"#;
    let mut walled = receipt();
    for name in ["first_line", "city", "zip", "country_iso"] {
        walled[name] = Value::Null;
    }
    script.answer(200, token(1)).answer(200, shop).answer(200, list(&[walled], 1));
    let report = Probe::probe(&etsy).await;
    assert!(report.is_ok(), "{report:?}");
    assert_eq!(report.account.as_deref(), Some("52"));
    assert!(report.lines[1].detail.contains("“Fox & Co”, in EUR"));
    assert!(report.lines[2].detail.contains("withholds"));
    script.answer(403, r#"{"error":"Shared secret is required in x-api-key header."}"#);
    let report = Probe::probe(&etsy).await;
    assert!(!report.is_ok() && report.lines[0].detail.contains("Shared secret is required"), "{report:?}");
}

#[tokio::test]
async fn consent_asks_by_pkce_and_finds_the_shop() {
    let entered: [(String, String); 2] =
        [("keystring".into(), "key".into()), ("shared_secret".into(), "s3cret".into())];
    let wanted =
        ConsentRequest { redirect_uri: "https://eider.example/back".to_owned(), state: "st".to_owned() };
    let begun = consent::start(&entered.into(), None, &wanted).unwrap();
    let verifier = begun.verifier.clone().unwrap();
    let query: std::collections::BTreeMap<_, _> = begun.url.query_pairs().into_owned().collect();
    assert!(begun.url.as_str().starts_with("https://www.etsy.com/oauth/connect?"));
    assert_eq!(query["code_challenge_method"], "S256");
    let digest = <sha2::Sha256 as sha2::Digest>::digest(verifier.expose());
    let challenge = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, digest);
    assert_eq!(query["code_challenge"], challenge);
    assert_eq!((query["state"].as_str(), query["client_id"].as_str()), ("st", "key"));
    assert_eq!(query["scope"], "transactions_r transactions_w listings_r shops_r email_r");
    assert_eq!(query["redirect_uri"], wanted.redirect_uri);

    let script = Arc::new(Script::default());
    let (setup, _) = script::setup(script.clone(), &CREDENTIALS[..2]);
    script.answer(200, token(1)).answer(200, r#"{"user_id":7,"shop_id":52}"#);
    let answer = ConsentAnswer {
        code: Secret::from("c0de"),
        redirect_uri: wanted.redirect_uri.clone(),
        verifier: Some(verifier.clone()),
    };
    let given = consent::exchange(setup, answer).await.unwrap();
    assert_eq!((given["refresh_token"].as_str(), given["shop_id"].as_str()), ("7.refresh-1", "52"));
    let asked = script.asked();
    assert!(
        asked[0].body.contains("grant_type=authorization_code") && asked[0].body.contains(verifier.expose())
    );
    assert_eq!(asked[1].line, "GET /v3/application/users/me");
    assert_eq!(asked[1].headers["authorization"], "Bearer 7.access-1");
}

/// The published example's key, signing what Etsy sends.
fn pushed(body: &Value) -> Push {
    use base64::Engine as _;
    use hmac::Mac as _;
    let base64 = base64::engine::general_purpose::STANDARD;
    let key = base64.decode("C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
    let received_at: Timestamp = NOW.parse().unwrap();
    let sent = received_at.as_second().to_string();
    let body = body.to_string();
    let mut code = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    code.update(format!("msg_1.{sent}.{body}").as_bytes());
    let signature = format!("v1,{}", base64.encode(code.finalize().into_bytes()));
    let headers = [("webhook-id", "msg_1"), ("webhook-timestamp", &sent), ("webhook-signature", &signature)];
    Push {
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        body: Bytes::from(body),
        received_at,
        endpoint: "https://eider.example/hooks/x".to_owned(),
    }
}

#[tokio::test]
async fn a_message_names_the_receipt_and_nothing_else_is_believed() {
    let Bench { etsy, .. } = bench();
    let webhooks = Connector::webhooks(&etsy).unwrap();
    let url = |shop: i64| format!("https://api.etsy.com/v3/application/shops/{shop}/receipts/9001");
    for (body, news) in [
        (
            json!({"event_type": "order.paid", "resource_url": url(52), "shop_id": "52"}),
            News::Order("9001".into()),
        ),
        (
            json!({"event_type": "ORDER_PAID", "resource_url": url(52), "shop_id": 42}),
            News::Order("9001".into()),
        ),
        (
            json!({"event_type": "order.canceled", "resource_url": url(1), "shop_id": 52}),
            News::Order("9001".into()),
        ),
        (json!({"event_type": "Order_Shipped", "shop_id": 52}), News::Orders),
        (
            json!({"event_type": "order.paid", "resource_url": url(1), "shop_id": 1}),
            News::Other("order.paid of another shop".into()),
        ),
        (json!({"event_type": "SHOP_ON_VACATION", "shop_id": 52}), News::Other("shop.on.vacation".into())),
        (json!({}), News::Other("a message without a name".into())),
    ] {
        let verified = webhooks.verify(&pushed(&body)).await.unwrap();
        assert_eq!((verified.id.as_str(), verified.news), ("msg_1", vec![news]), "{body}");
    }
    let mut forged = pushed(&json!({"event_type": "order.paid"}));
    forged.body = Bytes::from_static(b"{}");
    assert!(matches!(webhooks.verify(&forged).await, Err(PushError::Refused(_))));
    let address = HookAddress { endpoint: "https://e.example/x", others: &[] };
    assert_eq!(webhooks.subscribe(address).await, Ok(None));
    let bare = bench_with(&CREDENTIALS[..4]);
    let webhooks = Connector::webhooks(&bare.etsy).unwrap();
    assert!(matches!(webhooks.verify(&pushed(&json!({}))).await, Err(PushError::Refused(_))));
    let steps = webhooks.subscribe(address).await.unwrap().unwrap();
    assert!(steps.contains("Webhook portal") && steps.ends_with("https://e.example/x"));
}
