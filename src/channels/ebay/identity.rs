//! Which seller a grant is of. eBay tells it by `getUser`, which takes a scope that pasted tokens may lack; then only the
//! App ID, the token itself and what a person entered can be compared.

use super::super::ConnectorSetup;
use super::super::error::ChannelError;
use super::super::identity::{Asked, Identity, Kinship};
use super::super::registry::CredentialTexts;
use super::client::Client;
use super::config::text;

/// eBay's accounts.
pub const IDENTITY: Identity = Identity {
    fields: &["client_id", "refresh_token", "seller", "environment"],
    name: "seller",
    ask,
    may_replace,
    kinship,
};

fn ask(setup: ConnectorSetup) -> Asked {
    Box::pin(async move {
        match Client::new(&setup)?.seller_id().await {
            Ok(seller) => Ok(seller),
            Err(error @ (ChannelError::Retry { .. } | ChannelError::Corrupt { .. })) => Err(error),
            // A grant that eBay refuses brings nobody's orders.
            Err(ChannelError::Reauth { .. } | ChannelError::Reject { .. } | ChannelError::Fatal { .. }) => {
                Ok(None)
            }
        }
    })
}

/// A seller that was not known before is taken; without one the application has to stay the same.
fn may_replace(held: &CredentialTexts, new: &CredentialTexts) -> bool {
    match (text(held, "seller"), text(new, "seller")) {
        (Some(before), Some(after)) => before == after,
        (None, Some(_)) => true,
        (_, None) => text(held, "client_id").is_none_or(|before| text(new, "client_id") == Some(before)),
    }
}

fn kinship(known: &CredentialTexts, new: &CredentialTexts) -> Kinship {
    let shares = |name: &str| text(known, name).is_some_and(|theirs| text(new, name) == Some(theirs));
    if shares("client_id") && shares("refresh_token") {
        return Kinship::Same;
    }
    match (text(known, "seller"), text(new, "seller")) {
        (Some(theirs), Some(ours)) if theirs == ours => Kinship::Same,
        (Some(_), Some(_)) => Kinship::Other,
        (None, _) | (_, None) if shares("client_id") => Kinship::Untold,
        (None, _) | (_, None) => Kinship::Other,
    }
}
