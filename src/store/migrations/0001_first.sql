-- The first schema. Tables that grow have no indexes, primary keys or foreign keys: uniqueness is the writer's
-- (see store/mod.rs). No LIST, MAP or nested column in a table that is updated. All times are UTC.
CREATE SCHEMA raw;
CREATE SCHEMA report;

-- Which migrations this file has had. Written by store/migrate.rs alone.
CREATE TABLE schema_version (version BIGINT NOT NULL, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL);

-- One row: this data folder. A restore or a copy gives it a new epoch.
CREATE TABLE installation (
    installation_id VARCHAR NOT NULL,
    epoch BIGINT NOT NULL,
    epoch_since TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    merchant_zone VARCHAR NOT NULL
);

CREATE TABLE connection (
    connection_id BIGINT NOT NULL,
    channel VARCHAR NOT NULL,
    alias VARCHAR NOT NULL,
    account VARCHAR NOT NULL,
    base_url VARCHAR,
    state VARCHAR NOT NULL,
    state_note VARCHAR,
    state_since TIMESTAMP NOT NULL,
    created_at TIMESTAMP NOT NULL,
    settings VARCHAR NOT NULL,
    currency VARCHAR,
    order_page VARCHAR,
    time_zone VARCHAR
);

-- How far each stream of a connection has come. `stream` is a job's name.
CREATE TABLE poll_state (
    connection_id BIGINT NOT NULL,
    stream VARCHAR NOT NULL,
    cursor VARCHAR NOT NULL,
    complete_since TIMESTAMP,
    complete_until TIMESTAMP,
    last_success_at TIMESTAMP,
    last_error_at TIMESTAMP,
    last_error VARCHAR,
    failures BIGINT NOT NULL,
    remaining BIGINT
);

-- Payloads as received, without person data. Append-only.
CREATE TABLE raw.payload (
    payload_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    order_no BIGINT,
    kind VARCHAR NOT NULL,
    external_id VARCHAR,
    received_at TIMESTAMP NOT NULL,
    person_id BIGINT,
    payload VARCHAR NOT NULL USING COMPRESSION zstd
);

-- Payloads that no reader understood yet. The text itself lies in `person`, whole.
CREATE TABLE parked (
    payload_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    external_id VARCHAR,
    payload_hash UBIGINT NOT NULL,
    place VARCHAR NOT NULL,
    what VARCHAR NOT NULL,
    parked_at TIMESTAMP NOT NULL,
    replayed_at TIMESTAMP
);

-- Everything about people, and nowhere else. `cuts` are the texts cut out of one payload (a JSON array of
-- strings), `people` what they say in our words, `search` the same lower-cased for the search box.
CREATE TABLE person (
    person_id BIGINT NOT NULL,
    order_no BIGINT,
    connection_id BIGINT NOT NULL,
    cuts VARCHAR NOT NULL USING COMPRESSION zstd,
    people VARCHAR,
    search VARCHAR,
    created_at TIMESTAMP NOT NULL,
    erased_at TIMESTAMP
);

