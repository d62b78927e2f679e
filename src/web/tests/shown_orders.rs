//! What the pages and the API say of orders.

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;
use bytes::Bytes;

use super::site::{Site, now, order};
use crate::domain::customer::Address;
use crate::domain::effect::{EffectKind, EffectOutcome, Lane, NewEffect};
use crate::domain::id::ConnectionId;
use crate::domain::order::{Amount, AmountKind, ExportState, FulfilledBy, OrderFacts};
use crate::domain::reason::{Reason, ReasonCode};
use crate::domain::refund::{GivenBack, HeldRefund, MarketplaceRefund, RefundShare, RefundedLine};
use crate::domain::user::Role;
use crate::store::files::NewFile;
use crate::store::incidents::{self, NewIncident};
use crate::store::{WriteLane, effects, files, orders, refunds};

fn drawn_together(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[actix_web::test]
async fn every_reason_is_on_the_orders_page_with_its_next_step() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    for code in ReasonCode::ALL {
        let reason = Reason::with(*code, "the particulars");
        let held = reason.clone();
        let write = site.state.store.write(WriteLane::Interactive, move |tx| {
            orders::set_export(tx, no, ExportState::Waiting, Some(&held))
        });
        write.await.unwrap();
        for path in [format!("/orders/{no}"), format!("/orders?reason={code}")] {
            let page = site.get(&path).await;
            let text = page.texts("main").join(" ");
            assert!(text.contains(&drawn_together(&reason.what())), "{code} on {path}: {text}");
            assert!(text.contains(&drawn_together(reason.next_step())), "{code} on {path}: {text}");
        }
    }
}

#[actix_web::test]
async fn an_orders_incident_stands_on_its_page_until_somebody_closes_it() {
    let site = Site::new().await;
    let orders = site.import(vec![order("113-1", 5), order("113-2", 6)]).await;
    let (no, other) = (orders[0], orders[1]);
    let incident = NewIncident {
        connection: Some(site.connection.id),
        order_no: Some(no),
        kind: "changed_after_export".to_owned(),
        text: "Order 113-1 was changed.".to_owned(),
        next_step: "Change the order in the shop.".to_owned(),
    };
    let open = move |tx: &mut crate::store::Tx<'_>| incidents::open(tx, &incident, now());
    site.state.store.write(WriteLane::Interactive, open).await.unwrap();
    let text = site.get(&format!("/orders/{no}")).await.texts("main").join(" ");
    assert!(text.contains("Order 113-1 was changed.") && text.contains("Change the order"), "{text}");
    assert!(!site.get(&format!("/orders/{other}")).await.body.contains("was changed"));
    let cookie = site.session(site.add_user("ann", Role::Warehouse)).await;
    let page = site.send(TestRequest::get().uri(&format!("/orders/{no}")).cookie(cookie)).await;
    let is_shown = page.body.contains("Order 113-1 was changed.");
    assert!(is_shown && !page.body.contains("/incidents/1/close"), "who may not close it has no button");
    assert_eq!(site.post("/incidents/1/close", &[]).await.header("location"), "/connections");
    assert!(!site.get(&format!("/orders/{no}")).await.body.contains("was changed"));
}

#[actix_web::test]
async fn every_reason_that_holds_a_parcel_is_on_the_orders_page_with_its_next_step() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    for code in ReasonCode::ALL {
        let reason = Reason::with(*code, "the particulars");
        let held = NewEffect {
            kind: EffectKind::ConfirmShipment,
            revision: code.to_string(),
            connection: ConnectionId(1),
            lane: Lane::Orders,
            due_at: now(),
            held: Some(reason.clone()),
        };
        site.state
            .store
            .write(WriteLane::Interactive, move |tx| effects::open(tx, no, &held).map(drop))
            .await
            .unwrap();
        for (path, place) in
            [(format!("/orders/{no}"), ".work li"), (format!("/orders?reason={code}"), "#orders tr")]
        {
            let text = site.get(&path).await.texts(place).join(" ");
            assert!(text.contains(&drawn_together(&reason.what())), "{code} on {path}: {text}");
            assert!(text.contains(&drawn_together(reason.next_step())), "{code} on {path}: {text}");
        }
        let finish = move |tx: &mut crate::store::Tx<'_>| {
            for effect in effects::of_orders(tx, &[no.0])? {
                effects::finish(tx, effect.id, EffectOutcome::Dropped, "The next one's turn.")?;
            }
            Ok(())
        };
        site.state.store.write(WriteLane::Interactive, finish).await.unwrap();
    }
}

