//! What people do while the appliance works: the warehouse ships, buyers cancel, shelves empty, somebody enters a
//! tracking number late, cancels or gives money back in the shop.
//!
//! They do only what people may do: nobody ships the same unit on both sides, so that every parcel has a right
//! place on each of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::marketplace::Marketplace;
use crate::clock::{Entropy, shifted};
use crate::sim::{BIGCOMMERCE, World};

/// Units on a shelf that was filled again.
const FULL_SHELF: i64 = 5_000;

const CARRIERS: [&str; 5] = ["UPS", "FedEx", "USPS", "DHL Express", "Royal Mail"];

/// What people do next, and what they have left to do.
#[derive(Debug)]
pub struct Deeds {
    marketplace: Marketplace,
    draw: Entropy,
    next_at: Timestamp,
    gap_s: u64,
    leaning: Leaning,
    parcels: u64,
    /// Shelves that are empty until then, by SKU.
    empty: BTreeMap<String, Timestamp>,
    /// Parcels whose tracking number comes later: shop order and place among its parcels.
    untracked: Vec<(String, usize)>,
}

/// What people mostly do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaning {
    /// A bit of everything.
    None,
    /// They take things off the shelves.
    Shelves,
    /// They cancel and give money back in the shop.
    AfterSale,
}

/// A shop order is refunded so often at the most.
const REFUNDS_MAX: u64 = 2;

/// Where an order is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Desk {
    /// In the shop's control panel.
    Shop,
    /// At the marketplace.
    Marketplace,
    /// One parcel in the shop, then the rest at the marketplace.
    Both,
    /// Nowhere: it stays open, or its buyer cancels.
    Nobody,
}

impl Deeds {
    /// People who begin at `start` and do something every `gap_s` seconds on average.
    #[must_use]
    pub fn new(
        marketplace: Marketplace,
        draw: Entropy,
        start: Timestamp,
        gap_s: u64,
        leaning: Leaning,
    ) -> Self {
        Self {
            marketplace,
            draw,
            next_at: start,
            gap_s,
            leaning,
            parcels: 0,
            empty: BTreeMap::new(),
            untracked: Vec::new(),
        }
    }

    /// When they do the next thing.
    #[must_use]
    pub const fn next_at(&self) -> Timestamp {
        self.next_at
    }

    /// Does what is due, and says what was done.
    pub fn perform_due(&mut self, world: &World, now: Timestamp) -> Vec<String> {
        let mut done = Vec::new();
        while self.next_at <= now {
            let gap = 1 + self.draw.below(2 * self.gap_s);
            self.next_at = shifted(self.next_at, SignedDuration::from_secs(i64::try_from(gap).unwrap_or(1)));
            let is_usual = self.draw.below(2) == 0;
            let deed = match self.leaning {
                Leaning::Shelves if !is_usual => self.empty_shelf(world, now),
                Leaning::AfterSale if !is_usual => self.settle_in_shop(world),
                Leaning::None | Leaning::Shelves | Leaning::AfterSale => self.do_the_usual(world, now),
            };
            done.extend(deed);
        }
        done
    }

    fn do_the_usual(&mut self, world: &World, now: Timestamp) -> Option<String> {
        match self.draw.below(100) {
            0..36 => self.ship_in_shop(world),
            36..59 => self.ship_at_marketplace(world),
            59..68 => self.cancel(world),
            68..74 => self.sell_in_shop(world),
            74..80 => self.empty_shelf(world, now),
            80..88 => self.fill_shelves(world, Some(now)),
            88..95 => self.enter_tracking(world),
            _ => self.settle_in_shop(world),
        }
    }

    /// Ends what was begun: every shelf is full and every parcel has its number.
    pub fn finish(&mut self, world: &World) -> Vec<String> {
        let mut done: Vec<String> = self.fill_shelves(world, None).into_iter().collect();
        while !self.untracked.is_empty() {
            done.extend(self.enter_tracking(world));
        }
        done
    }

