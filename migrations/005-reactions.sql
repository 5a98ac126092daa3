-- One row. Everything up to the cursor has been matched and planned.
CREATE TABLE reactor (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  cursor INTEGER NOT NULL
) STRICT;
INSERT INTO reactor VALUES (1, 0);

CREATE TABLE plans (
  id INTEGER PRIMARY KEY AUTOINCREMENT,    -- ids are shown to people and must not come back after trimming
  event INTEGER NOT NULL,
  rule TEXT NOT NULL,
  version INTEGER NOT NULL,
  sls TEXT NOT NULL,
  position INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'rendered', 'failed', 'dead')),
  error TEXT,
  attempts INTEGER NOT NULL,
  due_us INTEGER,                          -- when to work on it; NULL when there is nothing left to do
  changed_us INTEGER NOT NULL,
  UNIQUE (event, rule, version, sls)       -- planned exactly once
) STRICT;
CREATE INDEX plans_open ON plans (event, position) WHERE due_us IS NOT NULL;
CREATE INDEX plans_closed ON plans (changed_us) WHERE due_us IS NULL;

CREATE TABLE reactions (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  plan INTEGER NOT NULL,
  event INTEGER NOT NULL,
  rule TEXT NOT NULL,
  sls TEXT NOT NULL,
  section TEXT NOT NULL,
  jid TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('planned', 'dispatched', 'succeeded', 'failed', 'dead')),
  error TEXT,
  attempts INTEGER NOT NULL,
  due_us INTEGER NOT NULL,
  planned_us INTEGER NOT NULL,
  changed_us INTEGER NOT NULL,
  call TEXT NOT NULL                       -- JSON
) STRICT;
CREATE INDEX reactions_by_plan ON reactions (plan);
CREATE INDEX reactions_by_event ON reactions (event);
CREATE INDEX reactions_by_rule ON reactions (rule);
CREATE INDEX reactions_by_jid ON reactions (jid);
CREATE INDEX reactions_by_state ON reactions (state);
