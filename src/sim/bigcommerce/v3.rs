//! The store's V3 answers: catalogue and inventory.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::money::json_number;
use super::super::reply;
use super::calls::{Answer, Call, PAGE_MAX, Query, Refusal};
use super::{Product, Shop, Variant};

/// Inventory entries on a page at most.
const INVENTORY_MAX: usize = 250;

impl Shop {
    pub(super) fn list_variants(&self, query: &Query) -> Answer {
        let skus = query.list("sku:in").or_else(|| query.one("sku").map(|sku| vec![sku]));
        let ids = query.numbers("id:in")?.or(query.numbers("id")?);
        let products = query.numbers("product_id:in")?.or(query.numbers("product_id")?);
        let chosen: Vec<i64> = match (&skus, &ids) {
            (Some(skus), _) => skus.iter().filter_map(|sku| self.skus.get(sku).copied()).collect(),
            (None, Some(ids)) => ids.clone(),
            (None, None) => self.variants.keys().copied().collect(),
        };
        let found: Vec<_> = chosen
            .iter()
            .filter_map(|id| self.variant(*id))
            .filter(|(product, variant)| {
                ids.as_ref().is_none_or(|ids| ids.contains(&variant.id))
                    && products.as_ref().is_none_or(|ids| ids.contains(&product.id))
            })
            .map(|(product, variant)| variant_json(product, variant))
            .collect();
        collection(query, found, 50, PAGE_MAX)
    }

    pub(super) fn list_products(&self, query: &Query) -> Answer {
        let ids = query.numbers("id:in")?.or(query.numbers("id")?);
        let skus = query.list("sku:in").or_else(|| query.one("sku").map(|sku| vec![sku]));
        let includes = query.list("include").unwrap_or_default();
        let has_variants = includes.iter().any(|name| name == "variants");
        let found: Vec<_> = self
            .products
            .iter()
            .filter(|product| ids.as_ref().is_none_or(|ids| ids.contains(&product.id)))
            .filter(|product| {
                let has = |sku: &String| product.variants.iter().any(|variant| variant.sku == *sku);
                skus.as_ref().is_none_or(|skus| skus.iter().any(has))
            })
            .map(|product| product_json(product, has_variants))
            .collect();
        collection(query, found, 50, PAGE_MAX)
    }

    pub(super) fn list_inventory(&self, query: &Query) -> Answer {
        let skus = query.list("sku:in");
        let ids = query.numbers("variant_id:in")?;
        let products = query.numbers("product_id:in")?;
        let found: Vec<_> = self
            .variants
            .keys()
            .filter_map(|id| self.variant(*id))
            .filter(|(product, variant)| {
                skus.as_ref().is_none_or(|skus| skus.contains(&variant.sku))
                    && ids.as_ref().is_none_or(|ids| ids.contains(&variant.id))
                    && products.as_ref().is_none_or(|ids| ids.contains(&product.id))
            })
            .map(|(product, variant)| inventory_json(product, variant))
            .collect();
        collection(query, found, 50, INVENTORY_MAX)
    }

    /// Sets stock to what the body says. A product with one variant is tracked as a product.
    pub(super) fn set_inventory(&mut self, call: &Call<'_>) -> Answer {
        let refused = |text: String| Refusal(StatusCode::UNPROCESSABLE_ENTITY, text);
        let body: Value = serde_json::from_slice(call.request.body())
            .map_err(|error| refused(format!("The body is no JSON: {error}")))?;
        if body.get("reason").and_then(Value::as_str).is_none() {
            return Err(refused("reason is required".to_owned()));
        }
        let items = body.get("items").and_then(Value::as_array).filter(|items| !items.is_empty());
        let mut changes = Vec::new();
        for item in items.ok_or_else(|| refused("items is required".to_owned()))? {
            let number = |name: &str| item.get(name).and_then(Value::as_i64);
            if number("location_id") != Some(1) {
                return Err(refused("location_id is no location of this store".to_owned()));
            }
            let quantity = number("quantity").filter(|quantity| *quantity >= 0);
            let quantity = quantity.ok_or_else(|| refused("quantity must be 0 or more".to_owned()))?;
            let variant = self.adjusted(number("variant_id"), number("product_id")).map_err(refused)?;
            changes.push((variant, quantity));
        }
        for (variant, quantity) in changes {
            let held = self.variant(variant).map_or(0, |(_, held)| held.stock);
            self.change_stock(variant, quantity.saturating_sub(held), call.now);
        }
        Ok(reply::json(StatusCode::OK, &json!({"transaction_id": "a8fcd9f2-5a4e-4e0b-9f2d-4d6f1f0f3c11"})))
    }

