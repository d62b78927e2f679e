//! Addresses that people enter: pasted, looked over, or from the rows of a file.

use actix_web::http::{Method, StatusCode};
use actix_web::test::TestRequest;

use super::site::{Answer, Site, order};
use crate::domain::order::{OrderFacts, OrderStatus};
use crate::domain::user::Role;

fn walled(id: &str) -> OrderFacts {
    let mut facts = order(id, 60);
    facts.people.as_mut().unwrap().ship_to = None;
    facts
}

fn value(page: &Answer, name: &str) -> String {
    page.attribute(&format!("input[name={name}]"), "value").unwrap()
}

fn calls(site: &Site) -> Vec<String> {
    site.engine.calls.lock().unwrap().clone()
}

#[actix_web::test]
async fn an_address_is_pasted_looked_over_and_kept() {
    let site = Site::new().await;
    site.import(vec![walled("E-1"), order("E-2", 60)]).await;
    let page = site.get("/orders/1").await;
    assert_eq!(page.attribute(".actions a.button", "href").unwrap(), "/orders/1/address");
    assert!(!site.get("/orders/2").await.body.contains("/orders/2/address"), "it has an address");
    assert_eq!(site.get("/orders/2/address").await.status, StatusCode::CONFLICT);
    assert_eq!(site.get("/orders/99/address").await.status, StatusCode::NOT_FOUND);
    assert_eq!(site.get("/orders/1/address").await.status, StatusCode::OK);

    let text = "Grace <b>Example\r\n1 Test Street\r\nApt 2\r\nSPRINGFIELD, IL 62704\r\nUnited States";
    let read = site.post("/orders/1/address", &[("do", "read"), ("pasted", text)]).await;
    assert_eq!(value(&read, "name"), "Grace <b>Example");
    let parts = ["city", "region", "postal_code"].map(|name| value(&read, name));
    assert_eq!(parts, ["SPRINGFIELD", "IL", "62704"]);
    assert_eq!(read.texts("textarea[name=street]"), ["1 Test Street Apt 2"]);
    assert!(read.texts(".notice").is_empty(), "{:?}", read.texts(".notice"));
    assert!(calls(&site).is_empty(), "nothing is kept before it was seen");

    let unclear =
        site.post("/orders/1/address", &[("pasted", "Grace Example\n1 Test Street\n10115 Berlin")]).await;
    assert!(unclear.texts(".notice").join(" ").contains("city, state or region, postal code, country"));

    let mut fields = vec![
        ("do", "save"),
        ("name", " Grace Example "),
        ("street", "1 Test Street\r\nApt 2"),
        ("city", "Springfield"),
        ("region", "IL"),
        ("postal_code", "62704"),
        ("country", ""),
    ];
    let refused = site.post("/orders/1/address", &fields).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.texts("[role=alert]").join(" ").contains("Choose the country"));
    assert_eq!(value(&refused, "city"), "Springfield", "what was typed is shown again");
    fields[6].1 = "US";
    let kept = site.post("/orders/1/address", &fields).await;
    assert_eq!(kept.header("location"), "/orders/1");
    assert_eq!(calls(&site), ["address of 1 by ada: Grace Example|1 Test Street;Apt 2|Springfield|IL|62704"]);
}

