//! Why an order is not in the shop yet, or a parcel not told of: a stable code, what happened, what to do next.

use serde::{Deserialize, Serialize};

use super::order::words;

words! {
    /// The stable code of a reason. Scripts and filters rely on the words.
    ReasonCode {
        /// Not paid yet.
        Unpaid = "unpaid",
        /// The connection's automatic export is off.
        ExportOff = "export_off",
        /// Shipped by the platform, and the connection exports only what the seller ships.
        PlatformFulfilled = "platform_fulfilled",
        /// Cancelled before it went into the shop.
        Cancelled = "cancelled",
        /// A line's SKU is unknown in the shop, and the connection holds such orders.
        UnmatchedSku = "unmatched_sku",
        /// The shop has too little stock.
        OutOfStock = "out_of_stock",
        /// The shop's limits of a product's quantity do not allow this order.
        QuantityLimit = "quantity_limit",
        /// The order's currency is not the shop's.
        CurrencyDiffers = "currency_differs",
        /// The amounts do not sum to the order's total.
        TotalMismatch = "total_mismatch",
        /// The platform gave no usable address.
        AddressMissing = "address_missing",
        /// The shop connection is paused, failing or needs a new authorisation.
        ShopUnavailable = "shop_unavailable",
        /// The marketplace connection is paused, failing or needs a new authorisation.
        MarketplaceUnavailable = "marketplace_unavailable",
        /// The shop refused the order.
        ShopRejected = "shop_rejected",
        /// A call ended without an answer; we look whether it worked.
        InDoubt = "in_doubt",
        /// A backup was restored, and what was on its way to the shop before may still arrive.
        Restored = "restored",
        /// The shop holds more than one order with this id.
        DuplicateInShop = "duplicate_in_shop",
        /// The shop's order has another total than the marketplace's.
        ShopTotalDiffers = "shop_total_differs",
        /// A parcel has no tracking number.
        TrackingMissing = "tracking_missing",
        /// A parcel's number changed after the marketplace was told, and that cannot be told again.
        TrackingChanged = "tracking_changed",
        /// A parcel has no carrier, or one that the marketplace does not know.
        CarrierMissing = "carrier_missing",
        /// A parcel's lines could not be matched to the order's.
        LinesUnknown = "lines_unknown",
        /// The marketplace refused the shipment.
        MarketplaceRejected = "marketplace_rejected",
        /// What the buyer designed could not be fetched.
        CustomisationMissing = "customisation_missing",
        /// A call failed for a while and is tried again by itself.
        Retrying = "retrying",
        /// A call to the marketplace ended without an answer; it is asked what became of it.
        AnswerLost = "answer_lost",
        /// The marketplace takes its time to decide.
        Undecided = "undecided",
        /// The marketplace did not cancel what the shop cancelled.
        CancellationRefused = "cancellation_refused",
        /// The marketplace did not give back what the shop refunded.
        RefundRefused = "refund_refused",
        /// Nobody knows whether the marketplace gave the money back.
        RefundInDoubt = "refund_in_doubt",
        /// A refund could not be laid to what the buyer paid.
        RefundNotLaid = "refund_not_laid",
        /// The shop says that it refunded, and lists no such refund.
        RefundUnreadable = "refund_unreadable",
    }
}

/// Why something waits: the code, and what the platform said, if it said anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The stable code.
    pub code: ReasonCode,
    /// The particulars: a SKU, a currency, the platform's message. Never a buyer's data.
    pub detail: Option<String>,
}

impl Reason {
    /// A reason without particulars.
    #[must_use]
    pub fn of(code: ReasonCode) -> Self {
        Self { code, detail: None }
    }

    /// A reason with particulars.
    #[must_use]
    pub fn with(code: ReasonCode, detail: impl Into<String>) -> Self {
        Self { code, detail: Some(detail.into()) }
    }

