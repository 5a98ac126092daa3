-- What stood in SLS files that are written through the API: each change with its author, and what was found on disk before it.
CREATE TABLE sls_versions (
  file TEXT NOT NULL,                      -- absolute path
  version INTEGER NOT NULL,
  hash TEXT,                               -- SHA-256 of the text, hex; NULL where the file was removed
  text TEXT,
  changed_by TEXT NOT NULL,                -- empty: somebody on the machine itself
  changed_us INTEGER NOT NULL,
  PRIMARY KEY (file, version)
) STRICT, WITHOUT ROWID;
