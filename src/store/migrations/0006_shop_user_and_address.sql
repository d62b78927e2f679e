-- Who of a shop's control panel is who here. A row without `user_id` is somebody who came and has no account yet; one
-- without `external_id` was linked by its e-mail before the person came. `asked_user_id` is who the person signed in as,
-- while that waits for an owner. A handful of rows, changed in place.
CREATE TABLE shop_user (
    shop_user_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    external_id VARCHAR,
    email VARCHAR,
    is_store_owner BOOLEAN NOT NULL,
    user_id BIGINT,
    linked_by VARCHAR,
    linked_at TIMESTAMP,
    seen_at TIMESTAMP,
    asked_user_id BIGINT
);

-- The person of a control panel that a session began for: it ends with the link.
ALTER TABLE session ADD COLUMN shop_user_id BIGINT;

-- Delivery addresses that a person entered because the platform gave none. The address itself is person data and lies
-- in `person`. One row per order at most; it counts while the platform gives no usable one.
CREATE TABLE entered_address (
    order_no BIGINT NOT NULL,
    person_id BIGINT NOT NULL,
    entered_by VARCHAR NOT NULL,
    entered_at TIMESTAMP NOT NULL
);