CREATE TABLE orders (
    order_no BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    channel VARCHAR NOT NULL,
    external_key UBIGINT NOT NULL,
    external_id VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    platform_status VARCHAR NOT NULL,
    is_paid BOOLEAN NOT NULL,
    is_history BOOLEAN NOT NULL,
    is_picked BOOLEAN NOT NULL,
    fulfilled_by VARCHAR NOT NULL,
    export_state VARCHAR NOT NULL,
    export_reason VARCHAR,
    export_detail VARCHAR,
    shop_connection_id BIGINT,
    shop_order_id VARCHAR,
    shop_address_id VARCHAR,
    facts_version BIGINT NOT NULL,
    placed_at TIMESTAMP NOT NULL,
    platform_updated_at TIMESTAMP NOT NULL,
    imported_at TIMESTAMP NOT NULL,
    changed_at TIMESTAMP NOT NULL,
    created_in_shop_at TIMESTAMP,
    placed_day DATE NOT NULL,
    placed_hour TINYINT NOT NULL,
    placed_zone VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    total_minor BIGINT NOT NULL,
    item_minor BIGINT NOT NULL,
    shipping_minor BIGINT NOT NULL,
    tax_minor BIGINT NOT NULL,
    discount_minor BIGINT NOT NULL,
    net_minor BIGINT NOT NULL,
    fee_minor BIGINT NOT NULL,
    refund_minor BIGINT NOT NULL,
    unit_count BIGINT NOT NULL,
    line_count BIGINT NOT NULL,
    ship_by TIMESTAMP,
    deliver_by TIMESTAMP,
    shipping_method VARCHAR,
    payment_method VARCHAR,
    site VARCHAR,
    country VARCHAR,
    region VARCHAR,
    buyer_key UBIGINT,
    buyer_order_number BIGINT,
    previous_order_no BIGINT,
    person_id BIGINT,
    payload_id BIGINT NOT NULL,
    payload_hash UBIGINT NOT NULL,
    first_sku VARCHAR,
    first_title VARCHAR
);

CREATE TABLE order_line (
    order_no BIGINT NOT NULL,
    line_no INTEGER NOT NULL,
    external_id VARCHAR NOT NULL,
    sku VARCHAR,
    product_id VARCHAR,
    title VARCHAR NOT NULL,
    quantity BIGINT NOT NULL,
    quantity_shipped BIGINT NOT NULL,
    quantity_cancelled BIGINT NOT NULL,
    unit_price DECIMAL(18, 6),
    options VARCHAR,
    item_minor BIGINT NOT NULL,
    tax_minor BIGINT NOT NULL,
    discount_minor BIGINT NOT NULL,
    fee_minor BIGINT NOT NULL,
    shipping_minor BIGINT NOT NULL,
    refund_minor BIGINT NOT NULL,
    cost_minor BIGINT
);

CREATE TABLE order_amount (
    order_no BIGINT NOT NULL,
    line_no INTEGER,
    kind VARCHAR NOT NULL,
    minor BIGINT NOT NULL
);

-- Which of the shop's lines stands for which of the marketplace's.
CREATE TABLE shop_line (
    order_no BIGINT NOT NULL,
    external_line_id VARCHAR NOT NULL,
    shop_line_id VARCHAR NOT NULL
);

-- What the search box reads beside `person.search`: ids, SKUs and titles, lower-cased.
CREATE TABLE order_search (
    order_no BIGINT NOT NULL,
    placed_at TIMESTAMP NOT NULL,
    search VARCHAR NOT NULL
);

CREATE TABLE shipment (
    order_no BIGINT NOT NULL,
    parcel BIGINT NOT NULL,
    origin VARCHAR NOT NULL,
    shop_shipment_id VARCHAR,
    marketplace_package_id VARCHAR,
    carrier VARCHAR,
    service VARCHAR,
    tracking VARCHAR,
    shipped_at TIMESTAMP,
    lines VARCHAR NOT NULL,
    is_gone BOOLEAN NOT NULL,
    told_at TIMESTAMP,
    seen_at TIMESTAMP NOT NULL
);

CREATE TABLE event (
    event_id BIGINT NOT NULL,
    order_no BIGINT,
    connection_id BIGINT,
    happened_at TIMESTAMP NOT NULL,
    kind VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    payload_id BIGINT
);

