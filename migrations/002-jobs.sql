CREATE TABLE jobs (
  jid TEXT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('running', 'complete', 'expired')),
  fun TEXT NOT NULL,                       -- JSON: a name or a list of names
  tgt TEXT NOT NULL,                       -- JSON
  tgt_type TEXT NOT NULL,
  user TEXT NOT NULL,
  ret TEXT,
  metadata TEXT,                           -- JSON
  deadline_us INTEGER NOT NULL,
  published_us INTEGER NOT NULL,
  cause_seq INTEGER,
  cause_depth INTEGER,
  returned INTEGER NOT NULL,               -- returns recorded
  outstanding INTEGER NOT NULL,            -- expected minions that have not returned
  missing TEXT NOT NULL,                   -- JSON: list of ids
  arg TEXT NOT NULL                        -- JSON: list; last, because it may be long
) STRICT;
CREATE INDEX jobs_by_age ON jobs (published_us);
CREATE INDEX jobs_running ON jobs (deadline_us) WHERE state = 'running';

-- Who is expected to return. A row that is neither acknowledged nor returned is a delivery still to be made.
CREATE TABLE job_minions (
  jid TEXT NOT NULL,
  minion TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'acknowledged', 'returned')),
  PRIMARY KEY (jid, minion)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_minions_pending ON job_minions (minion, jid) WHERE state = 'pending';

CREATE TABLE job_returns (
  jid TEXT NOT NULL,
  minion TEXT NOT NULL,
  fun TEXT NOT NULL,                       -- JSON
  retcode INTEGER NOT NULL,
  success INTEGER NOT NULL,
  out TEXT,
  stamp_us INTEGER NOT NULL,
  fun_args TEXT NOT NULL,                  -- JSON: list
  return TEXT NOT NULL,                    -- JSON
  UNIQUE (jid, minion)
) STRICT;
