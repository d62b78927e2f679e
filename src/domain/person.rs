//! Person data is cut out of a payload before it is stored, byte for byte, so that putting it back gives the
//! payload as received.
//!
//! A platform names the places that hold personal data as paths such as `buyer.buyerEmail` or
//! `packages[].shipFrom`. [`cut`] replaces the value at each place by `null`-safe marker text and returns the
//! values; [`restore`] is its inverse.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
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

/// Cuts the values at `paths` out of `payload`, in one pass over it. A step is a member's name; `[]` after it goes
/// through an array's elements. Values that are absent or `null` stay as they are; a member that stands twice in its
/// object is cut twice.
///
/// # Errors
/// Where the payload is no JSON.
pub fn cut(payload: &str, paths: &[&str]) -> Result<Cut, PersonError> {
    let mut places = Place::default();
    for path in paths {
        places.add(path);
    }
    let mut ranges = Vec::new();
    let mut reader = serde_json::Deserializer::from_str(payload);
    Search { whole: payload, place: &places, ranges: &mut ranges }.deserialize(&mut reader)?;
    reader.end()?;
    let mut kept = String::with_capacity(payload.len());
    let mut values = Vec::with_capacity(ranges.len());
    let mut at = 0;
    for (start, end) in ranges {
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

/// The paths as a tree. A place without members is cut whole.
#[derive(Debug, Default)]
struct Place<'p> {
    members: Vec<(&'p str, Place<'p>)>,
    /// The value is an array, and this is what is meant in each of its elements.
    each: Option<Box<Place<'p>>>,
}

impl<'p> Place<'p> {
    fn add(&mut self, path: &'p str) {
        let mut place = self;
        for step in path.split('.') {
            let name = step.trim_end_matches("[]");
            // An empty name is the value itself, for a payload that is an array.
            if !name.is_empty() {
                let known = place.members.iter().position(|(member, _)| *member == name);
                let at = known.unwrap_or_else(|| {
                    place.members.push((name, Place::default()));
                    place.members.len() - 1
                });
                let Some((_, next)) = place.members.get_mut(at) else { return };
                place = next;
            }
            if step.ends_with("[]") {
                place = place.each.get_or_insert_default();
            }
        }
    }
}

/// Looks for a place's values in what it reads and notes where they lie.
struct Search<'w, 'p> {
    whole: &'w str,
    place: &'w Place<'p>,
    ranges: &'w mut Vec<(usize, usize)>,
}

impl<'w, 'p> Search<'w, 'p> {
    fn at<'s>(&'s mut self, place: &'s Place<'p>) -> Search<'s, 'p>
    where
        'w: 's,
    {
        Search { whole: self.whole, place, ranges: self.ranges }
    }
}

impl<'de> DeserializeSeed<'de> for Search<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.place.each.is_some() || !self.place.members.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let text = <&RawValue>::deserialize(deserializer)?.get();
        if text != "null" {
            // `text` borrows from `whole`, so the difference of their addresses is its place.
            let start = (text.as_ptr() as usize).saturating_sub(self.whole.as_ptr() as usize);
            self.ranges.push((start, start + text.len()));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Search<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let members = &self.place.members;
        while let Some(place) = map.next_key_seed(Named(members))? {
            match place {
                Some(place) => map.next_value_seed(self.at(place))?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let Some(element) = &self.place.each else { return IgnoredAny.visit_seq(elements).map(drop) };
        while elements.next_element_seed(self.at(element))?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Reads a member's name and says which of these it is.
struct Named<'w, 'p>(&'w [(&'p str, Place<'p>)]);

impl<'de, 'w, 'p> DeserializeSeed<'de> for Named<'w, 'p> {
    type Value = Option<&'w Place<'p>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'w, 'p> Visitor<'_> for Named<'w, 'p> {
    type Value = Option<&'w Place<'p>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(member, _)| *member == name).map(|(_, place)| place))
    }
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
    fn a_member_that_stands_twice_is_cut_twice() {
        let cut = cut(r#"{"buyer":"Ada","buyer":{"name":"Bo"}}"#, PATHS).unwrap();
        assert_eq!(cut.values, [r#""Ada""#, r#"{"name":"Bo"}"#]);
    }

    #[test]
    fn a_payload_that_is_an_array_is_cut_in_each_element() {
        let cut = cut(r#"[{"phone":"1"},{"phone":null},7]"#, &["[].phone"]).unwrap();
        assert_eq!(
            (cut.payload.as_str(), cut.values),
            (r#"[{"phone":{"$person":0}},{"phone":null},7]"#, vec![r#""1""#.to_owned()])
        );
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