    /// What happened, in one sentence.
    #[must_use]
    pub fn what(&self) -> String {
        let detail = self.detail.as_deref().unwrap_or_default();
        let said = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        match self.code {
            ReasonCode::Unpaid => "The marketplace has not confirmed the payment yet.".to_owned(),
            ReasonCode::ExportOff => "Automatic export is switched off for this connection.".to_owned(),
            ReasonCode::PlatformFulfilled => {
                "The marketplace ships this order from its own warehouse, and this connection exports only \
                 orders that you ship."
                    .to_owned()
            }
            ReasonCode::Cancelled => "The order was cancelled before it went into the shop.".to_owned(),
            ReasonCode::UnmatchedSku => format!("The shop has no product with this SKU{said}."),
            ReasonCode::OutOfStock => format!("The shop has too little stock for this order{said}."),
            ReasonCode::QuantityLimit => {
                format!(
                    "The shop's minimum or maximum quantity of a product does not allow this order{said}."
                )
            }
            ReasonCode::CurrencyDiffers => {
                format!("The order is in another currency than the shop{said}.")
            }
            ReasonCode::TotalMismatch => {
                format!("The order's amounts do not add up to its total{said}.")
            }
            ReasonCode::AddressMissing => "The marketplace gave no usable delivery address.".to_owned(),
            ReasonCode::ShopUnavailable => {
                format!("The shop's connection does not work at the moment{said}.")
            }
            ReasonCode::MarketplaceUnavailable => {
                format!("The marketplace's connection does not work at the moment{said}.")
            }
            ReasonCode::ShopRejected => format!("The shop refused the order{said}."),
            ReasonCode::InDoubt => {
                format!("The last call to the shop ended without an answer, so the order may be there{said}.")
            }
            ReasonCode::Restored => {
                format!(
                    "A backup was restored, and a call from before may still be on its way to the shop{said}."
                )
            }
            ReasonCode::DuplicateInShop => {
                format!("The shop holds more than one order with this marketplace id{said}.")
            }
            ReasonCode::ShopTotalDiffers => {
                format!("The shop calculated another total than the marketplace charged{said}.")
            }
            ReasonCode::TrackingMissing => format!("A parcel has no tracking number{said}."),
            ReasonCode::TrackingChanged => {
                format!("A parcel's carrier or tracking number changed after the marketplace was told{said}.")
            }
            ReasonCode::CarrierMissing => {
                format!("A parcel's carrier is missing or unknown to the marketplace{said}.")
            }
            ReasonCode::LinesUnknown => {
                format!("A parcel's lines do not match the order's lines{said}.")
            }
            ReasonCode::MarketplaceRejected => format!("The marketplace refused the shipment{said}."),
            ReasonCode::CustomisationMissing => {
                format!("What the buyer designed could not be fetched from the marketplace{said}.")
            }
            ReasonCode::Retrying => format!("The last call failed{said}."),
            ReasonCode::AnswerLost => {
                format!("The last call to the marketplace ended without an answer{said}.")
            }
            ReasonCode::Undecided => "The marketplace has not decided yet.".to_owned(),
            ReasonCode::CancellationRefused => {
                format!("The marketplace did not cancel the order that was cancelled in the shop{said}.")
            }
            ReasonCode::RefundRefused => {
                format!("The marketplace did not give back what was refunded in the shop{said}.")
            }
            ReasonCode::RefundInDoubt => {
                format!("Nobody knows whether the marketplace gave back what was refunded in the shop{said}.")
            }
            ReasonCode::RefundNotLaid => {
                format!("A refund in the shop does not fit what the buyer paid on the marketplace{said}.")
            }
            ReasonCode::RefundUnreadable => format!("A refund in the shop cannot be read{said}."),
        }
    }

