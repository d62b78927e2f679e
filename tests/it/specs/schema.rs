//! Holds a value against a schema of OpenAPI 3.0 or Swagger 2, and refuses what the schema does not name. Pure.
//!
//! Vendors say of almost no object that it is closed, so that a misspelt field would pass; a validator of the
//! standard would let it. Here an object may have what its schema names, all parts of `allOf` together, and
//! nothing else; one whose schema names nothing stays open. Of `oneOf`, too, any may fit, since the vendors'
//! alternatives overlap. What is read-only may not be sent, what is write-only may not come back. A keyword that
//! is not understood fails, so that nothing is passed over in silence.

use serde_json::{Value, json};

/// Which way a body goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// From a connector to the platform.
    Request,
    /// From the platform to a connector.
    Answer,
}

/// Keywords that are checked.
const CHECKED: [&str; 22] = [
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "readOnly",
    "required",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Keywords that say nothing about a value.
const SAID_ONLY: [&str; 8] = [
    "collectionFormat",
    "default",
    "deprecated",
    "description",
    "example",
    "examples",
    "externalDocs",
    "title",
];

/// What a value breaks: where (`products[].name`) and how. Never the value itself: it may be of people.
pub type Broken = (String, String);

/// What a `$ref` leads to, or the value itself.
pub fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
    let target = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
    followed(document, target.unwrap_or_else(|| panic!("{reference} leads nowhere")))
}

/// Everything in `value` that `schema`, a part of `document`, does not allow.
pub fn broken(document: &Value, schema: &Value, side: Side, value: &Value) -> Vec<Broken> {
    Check { document, side }.value(&[schema], value, "")
}

struct Check<'a> {
    document: &'a Value,
    side: Side,
}

/// Schemas without references and compositions, which hold together.
type Parts<'a> = Vec<&'a Value>;