    fn ship_in_shop(&mut self, world: &World) -> Option<String> {
        let orders = list(world, BIGCOMMERCE, "shop_orders");
        let sold = list(world, self.marketplace.name(), "orders");
        // What the marketplace ships is not in our warehouse.
        let is_ours = |order: &Value| {
            let twin = sold.iter().find(|twin| twin["id"] == order["external_order_id"]);
            twin.is_none_or(|twin| twin["fulfilled_by"] == "seller")
        };
        let waiting: Vec<&Value> = orders
            .iter()
            .filter(|order| is_ours(order))
            .filter(|order| {
                let is_open = !matches!(order["status_id"].as_i64(), Some(0 | 2 | 4 | 5 | 6 | 10) | None);
                let desk = self.desk_of(text(order, "external_order_id"));
                is_open
                    && (desk == Desk::Shop
                        || desk == Desk::Both && shipped_units(order, "line_id").is_empty())
            })
            .collect();
        let order = self.pick(&waiting)?;
        let left = left_to_ship(order, "line_id");
        let is_part =
            self.desk_of(text(order, "external_order_id")) == Desk::Both || self.draw.below(100) < 30;
        let lines = self.choose(&left, is_part)?;
        let has_tracking = self.draw.below(100) >= 7;
        let tracking = if has_tracking { self.tracking() } else { String::new() };
        let carrier = self.carrier();
        let id = text(order, "id");
        let lines: Vec<Value> =
            lines.iter().map(|(line, count)| json!({"line_id": line, "quantity": count})).collect();
        let body = json!({"id": id, "carrier": carrier, "tracking": tracking, "lines": lines});
        let done = command(world, BIGCOMMERCE, "ship", &body);
        if !has_tracking && done.contains("200") {
            let place = order["shipments"].as_array().map_or(0, Vec::len);
            self.untracked.push((id.to_owned(), place));
        }
        Some(done)
    }

    fn ship_at_marketplace(&mut self, world: &World) -> Option<String> {
        let copies = list(world, BIGCOMMERCE, "shop_orders");
        let orders = list(world, self.marketplace.name(), "orders");
        let copy_of = |order: &Value| copies.iter().find(|copy| copy["external_order_id"] == order["id"]);
        let waiting: Vec<(&Value, Vec<(String, i64)>)> = orders
            .iter()
            .filter(|order| {
                order["fulfilled_by"] == "seller"
                    && order["paid"] == true
                    && matches!(text(order, "status"), "open" | "part_shipped")
            })
            .filter_map(|order| match self.desk_of(text(order, "id")) {
                Desk::Marketplace => Some((order, left_to_ship(order, "line_id"))),
                Desk::Both => Some((order, left_beside(order, copy_of(order)?)?)),
                Desk::Shop | Desk::Nobody => None,
            })
            .filter(|(_, left)| !left.is_empty())
            .collect();
        let places: Vec<usize> = (0..waiting.len()).collect();
        let place = *self.pick(&places.iter().collect::<Vec<_>>())?;
        let (order, left) = waiting.get(place)?;
        let id = text(order, "id");
        let is_part = self.desk_of(id) == Desk::Marketplace && self.draw.below(100) < 25;
        let is_part = is_part && self.marketplace.parcels_have_lines();
        let lines = self.choose(left, is_part)?;
        let lines: Vec<Value> =
            lines.iter().map(|(line, count)| json!({"line_id": line, "quantity": count})).collect();
        let mut body = json!({"id": id, "carrier": self.carrier(), "lines": lines});
        if self.draw.below(100) >= 8
            && let Some(body) = body.as_object_mut()
        {
            body.insert("tracking".to_owned(), json!(self.tracking()));
        }
        Some(command(world, self.marketplace.name(), "ship", &body))
    }

    /// A buyer changes his mind about something that nobody has shipped.
    fn cancel(&self, world: &World) -> Option<String> {
        let copies = list(world, BIGCOMMERCE, "shop_orders");
        let orders = list(world, self.marketplace.name(), "orders");
        let waiting: Vec<&Value> = orders
            .iter()
            .filter(|order| text(order, "status") == "open" && order["fulfilled_by"] == "seller")
            .filter(|order| {
                let copy = copies.iter().find(|copy| copy["external_order_id"] == order["id"]);
                !has_parcels(order) && !copy.is_some_and(has_parcels)
            })
            .collect();
        let order = self.pick(&waiting)?;
        Some(command(world, self.marketplace.name(), "cancel", &json!({"id": order["id"]})))
    }

