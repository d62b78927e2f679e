//! Settings as text. Secrets serialise as `[redacted]`, so that nothing here can show one.

use serde::Serialize;
use serde_json::Value;

/// Every setting with its value, as `section.key`, the keys of a section together.
pub(super) fn leaves(settings: &impl Serialize) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    if let Ok(value) = serde_json::to_value(settings) {
        collect("", value, &mut found);
    }
    found
}

fn collect(section: &str, value: Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let key = if section.is_empty() { name } else { format!("{section}.{name}") };
                collect(&key, value, found);
            }
        }
        leaf @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            found.push((section.to_owned(), leaf));
        }
    }
}

/// The settings as a TOML file, each with where it came from. What is not set is a comment.
pub(super) fn as_toml<'a>(settings: &impl Serialize, source_of: impl Fn(&str) -> &'a str) -> String {
    let mut lines = Vec::new();
    let mut section_before = "";
    let leaves = leaves(settings);
    // Keys without a section come first, since TOML has no way back to them.
    let (top, in_sections): (Vec<_>, Vec<_>) = leaves.iter().partition(|(key, _)| !key.contains('.'));
    for (key, value) in top.into_iter().chain(in_sections) {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        if section != section_before {
            lines.push(format!("\n[{section}]"));
            section_before = section;
        }
        lines.push(match value {
            Value::Null => format!("# {name} is not set"),
            value => format!("{name} = {}  # {}", toml_value(value), source_of(key)),
        });
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A value as TOML writes it.
pub(super) fn toml_value(value: &Value) -> String {
    toml::Value::try_from(value).map_or_else(|_| value.to_string(), |value| value.to_string())
}