impl<'a> Check<'a> {
    /// Of alternatives that all fail, the one that fails least.
    fn value(&self, schemas: &[&'a Value], value: &Value, place: &str) -> Vec<Broken> {
        let mut least: Option<Vec<Broken>> = None;
        for parts in self.product(schemas) {
            let broken = self.parts(&parts, value, place);
            if broken.is_empty() {
                return broken;
            }
            if least.as_ref().is_none_or(|known| broken.len() < known.len()) {
                least = Some(broken);
            }
        }
        least.unwrap_or_default()
    }

    /// The ways in which all of these schemas can hold together.
    fn product(&self, schemas: &[&'a Value]) -> Vec<Parts<'a>> {
        let mut ways: Vec<Parts<'a>> = vec![Vec::new()];
        for schema in schemas {
            let more = self.ways(schema);
            ways = ways
                .iter()
                .flat_map(|way| more.iter().map(move |added| [way.as_slice(), added].concat()))
                .collect();
        }
        ways
    }

    fn ways(&self, schema: &'a Value) -> Vec<Parts<'a>> {
        let schema = followed(self.document, schema);
        understand(schema);
        let members = |name: &str| schema.get(name).and_then(Value::as_array).into_iter().flatten();
        let mut ways = self.product(&members("allOf").collect::<Vec<_>>());
        ways.iter_mut().for_each(|way| way.push(schema));
        for name in ["anyOf", "oneOf"] {
            let choices: Vec<Parts<'a>> = members(name).flat_map(|member| self.ways(member)).collect();
            if !choices.is_empty() {
                ways = ways
                    .iter()
                    .flat_map(|way| choices.iter().map(move |choice| [way.as_slice(), choice].concat()))
                    .collect();
            }
        }
        ways
    }

    fn parts(&self, parts: &[&'a Value], value: &Value, place: &str) -> Vec<Broken> {
        let is_nullable = |part: &&Value| ["nullable", "x-nullable"].iter().any(|name| part[name] == true);
        if value.is_null() && parts.iter().any(is_nullable) {
            return Vec::new();
        }
        let mut broken: Vec<Broken> = Vec::new();
        for part in parts {
            if let Some(what) = plainly_broken(part, value) {
                broken.push((place.to_owned(), what));
            }
        }
        match value {
            Value::Array(entries) => {
                let items: Vec<&'a Value> = parts.iter().filter_map(|part| part.get("items")).collect();
                for entry in entries {
                    broken.extend(self.value(&items, entry, &format!("{place}[]")));
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    broken.extend(self.field(parts, name, value, &joined(place, name)));
                }
                broken.extend(self.missing(parts, value, place));
            }
            _ => {}
        }
        broken
    }

    fn field(&self, parts: &[&'a Value], name: &str, value: &Value, place: &str) -> Vec<Broken> {
        let named: Vec<&'a Value> =
            parts.iter().filter_map(|part| part.get("properties")?.get(name)).collect();
        if named.iter().any(|schema| self.is_barred(schema)) {
            let what = if self.side == Side::Request { "read-only" } else { "write-only" };
            return vec![(place.to_owned(), what.to_owned())];
        }
        if !named.is_empty() {
            return self.value(&named, value, place);
        }
        let others: Vec<&'a Value> =
            parts.iter().filter_map(|part| part.get("additionalProperties")).collect();
        if others.iter().any(|other| **other == json!(true)) {
            return Vec::new();
        }
        let schemas: Vec<&'a Value> = others.iter().copied().filter(|other| other.is_object()).collect();
        if !schemas.is_empty() {
            return self.value(&schemas, value, place);
        }
        let names_any = |part: &&Value| {
            part.get("properties").and_then(Value::as_object).is_some_and(|names| !names.is_empty())
        };
        if !others.is_empty() || parts.iter().any(names_any) {
            return vec![(place.to_owned(), "not in the specification".to_owned())];
        }
        Vec::new()
    }

    fn missing(&self, parts: &[&'a Value], value: &Value, place: &str) -> Vec<Broken> {
        let mut missing = Vec::new();
        for part in parts {
            let required = part.get("required").and_then(Value::as_array).into_iter().flatten();
            for name in required.filter_map(Value::as_str).filter(|name| value.get(name).is_none()) {
                let schema = part.get("properties").and_then(|properties| properties.get(name));
                if schema.is_none_or(|schema| !self.is_barred(schema)) {
                    missing.push((joined(place, name), "missing".to_owned()));
                }
            }
        }
        missing
    }

    fn is_barred(&self, schema: &'a Value) -> bool {
        let word = if self.side == Side::Request { "readOnly" } else { "writeOnly" };
        followed(self.document, schema)[word] == true
    }
}

fn joined(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn understand(schema: &Value) {
    for name in schema.as_object().into_iter().flatten().map(|(name, _)| name.as_str()) {
        let is_known = CHECKED.contains(&name) || SAID_ONLY.contains(&name) || name.starts_with("x-");
        assert!(is_known, "the keyword {name} is not understood");
    }
}

/// What one part says of a value by itself: type, words, limits, format.
pub fn plainly_broken(part: &Value, value: &Value) -> Option<String> {
    let kind = part.get("type").and_then(Value::as_str);
    if let Some(kind) = kind.filter(|kind| !is_of(kind, value)) {
        return Some(format!("{} instead of {kind}", kind_of(value)));
    }
    if let Some(words) = part.get("enum").and_then(Value::as_array).filter(|words| !words.contains(value)) {
        return Some(format!("none of {}", Value::Array(words.clone())));
    }
    if let Some((lowest, highest, size)) = limits_of(value) {
        let limit = |name: &str| part.get(name).and_then(Value::as_f64);
        if limit(lowest).is_some_and(|limit| size < limit) || limit(highest).is_some_and(|limit| size > limit)
        {
            return Some(format!("outside of {lowest} and {highest}"));
        }
    }
    if let Some(items) = value.as_array().filter(|_| part.get("uniqueItems") == Some(&Value::Bool(true))) {
        let is_double = |(place, item): (usize, &Value)| items.iter().take(place).any(|other| other == item);
        if items.iter().enumerate().any(is_double) {
            return Some("the same entry twice".to_owned());
        }
    }
    let text = value.as_str()?;
    if let Some(pattern) = part.get("pattern").and_then(Value::as_str) {
        let is_like = match pattern {
            "^([A-Z]{2})$" => text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
            r"^arn:aws:sqs:\S+:\S+:\S+" => text.strip_prefix("arn:aws:sqs:").is_some_and(|rest| {
                let parts: Vec<&str> = rest.split(':').collect();
                parts.len() == 3 && parts.iter().all(|part| !part.is_empty() && !part.contains(' '))
            }),
            other => panic!("the pattern {other} is not understood"),
        };
        if !is_like {
            return Some(format!("not like {pattern}"));
        }
    }
    let format = part.get("format").and_then(Value::as_str)?;
    let is_right = match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && !text.contains('T'),
        "uuid" => text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]),
        "float" | "double" => true,
        "email" => text.contains('@'),
        "ISO 3166-1 alpha-2" => text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase()),
        other => panic!("the format {other} is not understood"),
    };
    (!is_right).then(|| format!("no {format}"))
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other} is not understood"),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The names of the limits of a value's kind, and its size. Sizes are small: they fit a float.
fn limits_of(value: &Value) -> Option<(&'static str, &'static str, f64)> {
    match value {
        Value::String(text) => Some(("minLength", "maxLength", text.chars().count() as f64)),
        Value::Array(entries) => Some(("minItems", "maxItems", entries.len() as f64)),
        Value::Number(number) => Some(("minimum", "maximum", number.as_f64()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    //! Schemas as the vendors write them.

    use super::*;

    fn count(schema: &Value, side: Side, value: &Value) -> usize {
        let document = json!({"components": {"schemas": {
            "Base": {"type": "object", "properties": {"id": {"type": "integer", "readOnly": true}}},
            "Name": {"type": "object", "properties": {"name": {"type": "string", "nullable": true}}},
        }}});
        broken(&document, schema, side, value).len()
    }

    #[test]
    fn what_is_not_named_is_refused_through_references_and_compositions() {
        let base = json!({"$ref": "#/components/schemas/Base"});
        let name = json!({"$ref": "#/components/schemas/Name"});
        let list = json!({"type": "array", "items": {"allOf": [base, name]}});
        assert_eq!(count(&list, Side::Answer, &json!([{"id": 1, "name": null}, {}])), 0);
        assert_eq!(count(&list, Side::Answer, &json!([{"id": 1, "nam": "x"}])), 1);
        assert_eq!(count(&list, Side::Answer, &json!([{"id": "1"}, {"id": null}])), 2);
        assert_eq!(count(&list, Side::Request, &json!([{"id": 1}])), 1, "it is read-only");
        let one = json!({"oneOf": [base, name]});
        assert_eq!(count(&one, Side::Answer, &json!({})), 0, "both fit");
        assert_eq!(count(&one, Side::Answer, &json!({"id": 1, "name": "x"})), 1, "they are two kinds");
        assert_eq!(count(&json!({"type": "object"}), Side::Answer, &json!({"any": 1})), 0);
        let closed = json!({"type": "object", "additionalProperties": false});
        assert_eq!(count(&closed, Side::Answer, &json!({"any": 1})), 1);
        let of_texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
        assert_eq!(count(&of_texts, Side::Answer, &json!({"any": 1, "other": "x"})), 1);
    }

    #[test]
    fn words_limits_formats_and_what_is_required_count() {
        let schema = json!({"type": "object", "required": ["at"], "properties": {
            "at": {"type": "string", "format": "date-time"},
            "word": {"type": "string", "enum": ["A", "B"]},
            "few": {"type": "array", "maxItems": 1, "items": {"type": "integer", "minimum": 1}},
        }});
        let good = json!({"at": "2026-01-01T00:00:00Z", "word": "A", "few": [1]});
        assert_eq!(count(&schema, Side::Request, &good), 0);
        let bad = json!({"at": "Thu, 27 Aug 2020 23:47:22 +0000", "word": "C", "few": [0, 1.5]});
        assert_eq!(count(&schema, Side::Request, &bad), 5);
        assert_eq!(count(&schema, Side::Request, &json!({})), 1);
    }
}
