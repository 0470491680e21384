-- The log. A row is the exact canonical bytes of one event (RFC 8785) and its place in one total
-- order. The columns to search by are taken from those bytes here, so they cannot disagree with them.
-- Its partitions are ranges of sequence, and so of time; migration 0008 makes them.
create table audit_events (
    sequence bigint primary key check (sequence >= 0),
    body bytea not null check (octet_length(body) between 2 and 65535),
    -- The database's clock, but never before the event before: a time is a place in the log.
    recorded_at timestamptz not null,
    -- RFC 6962's leaf hash of the body. Not a generated column: that would follow whoever alters the body.
    leaf bytea not null,
    -- The inner nodes of the tree that this event completes, lowest first: one hash for each 1 at the end
    -- of the sequence in binary. Together they are the whole tree, so that any root takes log(n) rows.
    nodes bytea not null,
    -- Ties the leaf to its place and time, neither of which is in the body: names the row that was moved.
    fingerprint bytea not null,
    -- Unique in audit_tree: an index of the partitions could not say so.
    event_id uuid not null,
    operation_id uuid not null,
    action text not null,
    outcome text not null check (outcome in ('intended', 'succeeded', 'released', 'denied', 'failed', 'unknown')),
    actor_tenant_id uuid,
    actor_object_id uuid,
    machine_id uuid
) partition by range (sequence);

-- A reading names the outcome, or each of the six in turn: so these serve with and without it, and end with the
-- sequence, in which the log is listed.
create index audit_events_by_machine on audit_events (machine_id, outcome, sequence) where machine_id is not null;
create index audit_events_by_machine_and_action on audit_events (machine_id, action, outcome, sequence)
    where machine_id is not null;
create index audit_events_by_actor on audit_events (actor_object_id, outcome, sequence) where actor_object_id is not null;
create index audit_events_by_action on audit_events (action, outcome, sequence);
create index audit_events_by_outcome on audit_events (outcome, sequence);
create index audit_events_by_time on audit_events (recorded_at, sequence);

-- What the log knows of each event for ever, also when its partition has gone to the archive: the whole tree,
-- and which ids are taken. One table, so that a look-up takes as long whatever the number of partitions.
create table audit_tree (
    sequence bigint primary key,
    event_id uuid not null unique,
    recorded_at timestamptz not null,
    -- The leaf, then the nodes that it completes.
    hashes bytea not null
);

-- The end of the log. Whoever appends locks this row, so the order is total over all replicas.
create table audit_head (
    id smallint primary key check (id = 1),
    size bigint not null check (size >= 0),
    -- The roots of the perfect subtrees that the tree consists of, largest first: one for each 1 in the size.
    frontier bytea not null check (octet_length(frontier) = 32 * bit_count(int8send(size)))
);
insert into audit_head (id, size, frontier) values (1, 0, '');

-- As the owner: nobody else writes the tree.
create function derive_audit_columns() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    event jsonb := convert_from(new.body, 'UTF8')::jsonb;
    height int := 0;
    node bytea;
    sibling bytea;
    time_before timestamptz;
