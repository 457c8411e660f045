-- Version 4. Frozen: a change is a new file.

-- Whose turn a webhook is in: its job's, which may be forgotten before it is delivered.
ALTER TABLE notices ADD COLUMN flow TEXT NOT NULL DEFAULT '';
UPDATE notices SET flow = coalesce((SELECT flow FROM jobs WHERE jobs.id = notices.job), '');

-- However many webhooks of one client wait, a claim finds those of another; and looks at none that was given up.
CREATE INDEX notices_claimable ON notices (flow, due_at_ms)
    WHERE lease_until_ms IS NULL AND due_at_ms < 9223372036854775807;
