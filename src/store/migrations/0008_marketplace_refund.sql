-- What marketplaces gave back, whoever asked for it, as their orders list it: written at import alone. A few rows for each
-- hundred orders; those of an order are replaced as a whole. `told_minor` is the marketplace's own amount, which may leave
-- out tax that it gives back by itself, `total_minor` what the buyer got. `lines` is a JSON array: what of it is of which
-- line, where the marketplace says so. `shop_refund_id` is the shop's refund that it was made for.
CREATE TABLE marketplace_refund (
    order_no BIGINT NOT NULL,
    refund_id VARCHAR NOT NULL,
    refunded_at TIMESTAMP,
    currency VARCHAR NOT NULL,
    told_minor BIGINT NOT NULL,
    total_minor BIGINT NOT NULL,
    lines VARCHAR NOT NULL,
    shop_refund_id VARCHAR,
    seen_at TIMESTAMP NOT NULL
);

-- What was imported before says of refunds only that there are some: such an order counts as news when it is read again.
UPDATE orders SET payload_hash = 0 WHERE channel IN ('ebay', 'etsy') AND contains(lower(platform_status), 'refunded');

CREATE VIEW report.marketplace_refunds AS
SELECT r.order_no, r.refund_id, r.refunded_at, r.currency, r.told_minor, r.total_minor, r.shop_refund_id, r.seen_at
FROM main.marketplace_refund r;

COMMENT ON VIEW report.marketplace_refunds IS 'One row per refund that went through on a marketplace, where it tells of them: eBay and Etsy.';
COMMENT ON COLUMN report.marketplace_refunds.order_no IS 'The order';
COMMENT ON COLUMN report.marketplace_refunds.refund_id IS 'The marketplace''s id of the refund; where it gives none, made of its time';
COMMENT ON COLUMN report.marketplace_refunds.refunded_at IS 'When it was made, UTC';
COMMENT ON COLUMN report.marketplace_refunds.currency IS 'ISO 4217 code of its amounts; only what is in the currency of the order counts there';
COMMENT ON COLUMN report.marketplace_refunds.told_minor IS 'The marketplace''s own amount, in minor units: on eBay without the tax that it remits and gives back itself';
COMMENT ON COLUMN report.marketplace_refunds.total_minor IS 'What the buyer got back with all tax, in minor units';
COMMENT ON COLUMN report.marketplace_refunds.shop_refund_id IS 'The refund in the shop that it was made for; null where it was made on the marketplace';
COMMENT ON COLUMN report.marketplace_refunds.seen_at IS 'When we saw it first, UTC';
COMMENT ON COLUMN report.orders.refund_minor IS 'What the buyer got back so far with tax, in minor units: the greater of what the shop and what the marketplace gave back, since a refund that one passes on to the other stands on both';
COMMENT ON COLUMN report.orders.net_minor IS 'Total without tax and refunds, in minor units; a refund counts with the tax that went back with it';
COMMENT ON COLUMN report.order_lines.refund_minor IS 'What the buyer got back for it so far with tax, in minor units: the greater of what the shop and what the marketplace gave back, where they name lines';
