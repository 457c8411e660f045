-- Version 1. Frozen: a change is a new file.

-- "imgj"
PRAGMA application_id = 0x696d676a;

-- The columns hold what is asked for, and are right where they and the record differ.
CREATE TABLE jobs (
    id             BLOB PRIMARY KEY NOT NULL,
    state          TEXT NOT NULL,
    priority       INTEGER NOT NULL,
    due_at_ms      INTEGER NOT NULL,
    lease_until_ms INTEGER,
    attempt        INTEGER NOT NULL,
    operation      TEXT NOT NULL,
    client         TEXT NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    instructions   TEXT NOT NULL,
    record         TEXT NOT NULL
) STRICT;

-- A claim looks at nothing but the jobs it takes, however many wait.
CREATE INDEX jobs_claimable ON jobs (priority, due_at_ms, id) WHERE state = 'accepted';
CREATE INDEX jobs_leased ON jobs (lease_until_ms) WHERE state = 'running';
-- Lists, filters and counts without a look at the jobs themselves.
CREATE INDEX jobs_listed ON jobs (state, id, client, operation);
CREATE INDEX jobs_finished ON jobs (finished_at_ms, id) WHERE finished_at_ms IS NOT NULL;

-- They outlive their jobs.
CREATE TABLE idempotency_keys (
    client        TEXT NOT NULL,
    key           TEXT NOT NULL,
    digest        BLOB NOT NULL,
    receipt       TEXT NOT NULL,
    job           BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (client, key)
) STRICT;
CREATE INDEX idempotency_keys_by_job ON idempotency_keys (job);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at_ms);

-- Webhooks to be sent; a row goes when it is delivered or given up.
CREATE TABLE notices (
    id             TEXT PRIMARY KEY NOT NULL,
    job            BLOB NOT NULL,
    url            TEXT NOT NULL,
    body           TEXT NOT NULL,
    created_at_ms  INTEGER NOT NULL,
    due_at_ms      INTEGER NOT NULL,
    lease_until_ms INTEGER,
    attempt        INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_due ON notices (due_at_ms) WHERE lease_until_ms IS NULL;
CREATE INDEX notices_leased ON notices (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
