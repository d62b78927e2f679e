-- What people were told: the key of each thing, so that it is told once.
CREATE TABLE notice (notice_key VARCHAR NOT NULL, told_at TIMESTAMP NOT NULL);
