//! Person data is cut out of a payload before it is stored, byte for byte, so that putting it back gives the
//! payload as received.
//!
//! A platform names the places that hold personal data as paths such as `buyer.buyerEmail` or
//! `packages[].shipFrom`. [`cut`] replaces the value at each place by `null`-safe marker text and returns the
//! values; [`restore`] is its inverse.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

/// What stands in a payload where a value was cut out; the number is its position in [`Cut::values`].
const MARKER_PREFIX: &str = "{\"$person\":";

/// A payload in two parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The payload without personal data.
    pub payload: String,
    /// The raw JSON texts that were cut out, in order.
    pub values: Vec<String>,
}

/// Why a payload could not be cut or put together.
#[derive(Debug, Error)]
pub enum PersonError {
    /// The payload is no JSON.
    #[error("the payload is no JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A marker stands for a value that is not there.
    #[error("value {0} of the person data is missing")]
    ValueMissing(usize),
}

/// Cuts the values at `paths` out of `payload`. A step is a member's name; `[]` after it goes through an
/// array's elements. Values that are absent or `null` stay as they are.
///
/// # Errors
/// Where the payload is no JSON.
pub fn cut(payload: &str, paths: &[&str]) -> Result<Cut, PersonError> {
    let root: &RawValue = serde_json::from_str(payload)?;
    let mut ranges = Vec::new();
    for path in paths {
        let steps: Vec<&str> = path.split('.').collect();
        collect(payload, root, &steps, &mut ranges)?;
    }
    ranges.sort_unstable();
    ranges.dedup();
    let mut kept = String::with_capacity(payload.len());
    let mut values = Vec::new();
    let mut at = 0;
    for (start, end) in ranges {
        // A range inside one that was already cut goes with it.
        let (Some(before), Some(value)) = (payload.get(at..start), payload.get(start..end)) else { continue };
        kept.push_str(before);
        kept.push_str(MARKER_PREFIX);
        kept.push_str(&values.len().to_string());
        kept.push('}');
        values.push(value.to_owned());
        at = end;
    }
    kept.push_str(payload.get(at..).unwrap_or_default());
    Ok(Cut { payload: kept, values })
}

/// Puts a payload together again.
///
/// # Errors
/// Where a marker's value is not there.
pub fn restore(payload: &str, values: &[String]) -> Result<String, PersonError> {
    let mut whole = String::with_capacity(payload.len());
    let mut rest = payload;
    while let Some((before, marked)) = rest.split_once(MARKER_PREFIX) {
        whole.push_str(before);
        let Some((number, after)) = marked.split_once('}') else {
            whole.push_str(MARKER_PREFIX);
            rest = marked;
            continue;
        };
        match number.parse::<usize>() {
            Ok(index) => whole.push_str(values.get(index).ok_or(PersonError::ValueMissing(index))?),
            // Not ours: a platform happened to use the same member name.
            Err(_) => {
                whole.push_str(MARKER_PREFIX);
                whole.push_str(number);
                whole.push('}');
            }
        }
        rest = after;
    }
    whole.push_str(rest);
    Ok(whole)
}

fn collect(
    whole: &str,
    value: &RawValue,
    steps: &[&str],
    ranges: &mut Vec<(usize, usize)>,
) -> Result<(), PersonError> {
    let text = value.get();
    let Some((step, rest)) = steps.split_first() else {
        if text != "null" {
            // `text` borrows from `whole`, so the difference of their addresses is its place.
            let start = (text.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
            ranges.push((start, start + text.len()));
        }
        return Ok(());
    };
    let name = step.trim_end_matches("[]");
    let Some(member) = member(text, name)? else { return Ok(()) };
    if !step.ends_with("[]") {
        return collect(whole, member, rest, ranges);
    }
    if member.get().starts_with('[') {
        for element in serde_json::from_str::<Vec<&RawValue>>(member.get())? {
            collect(whole, element, rest, ranges)?;
        }
    }
    Ok(())
}

/// The member `name` of the object `text`; an empty name is the value itself, for a payload that is an array.
fn member<'a>(text: &'a str, name: &str) -> Result<Option<&'a RawValue>, PersonError> {
    if name.is_empty() {
        return Ok(Some(serde_json::from_str(text)?));
    }
    if !text.starts_with('{') {
        return Ok(None);
    }
    let mut members: std::collections::HashMap<std::borrow::Cow<'a, str>, &'a RawValue> =
        serde_json::from_str(text)?;
    Ok(members.remove(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: &[&str] = &["buyer", "recipient.deliveryAddress", "orderItems[].gift.message"];

    #[test]
    fn what_was_cut_goes_back_byte_for_byte() {
        let payload = r#"{ "orderId":"1",  "buyer":{"name":"Zoë \"Z\""}, "recipient":{"deliveryAddress":{"city":"Ör"}},
            "orderItems":[{"id":1,"gift":{"message":"Hi {\"$person\":x}"}},{"id":2}], "note":null }"#;
        let cut = cut(payload, PATHS).unwrap();
        assert_eq!(cut.values.len(), 3);
        for secret in ["Zoë", "Ör", "Hi"] {
            assert!(!cut.payload.contains(secret), "{}", cut.payload);
        }
        assert!(serde_json::from_str::<serde_json::Value>(&cut.payload).is_ok());
        assert_eq!(restore(&cut.payload, &cut.values).unwrap(), payload);
    }

    #[test]
    fn absent_places_are_left_alone() {
        let payload = r#"{"buyer":null,"recipient":7,"orderItems":{}}"#;
        let cut = cut(payload, PATHS).unwrap();
        assert_eq!((cut.payload.as_str(), cut.values.len()), (payload, 0));
    }

    #[test]
    fn a_lost_value_is_an_error_and_no_hole() {
        assert!(matches!(restore(r#"{"buyer":{"$person":0}}"#, &[]), Err(PersonError::ValueMissing(0))));
        assert!(cut("{", PATHS).is_err());
    }
}
