//! Holds one request and its answer against the specification of the operation that they belong to.
//!
//! It knows no platform: what the specifications leave out is in [`super::required`], what differs from them and
//! why in [`super::deviations`].

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use serde_json::{Value, json};

use super::documents::{Body, Documents, FORM, Operation, placed};
use super::required;
use super::schema::{Side, broken, plainly_broken};

/// One call: what went out and what came back.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub platform: String,
    /// What the connector calls the operation.
    pub operation: String,
    /// Whether the request is meant to be right. What is sent wrong on purpose has only its answer checked.
    pub is_right: bool,
    pub method: String,
    /// As the platform has it, encoded.
    pub path: String,
    /// Decoded.
    pub query: Vec<(String, String)>,
    /// Lower-case names.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub status: u16,
    pub answer_type: Option<String>,
    pub answer: Vec<u8>,
}

impl Exchange {
    /// A call without its answer.
    pub fn of(platform: &str, operation: &str, request: &Request<Bytes>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        Self {
            platform: platform.to_owned(),
            operation: operation.to_owned(),
            is_right: true,
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
            body: request.body().to_vec(),
            status: 0,
            answer_type: None,
            answer: Vec::new(),
        }
    }

    /// The same with its answer.
    pub fn answered(self, response: &Response<Bytes>) -> Self {
        let kind = response.headers().get("content-type");
        Self {
            status: response.status().as_u16(),
            answer_type: kind.map(|kind| kind.to_str().unwrap().to_owned()),
            answer: response.body().to_vec(),
            ..self
        }
    }
}

/// Something that is not as the specification has it. Never a value: values may be of people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub operation: String,
    pub side: Side,
    /// Where: `products[].name`, `query sort`, `header accept`, `status 204`.
    pub place: String,
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?} at {}: {}", self.operation, self.side, self.place, self.what)
    }
}

/// The specifications, ready to check with.
#[derive(Debug)]
pub struct Gate {
    pub documents: Documents,
}

impl Gate {
    /// None, and said so, where the shared folder is absent.
    pub fn open() -> Option<Self> {
        Some(Self { documents: Documents::load()? })
    }

    /// The operation that the exchange is of, by method and path.
    pub fn operation(&self, exchange: &Exchange) -> Option<&Operation> {
        self.documents.find(&exchange.platform, &exchange.method, &exchange.path)
    }

    /// Everything about the exchange that is not as specified.
    pub fn check(&self, exchange: &Exchange) -> Vec<Finding> {
        let Some(operation) = self.operation(exchange) else {
            return vec![Finding {
                operation: exchange.operation.clone(),
                side: Side::Request,
                place: format!("{} {}", exchange.method, exchange.path),
                what: "no specification has this path".to_owned(),
            }];
        };
        let mut found = Findings { operation: &operation.id, all: Vec::new() };
        if !exchange.is_right {
            self.check_answer(operation, exchange, &mut found);
            return found.all;
        }
        if operation.id != exchange.operation {
            found.request("operation", format!("the connector calls it {}", exchange.operation));
        }
        check_head(operation, exchange, &mut found);
        self.check_body(operation, exchange, &mut found);
        self.check_answer(operation, exchange, &mut found);
        found.all
    }

    fn check_body(&self, operation: &Operation, exchange: &Exchange, found: &mut Findings<'_>) {
        let Some(Body { media_type, schema }) = &operation.body else {
            if !exchange.body.is_empty() {
                found.request("body", "this operation takes none");
            }
            return;
        };
        let body = if media_type == FORM {
            Ok(form(schema, &exchange.body))
        } else {
            serde_json::from_slice::<Value>(&exchange.body)
        };
        match body {
            Ok(body) => self.check_value(operation, schema, Side::Request, "body", &body, found),
            Err(_) => found.request("body", "no JSON"),
        }
    }

    /// Errors need not be listed. What is listed, and every success, must be as listed.
    fn check_answer(&self, operation: &Operation, exchange: &Exchange, found: &mut Findings<'_>) {
        let status = exchange.status.to_string();
        let Some(listed) = operation.answers.get(&status) else {
            if (200..300).contains(&exchange.status) {
                found.answer(&format!("status {status}"), "not listed");
            }
            return;
        };
        let Some(listed) = listed else {
            // eBay lists the numbers of its errors and leaves out their form, which is the same everywhere.
            let is_error_of_ebay = exchange.platform == "ebay" && exchange.status >= 400;
            if is_error_of_ebay && !has_ebay_errors(&exchange.answer) {
                found.answer(&format!("status {status}"), "no errors as eBay writes them");
            }
            if !is_error_of_ebay && !exchange.answer.is_empty() {
                found.answer(&format!("status {status}"), "a body where none is listed");
            }
            return;
        };
        if exchange.answer_type.as_deref() != Some(listed.media_type.as_str()) {
            found.answer("header content-type", format!("not {}", listed.media_type));
        }
        match serde_json::from_slice::<Value>(&exchange.answer) {
            Ok(body) => {
                self.check_value(operation, &listed.schema, Side::Answer, &status, &body, found);
                if status.starts_with('2') {
                    for place in required::missing_in_data_sets(operation, &exchange.query, &body) {
                        found.answer(place, "missing, and it was asked for");
                    }
                }
            }
            Err(_) => found.answer(&format!("status {status}"), "no JSON"),
        }
    }

    /// Checks a body alone, such as one that a real platform sent.
    pub fn check_recorded(&self, operation: &Operation, status: u16, body: &Value) -> Vec<Finding> {
        let mut found = Findings { operation: &operation.id, all: Vec::new() };
        if let Some(Some(listed)) = operation.answers.get(&status.to_string()) {
            self.check_value(operation, &listed.schema, Side::Answer, &status.to_string(), body, &mut found);
        }
        found.all
    }

