-- What a platform says of a day, against what is held. One row per connection and day of placing, changed in place:
-- a few hundred a year. The counts are null until the day was compared for the first time.
CREATE TABLE reconciliation (
    connection_id BIGINT NOT NULL,
    day DATE NOT NULL,
    asked_at TIMESTAMP,
    checked_at TIMESTAMP,
    platform_count BIGINT,
    held_count BIGINT,
    parked_count BIGINT,
    missing_count BIGINT,
    fetched_count BIGINT,
    only_here_count BIGINT
);

-- Readings of everything that a platform changed since a time, each with a cursor of its own.
CREATE TABLE replay (
    replay_id BIGINT NOT NULL,
    connection_id BIGINT NOT NULL,
    from_at TIMESTAMP NOT NULL,
    asked_at TIMESTAMP NOT NULL,
    asked_by VARCHAR NOT NULL,
    cursor VARCHAR NOT NULL,
    read_count BIGINT NOT NULL,
    new_count BIGINT NOT NULL,
    updated_count BIGINT NOT NULL,
    unchanged_count BIGINT NOT NULL,
    parked_count BIGINT NOT NULL,
    finished_at TIMESTAMP
);

-- Which reading brought a parked payload, which reader tried it last, and when.
ALTER TABLE parked ADD COLUMN operation VARCHAR;
ALTER TABLE parked ADD COLUMN reader VARCHAR;
ALTER TABLE parked ADD COLUMN tried_at TIMESTAMP;
