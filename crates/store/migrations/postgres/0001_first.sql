-- The first layout. Times are milliseconds since 1970. Texts that are compared for order are in "C", as
-- SQLite's are.

CREATE TABLE apps (
    key                TEXT COLLATE "C" PRIMARY KEY,
    name               TEXT NOT NULL,
    app_secret_hash    BYTEA NOT NULL,
    master_secret_hash BYTEA NOT NULL,
    settings           TEXT NOT NULL,
    active             BIGINT,
    -- The number that was given last: numbers are never given twice.
    last_deployment    BIGINT NOT NULL DEFAULT 0,
    created_ms         BIGINT NOT NULL
);

CREATE TABLE deployments (
    app        TEXT COLLATE "C" NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    number     BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    content    TEXT NOT NULL,
    PRIMARY KEY (app, number)
);

CREATE TABLE collections (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app  TEXT COLLATE "C" NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    UNIQUE (app, name)
);

-- Collections that are gone and whose rows have yet to be removed.
CREATE TABLE dropped (
    collection BIGINT PRIMARY KEY
);

CREATE TABLE entities (
    collection BIGINT NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    doc        JSONB NOT NULL,
    PRIMARY KEY (collection, id)
);

CREATE TABLE tombstones (
    collection BIGINT NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    deleted_ms BIGINT NOT NULL,
    PRIMARY KEY (collection, id)
);
CREATE INDEX tombstones_by_time ON tombstones (collection, deleted_ms);

-- The indexes that were asked for, by their names in the database.
CREATE TABLE indexes (
    name       TEXT PRIMARY KEY,
    collection BIGINT NOT NULL,
    field      TEXT NOT NULL,
    UNIQUE (collection, field)
);

CREATE TABLE credentials (
    app           TEXT COLLATE "C" NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    user_id       TEXT NOT NULL,
    username      TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    PRIMARY KEY (app, user_id),
    UNIQUE (app, username)
);

CREATE TABLE sessions (
    token_hash BYTEA PRIMARY KEY,
    app        TEXT COLLATE "C" NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    user_id    TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (app, user_id);
CREATE INDEX sessions_by_expiry ON sessions (expires_ms);

CREATE SEQUENCE kept_order;
CREATE TABLE kept (
    seq     BIGINT PRIMARY KEY DEFAULT nextval('kept_order'),
    app     TEXT COLLATE "C" NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (app, kind, id)
);
CREATE INDEX kept_by_age ON kept (app, kind, seq);