#[actix_web::test]
async fn who_may_not_work_on_orders_enters_no_address() {
    let site = Site::new().await;
    site.import(vec![walled("E-1")]).await;
    let cookie = site.session(site.add_user("bob", Role::Warehouse)).await;
    let page = site.send(TestRequest::get().uri("/orders/1").cookie(cookie.clone())).await;
    assert!(!page.body.contains("/orders/1/address"));
    for path in ["/orders/1/address", "/orders/addresses"] {
        let answer = site.send(TestRequest::get().uri(path).cookie(cookie.clone())).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[actix_web::test]
async fn etsys_own_download_is_taken_as_it_is_and_each_row_says_what_is_wrong_with_it() {
    let site = Site::new().await;
    let over = OrderFacts { status: OrderStatus::Shipped, ..walled("E-4") };
    site.import(vec![walled("E-1"), walled("E-2"), order("E-3", 60), over, walled("E-5")]).await;
    let text = "\u{feff}Sale Date,Order ID,Full Name,Ship Name,Ship Address1,Ship Address2,Ship City,Ship State,Ship Zipcode,Ship Country\r\n\
        03/01/26,E-1,Grace E.,\"Example, Grace\",1 Test Street,Apt 2,Springfield,IL,62704,United States\r\n\
        03/01/26,E-1,Grace E.,\"Example, Grace\",1 Test Street,Apt 2,Springfield,IL,62704,United States\r\n\
        03/01/26,E-2,Max Muster,Max Muster,Musterstr. 1,,Berlin,,10115,Atlantis\r\n\
        03/01/26,E-3,A,A,Street 1,,Berlin,,10115,Germany\r\n\
        03/01/26,E-4,A,A,Street 1,,Berlin,,10115,Germany\r\n\
        03/01/26,E-9,A,A,Street 1,,Berlin,,10115,Germany\r\n\
        03/01/26,E-5,A,A,Street 1,,Berlin,,10115,Germany\r\n\
        03/01/26,E-5,B,B,Street 2,,Berlin,,10115,Germany\r\n";
    let seen = site.post("/orders/addresses", &[("do", "read"), ("text", text)]).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.body);
    let rows = seen.texts("tbody tr");
    let expected = [
        "E-1 2 Example, Grace, 1 Test Street, Apt 2, Springfield, IL, 62704, US ready",
        "E-1 3 passed over the same as row 2",
        "E-2 4 mend Choose the country.",
        "E-3 5 passed over The marketplace gave this order's address.",
        "E-4 6 passed over This order was shipped or cancelled",
        "E-9 7 mend no order with this id is here",
        "E-5 8 A, Street 1, Berlin, 10115, DE ready",
        "E-5 9 mend row 8 has another address",
    ];
    for (row, expected) in rows.iter().zip(expected) {
        assert!(row.starts_with(expected), "{row} should begin with {expected}");
    }
    assert_eq!(rows.len(), expected.len());
    assert!(seen.texts("button").contains(&"Keep 2 addresses".to_owned()), "{:?}", seen.texts("button"));
    assert!(calls(&site).is_empty());

    let kept = site.post("/orders/addresses", &[("do", "save"), ("text", text)]).await;
    assert_eq!(kept.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(kept.texts("[role=alert]").join(" ").starts_with("2 addresses are kept"), "{}", kept.body);
    assert_eq!(kept.texts("tbody tr").len(), 3, "only what has to be mended is left");
    assert_eq!(
        calls(&site),
        [
            "address of 1 by ada: Example, Grace|1 Test Street;Apt 2|Springfield|IL|62704",
            "address of 5 by ada: A|Street 1|Berlin|10115",
        ]
    );
}

#[actix_web::test]
async fn the_template_is_taken_with_any_separator_and_what_is_no_table_is_refused() {
    let site = Site::new().await;
    site.import(vec![walled("3000000001")]).await;
    let template = site.get("/orders/addresses/template.csv").await;
    assert_eq!(template.header("content-type"), "text/csv; charset=utf-8");
    assert!(template.header("content-disposition").contains("addresses.csv"));
    for separator in [",", ";", "\t"] {
        let text = template.body.replace(',', separator);
        let seen = site.post("/orders/addresses", &[("text", &text)]).await;
        let rows = seen.texts("tbody tr");
        assert_eq!(rows.len(), 1, "{separator:?}: {}", seen.body);
        assert!(rows[0].ends_with("Springfield, IL, 62704, US ready"), "{rows:?}");
    }
    let good = site.post("/orders/addresses", &[("do", "save"), ("text", &template.body)]).await;
    assert_eq!(good.header("location"), "/orders");
    for (text, why) in [
        ("", "none is called"),
        ("Order ID,Name,Street\r\n1,A,B", "none is called “ship country”"),
        ("Order ID,Name,Street,Country\r\n", "no rows"),
    ] {
        let refused = site.post("/orders/addresses", &[("text", text)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert!(refused.texts("[role=alert]").join(" ").contains(why), "{text}: {}", refused.body);
    }
}

#[actix_web::test]
async fn a_parcel_is_marked_as_told_by_hand() {
    let site = Site::new().await;
    site.import(vec![walled("E-1")]).await;
    let told = site.post("/orders/1/parcels/2/told", &[]).await;
    assert_eq!(told.header("location"), "/orders/1");
    assert_eq!(calls(&site), ["parcel 2 of 1 told by ada"]);
    let token = site.add_token(Role::Staff);
    let told = site.api(Method::POST, "/api/v1/orders/1/parcels/3/told", &token, None).await;
    assert_eq!(told.json()["message"], "Noted.");
}

#[actix_web::test]
async fn a_script_enters_an_address() {
    let site = Site::new().await;
    site.import(vec![walled("E-1")]).await;
    let token = site.add_token(Role::Staff);
    let mut address = serde_json::json!({
        "name": "Grace Example", "street": ["1 Test Street", "Apt 2"], "city": "Springfield", "country": "US",
    });
    let path = "/api/v1/orders/1/address";
    let kept = site.api(Method::POST, path, &token, Some(address.clone())).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.body);
    assert_eq!(calls(&site), ["address of 1 by token script: Grace Example|1 Test Street;Apt 2|Springfield"]);
    address["country"] = "Atlantis".into();
    let refused = site.api(Method::POST, path, &token, Some(address)).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (StatusCode::BAD_REQUEST, Some("invalid_address"))
    );
}