    /// Somebody cancels an order in the shop's control panel, or gives money back there.
    fn settle_in_shop(&self, world: &World) -> Option<String> {
        let copies = list(world, BIGCOMMERCE, "shop_orders");
        let orders = list(world, self.marketplace.name(), "orders");
        let sold = |copy: &Value| orders.iter().find(|order| order["id"] == copy["external_order_id"]);
        let is_ours = |order: &Value| {
            order["fulfilled_by"] == "seller" && order["paid"] == true && order["status"] != "cancelled"
        };
        let waiting: Vec<&Value> = copies
            .iter()
            .filter(|copy| !matches!(copy["status_id"].as_i64(), Some(0 | 4 | 5 | 6) | None))
            .filter(|copy| sold(copy).is_some_and(is_ours))
            .collect();
        if self.draw.below(3) == 0 {
            self.cancel_in_shop(world, &waiting, &sold)
        } else {
            self.refund_in_shop(world, &waiting)
        }
    }

    /// Only what nobody ships at the marketplace, and nobody has shipped.
    fn cancel_in_shop<'a>(
        &self,
        world: &World,
        waiting: &[&Value],
        sold: &dyn Fn(&Value) -> Option<&'a Value>,
    ) -> Option<String> {
        let is_open = |copy: &Value| {
            let desk = self.desk_of(text(copy, "external_order_id"));
            matches!(desk, Desk::Shop | Desk::Nobody)
                && !has_parcels(copy)
                && sold(copy).is_some_and(|order| !has_parcels(order) && order["status"] == "open")
        };
        let open: Vec<&Value> = waiting.iter().copied().filter(|copy| is_open(copy)).collect();
        let copy = self.pick(&open)?;
        let mut done = String::new();
        if self.marketplace.buyers_ask() && self.draw.below(2) == 0 {
            let asked = json!({"id": copy["external_order_id"]});
            done = command(world, self.marketplace.name(), "ask_cancel", &asked) + "; ";
        }
        Some(done + &command(world, BIGCOMMERCE, "cancel", &json!({"id": copy["id"]})))
    }

    fn refund_in_shop(&self, world: &World, waiting: &[&Value]) -> Option<String> {
        let left = |copy: &Value| {
            copy["total_minor"].as_i64().unwrap_or(0) - copy["refunded_minor"].as_i64().unwrap_or(0)
        };
        let count = |copy: &Value| copy["refund_count"].as_u64().unwrap_or(0);
        let open: Vec<&Value> =
            waiting.iter().copied().filter(|copy| left(copy) > 1 && count(copy) < REFUNDS_MAX).collect();
        // All of it goes back only for what is on its way: nobody ships what was given back whole.
        let is_shipped = |copy: &Value| matches!(copy["status_id"].as_i64(), Some(2 | 10));
        // What goes back whole for several lines is told in several rows, of which a platform may take some.
        let has_lines = |copy: &Value| copy["lines"].as_array().is_some_and(|lines| lines.len() > 1);
        let several: Vec<&Value> = open
            .iter()
            .copied()
            .filter(|copy| is_shipped(copy) && has_lines(copy) && count(copy) == 0)
            .collect();
        let is_several = self.leaning == Leaning::AfterSale && !several.is_empty() && self.draw.below(3) > 0;
        let copy = self.pick(if is_several { &several } else { &open })?;
        let body = if is_several || is_shipped(copy) && self.draw.below(2) == 0 {
            json!({"id": copy["id"]})
        } else {
            let half = u64::try_from(left(copy) / 2).unwrap_or(1);
            json!({"id": copy["id"], "amount_minor": 1 + self.draw.below(half)})
        };
        Some(command(world, BIGCOMMERCE, "refund", &body))
    }

    fn sell_in_shop(&self, world: &World) -> Option<String> {
        let sku = self.shelf(world)?;
        let body = json!({"sku": sku, "quantity": 1 + self.draw.below(2), "paid": self.draw.below(100) < 80});
        Some(command(world, BIGCOMMERCE, "sell", &body))
    }

    fn empty_shelf(&mut self, world: &World, now: Timestamp) -> Option<String> {
        let sku = self.shelf(world)?;
        let minutes = 3 + self.draw.below(25);
        let until = shifted(now, SignedDuration::from_mins(i64::try_from(minutes).unwrap_or(3)));
        self.empty.insert(sku.clone(), until);
        Some(command(world, BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": 0})))
    }

    /// Fills the shelves whose time has come, or all of them.
    fn fill_shelves(&mut self, world: &World, now: Option<Timestamp>) -> Option<String> {
        let Some(now) = now else {
            self.empty.clear();
            for listing in list(world, BIGCOMMERCE, "listings") {
                let body = json!({"sku": text(&listing, "sku"), "quantity": FULL_SHELF});
                world.control(BIGCOMMERCE, "stock", Some(&body));
            }
            return Some("all shelves are filled".to_owned());
        };
        let sku = self.empty.iter().find(|(_, until)| **until <= now).map(|(sku, _)| sku.clone())?;
        self.empty.remove(&sku);
        Some(command(world, BIGCOMMERCE, "stock", &json!({"sku": sku, "quantity": FULL_SHELF})))
    }

    /// Somebody enters the number of a parcel that had none, in the shop's control panel.
    fn enter_tracking(&mut self, world: &World) -> Option<String> {
        if self.untracked.is_empty() {
            return None;
        }
        let (order, place) = self.untracked.remove(0);
        let known =
            list(world, BIGCOMMERCE, "shop_orders").into_iter().find(|known| text(known, "id") == order)?;
        let parcel = text(known.get("shipments")?.get(place)?, "id").to_owned();
        let body = json!({"tracking_number": self.tracking()});
        let path = format!("v2/orders/{order}/shipments/{parcel}");
        let (status, _) = ask_shop(world, http::Method::PUT, &path, Some(&body))?;
        Some(format!("{BIGCOMMERCE} tracking of {order}/{parcel}: {body} → {status}"))
    }

    /// Who ships an order follows from its id. Two desks share an order only where parcels say what is in them.
    fn desk_of(&self, external_id: &str) -> Desk {
        let sum: u32 = external_id.bytes().map(u32::from).sum();
        match (external_id.is_empty(), sum % 20) {
            (true, _) | (_, 0..8) => Desk::Shop,
            (_, 8..14) => Desk::Marketplace,
            (_, 14..17) if self.marketplace.parcels_have_lines() => Desk::Both,
            (_, 14..17) => Desk::Shop,
            _ => Desk::Nobody,
        }
    }

    /// All of `left`, or a part of it.
    fn choose(&self, left: &[(String, i64)], is_part: bool) -> Option<Vec<(String, i64)>> {
        let units: i64 = left.iter().map(|(_, count)| count).sum();
        if units < 1 {
            return None;
        }
        if !is_part || units < 2 {
            return Some(left.to_vec());
        }
        let (line, count) = self.pick(&left.iter().collect::<Vec<_>>())?;
        let most = if *count == units { units - 1 } else { *count };
        let drawn = self.draw.below(u64::try_from(most).unwrap_or(1));
        Some(vec![(line.clone(), 1 + i64::try_from(drawn).unwrap_or(0))])
    }

    fn shelf(&self, world: &World) -> Option<String> {
        let listings = list(world, BIGCOMMERCE, "listings");
        let full: Vec<&Value> =
            listings.iter().filter(|listing| listing["quantity"].as_i64() > Some(5)).collect();
        // What sells best is at the front.
        let front = full.len().div_ceil(2);
        self.pick(full.get(..front)?).map(|listing| text(listing, "sku").to_owned())
    }

    fn tracking(&mut self) -> String {
        self.parcels += 1;
        let prefix = match self.parcels % 3 {
            0 => "1Z",
            1 => "9400",
            _ => "JD01",
        };
        format!("{prefix}{:08}", self.parcels)
    }

    fn carrier(&self) -> &'static str {
        self.pick(&CARRIERS.iter().collect::<Vec<_>>()).copied().unwrap_or("UPS")
    }

    fn pick<'a, T: ?Sized>(&self, choices: &[&'a T]) -> Option<&'a T> {
        let bound = u64::try_from(choices.len()).unwrap_or(0);
        let place = usize::try_from(self.draw.below(bound)).ok()?;
        choices.get(place).copied()
    }
}

