-- An id has one key in use (pending, accepted or rejected) and at most one denied beside it.
CREATE TABLE minion_keys (
  id TEXT NOT NULL,
  denied INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('pending', 'accepted', 'rejected', 'denied')),
  pub TEXT NOT NULL,
  changed_us INTEGER NOT NULL,
  PRIMARY KEY (id, denied),
  CHECK (denied = (state = 'denied'))
) STRICT, WITHOUT ROWID;

CREATE TABLE minion_facts (
  id TEXT PRIMARY KEY,
  seen_us INTEGER NOT NULL,
  grains TEXT NOT NULL                     -- JSON
) STRICT;
