-- Runs that are owed: done at least once, whatever happens to hosts meanwhile.
CREATE TABLE tasks (
    app        TEXT NOT NULL REFERENCES apps (key) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    -- What whoever asks names it by, so as not to have it twice.
    key        TEXT,
    content    TEXT NOT NULL,
    -- waiting, running, dead or done.
    state      TEXT NOT NULL,
    -- Times it was begun.
    tries      INTEGER NOT NULL,
    -- waiting: not before then; running: whoever runs it is gone by then; dead or done: since when.
    due_ms     INTEGER NOT NULL,
    -- Which host runs it.
    owner      TEXT,
    -- How the last try ended, if it failed.
    error      TEXT,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (app, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tasks_by_key ON tasks (app, key) WHERE key IS NOT NULL;
CREATE INDEX tasks_due ON tasks (due_ms) WHERE state IN ('waiting', 'running');
