-- Which of its order's lines a file is about, by the platform's id: what a buyer designed for that line. Null for every
-- other file.
ALTER TABLE file ADD COLUMN external_line_id VARCHAR;

-- Links to designs stood in a line's options. They are secrets and belong among the person data alone.
UPDATE order_line SET options = regexp_replace(options, 'Customisation: \S+', 'Customised by the buyer')
    WHERE options LIKE '%Customisation: http%';
