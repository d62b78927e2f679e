//! The simulators' own calls under `/_sim/`: the truth for tests, and the deeds of buyers, sellers and fate.
//!
//! They answer on loopback only and only to a loopback Host, and they never fail by themselves.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::faults::Planned;
use super::reply;
use super::world::State;
use super::{AMAZON, BIGCOMMERCE, EBAY, ETSY};

/// Why a deed was not done.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A field is missing or wrong.
    #[error("the field {0} is missing or wrong")]
    Field(&'static str),
    /// It speaks of something that does not exist.
    #[error("{0}")]
    Unknown(&'static str),
    /// The platform would not do it.
    #[error("{0}")]
    Refused(&'static str),
    /// The platform would not do it, in its own words.
    #[error("{0}")]
    Platform(String),
}

impl ControlError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Field(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) | Self::Platform(_) => StatusCode::CONFLICT,
        }
    }
}

/// Whether a request is one of the simulators' own.
pub fn is_control(request: &Request<Bytes>) -> bool {
    request.uri().path().starts_with("/_sim/")
}

/// Answers one of the simulators' own calls.
pub fn serve(state: &mut State, platform: &str, request: &Request<Bytes>) -> Response<Bytes> {
    if !has_loopback_host(request) {
        let body = json!({"error": "only a loopback Host may ask"});
        return reply::json(StatusCode::FORBIDDEN, &body);
    }
    match answer(state, platform, request) {
        Ok(body) => reply::json(StatusCode::OK, &body),
        Err(error) => reply::json(error.status(), &json!({"error": error.to_string()})),
    }
}

fn answer(state: &mut State, platform: &str, request: &Request<Bytes>) -> Result<Value, ControlError> {
    let name = request.uri().path().trim_start_matches("/_sim/");
    if request.method() == Method::GET {
        return read(state, platform, name);
    }
    if request.method() != Method::POST {
        return Err(ControlError::Unknown("there is no such call"));
    }
    let body = match request.body() {
        empty if empty.is_empty() => json!({}),
        body => serde_json::from_slice(body).map_err(|_| ControlError::Field("body"))?,
    };
    let now = state.now;
    match (platform, name) {
        (_, "fault") => plan_fault(state, platform, &body),
        (_, "clock") => {
            let seconds = level(&body, "advance_s")?;
            state.move_clock(seconds);
            Ok(json!({"now": state.now.to_string()}))
        }
        (AMAZON, "sell") => state.amazon.truth_sell(&body, now),
        (AMAZON, "ship") => state.amazon.truth_ship(&body, now),
        (AMAZON, "cancel") => state.amazon.truth_cancel(&body, now),
        (AMAZON, "ask_cancel") => state.amazon.truth_ask_cancel(&body, now),
        (AMAZON, "pay") => state.amazon.truth_pay(&body, now),
        (EBAY, "sell") => state.ebay.truth_sell(&body, now),
        (EBAY, "ship") => state.ebay.truth_ship(&body, now),
        (EBAY, "cancel") => state.ebay.truth_cancel(&body, now),
        (EBAY, "ask_cancel") => state.ebay.truth_ask_cancel(&body, now),
        (EBAY, "pay") => state.ebay.truth_pay(&body, now),
        (EBAY, "refund") => state.ebay.truth_refund(&body, now),
        (EBAY, "fail_refund") => state.ebay.truth_fail_refund(&body, now),
        (BIGCOMMERCE, "sell") => state.shop.truth_sell(&body, now),
        (BIGCOMMERCE, "ship") => state.shop.truth_ship(&body, now),
        (BIGCOMMERCE, "cancel") => state.shop.truth_cancel(&body, now),
        (BIGCOMMERCE, "pay") => state.shop.truth_pay(&body, now),
        (BIGCOMMERCE, "refund") => state.shop.truth_refund(&body, now),
        (BIGCOMMERCE, "stock") => state.shop.truth_stock(&body, now),
        (ETSY, "sell") => state.etsy.truth_sell(&body, now),
        (ETSY, "ship") => state.etsy.truth_ship(&body, now),
        (ETSY, "cancel") => state.etsy.truth_cancel(&body, now),
        (ETSY, "pay") => state.etsy.truth_pay(&body, now),
        (ETSY, "refund") => state.etsy.truth_refund(&body, now),
        (ETSY, "hook") => state.etsy.truth_hook(&body),
        (ETSY, "wall") => {
            let is_walled = optional_flag(&body, "on").unwrap_or(true);
            state.etsy.set_wall(is_walled);
            Ok(json!({"walled": is_walled}))
        }
        (ETSY, "sign_in") => {
            // Who says yes on Etsy's page from now on: `{other}`.
            let (shop, refresh) = state.etsy.sign_in(optional_flag(&body, "other").unwrap_or(false));
            Ok(json!({"shop_id": shop.to_string(), "refresh_token": refresh}))
        }
        (ETSY, "revoke") => {
            state.etsy.revoke();
            Ok(json!({"revoked": true}))
        }
        (AMAZON, "finish_feeds") => Ok(json!({"done": state.amazon.finish_feeds(&text(&body, "id")?, now)})),
        (AMAZON, "keep_message") => {
            // The queue does not delete the last of the next messages that it is asked to delete.
            state.amazon.keep_message();
            Ok(json!({"kept": true}))
        }
        (AMAZON, "feed") => {
            // How the next feed ends: `{outcome}`, Amazon's word.
            let word = text(&body, "outcome")?;
            if !state.amazon.plan_feed(&word) {
                return Err(ControlError::Field("outcome"));
            }
            Ok(json!({"outcome": word}))
        }
        (AMAZON, "revoke") => {
            state.amazon.revoke();
            Ok(json!({"revoked": true}))
        }
        (BIGCOMMERCE, "app_install") => Ok(state.shop.install_app(now)),
        (BIGCOMMERCE, "app_load") => state.shop.signed_message(&body, now),
        (BIGCOMMERCE, "app_uninstall") => state.shop.uninstall_app(now),
        (BIGCOMMERCE, "hooks_off") => {
            state.shop.switch_hooks_off(now);
            Ok(json!({"off": true}))
        }
        (EBAY, "disable_subscriptions") => {
            state.ebay.disable_subscriptions();
            Ok(json!({"disabled": true}))
        }
        (EBAY, "disable_destinations") => {
            state.ebay.disable_destinations();
            Ok(json!({"disabled": true}))
        }
        (EBAY, "lose_address") => {
            state.ebay.lose_address();
            Ok(json!({"lost": true}))
        }
        (EBAY, "sign_in") => {
            // Who says yes on eBay's page from now on: `{other}`.
            let (user, refresh) = state.ebay.sign_in(optional_flag(&body, "other").unwrap_or(false));
            Ok(json!({"user_id": user, "refresh_token": refresh}))
        }
        (EBAY, "hide_seller") => {
            // Whether grants lack the scope that tells whose they are: `{on}`.
            let is_hidden = optional_flag(&body, "on").unwrap_or(true);
            state.ebay.hide_seller(is_hidden);
            Ok(json!({"hidden": is_hidden}))
        }
        (EBAY, "revoke") => {
            state.ebay.revoke();
            Ok(json!({"revoked": true}))
        }
        (BIGCOMMERCE, "revoke") => {
            state.shop.revoke();
            Ok(json!({"revoked": true}))
        }
        _ => Err(ControlError::Unknown("there is no such call")),
    }
}

