//! Whose account credentials are for, where they do not say so by themselves and the platform has to be asked. What is
//! learnt here keeps two connections from reading one account, and one connection from going over to another account.
//! Nothing here decides and nothing is kept.

use std::future::Future;
use std::pin::Pin;

use super::ConnectorSetup;
use super::error::ChannelError;
use super::registry::CredentialTexts;

/// What the platform calls the account; none where it does not tell this grant. An error where it may tell later.
pub type Asked = Pin<Box<dyn Future<Output = Result<Option<String>, ChannelError>> + Send>>;

/// How a platform tells of its accounts.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Credentials that decide whose all of them are: where one of them is new, the platform is asked.
    pub fields: &'static [&'static str],
    /// The credential under which the account's name is kept once it is known.
    pub name: &'static str,
    /// Asks the platform. May take some seconds; no more than two calls where all goes well.
    pub ask: fn(ConnectorSetup) -> Asked,
    /// Whether a connection that has the first may get the second. The name is in the second only where the platform
    /// told it of them, or where a person entered another one.
    pub may_replace: fn(&CredentialTexts, &CredentialTexts) -> bool,
    /// Whether a connection that has the first and one that gets the second would read one account.
    pub kinship: fn(&CredentialTexts, &CredentialTexts) -> Kinship,
}

/// What is known of two sets of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kinship {
    /// They are one account's.
    Same,
    /// They are two accounts', as far as anything tells.
    Other,
    /// They share an app, and nothing tells whose they are.
    Untold,
}
