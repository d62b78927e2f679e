//! Who bought, and where it goes.

use serde::{Deserialize, Serialize};

/// A postal address with the contact that a carrier needs. Every part is optional, since platforms leave out
/// or withhold any of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Address {
    /// The recipient's whole name.
    pub name: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// Street lines, first to last, without empty ones.
    pub street: Vec<String>,
    /// City.
    pub city: Option<String>,
    /// State or region as the platform gives it: a code (`WA`) or a name.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 code.
    pub country: Option<String>,
    /// Phone.
    pub phone: Option<String>,
}

impl Address {
    /// True where nothing but perhaps the country is known: nothing can be sent there.
    #[must_use]
    pub fn is_unusable(&self) -> bool {
        self.street.is_empty()
            || self.country.is_none()
            || (self.city.is_none() && self.postal_code.is_none())
    }
}

/// The buyer as the platform tells of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Buyer {
    /// The platform's id of the buyer, where it gives one.
    pub external_id: Option<String>,
    /// Whole name.
    pub name: Option<String>,
    /// E-mail; on marketplaces a relay address.
    pub email: Option<String>,
    /// Company.
    pub company: Option<String>,
    /// The buyer's own purchase order number.
    pub purchase_order_number: Option<String>,
}

/// Everything about people on one order: this and nothing else is kept in `main.person`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct People {
    /// Who bought.
    pub buyer: Buyer,
    /// Where it goes.
    pub ship_to: Option<Address>,
    /// Where the bill goes, if the platform says so.
    pub bill_to: Option<Address>,
    /// The buyer's message to the seller.
    pub buyer_note: Option<String>,
    /// A gift message.
    pub gift_message: Option<String>,
    /// How the buyer wants it delivered.
    pub delivery_instructions: Option<String>,
}