#[actix_web::test]
async fn orders_that_wait_for_one_reason_are_retried_together() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    let held = move |tx: &mut crate::store::Tx<'_>| {
        let reason = Reason::of(ReasonCode::OutOfStock);
        orders::set_export(tx, no, ExportState::Waiting, Some(&reason))
    };
    site.state.store.write(WriteLane::Interactive, held).await.unwrap();
    assert!(site.get("/orders").await.texts("form.retry").is_empty());
    let ask = TestRequest::get().uri("/orders?reason=out_of_stock").cookie(site.owner().await);
    let ask = ask.insert_header(("HX-Request", "true")).insert_header(("HX-Request-Type", "partial"));
    let fragment = site.send(ask).await;
    assert_eq!(fragment.texts("form.retry"), ["Retry all that wait for this: Too little stock"]);
    let packer = site.add_user("paul", Role::Warehouse);
    let ask = TestRequest::get().uri("/orders?reason=out_of_stock").cookie(site.session(packer).await);
    assert!(site.send(ask).await.texts("form.retry").is_empty(), "a role that may not retry is not asked to");
}

#[actix_web::test]
async fn everything_that_came_with_an_order_is_on_its_page() {
    let site = Site::new().await;
    let mut facts = order("113-1", 5);
    facts.fulfilled_by = FulfilledBy::Platform;
    facts.lines[0].options = Some("Colour: blue; Engraving: For Ada".to_owned());
    facts.lines[0].unit_price = Some("15.00".parse().unwrap());
    facts.payment_method = Some("Visa".to_owned());
    facts.ship_by = Some("2026-03-03T22:59:00Z".parse().unwrap());
    facts.deliver_by = Some("2026-03-07T22:59:00Z".parse().unwrap());
    let amount = |kind, minor| Amount { line: None, kind, minor };
    facts.amounts.extend([amount(AmountKind::WithheldTax, 150), amount(AmountKind::Fee, -412)]);
    let people = facts.people.as_mut().unwrap();
    people.buyer.email = Some("relay@example.com".to_owned());
    people.bill_to = Some(Address {
        street: vec!["2 Bill Street".to_owned()],
        city: Some("Dayton".to_owned()),
        ..Address::default()
    });
    people.buyer_note = Some("Ring twice".to_owned());
    people.gift_message = Some("Happy birthday".to_owned());
    people.delivery_instructions = Some("Leave with the porter".to_owned());
    let no = site.import(vec![facts]).await[0];
    let text = site.get(&format!("/orders/{no}")).await.texts("main").join(" ");
    for wanted in [
        "Fulfilled by Amazon",
        "by Amazon, from its own warehouse",
        "Amazon US",
        "MUG-1",
        "Colour: blue; Engraving: For Ada",
        "Your discount−4.00 USD",
        "Tax on goods1.50 USD",
        "Tax is paid over by: Amazon",
        "Shipping4.99 USD",
        "Standard",
        "Visa",
        "Marketplace fee, not part of the total−4.12 USD",
        "2026-03-03 23:59",
        "2026-03-07 23:59",
        "Grace Example",
        "relay@example.com",
        "1 Test Street",
        "2 Bill Street",
        "Ring twice",
        "Happy birthday",
        "Leave with the porter",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let token = site.add_token(Role::Staff);
    let told = site.api(Method::GET, &format!("/api/v1/orders/{no}"), &token, None).await.json();
    assert_eq!(told["fulfilled_by"], "platform");
    let own = site.import(vec![order("113-2", 6)]).await[0];
    assert!(site.get(&format!("/orders/{own}")).await.texts("dl").join(" ").contains("Shippedby you"));
}

#[actix_web::test]
async fn what_a_buyer_designed_is_saved_and_never_shown() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    let other = site.import(vec![order("113-2", 6)]).await[0];
    let laid = site.state.store.lay_file(Bytes::from_static(b"PK<script>alert(1)</script>")).await.unwrap();
    let kept = laid.clone();
    let write = move |tx: &mut crate::store::Tx<'_>| {
        let new = NewFile {
            media_type: "application/zip".to_owned(),
            name: "customisation-113\"/..-L1.zip".to_owned(),
            order_no: no,
            external_line_id: Some("L1".to_owned()),
        };
        files::add(tx, &kept, &new)
    };
    site.state.store.write(WriteLane::Interactive, write).await.unwrap();
    site.state.store.file_is_in(laid).await.unwrap();
    let page = site.get(&format!("/orders/{no}")).await;
    let text = page.texts("main").join(" ");
    assert!(text.contains("designed by the buyer for MUG-1") && text.contains("27 bytes"), "{text}");
    let address = page.attribute("a[download]", "href").unwrap();
    let file = site.get(&address).await;
    assert_eq!((file.status, file.body.as_str()), (StatusCode::OK, "PK<script>alert(1)</script>"));
    let disposition = "attachment; filename=\"customisation-113__..-L1.zip\"";
    for (name, value) in [
        ("content-disposition", disposition),
        ("content-type", "application/zip"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "private, no-store"),
    ] {
        assert_eq!(file.header(name), value);
    }
    let sha256 = address.rsplit('/').next().unwrap();
    for elsewhere in
        [format!("/orders/{other}/files/{sha256}"), format!("/orders/{no}/files/..%2f..%2fvault")]
    {
        assert_eq!(site.get(&elsewhere).await.status, StatusCode::NOT_FOUND, "{elsewhere}");
    }
    let analyst = site.add_user("ann", Role::Analyst);
    let ask = TestRequest::get().uri(&address).cookie(site.session(analyst).await);
    assert_eq!(site.send(ask).await.status, StatusCode::FORBIDDEN);
}

