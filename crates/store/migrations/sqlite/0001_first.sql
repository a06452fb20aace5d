-- The first layout. Times are milliseconds since 1970.

CREATE TABLE apps (
    key                TEXT PRIMARY KEY,
    name               TEXT NOT NULL,
    app_secret_hash    BLOB NOT NULL,
    master_secret_hash BLOB NOT NULL,
    settings           TEXT NOT NULL,
    active             INTEGER,
    -- The number that was given last: numbers are never given twice.
    last_deployment    INTEGER NOT NULL DEFAULT 0,
    created_ms         INTEGER NOT NULL
) STRICT;

CREATE TABLE deployments (
    app        TEXT NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    number     INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    content    TEXT NOT NULL,
    UNIQUE (app, number)
) STRICT;

-- AUTOINCREMENT: a number is never given twice, so what remembers an old one cannot reach another app.
CREATE TABLE collections (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    app  TEXT NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (app, name)
) STRICT;

-- Collections that are gone and whose rows have yet to be removed.
CREATE TABLE dropped (
    collection INTEGER PRIMARY KEY
) STRICT;

-- Documents lie together by collection: reading one collection does not touch the pages of others.
CREATE TABLE entities (
    collection INTEGER NOT NULL,
    id         TEXT NOT NULL,
    doc        TEXT NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE tombstones (
    collection INTEGER NOT NULL,
    id         TEXT NOT NULL,
    deleted_ms INTEGER NOT NULL,
    PRIMARY KEY (collection, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstones_by_time ON tombstones (collection, deleted_ms);

-- The indexes that were asked for, by their names in the database.
CREATE TABLE indexes (
    name       TEXT PRIMARY KEY,
    collection INTEGER NOT NULL,
    field      TEXT NOT NULL,
    UNIQUE (collection, field)
) STRICT;

CREATE TABLE credentials (
    app           TEXT NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    user_id       TEXT NOT NULL,
    username      TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    PRIMARY KEY (app, user_id),
    UNIQUE (app, username)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY,
    app        TEXT NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (app, user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);

-- AUTOINCREMENT: the order of keeping.
CREATE TABLE kept (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    app     TEXT NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (app, kind, id)
) STRICT;
CREATE INDEX kept_by_age ON kept (app, kind, seq);
