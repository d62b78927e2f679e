//! The platforms' own specifications, as files of the shared folder, and the operations that they list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::schema::followed;

/// The specifications of the operations that connectors use or simulators answer: platform and file.
const FILES: [(&str, &str); 18] = [
    ("amazon", "amazon/orders_2026-01-01.json"),
    ("amazon", "amazon/ordersV0.json"),
    ("amazon", "amazon/listingsItems_2021-08-01.json"),
    ("amazon", "amazon/sellers.json"),
    ("amazon", "amazon/feeds_2021-06-30.json"),
    ("amazon", "amazon/notifications.json"),
    ("bigcommerce", "bigcommerce/orders.v2.oas2.yml"),
    ("bigcommerce", "bigcommerce/orders.v3.yml"),
    ("bigcommerce", "bigcommerce/store_information.v2.yml"),
    ("bigcommerce", "bigcommerce/product-variants_catalog.v3.yml"),
    ("bigcommerce", "bigcommerce/products_catalog.v3.yml"),
    ("bigcommerce", "bigcommerce/inventory.v3.yml"),
    ("bigcommerce", "bigcommerce/webhooks.v3.yml"),
    ("etsy", "etsy/3.0.0.json"),
    ("ebay", "ebay/2025-11_ebay-mcp/sell_fulfillment_v1_oas3.json"),
    ("ebay", "ebay/2025-11_ebay-mcp/sell_inventory_v1_oas3.json"),
    ("ebay", "ebay/2025-11_ebay-mcp/commerce_notification_v1_oas3.json"),
    ("ebay", "ebay/2025-11_ebay-mcp/commerce_identity_v1_oas3.json"),
];

/// How a form is sent.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The folder of specifications and recorded payloads. None, and said so, where it is absent; a failure where it
/// must be there.
pub fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("EIDER_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if root.is_dir() {
        return Some(root);
    }
    let is_required = std::env::var("EIDER_REQUIRE_SHARED").is_ok_and(|value| value == "1");
    assert!(!is_required, "{} is absent", root.display());
    eprintln!("SKIPPED: {} is absent", root.display());
    None
}

/// Every platform's operations.
#[derive(Debug)]
pub struct Documents {
    pub operations: Vec<Operation>,
    pub files: BTreeMap<&'static str, Value>,
}

/// An operation of a specification.
#[derive(Debug)]
pub struct Operation {
    pub platform: &'static str,
    pub file: &'static str,
    pub id: String,
    pub method: String,
    /// Path as the platform has it, its base path included, with parameters in braces.
    pub template: String,
    /// Parameters of every place but the body, references followed.
    pub parameters: Vec<Value>,
    /// The body, where one may be sent.
    pub body: Option<Body>,
    /// The answers by status; none where no body is described.
    pub answers: BTreeMap<String, Option<Body>>,
    /// The headers that carry the credentials.
    pub credentials: Vec<String>,
}

/// The body of a request or an answer.
#[derive(Debug)]
pub struct Body {
    /// `application/json`, another kind of it, or a form.
    pub media_type: String,
    pub schema: Value,
}

impl Documents {
    /// Reads them; none where the folder is absent.
    pub fn load() -> Option<Self> {
        let root = shared()?.join("specs");
        let mut files = BTreeMap::new();
        let mut operations = Vec::new();
        for (platform, file) in FILES {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            let document: Value = if file.ends_with(".json") {
                serde_json::from_str(&text).unwrap()
            } else {
                serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
            };
            operations.extend(operations_of(platform, file, &document));
            files.insert(file, document);
        }
        Some(Self { operations, files })
    }

    /// The operation behind a method and a path. Where a fixed word and a parameter both fit, the word counts.
    pub fn find(&self, platform: &str, method: &str, path: &str) -> Option<&Operation> {
        let fits = |operation: &&Operation| {
            operation.platform == platform
                && operation.method == method
                && placed(&operation.template, path).is_some()
        };
        let parameters = |operation: &&Operation| operation.template.matches('{').count();
        self.operations.iter().filter(fits).min_by_key(parameters)
    }
}