#[actix_web::test]
async fn pages_lead_through_all_orders_once_and_back() {
    let site = Site::new().await;
    site.import((0..120).map(|number| order(&format!("A-{number:03}"), number)).collect()).await;
    let mut seen = Vec::new();
    let mut path = "/orders?status=open".to_owned();
    let mut previous = None;
    for _ in 0..3 {
        let page = site.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        seen.extend(page.texts("#orders td.lead a.id"));
        previous = page.attribute("a[rel=prev]", "href");
        match page.attribute("a[rel=next]", "href") {
            Some(next) => {
                assert!(next.contains("status=open"), "filters stay: {next}");
                path = next;
            }
            None => break,
        }
    }
    let wanted: Vec<String> = (0..120).map(|number| format!("A-{number:03}")).collect();
    assert_eq!(seen, wanted);
    let back = site.get(&previous.unwrap()).await;
    assert_eq!(back.texts("#orders td.lead a.id"), wanted[50..100]);
}

#[actix_web::test]
async fn what_a_marketplace_sends_is_text_and_never_markup() {
    let site = Site::new().await;
    let evil = "<script>alert(1)</script>";
    let mut facts = order("113-<b>", 5);
    facts.lines[0].title = evil.to_owned();
    facts.shipping_method = Some(evil.to_owned());
    facts.people.as_mut().unwrap().buyer.name = Some(evil.to_owned());
    facts.people.as_mut().unwrap().buyer_note = Some("\"><img src=x>".to_owned());
    let no = site.import(vec![facts]).await[0];
    for path in ["/orders".to_owned(), format!("/orders/{no}"), "/orders?q=%22%3E%3Cscript%3E".to_owned()] {
        let page = site.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(!page.body.contains("<script>") && !page.body.contains("<img src=x"), "{path}");
    }
}

#[actix_web::test]
async fn the_amounts_on_the_page_sum_to_the_total() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    let page = site.get(&format!("/orders/{no}")).await;
    assert_eq!(
        page.texts(".sums tr"),
        [
            "Goods25.00 USD",
            "Tax on goods1.50 USD",
            "Shipping4.99 USD",
            "Your discount−4.00 USD",
            "Total paid by the buyer27.49 USD"
        ]
    );
}

