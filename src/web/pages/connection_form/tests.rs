//! The form's fields, typed and shown.

use super::*;
use crate::domain::id::ChannelName;

fn channel(name: &str) -> &'static ChannelInfo {
    registry::channel(&ChannelName::from(name)).unwrap()
}

fn today() -> Date {
    "2026-03-01".parse().unwrap()
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parsed(pairs: &[(&str, &str)]) -> Result<ConnectionSettings, FieldProblem> {
    settings(channel("amazon"), &fields(pairs), &ConnectionSettings::default(), today())
}

#[test]
fn a_handed_out_file_gives_its_credentials() {
    let text = "ACCESS TOKEN: tok123\nCLIENT ID: cid\nCLIENT SECRET: sec\nNAME: Eider\nAPI PATH: \
                https://api.bigcommerce.com/stores/abc123/v3/";
    let found = credentials(channel("bigcommerce"), &fields(&[("pasted", text)]));
    let found: BTreeMap<&str, &str> =
        found.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    let wanted = [
        ("access_token", "tok123"),
        ("client_id", "cid"),
        ("client_secret", "sec"),
        ("store_hash", "abc123"),
    ];
    assert_eq!(found, wanted.into());
}

#[test]
fn settings_survive_their_own_form() {
    let sent = [
        ("export_orders", "on"),
        ("manage_stock", "on"),
        ("send_refunds", "on"),
        ("shop", "3"),
        ("insufficient_stock", "hold"),
        ("customer_email", "order_id_at"),
        ("customer_email_text", "example.com"),
        ("carrier_shop_0", "Royal Mail"),
        ("carrier_code_0", "ROYAL_MAIL"),
        ("carrier_shop_10", " UPS "),
        ("carrier_code_10", "UPS"),
        ("carrier_shop_11", ""),
        ("created_status_id", "11"),
        ("secret_made_on", "2026-01-31"),
    ];
    let settings = parsed(&sent).unwrap();
    assert!(!settings.import_orders);
    assert_eq!((settings.send_cancellations, settings.send_refunds), (Some(false), Some(true)));
    assert_eq!(settings.carrier_map["UPS"], "UPS");
    assert_eq!(settings.secret_made_on, Some("2026-01-31".parse().unwrap()));
    let shown = settings_fields(&settings);
    let again = super::settings(channel("amazon"), &shown, &ConnectionSettings::default(), today());
    assert_eq!(again.unwrap(), settings);
}

#[test]
fn what_a_platform_has_no_call_for_cannot_be_switched_on() {
    let sent = fields(&[("send_refunds", "on"), ("send_cancellations", "on")]);
    let etsy = settings(channel("etsy"), &sent, &ConnectionSettings::default(), today()).unwrap();
    assert_eq!((etsy.send_cancellations, etsy.send_refunds), (None, None));
    assert!(!FormView::new(channel("etsy"), &sent, &[], true, None).settings.has_after_sale);
    assert!(FormView::new(channel("ebay"), &sent, &[], true, None).settings.has_after_sale);
}

#[test]
fn rows_of_carriers_are_added_and_removed() {
    let rows = |fields: &Fields| -> Vec<String> {
        let rows = shown_carriers(fields, "").into_iter();
        rows.map(|row| format!("{} {}={}", row.number, row.shop, row.code)).collect()
    };
    let sent = [
        ("carrier_shop_2", "UPS"),
        ("carrier_code_2", "UPS_US"),
        ("carrier_shop_5", ""),
        ("do", "add_carrier"),
    ];
    let mut sent = fields(&sent);
    assert_eq!(rows(&sent), ["2 UPS=UPS_US", "5 ="]);
    assert_eq!(rows(&with_carrier_rows_changed(&sent).unwrap()), ["2 UPS=UPS_US", "5 =", "6 ="]);
    sent.insert("do".to_owned(), "remove_carrier_2".to_owned());
    assert_eq!(rows(&with_carrier_rows_changed(&sent).unwrap()), ["5 ="]);
    sent.insert("do".to_owned(), "save".to_owned());
    assert!(with_carrier_rows_changed(&sent).is_none());
}

#[test]
fn a_wrong_field_is_named_and_explained() {
    type Sent = &'static [(&'static str, &'static str)];
    let cases: [(Sent, &str, &str); 7] = [
        (&[("carrier_shop_4", "UPS")], "carrier_shop_4", "lacks the marketplace’s code"),
        (&[("carrier_shop_4", ""), ("carrier_code_4", "UPS")], "carrier_shop_4", "lacks the shop’s name"),
        (
            &[
                ("carrier_shop_0", "UPS"),
                ("carrier_code_0", "A"),
                ("carrier_shop_1", "ups"),
                ("carrier_code_1", "B"),
            ],
            "carrier_shop_1",
            "twice",
        ),
        (&[("poll_interval_s", "0")], "poll_interval_s", "1 to 86400"),
        (&[("poll_interval_s", "soon")], "poll_interval_s", "whole number"),
        (&[("secret_made_on", "2026-03-02")], "secret_made_on", "not in the future"),
        (
            &[("customer_email", "fixed"), ("customer_email_text", "x")],
            "customer_email_text",
            "e-mail address",
        ),
    ];
    for (sent, field, message) in cases {
        let problem = parsed(sent).unwrap_err();
        assert_eq!(problem.field, field);
        assert!(problem.message.contains(message), "{}", problem.message);
    }
}
