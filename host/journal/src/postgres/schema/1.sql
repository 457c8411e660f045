-- Version 1. Frozen: a change is a new file, and only adds.

-- The database's clock is the only one: nodes tell durations.
CREATE FUNCTION imgserve_now_ms() RETURNS bigint LANGUAGE sql STABLE
    AS 'SELECT (extract(epoch FROM statement_timestamp()) * 1000)::bigint';

-- In which order jobs and webhooks came.
CREATE SEQUENCE imgserve_came AS bigint CACHE 1;

-- Servers that use the journal, or have used it.
CREATE TABLE imgserve_nodes (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    version     text NOT NULL,
    began_at_ms bigint NOT NULL,
    seen_at_ms  bigint NOT NULL,
    -- Whether it has said that it ends.
    has_ended   boolean NOT NULL,
    workers     bigint NOT NULL,
    running     bigint NOT NULL
) WITH (fillfactor = 50);

-- How many jobs there are: unfinished ones by client, where no state is named (but for those that are held), and finished ones by
-- state. Nobody waits for another's row: changes are added, and summed up by one node at a time.
CREATE TABLE imgserve_counts (
    state  text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    jobs   bigint NOT NULL,
    PRIMARY KEY (state, client)
) WITH (fillfactor = 50);
CREATE TABLE imgserve_changes (
    state  text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    jobs   bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- Jobs that have not ended. Rows come and go: much is left free in pages so that a change of a story stays on its own, and what
-- is dead is cleared away early, by counts and not by shares of a table whose size changes all the time.
CREATE TABLE imgserve_jobs (
    id             uuid PRIMARY KEY,
    came           bigint NOT NULL DEFAULT nextval('imgserve_came'),
    -- Who took it in, and then who has claimed it.
    node           uuid NOT NULL,
    -- The node that alone can do it; '' where every one can.
    place          text COLLATE "C" NOT NULL,
    -- Whether somebody wants it cancelled while its node has it in hand.
    cancel         boolean NOT NULL DEFAULT false,
    state          text COLLATE "C" NOT NULL,
    priority       bigint NOT NULL,
    due_at_ms      bigint NOT NULL,
    -- Whether it waits, or has waited, for a time that was to come.
    later          boolean NOT NULL,
    -- Of those that are being accepted, and of those under way.
    lease_until_ms bigint,
    attempt        bigint NOT NULL,
    operation      text COLLATE "C" NOT NULL,
    client         text COLLATE "C" NOT NULL,
    accepted_at_ms bigint NOT NULL,
    flow           text COLLATE "C" NOT NULL,
    cost           bigint NOT NULL,
    held_by        text COLLATE "C",
    held_why       text,
    instructions   text NOT NULL,
    record         text NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000, autovacuum_vacuum_cost_delay = 0);

-- A claim looks at nothing but the jobs it may take, however many wait, and of whom.
CREATE INDEX imgserve_jobs_claimable ON imgserve_jobs (place, flow, priority, due_at_ms, id)
    WHERE state = 'accepted' AND held_by IS NULL;
-- Those that wait for a time: few.
CREATE INDEX imgserve_jobs_due ON imgserve_jobs (place, due_at_ms) WHERE state = 'accepted' AND held_by IS NULL AND later;
CREATE INDEX imgserve_jobs_leased ON imgserve_jobs (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX imgserve_jobs_cancel ON imgserve_jobs (node) WHERE cancel;
CREATE INDEX imgserve_jobs_held ON imgserve_jobs (client) WHERE held_by IS NOT NULL;

-- Jobs that have ended. Rows are added, and go in portions.
CREATE TABLE imgserve_finished (
    id             uuid PRIMARY KEY,
    came           bigint NOT NULL,
    node           uuid NOT NULL,
    place          text COLLATE "C" NOT NULL,
    state          text COLLATE "C" NOT NULL,
    priority       bigint NOT NULL,
    due_at_ms      bigint NOT NULL,
    attempt        bigint NOT NULL,
    operation      text COLLATE "C" NOT NULL,
    client         text COLLATE "C" NOT NULL,
    accepted_at_ms bigint NOT NULL,
    finished_at_ms bigint NOT NULL,
    flow           text COLLATE "C" NOT NULL,
    cost           bigint NOT NULL,
    instructions   text NOT NULL,
    record         text NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- Lists and counts.
CREATE INDEX imgserve_finished_listed ON imgserve_finished (state, id);
-- Which are the last ones.
CREATE INDEX imgserve_finished_ended ON imgserve_finished (finished_at_ms, id);
CREATE INDEX imgserve_finished_came ON imgserve_finished (came);

-- They outlive their jobs.
CREATE TABLE imgserve_keys (
    client        text COLLATE "C" NOT NULL,
    key           text COLLATE "C" NOT NULL,
    digest        bytea NOT NULL,
    receipt       text NOT NULL,
    job           uuid NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (client, key)
);
CREATE INDEX imgserve_keys_by_job ON imgserve_keys (job);
CREATE INDEX imgserve_keys_by_age ON imgserve_keys (created_at_ms);

-- Webhooks to be sent. A row goes when it is delivered; one that is given up is never due again, and goes with its job.
CREATE TABLE imgserve_notices (
    id             text COLLATE "C" PRIMARY KEY,
    came           bigint NOT NULL DEFAULT nextval('imgserve_came'),
    job            uuid NOT NULL,
    node           uuid,
    url            text NOT NULL,
    body           text NOT NULL,
    created_at_ms  bigint NOT NULL,
    due_at_ms      bigint NOT NULL,
    lease_until_ms bigint,
    attempt        bigint NOT NULL,
    -- Its job's, which may be forgotten before it is delivered.
    flow           text COLLATE "C" NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
        autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX imgserve_notices_claimable ON imgserve_notices (flow, due_at_ms)
    WHERE lease_until_ms IS NULL AND due_at_ms < 9223372036854775807;
CREATE INDEX imgserve_notices_due ON imgserve_notices (due_at_ms)
    WHERE lease_until_ms IS NULL AND due_at_ms < 9223372036854775807;
CREATE INDEX imgserve_notices_leased ON imgserve_notices (lease_until_ms) WHERE lease_until_ms IS NOT NULL;
CREATE INDEX imgserve_notices_by_job ON imgserve_notices (job);
