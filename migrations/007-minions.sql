-- Reserved for the minions' keys.
SELECT 1;