#[actix_web::test]
async fn a_fragment_is_the_part_of_the_page_it_replaces() {
    let site = Site::new().await;
    site.import(vec![order("113-1", 5)]).await;
    let cookie = site.owner().await;
    let fragment = site
        .send(
            TestRequest::get()
                .uri("/orders?export_state=none")
                .cookie(cookie)
                .insert_header(("HX-Request", "true"))
                .insert_header(("HX-Request-Type", "partial")),
        )
        .await;
    assert!(fragment.body.trim_start().starts_with("<section id=\"orders\""), "{}", fragment.body);
    let whole = site.get("/orders?export_state=none").await;
    assert!(whole.body.contains(fragment.body.trim()));
}

#[actix_web::test]
async fn buttons_ask_the_engine_and_say_what_happens() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    let answer = site.post(&format!("/orders/{no}/export"), &[]).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (StatusCode::SEE_OTHER, format!("/orders/{no}").as_str())
    );
    assert!(answer.header("set-cookie").starts_with("eider_notice="));
    let answer = site.post(&format!("/orders/{no}/retry"), &[]).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert!(answer.body.contains("Nothing waits."));
    let answer = site.post("/orders/retry", &[("reason", "out_of_stock")]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let found = site.post("/orders/find", &[("external_id", " 114-9 ")]).await;
    assert!(found.body.contains("114-9 is unpaid."));
    let calls = site.engine.calls.lock().unwrap().clone();
    assert_eq!(
        calls,
        [format!("export {no} by ada"), format!("retry {no} by ada"), "retry out_of_stock".to_owned()]
    );
}

#[actix_web::test]
async fn a_refund_is_shown_and_what_came_of_it_is_asked_for() {
    let site = Site::new().await;
    let no = site.import(vec![order("113-1", 5)]).await[0];
    let share = RefundShare {
        external_line_id: "L".to_owned(),
        item_minor: 1_200,
        shipping_minor: 34,
        quantity: 1,
        ..RefundShare::default()
    };
    let refund = HeldRefund {
        shop_refund_id: "77".to_owned(),
        refunded_at: Some(now()),
        total_minor: 1_234,
        shares: vec![share],
    };
    let reason = Reason::of(ReasonCode::RefundInDoubt);
    let held = NewEffect {
        kind: EffectKind::RefundOrder,
        revision: "77".to_owned(),
        connection: ConnectionId(1),
        lane: Lane::Orders,
        due_at: now(),
        held: Some(reason.clone()),
    };
    let write = site.state.store.write(WriteLane::Interactive, move |tx| {
        refunds::add(tx, no, std::slice::from_ref(&refund), now())?;
        effects::open(tx, no, &held)
    });
    let effect = write.await.unwrap().unwrap().id;
    let page = site.get(&format!("/orders/{no}")).await;
    let text = page.texts("main").join(" ");
    for shown in ["Refunds in the shop", "−12.34 USD", "refund 77", reason.next_step(), "It was done"] {
        assert!(text.contains(&drawn_together(shown)), "{shown}: {text}");
    }
    let path = format!("/orders/{no}/effects/{effect}");
    for verdict in ["done", "again"] {
        let answer = site.post(&format!("{path}/{verdict}"), &[]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
    }
    assert_eq!(site.post(&format!("{path}/maybe"), &[]).await.status, StatusCode::NOT_FOUND);
    let staff = site.add_token(Role::Staff);
    let done = site.api(Method::POST, &format!("/api/v1{path}/done"), &staff, None).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.body);
    let calls = site.engine.calls.lock().unwrap().clone();
    let said = |verdict: &str, who: &str| format!("effect {effect} of {no}: {verdict} by {who}");
    assert_eq!(calls[..2], [said("done", "ada"), said("again", "ada")]);
    assert!(calls[2].starts_with(&format!("effect {effect} of {no}: done by ")), "{calls:?}");
    let shown = site.api(Method::GET, &format!("/api/v1/orders/{no}"), &staff, None).await.json();
    assert_eq!(
        (&shown["refund_minor"], &shown["refunds"][0]["shop_refund_id"]),
        (&1_234.into(), &"77".into())
    );
    assert_eq!(shown["refunds"][0]["lines"][0]["shipping_minor"], 34);
    let packer = site.add_user("paul", Role::Warehouse);
    let ask = TestRequest::get().uri(&format!("/orders/{no}")).cookie(site.session(packer).await);
    assert!(
        !site.send(ask).await.body.contains("It was done<"),
        "a role that may not settle it is not asked to"
    );
}