-- Open effects only: loaded at start, small. What is done leaves in the commit that writes its log.
CREATE TABLE effect_open (
    effect_id BIGINT NOT NULL,
    order_no BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    revision VARCHAR NOT NULL,
    connection_id BIGINT NOT NULL,
    lane VARCHAR NOT NULL,
    state VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    due_at TIMESTAMP NOT NULL,
    called_at TIMESTAMP,
    first_empty_probe_at TIMESTAMP,
    reason VARCHAR,
    reason_detail VARCHAR,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE effect_log (
    effect_id BIGINT NOT NULL,
    order_no BIGINT NOT NULL,
    kind VARCHAR NOT NULL,
    revision VARCHAR NOT NULL,
    connection_id BIGINT NOT NULL,
    happened_at TIMESTAMP NOT NULL,
    state VARCHAR NOT NULL,
    attempts BIGINT NOT NULL,
    text VARCHAR
);

-- The shop's orders as its list tells of them: what a create is checked against without a call.
CREATE TABLE shop_mirror (
    connection_id BIGINT NOT NULL,
    shop_order_id VARCHAR NOT NULL,
    shop_order_key UBIGINT NOT NULL,
    external_order_id VARCHAR,
    external_key UBIGINT,
    external_source VARCHAR,
    status_id INTEGER NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    total_minor BIGINT NOT NULL,
    currency VARCHAR NOT NULL,
    items_shipped BIGINT NOT NULL,
    seen_at TIMESTAMP NOT NULL
);

CREATE TABLE listing (
    listing_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    external_key UBIGINT NOT NULL,
    external_id VARCHAR NOT NULL,
    product_id VARCHAR,
    sku VARCHAR,
    title VARCHAR,
    quantity BIGINT,
    price_minor BIGINT,
    currency VARCHAR,
    fulfilled_by VARCHAR NOT NULL,
    seen_at TIMESTAMP NOT NULL,
    is_gone BOOLEAN NOT NULL
);

CREATE TABLE item (item_id BIGINT NOT NULL, sku VARCHAR NOT NULL, title VARCHAR, barcode VARCHAR, created_at TIMESTAMP NOT NULL);
CREATE TABLE item_part (bundle_item_id BIGINT NOT NULL, part_item_id BIGINT NOT NULL, quantity BIGINT NOT NULL);
CREATE TABLE link (listing_id BIGINT NOT NULL, item_id BIGINT NOT NULL, quantity BIGINT NOT NULL);
CREATE TABLE location (location_id BIGINT NOT NULL, name VARCHAR NOT NULL, kind VARCHAR NOT NULL, connection_id BIGINT);

-- Hot stock, changed in the same write as its movement; the ledger proves it.
CREATE TABLE stock_level (
    item_id BIGINT NOT NULL,
    location_id BIGINT NOT NULL,
    on_hand BIGINT NOT NULL,
    reserved BIGINT NOT NULL,
    last_movement_id BIGINT
);

CREATE TABLE movement (
    movement_id BIGINT NOT NULL,
    item_id BIGINT NOT NULL,
    location_id BIGINT NOT NULL,
    change BIGINT NOT NULL,
    balance_after BIGINT NOT NULL,
    cause VARCHAR NOT NULL,
    order_no BIGINT,
    line_no INTEGER,
    happened_at TIMESTAMP NOT NULL,
    actor VARCHAR NOT NULL
);

CREATE TABLE reservation (
    order_no BIGINT NOT NULL,
    line_no INTEGER NOT NULL,
    item_id BIGINT NOT NULL,
    location_id BIGINT NOT NULL,
    quantity BIGINT NOT NULL,
    expires_at TIMESTAMP
);

CREATE TABLE incident (
    incident_id BIGINT NOT NULL,
    connection_id BIGINT,
    order_no BIGINT,
    kind VARCHAR NOT NULL,
    text VARCHAR NOT NULL,
    next_step VARCHAR NOT NULL,
    opened_at TIMESTAMP NOT NULL,
    closed_at TIMESTAMP,
    closed_by VARCHAR
);

CREATE TABLE session (
    session_hash VARCHAR NOT NULL,
    user_id BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    last_seen_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);

-- Files lie content-addressed under DATA/files.
CREATE TABLE file (
    sha256 VARCHAR NOT NULL,
    size_bytes BIGINT NOT NULL,
    media_type VARCHAR NOT NULL,
    name VARCHAR,
    order_no BIGINT,
    has_person_data BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL
);

-- Erasures are replayed after a restore and into the lake; the key is a keyed hash.
CREATE TABLE erasure_log (order_no BIGINT NOT NULL, cause VARCHAR NOT NULL, erased_at TIMESTAMP NOT NULL);

CREATE VIEW report.orders AS
SELECT o.order_no, c.alias AS connection, o.channel, o.external_id, o.status, o.is_history AS history,
       o.export_state, o.export_reason, o.shop_order_id, o.placed_at, o.imported_at, o.placed_day, o.placed_hour,
       o.currency, o.total_minor, o.item_minor, o.shipping_minor, o.tax_minor, o.discount_minor, o.net_minor,
       o.fee_minor, o.refund_minor, o.unit_count, o.line_count, o.fulfilled_by, o.is_paid AS paid, o.ship_by,
       o.shipping_method, o.country, o.region, o.buyer_key, o.buyer_order_number, o.previous_order_no,
       o.created_in_shop_at, o.platform_updated_at
FROM main.orders o LEFT JOIN main.connection c USING (connection_id);

CREATE VIEW report.order_lines AS
SELECT l.order_no, l.line_no, l.sku, l.product_id, l.title, l.quantity, l.quantity_shipped, l.quantity_cancelled,
       l.unit_price, l.item_minor, l.tax_minor, l.discount_minor, l.shipping_minor, l.fee_minor, l.refund_minor,
       l.cost_minor
FROM main.order_line l;

CREATE VIEW report.amounts AS SELECT a.order_no, a.line_no, a.kind, a.minor FROM main.order_amount a;

CREATE VIEW report.shipments AS
SELECT s.order_no, s.parcel, s.origin, s.carrier, s.service, s.tracking, s.shipped_at, s.told_at
FROM main.shipment s WHERE NOT s.is_gone;

CREATE VIEW report.events AS SELECT e.event_id, e.order_no, e.happened_at, e.kind, e.text, e.actor FROM main.event e;

CREATE VIEW report.listings AS
SELECT c.alias AS connection, c.channel, l.external_id, l.product_id, l.sku, l.title, l.quantity, l.price_minor,
       l.currency, l.fulfilled_by, l.seen_at
FROM main.listing l LEFT JOIN main.connection c USING (connection_id) WHERE NOT l.is_gone;

CREATE VIEW report.payloads AS
SELECT p.payload_id, p.order_no, c.alias AS connection, p.kind, p.external_id, p.received_at, p.payload
FROM raw.payload p LEFT JOIN main.connection c USING (connection_id);

-- What each report view and column means.
COMMENT ON VIEW report.orders IS 'One row per order, whatever its channel.';
COMMENT ON COLUMN report.orders.order_no IS 'Our number of the order, in order of arrival';
COMMENT ON COLUMN report.orders.connection IS 'The merchant''s name of the connection it came from';
COMMENT ON COLUMN report.orders.channel IS 'Kind of platform: amazon, bigcommerce, …';
COMMENT ON COLUMN report.orders.external_id IS 'The platform''s id of the order';
COMMENT ON COLUMN report.orders.status IS 'pending, open, part_shipped, shipped or cancelled';
COMMENT ON COLUMN report.orders.history IS 'Placed before go-live: reported, never exported';
COMMENT ON COLUMN report.orders.export_state IS 'Whether it is in the shop: none, waiting, creating, created or failed';
COMMENT ON COLUMN report.orders.export_reason IS 'Code of the reason why it is not in the shop';
COMMENT ON COLUMN report.orders.shop_order_id IS 'The shop''s id of the order that was created for it';
COMMENT ON COLUMN report.orders.placed_at IS 'When the buyer placed it, UTC';
COMMENT ON COLUMN report.orders.imported_at IS 'When it arrived here, UTC';
COMMENT ON COLUMN report.orders.placed_day IS 'Day it was placed, in the merchant''s time zone';
COMMENT ON COLUMN report.orders.placed_hour IS 'Hour it was placed, 0 to 23, in the merchant''s time zone';
COMMENT ON COLUMN report.orders.currency IS 'ISO 4217 code of every amount of the order';
COMMENT ON COLUMN report.orders.total_minor IS 'What the buyer paid with all tax, in minor units';
COMMENT ON COLUMN report.orders.item_minor IS 'Goods without tax, in minor units';
COMMENT ON COLUMN report.orders.shipping_minor IS 'Shipping without tax, in minor units';
COMMENT ON COLUMN report.orders.tax_minor IS 'All tax in the total, in minor units';
COMMENT ON COLUMN report.orders.discount_minor IS 'All discounts in the total, in minor units; negative';
COMMENT ON COLUMN report.orders.net_minor IS 'Total without tax and refunds, in minor units';
COMMENT ON COLUMN report.orders.fee_minor IS 'What the platform charges the seller, in minor units; no part of the total';
COMMENT ON COLUMN report.orders.refund_minor IS 'Refunded so far, in minor units';
COMMENT ON COLUMN report.orders.unit_count IS 'Units ordered, without cancelled ones';
COMMENT ON COLUMN report.orders.line_count IS 'Lines';
COMMENT ON COLUMN report.orders.fulfilled_by IS 'Who ships: seller or platform';
COMMENT ON COLUMN report.orders.paid IS 'Whether it is paid';
COMMENT ON COLUMN report.orders.ship_by IS 'Latest moment to ship, UTC';
COMMENT ON COLUMN report.orders.shipping_method IS 'Shipping method as the buyer chose it';
COMMENT ON COLUMN report.orders.country IS 'ISO 3166-1 code of the country it goes to';
COMMENT ON COLUMN report.orders.region IS 'State or region it goes to';
COMMENT ON COLUMN report.orders.buyer_key IS 'Keyed hash of the buyer: the same for each order of one buyer';
COMMENT ON COLUMN report.orders.buyer_order_number IS 'How manieth order of this buyer it was when it arrived';
COMMENT ON COLUMN report.orders.previous_order_no IS 'The buyer''s order before it';
COMMENT ON COLUMN report.orders.created_in_shop_at IS 'When it was created in the shop, UTC';
COMMENT ON COLUMN report.orders.platform_updated_at IS 'When the platform last changed it, by the platform''s clock, UTC';
COMMENT ON VIEW report.order_lines IS 'One row per position of an order.';
COMMENT ON COLUMN report.order_lines.order_no IS 'The order';
COMMENT ON COLUMN report.order_lines.line_no IS 'Position within the order, from 0';
COMMENT ON COLUMN report.order_lines.sku IS 'SKU';
COMMENT ON COLUMN report.order_lines.product_id IS 'The platform''s id of the product';
COMMENT ON COLUMN report.order_lines.title IS 'Title';
COMMENT ON COLUMN report.order_lines.quantity IS 'Units ordered';
COMMENT ON COLUMN report.order_lines.quantity_shipped IS 'Units shipped';
COMMENT ON COLUMN report.order_lines.quantity_cancelled IS 'Units cancelled';
COMMENT ON COLUMN report.order_lines.unit_price IS 'Price of one unit without tax, derived; never sum it';
COMMENT ON COLUMN report.order_lines.item_minor IS 'Goods without tax, in minor units';
COMMENT ON COLUMN report.order_lines.tax_minor IS 'Tax, with the line''s share of the order''s, in minor units';
COMMENT ON COLUMN report.order_lines.discount_minor IS 'Discounts, with the line''s share of the order''s, in minor units; negative';
COMMENT ON COLUMN report.order_lines.shipping_minor IS 'Shipping without tax, with the line''s share of the order''s, in minor units';
COMMENT ON COLUMN report.order_lines.fee_minor IS 'Fees, with the line''s share of the order''s, in minor units';
COMMENT ON COLUMN report.order_lines.refund_minor IS 'Refunded so far, in minor units';
COMMENT ON COLUMN report.order_lines.cost_minor IS 'Cost of the goods, in minor units, where known';
COMMENT ON VIEW report.amounts IS 'What an order''s total is made of, typed.';
COMMENT ON COLUMN report.amounts.order_no IS 'The order';
COMMENT ON COLUMN report.amounts.line_no IS 'The line it belongs to, from 0; null where it is the whole order';
COMMENT ON COLUMN report.amounts.kind IS 'item, item_tax, shipping, shipping_tax, gift_wrap, gift_wrap_tax, seller_discount, platform_discount, shipping_discount, other; withheld_tax and fee are no part of the total';
COMMENT ON COLUMN report.amounts.minor IS 'Minor units of the currency of the order; what is taken off is negative';
COMMENT ON VIEW report.shipments IS 'One row per parcel.';
COMMENT ON COLUMN report.shipments.order_no IS 'The order';
COMMENT ON COLUMN report.shipments.parcel IS 'Number of the parcel within the order, from 1';
COMMENT ON COLUMN report.shipments.origin IS 'Who told of it first: shop or marketplace';
COMMENT ON COLUMN report.shipments.carrier IS 'Carrier, as the origin names it';
COMMENT ON COLUMN report.shipments.service IS 'Service, as the origin names it';
COMMENT ON COLUMN report.shipments.tracking IS 'Tracking number';
COMMENT ON COLUMN report.shipments.shipped_at IS 'When it was shipped, UTC';
COMMENT ON COLUMN report.shipments.told_at IS 'When the other side was told, UTC';
COMMENT ON VIEW report.events IS 'What happened to orders and connections, in order.';
COMMENT ON COLUMN report.events.event_id IS 'Number of the event';
COMMENT ON COLUMN report.events.order_no IS 'The order, if it is about one';
COMMENT ON COLUMN report.events.happened_at IS 'When, UTC';
COMMENT ON COLUMN report.events.kind IS 'Kind of event';
COMMENT ON COLUMN report.events.text IS 'What happened, in plain words';
COMMENT ON COLUMN report.events.actor IS 'Who did it';
COMMENT ON VIEW report.listings IS 'Sellable variants on the connections.';
COMMENT ON COLUMN report.listings.connection IS 'The merchant''s name of the connection';
COMMENT ON COLUMN report.listings.channel IS 'Kind of platform';
COMMENT ON COLUMN report.listings.external_id IS 'The platform''s id of the listing';
COMMENT ON COLUMN report.listings.product_id IS 'The platform''s id of its product';
COMMENT ON COLUMN report.listings.sku IS 'SKU';
COMMENT ON COLUMN report.listings.title IS 'Title';
COMMENT ON COLUMN report.listings.quantity IS 'Quantity offered there';
COMMENT ON COLUMN report.listings.price_minor IS 'Price in minor units';
COMMENT ON COLUMN report.listings.currency IS 'ISO 4217 code of the price';
COMMENT ON COLUMN report.listings.fulfilled_by IS 'Who ships: seller or platform';
COMMENT ON COLUMN report.listings.seen_at IS 'When the platform last listed it, UTC';
COMMENT ON VIEW report.payloads IS 'Payloads as received, without person data.';
COMMENT ON COLUMN report.payloads.payload_id IS 'Number of the payload';
COMMENT ON COLUMN report.payloads.order_no IS 'The order it is about';
COMMENT ON COLUMN report.payloads.connection IS 'The merchant''s name of the connection';
COMMENT ON COLUMN report.payloads.kind IS 'What it is: order';
COMMENT ON COLUMN report.payloads.external_id IS 'The platform''s id of the order';
COMMENT ON COLUMN report.payloads.received_at IS 'When it arrived, UTC';
COMMENT ON COLUMN report.payloads.payload IS 'The JSON as received; person data is replaced by markers';
