-- The browser and system that a session began in, in a few words, so that people know which one to end.
ALTER TABLE session ADD COLUMN agent VARCHAR;
