-- `held`: why a plan waits ('paused', 'inactive', 'concurrency'); it has no due_us then. `blocked`: which guard made it a dead letter ('depth',
-- 'rate_limit', 'breaker'). `forced`: driven again by hand, past the guards. `gathered`: the first event of the window that it closes. `slot`: the
-- key of the line in which it stands, from when it was planned until its reactions are over.
ALTER TABLE plans ADD COLUMN held TEXT;
ALTER TABLE plans ADD COLUMN blocked TEXT;
ALTER TABLE plans ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE plans ADD COLUMN gathered INTEGER;
ALTER TABLE plans ADD COLUMN slot TEXT;
ALTER TABLE plans ADD COLUMN slot_limit INTEGER;
ALTER TABLE reactions ADD COLUMN held TEXT;

DROP INDEX plans_closed;
CREATE INDEX plans_closed ON plans (changed_us) WHERE due_us IS NULL AND held IS NULL;
CREATE INDEX plans_held ON plans (rule, held) WHERE held IS NOT NULL;
CREATE INDEX plans_blocked ON plans (rule) WHERE blocked IS NOT NULL;
CREATE INDEX plans_slots ON plans (rule, slot, event) WHERE slot IS NOT NULL;
CREATE INDEX reactions_held ON reactions (rule) WHERE held IS NOT NULL;

-- Events that a rule gathers, one open window per key.
CREATE TABLE reactor_windows (
  rule TEXT NOT NULL,
  key TEXT NOT NULL,
  first INTEGER NOT NULL,                  -- the event that opened it; names the window
  due_us INTEGER NOT NULL,
  body TEXT NOT NULL,                      -- JSON
  PRIMARY KEY (rule, key)
) STRICT, WITHOUT ROWID;

-- The events of open windows, and of those that were reacted to until their plans are trimmed. Copies, because retention may take the log's.
CREATE TABLE window_events (
  rule TEXT NOT NULL,
  first INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  stamp_us INTEGER NOT NULL,
  tag TEXT NOT NULL,
  source TEXT NOT NULL,
  cause_seq INTEGER,
  cause_depth INTEGER,
  json TEXT NOT NULL,
  PRIMARY KEY (rule, first, seq)
) STRICT;
CREATE INDEX window_events_by_event ON window_events (seq);

-- What the reactor keeps of each rule that was paused, limited or broken; the rule '' is the reactor itself.
CREATE TABLE rule_states (
  rule TEXT PRIMARY KEY,
  paused INTEGER NOT NULL,
  body TEXT NOT NULL                       -- JSON
) STRICT;
