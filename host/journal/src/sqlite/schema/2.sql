-- Version 2. Frozen: a change is a new file.

-- A job that a program could not read: which program, and why. It is offered to any other one.
ALTER TABLE jobs ADD COLUMN held_by TEXT;
ALTER TABLE jobs ADD COLUMN held_why TEXT;

-- However many are held, a claim does not look at them.
DROP INDEX jobs_claimable;
CREATE INDEX jobs_claimable ON jobs (priority, due_at_ms, id) WHERE state = 'accepted' AND held_by IS NULL;
CREATE INDEX jobs_held ON jobs (client) WHERE held_by IS NOT NULL;