/// The path's parameters, where it fits the template.
pub fn placed(template: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let (wanted, given) = (template.split('/'), path.split('/'));
    if wanted.clone().count() != given.clone().count() {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for (wanted, given) in wanted.zip(given) {
        match wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !given.is_empty() => {
                let text = percent_encoding::percent_decode_str(given).decode_utf8().unwrap();
                parameters.insert(name.to_owned(), text.into_owned());
            }
            Some(_) => return None,
            None if wanted == given => {}
            None => return None,
        }
    }
    Some(parameters)
}

fn operations_of(platform: &'static str, file: &'static str, document: &Value) -> Vec<Operation> {
    let base = base_path(document);
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete", "patch"] {
            let Some(described) = item.get(method) else { continue };
            let parameters: Vec<Value> = [described, item]
                .into_iter()
                .filter_map(|place| place.get("parameters")?.as_array())
                .flatten()
                .map(|parameter| followed(document, parameter).clone())
                .collect();
            operations.push(Operation {
                platform,
                file,
                id: described["operationId"].as_str().unwrap_or_default().to_owned(),
                method: method.to_uppercase(),
                template: format!("{base}{path}"),
                body: body_of(document, described, &parameters),
                parameters: parameters.into_iter().filter(|parameter| parameter["in"] != "body").collect(),
                answers: answers_of(document, described),
                credentials: credentials_of(document),
            });
        }
    }
    operations
}

/// The path in the first server's address, or Swagger's base path.
fn base_path(document: &Value) -> String {
    let address = document.pointer("/servers/0/url").and_then(Value::as_str).unwrap_or_default();
    // eBay's addresses have their path as a variable.
    let variable = document.pointer("/servers/0/variables/basePath/default").and_then(Value::as_str);
    let address = address.replace("{basePath}", variable.unwrap_or_default());
    let of_server = address.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    match of_server {
        Some((_, path)) => format!("/{}", path.trim_end_matches('/')),
        None => document["basePath"].as_str().unwrap_or_default().trim_end_matches('/').to_owned(),
    }
}

fn body_of(document: &Value, described: &Value, parameters: &[Value]) -> Option<Body> {
    let of =
        |media_type: &str, schema: &Value| Body { media_type: media_type.to_owned(), schema: schema.clone() };
    if let Some(body) = described.get("requestBody") {
        let kinds = followed(document, body)["content"].as_object()?;
        let (kind, described) =
            ["application/json", FORM].iter().find_map(|kind| kinds.get_key_value(*kind))?;
        return Some(of(kind, described.get("schema")?));
    }
    let parameter = parameters.iter().find(|parameter| parameter["in"] == "body")?;
    Some(of("application/json", parameter.get("schema")?))
}

fn answers_of(document: &Value, described: &Value) -> BTreeMap<String, Option<Body>> {
    let body = |answer: &Value| {
        let answer = followed(document, answer);
        let kinds = answer.get("content").and_then(Value::as_object).into_iter().flatten();
        // We ask for JSON: where there is a choice, it is what we get.
        let (kind, described) = kinds
            .min_by_key(|(kind, _)| *kind != "application/json")
            .map_or(("application/json", answer), |(kind, one)| (kind, one));
        Some(Body { media_type: kind.to_owned(), schema: described.get("schema")?.clone() })
    };
    let answers = described["responses"].as_object().unwrap();
    answers.iter().map(|(status, answer)| (status.clone(), body(answer))).collect()
}

fn credentials_of(document: &Value) -> Vec<String> {
    let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
    let demanded = document.get("security").and_then(Value::as_array).into_iter().flatten();
    let names = demanded.filter_map(Value::as_object).flat_map(|names| names.keys().cloned());
    names
        .filter_map(|name| schemes?.get(&name).filter(|scheme| scheme["in"] == json!("header")))
        .filter_map(|scheme| Some(scheme["name"].as_str()?.to_lowercase()))
        .collect()
}
