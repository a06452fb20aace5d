-- Who is in which group: every request of a user asks for that user's.

CREATE TABLE members (
    collection INTEGER NOT NULL,
    -- The group's.
    id         TEXT NOT NULL,
    -- A user's id; '', which is nobody's, where all are in the group.
    member     TEXT NOT NULL,
    PRIMARY KEY (collection, id, member)
) STRICT, WITHOUT ROWID;
CREATE INDEX members_by_member ON members (collection, member, id);

-- What the table holds of the collections of groups, said of any collection. 1024 bytes: no user's id is longer.
CREATE VIEW memberships AS
    SELECT e.collection, e.id, v.value ->> '$' AS member
    FROM entities e, json_each(lode_values(e.doc, 'users.list._id')) AS v
    WHERE json_type(v.value) = 'text' AND octet_length(v.value ->> '$') BETWEEN 1 AND 1024
    UNION ALL
    SELECT e.collection, e.id, '' FROM entities e WHERE lode_matches(e.doc, '{"users.all":true}');

INSERT INTO members (collection, id, member)
    SELECT collection, id, member FROM memberships
    WHERE collection IN (SELECT id FROM collections WHERE name = 'group')
    ON CONFLICT DO NOTHING;
