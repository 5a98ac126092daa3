-- Parts of returns that are too long for one request, until the last one is here.
CREATE TABLE return_parts (
  minion TEXT NOT NULL,
  spool TEXT NOT NULL,
  n INTEGER NOT NULL,                      -- the item's place in the spool
  at INTEGER NOT NULL,                     -- characters before this part
  chars INTEGER NOT NULL,
  stamp_us INTEGER NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (minion, spool, n, at)
) STRICT;

-- An id's data dies with its keys.
CREATE TRIGGER return_parts_key AFTER DELETE ON minion_keys
WHEN NOT EXISTS (SELECT 1 FROM minion_keys WHERE id = OLD.id)
BEGIN
  DELETE FROM return_parts WHERE minion = OLD.id;
END;