    fn check_value(
        &self,
        operation: &Operation,
        schema: &Value,
        side: Side,
        name: &str,
        value: &Value,
        found: &mut Findings<'_>,
    ) {
        for (place, what) in broken(&self.documents.files[operation.file], schema, side, value) {
            found.add(side, &place, what);
        }
        let is_success = name == "body" || name.starts_with('2');
        for place in required::missing(operation, side, value).into_iter().filter(|_| is_success) {
            found.add(side, place, "missing, and we need it");
        }
    }
}

struct Findings<'a> {
    operation: &'a str,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, side: Side, place: &str, what: impl Into<String>) {
        let finding = Finding {
            operation: self.operation.to_owned(),
            side,
            place: place.to_owned(),
            what: what.into(),
        };
        if !self.all.contains(&finding) {
            self.all.push(finding);
        }
    }

    fn request(&mut self, place: &str, what: impl Into<String>) {
        self.add(Side::Request, place, what);
    }

    fn answer(&mut self, place: &str, what: impl Into<String>) {
        self.add(Side::Answer, place, what);
    }
}

/// Path, query and headers.
fn check_head(operation: &Operation, exchange: &Exchange, found: &mut Findings<'_>) {
    let parameters =
        |place: &'static str| operation.parameters.iter().filter(move |parameter| parameter["in"] == place);
    let in_path = placed(&operation.template, &exchange.path).unwrap_or_default();
    for parameter in parameters("path") {
        if let Some(text) = parameter["name"].as_str().and_then(|name| in_path.get(name)) {
            check_text(parameter, std::slice::from_ref(text), "path", found);
        }
    }
    for parameter in parameters("query") {
        let name = parameter["name"].as_str().unwrap_or_default();
        let given: Vec<String> = exchange
            .query
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect();
        if !given.is_empty() {
            check_text(parameter, &given, "query", found);
        } else if parameter["required"] == true {
            found.request(&format!("query {name}"), "missing");
        }
    }
    for (name, _) in &exchange.query {
        if !parameters("query").any(|parameter| parameter["name"] == name.as_str()) {
            found.request(&format!("query {name}"), "not in the specification");
        }
    }
    for name in required::missing_in_query(operation, &exchange.query) {
        found.request(&format!("query {name}"), "missing, and we need it");
    }
    check_headers(operation, exchange, found);
}

fn check_headers(operation: &Operation, exchange: &Exchange, found: &mut Findings<'_>) {
    let own = required::credentials(operation.platform).iter().map(|name| (*name).to_owned());
    for name in operation.credentials.iter().cloned().chain(own) {
        if exchange.headers.get(&name).is_none_or(String::is_empty) {
            found.request(&format!("header {name}"), "missing");
        }
    }
    let is_json = |name: &str| exchange.headers.get(name).is_some_and(|value| value == "application/json");
    if !is_json("accept") {
        found.request("header accept", "not application/json");
    }
    let kind = operation.body.as_ref().map_or("application/json", |body| body.media_type.as_str());
    let is_kind = exchange.headers.get("content-type").is_some_and(|value| value == kind);
    if !exchange.body.is_empty() && !is_kind {
        found.request("header content-type", format!("not {kind}"));
    }
    let listed = |name: &str| {
        operation.parameters.iter().any(|parameter| {
            parameter["in"] == "header"
                && parameter["name"].as_str().is_some_and(|known| known.to_lowercase() == name)
        })
    };
    let own = required::credentials(operation.platform);
    for name in exchange.headers.keys() {
        let is_known = ["accept", "content-type"].contains(&name.as_str())
            || own.contains(&name.as_str())
            || operation.credentials.contains(name)
            || listed(name);
        if !is_known {
            found.request(&format!("header {name}"), "not in the specification");
        }
    }
}

/// A form's fields as values of the types that its schema has.
fn form(schema: &Value, body: &[u8]) -> Value {
    let typed = |(name, text): (String, String)| {
        let value = match schema["properties"][&name]["type"].as_str() {
            Some("integer" | "number" | "boolean") => serde_json::from_str(&text).unwrap_or(json!(text)),
            _ => json!(text),
        };
        (name, value)
    };
    form_urlencoded::parse(body).into_owned().map(typed).collect()
}

/// A parameter's texts against its type, format and words. Lists come separated by commas or repeated.
fn check_text(parameter: &Value, given: &[String], place: &str, found: &mut Findings<'_>) {
    let name = parameter["name"].as_str().unwrap_or_default();
    let schema = parameter.get("schema").unwrap_or(parameter);
    let (schema, texts): (&Value, Vec<&str>) = if schema["type"] == "array" {
        (&schema["items"], given.iter().flat_map(|text| text.split(',')).collect())
    } else {
        (schema, given.iter().map(String::as_str).collect())
    };
    if parameter.get("schema").unwrap_or(parameter)["type"] != "array" && given.len() > 1 {
        found.request(&format!("{place} {name}"), "given more than once");
    }
    for text in texts {
        let value = match schema["type"].as_str() {
            Some("integer" | "number" | "boolean") => serde_json::from_str(text).unwrap_or(json!(text)),
            _ => json!(text),
        };
        if let Some(what) = plainly_broken(schema, &value) {
            found.request(&format!("{place} {name}"), what);
        }
    }
}

/// Whether a body is a list of errors in the form that eBay's own schema `Error` has.
fn has_ebay_errors(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = body["errors"].as_array().filter(|errors| !errors.is_empty());
    errors.is_some_and(|errors| {
        errors.iter().all(|error| error["errorId"].is_i64() && error["message"].is_string())
    })
}
