-- From an event of a window to the plans that react to it.
CREATE INDEX plans_gathered ON plans (rule, gathered) WHERE gathered IS NOT NULL;
