-- What minions have put into the mine: results of functions that other minions may read.
CREATE TABLE minion_mine (
  id TEXT NOT NULL,
  fun TEXT NOT NULL,
  value TEXT NOT NULL,                     -- JSON: {"value": …}, with "allow_tgt" and "allow_tgt_type" where not all may read it
  PRIMARY KEY (id, fun)
) STRICT, WITHOUT ROWID;
CREATE INDEX minion_mine_fun ON minion_mine (fun);

-- An id's data dies with its keys.
CREATE TRIGGER minion_mine_key AFTER DELETE ON minion_keys
WHEN NOT EXISTS (SELECT 1 FROM minion_keys WHERE id = OLD.id)
BEGIN
  DELETE FROM minion_mine WHERE id = OLD.id;
END;
