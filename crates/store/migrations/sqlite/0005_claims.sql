-- What claiming looks at, without the tasks' contents: they stand before it in their rows, and are large.
DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (due_ms, app, id, state, owner) WHERE state IN ('waiting', 'running');
CREATE INDEX tasks_running ON tasks (owner, app) WHERE state = 'running';
