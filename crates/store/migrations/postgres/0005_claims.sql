-- What a host is at.
CREATE INDEX tasks_running ON tasks (owner, app) WHERE state = 'running';
