-- A tombstone keeps its document's _acl, and is shown to whom the document would be. Those that are there have
-- kept none: they are closed to all but the app's owner.
ALTER TABLE tombstones ADD COLUMN doc TEXT NOT NULL DEFAULT '{"_acl":{"gr":false}}';
