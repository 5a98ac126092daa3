-- Tokens by their jti. The token itself is never stored.
CREATE TABLE tokens (
  jti TEXT PRIMARY KEY,
  user TEXT NOT NULL,
  eauth TEXT NOT NULL,
  label TEXT NOT NULL,
  issued_us INTEGER NOT NULL,
  expires_us INTEGER NOT NULL,
  revoked_us INTEGER
) STRICT;
CREATE INDEX tokens_by_expiry ON tokens (expires_us);
