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

    /// True where a parcel would go to another place or person than `before`, as far as both tell. How it is written, and
    /// what a carrier adds to a postal code, makes no difference; neither do phones, which marketplaces replace by relays
    /// of their own, and regions, which city and postal code settle.
    #[must_use]
    pub fn is_elsewhere(&self, before: &Self) -> bool {
        let bare = |text: &str| -> String {
            text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
        };
        let part = |text: &Option<String>| text.as_deref().map(bare).unwrap_or_default();
        let differs = |now: &str, then: &str| !now.is_empty() && !then.is_empty() && now != then;
        let (now, then) = (part(&self.postal_code), part(&before.postal_code));
        let is_same_code = now.starts_with(&then) || then.starts_with(&now);
        !is_same_code
            || differs(&bare(&self.street.concat()), &bare(&before.street.concat()))
            || differs(&part(&self.name), &part(&before.name))
            || differs(&part(&self.company), &part(&before.company))
            || differs(&part(&self.city), &part(&before.city))
            || differs(&part(&self.country), &part(&before.country))
    }

    /// This address with what only `before` knows, where both are the same place. Platforms take names and streets back
    /// after a time; an address that really changed stays as it is.
    #[must_use]
    fn completed(self, before: &Self) -> Self {
        let agrees = |now: &Option<String>, then: &Option<String>| match (now, then) {
            (Some(now), Some(then)) => now.trim().eq_ignore_ascii_case(then.trim()),
            (None, _) | (_, None) => true,
        };
        let is_same_place = (self.street.is_empty() || self.street == before.street)
            && agrees(&self.city, &before.city)
            && agrees(&self.postal_code, &before.postal_code)
            && agrees(&self.country, &before.country);
        if !is_same_place {
            return self;
        }
        let before = before.clone();
        Self {
            name: self.name.or(before.name),
            company: self.company.or(before.company),
            street: if self.street.is_empty() { before.street } else { self.street },
            city: self.city.or(before.city),
            region: self.region.or(before.region),
            postal_code: self.postal_code.or(before.postal_code),
            country: self.country.or(before.country),
            phone: self.phone.or(before.phone),
        }
    }
}

/// The buyer as the platform tells of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Buyer {
    /// The platform's id of the buyer, where it gives one. It may be a name that the platform changes later.
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

impl Buyer {
    /// Whether the buyer of an order is still who bought it `before`. Another id alone makes nobody another: eBay replaces
    /// user names by ids in orders that it has told of. It takes the same name or e-mail to know that.
    #[must_use]
    pub fn is_same(&self, before: &Self) -> bool {
        let is_shared = |now: &Option<String>, then: &Option<String>| match (now, then) {
            (Some(now), Some(then)) => now.trim().to_lowercase() == then.trim().to_lowercase(),
            (None, _) | (_, None) => false,
        };
        let is_same_id = match (&self.external_id, &before.external_id) {
            (Some(now), Some(then)) => now == then,
            (None, _) | (_, None) => true,
        };
        is_same_id || is_shared(&self.name, &before.name) || is_shared(&self.email, &before.email)
    }
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

impl People {
    /// True where a platform may have taken back what it told before.
    #[must_use]
    pub fn has_gaps(&self) -> bool {
        let lacks = |address: &Address| address.street.is_empty() || address.name.is_none();
        self.buyer.name.is_none()
            || self.buyer.email.is_none()
            || self.ship_to.as_ref().is_none_or(lacks)
            || self.bill_to.as_ref().is_some_and(lacks)
    }