    fn adjusted(&self, variant: Option<i64>, product: Option<i64>) -> Result<i64, String> {
        if let Some(id) = variant {
            let (product, _) = self.variant(id).ok_or_else(|| format!("variant_id {id} does not exist"))?;
            return if product.variants.len() > 1 {
                Ok(id)
            } else {
                Err(format!(
                    "[Item with variant_id {id} is tracked by product, please update stock by product id]"
                ))
            };
        }
        let id = product.ok_or_else(|| "an item needs variant_id, product_id or sku".to_owned())?;
        let found = self.products.iter().find(|product| product.id == id);
        let product = found.ok_or_else(|| format!("product_id {id} does not exist"))?;
        match product.variants.as_slice() {
            [only] => Ok(only.id),
            _ => Err(format!(
                "[Item with product_id {id} is tracked by variant, please update stock by variant id]"
            )),
        }
    }
}

/// A page of a V3 collection.
pub(super) fn collection(query: &Query, found: Vec<Value>, default: usize, limit_max: usize) -> Answer {
    let (page, limit) = query.page(default.min(limit_max))?;
    let total = found.len();
    let pages = total.div_ceil(limit).max(1);
    let skipped = page.saturating_sub(1).saturating_mul(limit);
    let shown: Vec<_> = found.into_iter().skip(skipped).take(limit).collect();
    let link = |number: usize| format!("?page={number}&limit={limit}");
    let mut links = json!({"current": link(page)});
    if let Some(links) = links.as_object_mut() {
        if page > 1 {
            links.insert("previous".to_owned(), json!(link(page - 1)));
        }
        if page < pages {
            links.insert("next".to_owned(), json!(link(page + 1)));
        }
    }
    let pagination = json!({
        "total": total,
        "count": shown.len(),
        "per_page": limit,
        "current_page": page,
        "total_pages": pages,
        "links": links,
    });
    Ok(reply::json(StatusCode::OK, &json!({"data": shown, "meta": {"pagination": pagination}})))
}

/// A variant. Its price is null where it has the product's.
fn variant_json(product: &Product, variant: &Variant) -> Value {
    let options = match &variant.option {
        Some((name, value, id)) => {
            json!([{"id": id, "option_id": 100 + product.id, "option_display_name": name, "label": value}])
        }
        None => json!([]),
    };
    json!({
        "id": variant.id,
        "product_id": product.id,
        "sku": variant.sku,
        "sku_id": 2_000 + variant.id,
        "price": variant.price.map(json_number),
        "calculated_price": json_number(variant.price.unwrap_or(product.price)),
        "is_free_shipping": false,
        "purchasing_disabled": false,
        "purchasing_disabled_message": "",
        "upc": "",
        "inventory_level": variant.stock,
        "inventory_warning_level": 0,
        "bin_picking_number": "",
        "option_values": options,
    })
}

fn product_json(product: &Product, has_variants: bool) -> Value {
    let is_simple = product.variants.len() == 1;
    let stock: i64 = product.variants.iter().map(|variant| variant.stock).sum();
    let first = product.variants.first();
    let mut body = json!({
        "id": product.id,
        "name": product.name,
        "type": "physical",
        "sku": if is_simple { first.map_or("", |variant| variant.sku.as_str()) } else { "" },
        "description": format!("<p>{}</p>", product.name.replace('&', "&amp;").replace('<', "&lt;")),
        "weight": json_number(product.weight),
        "price": json_number(product.price),
        "calculated_price": json_number(product.price),
        "tax_class_id": 0,
        "categories": [23],
        "brand_id": 0,
        "inventory_level": stock,
        "inventory_warning_level": 0,
        "inventory_tracking": if is_simple { "product" } else { "variant" },
        "is_free_shipping": false,
        "is_visible": true,
        "is_featured": false,
        "availability": "available",
        "condition": "New",
        "order_quantity_minimum": 0,
        "order_quantity_maximum": 0,
        "upc": "",
        "mpn": "",
        "gtin": "",
        "date_created": product.created.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
        "date_modified": product.modified.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
    });
    if let Some(body) = body.as_object_mut() {
        if let (true, Some(variant)) = (is_simple, first) {
            body.insert("base_variant_id".to_owned(), json!(variant.id));
        }
        if has_variants {
            let variants = product.variants.iter().map(|variant| variant_json(product, variant));
            body.insert("variants".to_owned(), variants.collect());
        }
    }
    body
}

fn inventory_json(product: &Product, variant: &Variant) -> Value {
    json!({
        "identity": {
            "sku": variant.sku,
            "variant_id": variant.id,
            "product_id": product.id,
            "sku_id": 2_000 + variant.id,
        },
        "locations": [{
            "location_id": 1,
            "location_code": "BC-LOCATION-1",
            "location_name": "Default location",
            "available_to_sell": variant.stock,
            "total_inventory_onhand": variant.stock,
            "location_enabled": true,
            "settings": {
                "safety_stock": 0,
                "is_in_stock": variant.stock > 0,
                "warning_level": 0,
                "bin_picking_number": "",
            },
        }],
    })
}
