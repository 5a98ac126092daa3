CREATE TABLE rules (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  body TEXT NOT NULL                       -- JSON: the rule as it is now
) STRICT;

-- What a rule was before each change, removal included.
CREATE TABLE rule_history (
  change INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;
CREATE INDEX rule_history_by_rule ON rule_history (id);
