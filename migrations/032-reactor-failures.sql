-- What failed lately: a rule's circuit breaker counts it again after a restart.
CREATE INDEX reactions_failed ON reactions (changed_us) WHERE state IN ('failed', 'dead');
CREATE INDEX plans_failed ON plans (changed_us) WHERE state = 'dead' AND attempts > 0;
