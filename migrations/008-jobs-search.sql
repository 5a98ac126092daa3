-- Searches by function and target seek each name that fits, newest first. Only the beginning of a name is kept: lists of ten thousand ids
-- stand in the table once. A name that fills its place is looked at again in the row.
CREATE INDEX jobs_by_fun ON jobs (substr(fun, 1, 64), jid);
CREATE INDEX jobs_by_tgt ON jobs (substr(tgt, 1, 64), jid);
-- The running jobs, newest first: few among very many.
CREATE INDEX jobs_running_by_jid ON jobs (jid) WHERE state = 'running';

-- Groups that a login backend told at the login (JSON list); NULL where the backend itself knows them at any time.
ALTER TABLE tokens ADD COLUMN groups TEXT;