fn read(state: &State, platform: &str, name: &str) -> Result<Value, ControlError> {
    match (platform, name) {
        (AMAZON, "orders") => Ok(state.amazon.truth_orders()),
        (AMAZON, "listings") => Ok(state.amazon.truth_listings()),
        (AMAZON, "feeds") => Ok(state.amazon.truth_feeds()),
        (ETSY, "orders") => Ok(state.etsy.truth_orders()),
        (ETSY, "listings") => Ok(state.etsy.truth_listings()),
        (ETSY, "mails") => Ok(state.etsy.truth_mails()),
        (EBAY, "orders") => Ok(state.ebay.truth_orders()),
        (EBAY, "listings") => Ok(state.ebay.truth_listings()),
        (BIGCOMMERCE, "orders") => Ok(state.shop.truth_orders()),
        (BIGCOMMERCE, "shop_orders") => Ok(state.shop.truth_shop_orders()),
        (BIGCOMMERCE, "listings") => Ok(state.shop.truth_listings()),
        (BIGCOMMERCE, "mails") => Ok(state.shop.truth_mails()),
        (_, "calls") => Ok(state.calls(platform)),
        (_, "clock") => Ok(json!({"now": state.now.to_string()})),
        _ => Err(ControlError::Unknown("there is no such call")),
    }
}

fn plan_fault(state: &mut State, platform: &str, body: &Value) -> Result<Value, ControlError> {
    let kind = body.get("kind").cloned().unwrap_or(Value::Null);
    let is_of_messages = matches!(kind.as_str(), Some("duplicate_webhook" | "lost_webhook"));
    if is_of_messages && platform == AMAZON {
        return Err(ControlError::Refused("this platform is polled: it sends no webhooks"));
    }
    let kind = serde_json::from_value(kind).map_err(|_| ControlError::Field("kind"))?;
    let operation = optional_text(body, "operation").unwrap_or_else(|| "*".to_owned());
    let count = optional_count(body, "count")?.unwrap_or(1);
    let count = u32::try_from(count).map_err(|_| ControlError::Field("count"))?;
    let about = optional_text(body, "about");
    state.plan(platform, Planned { operation: operation.clone(), about, kind, count });
    Ok(json!({"operation": operation, "count": count}))
}

/// Whether the request was meant for this machine. In-process requests carry no Host.
fn has_loopback_host(request: &Request<Bytes>) -> bool {
    let header = request.headers().get(http::header::HOST).and_then(|value| value.to_str().ok());
    let Some(host) = header.or_else(|| request.uri().authority().map(http::uri::Authority::as_str)) else {
        return true;
    };
    is_loopback(host)
}

/// Whether `host`, with or without a port, names this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    let is_loopback_address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    name.eq_ignore_ascii_case("localhost") || is_loopback_address
}

/// A text that must be there. Numbers are taken as text: ids are texts here.
pub fn text(body: &Value, name: &'static str) -> Result<String, ControlError> {
    optional_text(body, name).ok_or(ControlError::Field(name))
}

/// A text that may be missing.
pub fn optional_text(body: &Value, name: &str) -> Option<String> {
    match body.get(name)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A number of units, at least 1, that may be missing.
pub fn optional_count(body: &Value, name: &'static str) -> Result<Option<i64>, ControlError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(count) if count >= 1 => Ok(Some(count)),
            _ => Err(ControlError::Field(name)),
        },
    }
}

/// A number that is not negative and must be there.
pub fn level(body: &Value, name: &'static str) -> Result<i64, ControlError> {
    body.get(name).and_then(Value::as_i64).filter(|level| *level >= 0).ok_or(ControlError::Field(name))
}

/// A moment that may be missing.
pub fn optional_time(body: &Value, name: &'static str) -> Result<Option<Timestamp>, ControlError> {
    optional_text(body, name).map(|text| text.parse()).transpose().map_err(|_| ControlError::Field(name))
}

/// A yes or no that may be missing.
pub fn optional_flag(body: &Value, name: &str) -> Option<bool> {
    body.get(name).and_then(Value::as_bool)
}
