//! Where the simulated Amazon keeps files: addresses that carry their own permission and die after minutes. They are
//! Amazon's storage, not its API: no token, no quota, errors in XML.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use http::header::CONTENT_TYPE;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::super::draw::Draw;
use super::super::people::person;
use super::super::reply;
use super::Amazon;
use super::calls::Call;
use super::feeds::nothing;

/// Where addresses of feeds' files and of designs lie. Whoever has a base of its own reaches them there.
const HOST: &str = "https://files.amazon.example";

/// How long the address of a feed's file lives.
const DOCUMENT_SECONDS: i64 = 300;

/// Links to designs change as often, and live once or twice as long.
const DESIGN_SECONDS: i64 = 300;

/// The operation that a path of the storage stands for.
pub(super) fn operation_of(method: &http::Method, path: &[&str]) -> Option<&'static str> {
    match (method, path) {
        (&http::Method::PUT, ["feed-documents", _]) => Some("uploadFeedDocument"),
        (&http::Method::GET, ["feed-documents", _]) => Some("downloadFeedDocument"),
        (&http::Method::GET, ["customizations", _, _]) => Some("downloadCustomization"),
        _ => None,
    }
}

impl Amazon {
    /// An address that works for some minutes.
    pub(super) fn presigned(&self, path: &str, now: Timestamp) -> String {
        self.signed(path, now.as_second() + DOCUMENT_SECONDS)
    }

    /// The link to what a buyer designed for a line. Whoever reads the order again soon gets the same one.
    pub(super) fn design_link(&self, order: &str, line: &str, now: Timestamp) -> String {
        let round = now.as_second().div_euclid(DESIGN_SECONDS);
        self.signed(&format!("/customizations/{order}/{line}"), (round + 2) * DESIGN_SECONDS)
    }

    fn signed(&self, path: &str, dies: i64) -> String {
        format!("{HOST}{path}?expires={dies}&signature={}", self.signature(path, dies))
    }

    fn signature(&self, path: &str, dies: i64) -> String {
        let purpose = format!("amazon.storage {path}");
        Draw::new(self.seed, &purpose, dies.unsigned_abs()).code(32)
    }

    /// Answers a call to the storage.
    pub(super) fn serve_storage(&mut self, operation: &str, call: &Call<'_>) -> Response<Bytes> {
        if let Some(refused) = self.refused(call) {
            return refused;
        }
        let parts: Vec<&str> = call.request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
        match (operation, parts.as_slice()) {
            ("uploadFeedDocument", [_, id]) => self.upload(id, call.request),
            ("downloadFeedDocument", [_, id]) => self.download(id),
            ("downloadCustomization", [_, order, line]) => self.design(order, line),
            _ => refusal(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist."),
        }
    }

    fn refused(&self, call: &Call<'_>) -> Option<Response<Bytes>> {
        let denied = |text| Some(refusal(StatusCode::FORBIDDEN, "AccessDenied", text));
        if call.request.headers().keys().any(|name| name.as_str().starts_with("x-amz-")) {
            return denied("There were headers present in the request which were not signed");
        }
        let query = call.request.uri().query().unwrap_or("");
        let given = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let dies: i64 = given("expires").and_then(|text| text.parse().ok()).unwrap_or(0);
        if given("signature") != Some(self.signature(call.request.uri().path(), dies)) {
            let text = "The request signature we calculated does not match the signature you provided.";
            return Some(refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", text));
        }
        if call.now.as_second() >= dies { denied("Request has expired") } else { None }
    }

    fn upload(&mut self, id: &str, request: &Request<Bytes>) -> Response<Bytes> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let place = self.document_place(id);
        let Some(document) = place.and_then(|place| self.documents.get_mut(place)) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
        };
        if document.content_type != kind {
            let text = "The request signature we calculated does not match the signature you provided.";
            return refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch", text);
        }
        document.text = Some(String::from_utf8_lossy(request.body()).into_owned());
        self.changes.documents.extend(place);
        nothing()
    }

    fn download(&self, id: &str) -> Response<Bytes> {
        let document = self.document_place(id).and_then(|place| self.documents.get(place));
        let Some((document, text)) = document.and_then(|one| Some((one, one.text.as_deref()?))) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
        };
        let bytes = if document.is_packed { packed(text) } else { text.as_bytes().to_vec() };
        file(bytes, "binary/octet-stream")
    }

    /// What the buyer of a line designed, as Amazon packs it.
    fn design(&self, order: &str, line: &str) -> Response<Bytes> {
        let order = self.orders.place_of(order).and_then(|index| self.orders.get(index));
        let Some(order) = order.filter(|order| order.lines.iter().any(|known| known.id == line)) else {
            return refusal(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
        };
        let wish = format!("For {}", person(self.seed, order.recipient).full_name());
        let text = json!({
            "orderId": order.id,
            "orderItemId": line,
            "customizationInfo": {"version3.0": {"surfaces": [{"name": "Surface 1", "areas": [
                {"customizationType": "TextPrinting", "name": "Engraving", "text": wish},
            ]}]}},
        });
        file(zip(&format!("{line}.json"), text.to_string().as_bytes()), "application/zip")
    }
}

fn file(bytes: Vec<u8>, media_type: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(bytes));
    reply::set_header(&mut response, "content-type", media_type);
    response
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut response = file(text.into_bytes(), "application/xml");
    *response.status_mut() = status;
    response
}

fn packed(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into memory cannot fail.
    let written = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    written.unwrap_or_default()
}

/// A ZIP archive of one file, stored as it is.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(content);
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes();
    let long = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    // What both headers say: version 2.0, no flags, stored, 1 January 2026, checksum, sizes, length of the name.
    let mut described: Vec<u8> = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0x5c];
    described.extend(crc.sum().to_le_bytes());
    described.extend(long(content.len()));
    described.extend(long(content.len()));
    described.extend(short(name.len()));
    let mut archive = b"PK\x03\x04".to_vec();
    archive.extend(&described);
    archive.extend([0, 0]);
    archive.extend(name.as_bytes());
    archive.extend(content);
    let directory_at = archive.len();
    archive.extend(b"PK\x01\x02\x14\x00");
    archive.extend(&described);
    // Nothing extra, no comment, first disk, no attributes, and the file's header lies at the start.
    archive.extend([0; 16]);
    archive.extend(name.as_bytes());
    let directory_length = archive.len() - directory_at;
    archive.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    archive.extend(long(directory_length));
    archive.extend(long(directory_at));
    archive.extend([0, 0]);
    archive
}
