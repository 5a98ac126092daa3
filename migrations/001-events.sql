-- The log. Positions are given by the writer (head + 1, + 2, …) inside the transaction, so they follow commit order and have no holes.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY,
  stamp_us INTEGER NOT NULL,
  tag TEXT NOT NULL,
  source TEXT NOT NULL,
  cause_seq INTEGER,
  cause_depth INTEGER,
  -- Last, because it is long: filters on the columns before it need not touch its pages.
  json TEXT NOT NULL
) STRICT;

-- One row. `head` outlives trimmed events, so that a position is never given twice.
CREATE TABLE log (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  epoch TEXT NOT NULL,
  head INTEGER NOT NULL
) STRICT;
INSERT INTO log VALUES (1, lower(hex(randomblob(4))), 0);

-- Earliest and latest stamp of each 1,024 positions: finds a time in the log without an index entry for every event. Stamps may be
-- slightly out of order (two requests prepared at once, a clock set back), which a binary search by position would not survive.
CREATE TABLE event_blocks (
  block INTEGER PRIMARY KEY,
  min_us INTEGER NOT NULL,
  max_us INTEGER NOT NULL
) STRICT;

CREATE TABLE idempotency_keys (
  key TEXT PRIMARY KEY,
  first_seq INTEGER NOT NULL,
  count INTEGER NOT NULL,
  used_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (used_us);

-- Written and emptied again while the disk is full, to see whether there is room.
CREATE TABLE room (
  filler BLOB NOT NULL
) STRICT;