    /// These people with what only `before` knows: platforms take e-mails, names and streets back after a time, and what
    /// was read once is kept. What says something else than before replaces it.
    #[must_use]
    pub fn completed(self, before: &Self) -> Self {
        let address = |now: Option<Address>, then: &Option<Address>| match (now, then) {
            (Some(now), Some(then)) => Some(now.completed(then)),
            (now, then) => now.or_else(|| then.clone()),
        };
        let known = if self.buyer.is_same(&before.buyer) { before.buyer.clone() } else { Buyer::default() };
        Self {
            buyer: Buyer {
                external_id: self.buyer.external_id.or(known.external_id),
                name: self.buyer.name.or(known.name),
                email: self.buyer.email.or(known.email),
                company: self.buyer.company.or(known.company),
                purchase_order_number: self.buyer.purchase_order_number.or(known.purchase_order_number),
            },
            ship_to: address(self.ship_to, &before.ship_to),
            bill_to: address(self.bill_to, &before.bill_to),
            buyer_note: self.buyer_note.or_else(|| before.buyer_note.clone()),
            gift_message: self.gift_message.or_else(|| before.gift_message.clone()),
            delivery_instructions: self
                .delivery_instructions
                .or_else(|| before.delivery_instructions.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people() -> People {
        People {
            buyer: Buyer {
                name: Some("Ada".to_owned()),
                email: Some("a@b.c".to_owned()),
                ..Buyer::default()
            },
            ship_to: Some(Address {
                name: Some("Ada".to_owned()),
                street: vec!["1 Main".to_owned()],
                city: Some("Austin".to_owned()),
                postal_code: Some("78701".to_owned()),
                country: Some("US".to_owned()),
                phone: Some("1".to_owned()),
                ..Address::default()
            }),
            ..People::default()
        }
    }

    #[test]
    fn what_a_platform_takes_back_stays() {
        let mut later = people();
        later.buyer.email = None;
        assert!(later.has_gaps());
        assert_eq!(later.completed(&people()), people());
        let place =
            Address { country: Some("US".to_owned()), city: Some("AUSTIN".to_owned()), ..Address::default() };
        let bare = People { ship_to: Some(place), ..People::default() }.completed(&people());
        assert_eq!(bare.ship_to.unwrap().street, ["1 Main"]);
    }

    #[test]
    fn another_place_is_told_from_another_way_to_write_it() {
        let home = people().ship_to.unwrap();
        let with = |change: fn(&mut Address)| {
            let mut address = home.clone();
            change(&mut address);
            address.is_elsewhere(&home)
        };
        assert!(!with(|_| ()));
        assert!(!with(|address| *address = Address::default()), "nothing is no other place");
        assert!(!with(|address| address.street = vec!["1".to_owned(), "MAIN ".to_owned()]));
        assert!(!with(|address| address.postal_code = Some("78701-1234".to_owned())));
        assert!(!with(|address| address.phone = Some("2".to_owned())), "a relay");
        assert!(!with(|address| address.name = Some("***".to_owned())), "masked");
        assert!(!with(|address| address.company = Some("Ltd".to_owned())), "not known before");
        assert!(with(|address| address.street = vec!["2 Main".to_owned()]));
        assert!(with(|address| address.postal_code = Some("78702".to_owned())));
        assert!(with(|address| address.name = Some("Bob".to_owned())));
    }

    #[test]
    fn what_changed_replaces_what_was() {
        let mut moved = people();
        moved.ship_to = Some(Address {
            street: vec!["2 Side".to_owned()],
            city: Some("Dallas".to_owned()),
            country: Some("US".to_owned()),
            ..Address::default()
        });
        let merged = moved.clone().completed(&people());
        assert_eq!(merged.ship_to, moved.ship_to, "no name or phone of the old place");
        let mut other = people();
        other.buyer = Buyer { external_id: Some("2".to_owned()), ..Buyer::default() };
        let mut before = people();
        before.buyer.external_id = Some("1".to_owned());
        assert_eq!(other.completed(&before).buyer.email, None, "another buyer");
    }

    #[test]
    fn a_buyer_whose_user_name_became_an_id_is_the_same() {
        let named = |id: &str, name: Option<&str>, email: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            Buyer { external_id: text(Some(id)), name: text(name), email: text(email), ..Buyer::default() }
        };
        let before = named("ada_1815", Some("Ada"), Some("a@b.c"));
        let later = named("xk29fja8", Some("ADA "), None);
        assert!(later.is_same(&before));
        assert!(named("xk29fja8", None, Some("A@b.c")).is_same(&before));
        assert!(!named("xk29fja8", Some("Bob"), None).is_same(&before));
        assert!(!named("xk29fja8", None, None).is_same(&before), "nothing tells");
        let merged = People { buyer: later, ..people() }.completed(&People { buyer: before, ..people() });
        assert_eq!(merged.buyer.email.as_deref(), Some("a@b.c"), "what eBay took back stays");
    }
}