begin
    -- Tables are named with their schema here and below: a temporary table of the caller's must not stand in.
    select recorded_at, hashes into time_before, sibling from public.audit_tree where sequence = new.sequence - 1;
    new.recorded_at := greatest(clock_timestamp(), time_before);
    new.leaf := sha256('\x00'::bytea || new.body);
    new.fingerprint := sha256(int8send(new.sequence) || timestamptz_send(new.recorded_at) || new.leaf);
    new.nodes := '';
    node := new.leaf;
    -- Each 1 at the end of the sequence is a subtree to the left, of the same height as ours, to join with.
    while new.sequence >> height & 1 = 1 loop
        if height > 0 then
            select hashes into sibling from public.audit_tree where sequence = new.sequence - (1::bigint << height);
        end if;
        node := sha256('\x01'::bytea || substr(sibling, 1 + 32 * height, 32) || node);
        new.nodes := new.nodes || node;
        height := height + 1;
    end loop;
    new.event_id := (event ->> 'id')::uuid;
    new.operation_id := (event ->> 'operationId')::uuid;
    new.action := event ->> 'action';
    new.outcome := event ->> 'outcome';
    new.actor_tenant_id := (event #>> '{actor,tenantId}')::uuid;
    new.actor_object_id := (event #>> '{actor,objectId}')::uuid;
    new.machine_id := (event ->> 'machineId')::uuid;
    insert into public.audit_tree (sequence, event_id, recorded_at, hashes)
        values (new.sequence, new.event_id, new.recorded_at, new.leaf || new.nodes);
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
create trigger audit_tree_is_final before update or delete on audit_tree
    for each row execute function refuse_to_rewrite_history();
create trigger audit_tree_is_never_truncated before truncate on audit_tree
    for each statement execute function refuse_to_rewrite_history();
create trigger audit_head_stays before delete on audit_head
    for each row execute function refuse_to_rewrite_history();
create trigger audit_head_is_never_truncated before truncate on audit_head
    for each statement execute function refuse_to_rewrite_history();

-- The head only grows, and only over rows that exist.
create function check_audit_head() returns trigger language plpgsql as $$
begin
    if new.size <= old.size
        or (select count(*) from public.audit_events where sequence >= old.size and sequence < new.size) <> new.size - old.size
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
-- because the next one could not take its place and nobody could remove it. As the owner: the service has no
-- right to the head, so that it cannot get the tree wrong.
create function move_audit_head() returns trigger language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    old_size bigint;
    new_size bigint;
    events bigint;
    height int;
    subtree bytea;
    frontier_now bytea;
begin
    select min(sequence), max(sequence) + 1, count(*) into old_size, new_size, events from appended;
    if events = 0 then
        return null;
    end if;
    -- Subtrees above the highest digit that changes stay as they are; those below are looked up.
    height := length(ltrim((old_size # new_size)::bit(64)::text, '0'));
    select substr(frontier, 1, 32 * bit_count(int8send(old_size >> height))::int) into frontier_now
        from public.audit_head where id = 1;
    while height > 0 loop
        height := height - 1;
        if new_size >> height & 1 = 1 then
            select substr(hashes, 1 + 32 * height, 32) into subtree
                from public.audit_tree where sequence = (new_size >> height << height) - 1;
            frontier_now := frontier_now || subtree;
        end if;
    end loop;
    update public.audit_head set size = new_size, frontier = frontier_now
        where id = 1 and size = old_size and new_size - old_size = events;
    if not found then
        raise exception 'events are appended at the head of the audit log'
            using errcode = 'insufficient_privilege';
    end if;
    return null;
end
$$;
create trigger audit_events_move_the_head after insert on audit_events
    referencing new table as appended for each statement execute function move_audit_head();

-- What the one who appends does first, so that the order is total over all replicas.
create function lock_audit_head() returns bigint language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
begin
    return (select size from public.audit_head where id = 1 for update);
end
$$;
revoke execute on function lock_audit_head() from public;

-- `always`: `session_replication_role = replica` does not switch these off.
alter table audit_events enable always trigger audit_events_are_derived;
alter table audit_events enable always trigger audit_events_move_the_head;
alter table audit_events enable always trigger audit_events_are_final;
alter table audit_events enable always trigger audit_events_are_never_truncated;
alter table audit_tree enable always trigger audit_tree_is_final;
alter table audit_tree enable always trigger audit_tree_is_never_truncated;
alter table audit_head enable always trigger audit_head_stays;
alter table audit_head enable always trigger audit_head_is_never_truncated;
alter table audit_head enable always trigger audit_head_grows;

grant select, insert on audit_events to passphrase_broker;
grant select on audit_tree, audit_head to passphrase_broker;
grant execute on function lock_audit_head() to passphrase_broker;
