//! What a bucket refused, in words: what happened, what that means for backups, what to do. Never a key or a signature.

use std::error::Error as StdError;

use object_store::client::HttpError;

use crate::config::BucketSettings;
use crate::http::TransportError;
use crate::store::error::StoreError;

/// Nothing that failed here has changed another backup.
const AFFECTS: &str = "Earlier backups are as they were.";

/// `doing` says what was tried, such as `upload to s3://backups/eider`.
pub(super) fn told(settings: &BucketSettings, doing: &str, error: &object_store::Error) -> StoreError {
    let (why, next) = reason(settings, error);
    StoreError::Invalid(format!("Cannot {doing}: {why}. {AFFECTS} {next}"))
}

fn reason(settings: &BucketSettings, error: &object_store::Error) -> (String, String) {
    let chain = || std::iter::successors(Some(error as &(dyn StdError + 'static)), |&error| error.source());
    if let Some(unreached) = chain().find_map(transport_error) {
        let whom = settings.endpoint.as_ref().map_or_else(
            || "Amazon S3 (backup.endpoint is not set)".to_owned(),
            |endpoint| endpoint.as_url().to_string(),
        );
        return (
            format!("{whom} gave no answer: {unreached}"),
            "Check backup.endpoint and the network.".to_owned(),
        );
    }
    let text = chain().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let code = between(&text, "<Code>", "</Code>").unwrap_or_default();
    let name = settings.address.name();
    let keys = "Correct backup.access_key_id and backup.secret_access_key, or give that key the right to list, read, \
                write and delete there.";
    match code {
        "NoSuchBucket" => (
            format!("there is no bucket “{name}”"),
            "Make it, or correct backup.bucket, backup.endpoint or backup.region.".to_owned(),
        ),
        "RequestTimeTooSkewed" => {
            ("this machine's clock is wrong".to_owned(), "Set the clock, and keep it with NTP.".to_owned())
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => (
            format!("the bucket “{name}” is not in region {} ({code})", settings.region),
            "Correct backup.region.".to_owned(),
        ),
        // A list that is refused comes as no kind of its own: only the code tells.
        "AccessDenied" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => {
            (format!("the bucket refuses the key ({code})"), keys.to_owned())
        }
        _ => match error {
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                let code = if code.is_empty() { "403" } else { code };
                (format!("the bucket refuses the key ({code})"), keys.to_owned())
            }
            object_store::Error::NotFound { .. } => {
                ("it is not there".to_owned(), format!("`eider restore {}` lists what is.", settings.address))
            }
            _ => {
                let said = between(&text, "<Message>", "</Message>").unwrap_or(&text);
                let said: String = said.chars().filter(|char| !char.is_control()).take(300).collect();
                let said = said.trim_end_matches('.').to_owned();
                let why = if code.is_empty() { said } else { format!("the bucket says {code}, {said}") };
                (why, "Try again later; if it stays so, ask whoever runs the bucket.".to_owned())
            }
        },
    }
}

fn transport_error(error: &(dyn StdError + 'static)) -> Option<String> {
    let unreached = error.downcast_ref::<TransportError>().or_else(|| {
        error.downcast_ref::<HttpError>().and_then(StdError::source).and_then(|source| source.downcast_ref())
    });
    unreached.map(ToString::to_string)
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    rest.split_once(to).map(|(found, _)| found)
}