/// The platforms stop sending, as they do after many failures, and somebody with the same access token has made one of the
/// shop's hooks a second time.
pub fn upset_hooks(world: &World, marketplace: Marketplace) -> Option<String> {
    let (_, listed) = ask_shop(world, http::Method::GET, "v3/hooks", None)?;
    let first = listed.pointer("/data/0")?;
    world.control(BIGCOMMERCE, "hooks_off", Some(&json!({})));
    let hook = json!({"scope": first["scope"], "destination": first["destination"], "is_active": true});
    ask_shop(world, http::Method::POST, "v3/hooks", Some(&hook))?;
    if marketplace == Marketplace::Ebay {
        world.control(marketplace.name(), "disable_subscriptions", Some(&json!({})));
        world.control(marketplace.name(), "disable_destinations", Some(&json!({})));
        world.control(marketplace.name(), "lose_address", Some(&json!({})));
    }
    Some("the platforms stop sending, and one hook is there twice".to_owned())
}

/// A call to the shop with the appliance's own access token, by whoever else has it.
fn ask_shop(world: &World, method: http::Method, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    let connections = world.connections(str::to_owned);
    let shop = connections.as_array()?.iter().find(|entry| entry["channel"] == BIGCOMMERCE)?;
    let credentials = &shop["credentials"];
    let request = Request::builder()
        .method(method)
        .uri(format!("/stores/{}/{path}", text(credentials, "store_hash")))
        .header("x-auth-token", text(credentials, "access_token"))
        .body(Bytes::from(body.map(Value::to_string).unwrap_or_default()))
        .ok()?;
    let response = world.handle(BIGCOMMERCE, &request).response;
    Some((response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or_default()))
}

