//! Style sheet, script and icon: embedded in the binary, under addresses that name their content's hash, so that
//! browsers keep them for good. Nothing is ever loaded from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;

use super::error::{self, WebError};

/// Digits of the hash in an address: enough to tell versions apart.
const HASH_DIGITS: usize = 16;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Static;

static URLS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    Static::iter()
        .filter(|name| !name.ends_with(".lock"))
        .filter_map(|name| {
            let file = Static::get(&name)?;
            let mut hash = String::new();
            for byte in file.metadata.sha256_hash().iter().take(HASH_DIGITS / 2) {
                let _ = write!(hash, "{byte:02x}");
            }
            Some((name.to_string(), format!("/assets/{hash}/{name}")))
        })
        .collect()
});

/// The address of an embedded file; the root's where there is no such file, which a test rules out.
#[must_use]
pub fn url(name: &str) -> &'static str {
    URLS.get(name).map_or("/", String::as_str)
}

/// Serves `/assets/{hash}/{name}`.
///
/// # Errors
/// Where there is no such file, or the hash is an older build's.
pub async fn serve(path: web::Path<(String, String)>) -> Result<HttpResponse, WebError> {
    let (hash, name) = path.into_inner();
    let missing =
        || WebError::NotFound("This file belongs to another version. Load the page again.".to_owned());
    if url(&name) != format!("/assets/{hash}/{name}") {
        return Err(missing());
    }
    let file = Static::get(&name).ok_or_else(missing)?;
    Ok(error::asset(media_type(&name), file.data.into_owned()))
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn vendored_files_are_the_ones_that_the_lock_names() {
        let lock = include_str!("../../static/vendor.lock");
        let mut count = 0;
        for line in lock.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let file = Static::get(words[0]).unwrap();
            let hash: String = Sha256::digest(&file.data).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(&hash, words.last().unwrap(), "{} was changed", words[0]);
            count += 1;
        }
        assert_eq!(count, Static::iter().filter(|name| name.ends_with(".js")).count());
    }

    #[test]
    fn every_file_that_templates_name_exists() {
        for name in ["app.css", "htmx.min.js", "icon.svg"] {
            assert!(url(name).ends_with(name), "{name}");
        }
    }
}
