-- Which of its order's lines a file is about, by the platform's id: what a buyer designed for that line. Null for every
-- other file.
ALTER TABLE file ADD COLUMN external_line_id VARCHAR;