/// A list of the simulators' truth.
pub fn list(world: &World, platform: &str, name: &str) -> Vec<Value> {
    match world.control(platform, name, None).1 {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}

/// A field that is text; empty where it is not.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn command(world: &World, platform: &str, name: &str, body: &Value) -> String {
    let (status, _) = world.control(platform, name, Some(body));
    format!("{platform} {name} {body} → {}", status.as_u16())
}

/// Whether anything of an order was shipped, on the side that is looked at.
pub fn has_parcels(order: &Value) -> bool {
    order["shipments"].as_array().is_some_and(|parcels| !parcels.is_empty())
}

/// Units in parcels, by the field that names the line.
pub fn shipped_units(order: &Value, name: &str) -> BTreeMap<String, i64> {
    let mut units = BTreeMap::new();
    let parcels = order["shipments"].as_array().into_iter().flatten();
    for line in parcels.flat_map(|parcel| parcel["lines"].as_array().into_iter().flatten()) {
        *units.entry(text(line, name).to_owned()).or_default() += line["quantity"].as_i64().unwrap_or(0);
    }
    units
}

fn left_to_ship(order: &Value, name: &str) -> Vec<(String, i64)> {
    let shipped = shipped_units(order, name);
    let lines = order["lines"].as_array().into_iter().flatten();
    lines
        .map(|line| {
            let id = text(line, name).to_owned();
            let left = line["quantity"].as_i64().unwrap_or(0) - shipped.get(&id).copied().unwrap_or(0);
            (id, left)
        })
        .filter(|(_, left)| *left > 0)
        .collect()
}

/// What is left at the marketplace beside what the shop has shipped: only once it has, and nothing else has been
/// shipped at the marketplace. By the marketplace's lines, matched to the shop's by SKU.
fn left_beside(order: &Value, copy: &Value) -> Option<Vec<(String, i64)>> {
    let parcels = |order: &Value| order["shipments"].as_array().cloned().unwrap_or_default();
    let ours: Vec<String> = parcels(copy).iter().map(|parcel| text(parcel, "tracking").to_owned()).collect();
    let is_foreign =
        parcels(order).iter().any(|parcel| !ours.iter().any(|known| known == text(parcel, "tracking")));
    if ours.is_empty() || is_foreign {
        return None;
    }
    let by_line = shipped_units(copy, "line_id");
    let sku_of: BTreeMap<&str, &str> =
        copy["lines"].as_array()?.iter().map(|line| (text(line, "line_id"), text(line, "sku"))).collect();
    let mut left = Vec::new();
    for line in order["lines"].as_array()? {
        let sku = text(line, "sku");
        let twin = sku_of.iter().find(|(_, known)| **known == sku)?;
        let count = line["quantity"].as_i64()? - by_line.get(*twin.0).copied().unwrap_or(0);
        if count > 0 {
            left.push((text(line, "line_id").to_owned(), count));
        }
    }
    Some(left)
}
