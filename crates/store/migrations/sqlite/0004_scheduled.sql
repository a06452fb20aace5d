-- Every server looks every second for what is due: by an index of the few apps that have schedules, and not
-- through the settings of all. Until now only the settings said it.

ALTER TABLE apps ADD COLUMN scheduled INTEGER NOT NULL DEFAULT 0;
UPDATE apps SET scheduled = 1 WHERE settings LIKE '%"schedules":[{%';
CREATE INDEX apps_scheduled ON apps (key) WHERE scheduled <> 0;
