//! Builds the calls that connectors send: addresses, queries, bodies. It sends nothing and reads no answer.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::error::ChannelError;

/// What RFC 3986 leaves as it is; a space becomes `%20`, since not every platform reads `+` as one.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One part of a path, so that a SKU with a slash stays one part.
#[must_use]
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, KEPT).to_string()
}

/// Name and value pairs as a query or a form.
#[must_use]
pub fn pairs(query: &[(&str, String)]) -> String {
    let pair = |(name, value): &(&str, String)| format!("{}={}", segment(name), segment(value));
    query.iter().map(pair).collect::<Vec<_>>().join("&")
}

/// The platform's `host`, or the connection's own base in its place. Without a trailing slash.
#[must_use]
pub fn base(own: Option<&Url>, host: &str) -> String {
    own.map_or(host, Url::as_str).trim_end_matches('/').to_owned()
}

/// A request, whole.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Method.
    pub method: http::Method,
    /// Scheme and host, as [`base`] gives them.
    pub base: &'a str,
    /// Path, encoded, with its leading slash.
    pub path: &'a str,
    /// Query.
    pub query: &'a [(&'a str, String)],
    /// Headers beside `Accept` and `Content-Type`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Body and its content type.
    pub body: Option<(&'static str, Vec<u8>)>,
}

impl Parts<'_> {
    /// The request.
    ///
    /// # Errors
    /// `Fatal` where the parts are no address.
    pub fn build(self) -> Result<http::Request<Bytes>, ChannelError> {
        let mut address = format!("{}{}", self.base, self.path);
        if !self.query.is_empty() {
            address.push('?');
            address.push_str(&pairs(self.query));
        }
        let mut request =
            http::Request::builder().method(self.method).uri(address).header(ACCEPT, "application/json");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let (content_type, body) = self.body.unzip();
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(Bytes::from(body.unwrap_or_default())).map_err(|error| ChannelError::Fatal {
            message: format!("the connection's address is not valid: {error}"),
        })
    }
}

/// A secret as a header's value, which then prints as sensitive.
///
/// # Errors
/// `Reauth` where it holds characters that no header can carry: it was pasted wrong.
pub fn secret_header(name: &str, secret: &str) -> Result<HeaderValue, ChannelError> {
    let mut value = HeaderValue::from_str(secret.trim()).map_err(|_| ChannelError::Reauth {
        message: format!("the {name} holds characters that it cannot have; paste it again"),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_encoded_down_to_its_brackets() {
        let query = [
            ("filter", "lastmodifieddate:[2026-11-21T11:45:00.000Z..]".to_owned()),
            ("status", "{FULFILLED|IN_PROGRESS}, a&b".to_owned()),
        ];
        assert_eq!(
            pairs(&query),
            "filter=lastmodifieddate%3A%5B2026-11-21T11%3A45%3A00.000Z..%5D\
             &status=%7BFULFILLED%7CIN_PROGRESS%7D%2C%20a%26b"
        );
        assert_eq!(segment("A/1 ü"), "A%2F1%20%C3%BC");
    }
}
