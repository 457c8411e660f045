-- Version 3. Frozen: a change is a new file.

-- Whose turn a job is in, and what it is planned to cost, in pixels. Of those from before, the client tells the one, and
-- nobody the other.
ALTER TABLE jobs ADD COLUMN flow TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET flow = client;

-- However many jobs of one client wait, a claim finds those of another.
DROP INDEX jobs_claimable;
CREATE INDEX jobs_claimable ON jobs (flow, priority, due_at_ms, id) WHERE state = 'accepted' AND held_by IS NULL;
CREATE INDEX jobs_due ON jobs (due_at_ms) WHERE state = 'accepted' AND held_by IS NULL;

-- How far a job's webhook is can be asked, also of those that were given up, which stay for as long as their jobs. They go with
-- them: no look at those that stay.
CREATE INDEX notices_by_job ON notices (job);