    /// What a person should do, or what happens by itself.
    #[must_use]
    pub fn next_step(&self) -> &'static str {
        match self.code {
            ReasonCode::Unpaid => "Nothing to do: it goes into the shop by itself once it is paid.",
            ReasonCode::ExportOff => "Press Export to send this one, or switch export on in the connection.",
            ReasonCode::PlatformFulfilled => {
                "Press Export to send this one, or change which orders the connection exports."
            }
            ReasonCode::Cancelled => "Nothing to do.",
            ReasonCode::UnmatchedSku => {
                "Add the SKU to a product in the shop and press Retry, or let the connection send unknown SKUs as \
                 custom lines."
            }
            ReasonCode::OutOfStock => {
                "It is tried again by itself. Raise the stock in the shop to speed it up, then press Retry."
            }
            ReasonCode::QuantityLimit => {
                "Change the limit on the product in the shop and press Retry, or let the connection send such lines \
                 as custom lines."
            }
            ReasonCode::CurrencyDiffers => {
                "Create this order in the shop by hand, or connect a shop with this currency: amounts are never \
                 converted silently."
            }
            ReasonCode::TotalMismatch => {
                "Compare the amounts with the marketplace's page of this order, then create it in the shop by hand."
            }
            ReasonCode::AddressMissing => {
                "Enter the address on the order's page, or check that the marketplace's app may read delivery addresses \
                 and press Retry to fetch the order again."
            }
            ReasonCode::ShopUnavailable | ReasonCode::MarketplaceUnavailable => {
                "Open Connections to see what is wrong. It goes on by itself once the connection works."
            }
            ReasonCode::ShopRejected => "Mend what the shop names, then press Retry.",
            ReasonCode::InDoubt | ReasonCode::Restored => {
                "Nothing to do: the shop is asked again within two minutes, so that the order is never created twice."
            }
            ReasonCode::DuplicateInShop => {
                "Look at the orders in the shop, cancel the superfluous one there, resume the shop's connection, then press \
                 Retry."
            }
            ReasonCode::ShopTotalDiffers => "Correct the order in the shop: nothing else is sent for it.",
            ReasonCode::TrackingMissing => {
                "Add the tracking number to the shipment in the shop: it is sent by itself. Where there is none, mark the order \
                 as shipped on the marketplace and say so on the order's page."
            }
            ReasonCode::TrackingChanged => {
                "Correct it on the marketplace's own page, then say so on the order's page."
            }
            ReasonCode::CarrierMissing => {
                "Choose a carrier on the shipment in the shop, or set one under Carriers in the connection, then press Retry."
            }
            ReasonCode::LinesUnknown => {
                "Confirm this shipment on the marketplace by hand, or correct the shipment in the shop."
            }
            ReasonCode::MarketplaceRejected => {
                "Mend what the marketplace names, or confirm the shipment there by hand, then press Retry."
            }
            ReasonCode::CustomisationMissing => {
                "Press Retry to ask for a new link, or download it from the order's page on the marketplace."
            }
            ReasonCode::Retrying => "It is tried again by itself. Press Retry to do it now.",
            ReasonCode::AnswerLost => {
                "Nothing to do: the order is looked at on the marketplace, so that nothing is done twice."
            }
            ReasonCode::Undecided => "Nothing to do: it is asked again by itself.",
            ReasonCode::CancellationRefused => {
                "Cancel it on the marketplace's page and press It was done, or set the shop order back and deliver it."
            }
            ReasonCode::RefundRefused => {
                "Mend what the marketplace names and press Send again, or refund it on the marketplace's page and press \
                 It was done."
            }
            ReasonCode::RefundInDoubt => {
                "Look at the order's refunds on the marketplace's page. Press It was done if this one is there, else Send \
                 again."
            }
            ReasonCode::RefundNotLaid => {
                "Refund the right amount on the marketplace's page, then press It was done."
            }
            ReasonCode::RefundUnreadable => {
                "Refund it on the marketplace's page if the buyer is to get it there, then press It was done."
            }
        }
    }

    /// True where somebody has to act before anything moves.
    #[must_use]
    pub fn needs_person(&self) -> bool {
        matches!(
            self.code,
            ReasonCode::UnmatchedSku
                | ReasonCode::QuantityLimit
                | ReasonCode::CurrencyDiffers
                | ReasonCode::TotalMismatch
                | ReasonCode::AddressMissing
                | ReasonCode::ShopRejected
                | ReasonCode::DuplicateInShop
                | ReasonCode::ShopTotalDiffers
                | ReasonCode::TrackingMissing
                | ReasonCode::TrackingChanged
                | ReasonCode::CarrierMissing
                | ReasonCode::LinesUnknown
                | ReasonCode::MarketplaceRejected
                | ReasonCode::CustomisationMissing
                | ReasonCode::CancellationRefused
                | ReasonCode::RefundRefused
                | ReasonCode::RefundInDoubt
                | ReasonCode::RefundNotLaid
                | ReasonCode::RefundUnreadable
        )
    }
}