#[actix_web::test]
async fn a_refund_on_the_marketplace_is_shown_beside_the_shops() {
    let site = Site::new().await;
    let refund = |id: &str, minor: i64, currency: &str| MarketplaceRefund {
        refund_id: id.to_owned(),
        refunded_at: Some(now()),
        currency: currency.parse().unwrap(),
        told_minor: minor,
        total_minor: minor,
        lines: vec![RefundedLine { external_line_id: "L1".to_owned(), minor }],
    };
    let refunds = vec![refund("1-1", 1_100, "USD"), refund("1-2", 900, "GBP")];
    let given_back = GivenBack { refunds, is_more_under_way: false };
    let facts = OrderFacts { refunds: Some(given_back), ..order("113-1", 5) };
    let no = site.import(vec![facts]).await[0];
    let page = site.get(&format!("/orders/{no}")).await;
    let text = page.texts("main").join(" ");
    for shown in ["−11.00 USD", "Refunds on Amazon", "made on the marketplace", "another currency"] {
        assert!(text.contains(&drawn_together(shown)), "{shown}: {text}");
    }
    let staff = site.add_token(Role::Staff);
    let shown = site.api(Method::GET, &format!("/api/v1/orders/{no}"), &staff, None).await.json();
    assert_eq!(shown["refund_minor"], 1_100, "another currency is not blended in");
    let refund = &shown["marketplace_refunds"][0];
    assert_eq!((&refund["refund_id"], &refund["currency"]), (&"1-1".into(), &"USD".into()));
    assert_eq!((&refund["total_minor"], &refund["lines"][0]["total_minor"]), (&1_100.into(), &1_100.into()));
    assert!(refund["shop_refund_id"].is_null());
}

#[actix_web::test]
async fn the_api_lists_orders_with_stable_fields() {
    let site = Site::new().await;
    let token = site.add_token(Role::Staff);
    site.import((0..3).map(|number| order(&format!("A-{number}"), number)).collect()).await;
    let first = site.api(Method::GET, "/api/v1/orders?limit=2", &token, None).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = site.api(Method::GET, &format!("/api/v1/orders?limit=2&cursor={cursor}"), &token, None).await;
    let rest = rest.json();
    assert_eq!(rest["data"].as_array().unwrap().len(), 1);
    assert!(rest["next_cursor"].is_null());
    let order = &first["data"][0];
    for field in [
        "order_no",
        "connection",
        "channel",
        "external_id",
        "status",
        "history",
        "fulfilled_by",
        "export_state",
        "export_reason",
        "shop_order_id",
        "placed_at",
        "imported_at",
        "currency",
        "total_minor",
        "lines",
        "shipments",
        "refund_minor",
        "refunds",
        "marketplace_refunds",
    ] {
        assert!(order.get(field).is_some(), "{field}");
    }
    assert_eq!(order["lines"][0]["sku"], "MUG-1");
    let no = order["order_no"].as_i64().unwrap();
    let events = site.api(Method::GET, &format!("/api/v1/orders/{no}/events"), &token, None).await.json();
    assert!(!events["data"].as_array().unwrap().is_empty());
}

#[actix_web::test]
async fn a_payload_is_shown_to_its_order_only() {
    let site = Site::new().await;
    let numbers = site.import(vec![order("A-1", 1), order("A-2", 2)]).await;
    let page = site.get(&format!("/orders/{}", numbers[0])).await;
    let link = page.attribute("article details a", "href").unwrap();
    let payload = site.get(&link).await;
    assert!(payload.texts("pre").join("").contains("\"orderId\""));
    let other = link.replacen(&format!("/{}/", numbers[0]), &format!("/{}/", numbers[1]), 1);
    assert_eq!(site.get(&other).await.status, StatusCode::NOT_FOUND);
}
