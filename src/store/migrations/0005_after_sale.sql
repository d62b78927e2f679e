-- What the shop gave back, and what the marketplace was asked to give back for it. A few rows for each hundred orders,
-- changed in place. `shares` is a JSON array: what it is of each line. `called_at` is there from before the marketplace
-- is asked until it is known that nothing came of that: while it is, nobody asks a second time. `listed_before` is a
-- JSON array: the marketplace's refunds of the order before it was asked. `resend_at` is when a person who had looked
-- said that it is to be sent again.
CREATE TABLE shop_refund (
    order_no BIGINT NOT NULL,
    shop_refund_id VARCHAR NOT NULL,
    refunded_at TIMESTAMP,
    total_minor BIGINT NOT NULL,
    shares VARCHAR NOT NULL,
    called_at TIMESTAMP,
    listed_before VARCHAR,
    marketplace_refund_id VARCHAR,
    told_at TIMESTAMP,
    resend_at TIMESTAMP,
    seen_at TIMESTAMP NOT NULL
);

-- What the shop's list says of an order after the sale. `cancelled_at` is when we first saw that it was cancelled.
ALTER TABLE shop_mirror ADD COLUMN refunded_minor BIGINT DEFAULT 0;
ALTER TABLE shop_mirror ADD COLUMN after_sale VARCHAR;
ALTER TABLE shop_mirror ADD COLUMN cancelled_at TIMESTAMP;

-- What was cancelled or refunded before was dealt with by people: it is no news.
UPDATE shop_mirror SET after_sale = CASE status_id
    WHEN 5 THEN 'cancelled' WHEN 4 THEN 'refunded' ELSE 'part_refunded' END
WHERE status_id IN (4, 5, 14);

-- What a platform that takes its time wants to be asked with.
ALTER TABLE effect_open ADD COLUMN ticket VARCHAR;

CREATE VIEW report.refunds AS
SELECT r.order_no, r.shop_refund_id, r.refunded_at, r.total_minor, r.told_at, r.seen_at FROM main.shop_refund r;

COMMENT ON VIEW report.refunds IS 'One row per refund that was made in the shop.';
COMMENT ON COLUMN report.refunds.order_no IS 'The order';
COMMENT ON COLUMN report.refunds.shop_refund_id IS 'The shop''s id of the refund';
COMMENT ON COLUMN report.refunds.refunded_at IS 'When it was made in the shop, UTC';
COMMENT ON COLUMN report.refunds.total_minor IS 'What went back with tax, in minor units of the order''s currency';
COMMENT ON COLUMN report.refunds.told_at IS 'When the marketplace had given it back, UTC; null where it was not asked or has not';
COMMENT ON COLUMN report.refunds.seen_at IS 'When we saw it first, UTC';
