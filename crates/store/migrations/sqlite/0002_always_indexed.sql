-- What Kinvey's permissions and delta sets ask for is indexed in every collection: by three indexes of all
-- documents, as three for each collection would have to be looked at on every write of any. Their
-- expressions are those that queries are rendered with (a test asks the planner).

CREATE INDEX entities_by_creator ON entities (collection, CASE 'array'
    WHEN json_type(doc,'$."_acl"') THEN '['
    WHEN json_type(doc,'$."_acl"."creator"') THEN '['
    ELSE CASE json_type(doc,'$."_acl"."creator"') WHEN 'object' THEN '{'
        ELSE json_extract(doc,'$."_acl"."creator"') END END);
CREATE INDEX entities_by_lmt ON entities (collection, CASE 'array'
    WHEN json_type(doc,'$."_kmd"') THEN '['
    WHEN json_type(doc,'$."_kmd"."lmt"') THEN '['
    ELSE CASE json_type(doc,'$."_kmd"."lmt"') WHEN 'object' THEN '{'
        ELSE json_extract(doc,'$."_kmd"."lmt"') END END);
CREATE INDEX entities_by_ect ON entities (collection, CASE 'array'
    WHEN json_type(doc,'$."_kmd"') THEN '['
    WHEN json_type(doc,'$."_kmd"."ect"') THEN '['
    ELSE CASE json_type(doc,'$."_kmd"."ect"') WHEN 'object' THEN '{'
        ELSE json_extract(doc,'$."_kmd"."ect"') END END);

-- Without statistics SQLite takes a collection for ten documents, and reads it all rather than an index. These
-- are not measured but say what is meant: rows, rows of one collection, of one value in it, of one document.
-- Measured ones would change plans whenever one app grows.
ANALYZE;
DELETE FROM sqlite_stat1;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('entities', 'entities', '1000000 50000 1'),
    ('entities', 'entities_by_creator', '1000000 50000 50 1'),
    ('entities', 'entities_by_lmt', '1000000 50000 2 1'),
    ('entities', 'entities_by_ect', '1000000 50000 2 1');
ANALYZE sqlite_schema;
