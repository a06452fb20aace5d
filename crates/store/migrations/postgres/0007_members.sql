-- Who is in which group: every request of a user asks for that user's.

CREATE TABLE members (
    collection BIGINT NOT NULL,
    -- The group's.
    id         TEXT COLLATE "C" NOT NULL,
    -- A user's id; '', which is nobody's, where all are in the group.
    member     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (collection, id, member)
);
CREATE INDEX members_by_member ON members (collection, member, id);

-- What the table holds of the collections of groups, said of any collection. 1024 bytes: no user's id is longer.
CREATE VIEW memberships AS
    SELECT e.collection, e.id, v #>> '{}' AS member
    FROM entities e, LATERAL lode_values(e.doc, ARRAY['users','list','_id'], true) AS v
    WHERE jsonb_typeof(v) = 'string' AND octet_length(v #>> '{}') BETWEEN 1 AND 1024
    UNION ALL
    SELECT e.collection, e.id, '' FROM entities e
    WHERE EXISTS
        (SELECT FROM lode_values(e.doc, ARRAY['users','all'], true) AS v WHERE v = 'true');

INSERT INTO members (collection, id, member)
    SELECT collection, id, member FROM memberships
    WHERE collection IN (SELECT id FROM collections WHERE name = 'group')
    ON CONFLICT DO NOTHING;
