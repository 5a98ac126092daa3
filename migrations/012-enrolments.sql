-- One-time tokens with which a new minion's key is accepted. The token itself is never stored; used ones stay until they expire, for people.
CREATE TABLE enrolments (
  hash TEXT PRIMARY KEY,                   -- SHA-256 of the token, hex
  tgt TEXT NOT NULL,                       -- globs of ids, separated by commas
  label TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  used_us INTEGER,
  used_by TEXT                             -- the minion's id
) STRICT, WITHOUT ROWID;
