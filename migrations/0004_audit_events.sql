-- The log. A row is the exact canonical bytes of one event (RFC 8785) and its place in one total
-- order. The columns to search by are taken from those bytes here, so they cannot disagree with them.
create table audit_events (
    sequence bigint primary key check (sequence >= 0),
    body bytea not null check (octet_length(body) between 2 and 65535),
    -- RFC 6962's leaf hash. The tree over it comes with the tamper-evident log; leaves are ready.
    leaf bytea not null generated always as (sha256('\x00'::bytea || body)) stored,
    -- The database's clock, read while the head is locked, so it does not run backwards with sequence.
    recorded_at timestamptz not null,
    event_id uuid not null unique,
    operation_id uuid not null,
    action text not null,
    outcome text not null check (outcome in ('intended', 'succeeded', 'released', 'denied', 'failed', 'unknown')),
    actor_tenant_id uuid,
    actor_object_id uuid,
    machine_id uuid
);

create index audit_events_by_machine on audit_events (machine_id, sequence) where machine_id is not null;
create index audit_events_by_actor on audit_events (actor_object_id, outcome, sequence) where actor_object_id is not null;
create index audit_events_by_action on audit_events (action, outcome, sequence);
create index audit_events_by_outcome on audit_events (outcome, sequence);
create index audit_events_by_time on audit_events (recorded_at, sequence);

-- The end of the log. Whoever appends locks this row, so the order is total over all replicas.
create table audit_head (
    id smallint primary key check (id = 1),
    size bigint not null check (size >= 0)
);
insert into audit_head (id, size) values (1, 0);

create function derive_audit_columns() returns trigger language plpgsql as $$
declare
    event jsonb := convert_from(new.body, 'UTF8')::jsonb;
begin
    new.recorded_at := clock_timestamp();
    new.event_id := (event ->> 'id')::uuid;
    new.operation_id := (event ->> 'operationId')::uuid;
    new.action := event ->> 'action';
    new.outcome := event ->> 'outcome';
    new.actor_tenant_id := (event #>> '{actor,tenantId}')::uuid;
    new.actor_object_id := (event #>> '{actor,objectId}')::uuid;
    new.machine_id := (event ->> 'machineId')::uuid;
    return new;
end
$$;
create trigger audit_events_are_derived before insert on audit_events
    for each row execute function derive_audit_columns();

create function refuse_to_rewrite_history() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only' using errcode = 'insufficient_privilege';
end
$$;
create trigger audit_events_are_final before update or delete on audit_events
    for each row execute function refuse_to_rewrite_history();
create trigger audit_events_are_never_truncated before truncate on audit_events
    for each statement execute function refuse_to_rewrite_history();
create trigger audit_head_stays before delete on audit_head
    for each row execute function refuse_to_rewrite_history();
create trigger audit_head_is_never_truncated before truncate on audit_head
    for each statement execute function refuse_to_rewrite_history();

-- The head only grows, and only over rows that exist.
create function check_audit_head() returns trigger language plpgsql as $$
begin
    if new.size <= old.size
        or (select count(*) from audit_events where sequence >= old.size and sequence < new.size) <> new.size - old.size
    then
        raise exception 'the head of the audit log grows by the events that were appended'
            using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$;
create trigger audit_head_grows before update on audit_head
    for each row execute function check_audit_head();

-- Appending moves the head, and nothing else can: a row beyond the head would stop every writer for good,
-- because the next one could not take its place and nobody could remove it.
create function move_audit_head() returns trigger language plpgsql as $$
begin
    update audit_head set size = size + (select count(*) from appended)
        where id = 1 and size = (select min(sequence) from appended);
    if not found and exists (select from appended) then
        raise exception 'events are appended at the head of the audit log'
            using errcode = 'insufficient_privilege';
    end if;
    return null;
end
$$;
create trigger audit_events_move_the_head after insert on audit_events
    referencing new table as appended for each statement execute function move_audit_head();

-- `always`: `session_replication_role = replica` does not switch these off.
alter table audit_events enable always trigger audit_events_are_derived;
alter table audit_events enable always trigger audit_events_move_the_head;
alter table audit_events enable always trigger audit_events_are_final;
alter table audit_events enable always trigger audit_events_are_never_truncated;
alter table audit_head enable always trigger audit_head_stays;
alter table audit_head enable always trigger audit_head_is_never_truncated;
alter table audit_head enable always trigger audit_head_grows;

grant select, insert on audit_events to passphrase_broker;
grant select, update (size) on audit_head to passphrase_broker;
