-- What the SLS of a plan rendered to, for whoever asks why: secrets taken out, long texts cut. A table of its own, since plans are read all the
-- time and these texts rarely.
CREATE TABLE plan_texts (
  plan INTEGER PRIMARY KEY,
  rendered TEXT NOT NULL
) STRICT;

-- What an event led to. Most events come from outside and cost nothing here.
CREATE INDEX events_by_cause ON events (cause_seq) WHERE cause_seq IS NOT NULL;

CREATE INDEX plans_by_state ON plans (state) WHERE state IN ('failed', 'dead');
CREATE INDEX reactions_by_age ON reactions (planned_us);
