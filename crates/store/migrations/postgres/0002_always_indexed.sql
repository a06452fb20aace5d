-- What Kinvey's permissions and delta sets ask for is indexed in every collection: by three indexes of all
-- documents, as three for each collection would have to be looked at on every write of any. Their
-- expressions are those that queries are rendered with (a test asks the planner).

CREATE INDEX entities_by_creator ON entities (collection, lode_key(doc, ARRAY['_acl','creator']));
CREATE INDEX entities_by_lmt ON entities (collection, lode_key(doc, ARRAY['_kmd','lmt']));
CREATE INDEX entities_by_ect ON entities (collection, lode_key(doc, ARRAY['_kmd','ect']));
