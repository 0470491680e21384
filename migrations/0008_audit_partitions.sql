-- The partitions of the log: made ahead of need, and gone to the archive when they are old.
--
-- By sequence, because a trigger that runs before the insert may not choose the partition, and the time is
-- the trigger's. They are intervals of time as well: `recorded_at` does not run backwards with sequence.

-- What the owner may change: a size counts from the next partition that is made.
create table audit_log_settings (
    id smallint primary key check (id = 1),
    partition_size bigint not null check (partition_size > 0),
    -- How many partitions there are besides the one that is being filled.
    partitions_ahead int not null check (partitions_ahead between 1 and 100),
    -- No event younger than this goes to the archive.
    keep_for interval not null check (keep_for >= interval '0')
);
insert into audit_log_settings (id, partition_size, partitions_ahead, keep_for) values (1, 1000000, 2, '1 year');

create table audit_partitions (
    first_sequence bigint primary key,
    -- The first sequence after it.
    end_sequence bigint not null unique check (end_sequence > first_sequence),
    -- Its table, in the schema public.
    name text not null unique,
    -- Somebody has all its events in a file, and has shown it by a digest of them.
    exported_at timestamptz,
    exported_by text,
    -- Its events are in the archive; their tree is in audit_archived.
    archived_at timestamptz,
    archived_by text,
    check ((exported_at is null) = (exported_by is null) and (archived_at is null) = (archived_by is null)),
    check (archived_at is null or exported_at is not null)
);

-- Partitions that are attached and still empty. Fewer than `partitions_ahead` is a warning, none an alarm.
create view audit_partitions_ahead as
    select p.name, p.first_sequence, p.end_sequence
    from audit_partitions p
    join pg_inherits i on i.inhrelid = to_regclass('public.' || p.name) and i.inhparent = 'public.audit_events'::regclass
    where p.first_sequence >= (select size from audit_head where id = 1);

-- Whether the next event has a place.
create function audit_log_has_room() returns boolean language sql stable as $$
    select exists (
        select from public.audit_partitions p
        join pg_inherits i on i.inhrelid = to_regclass('public.' || p.name) and i.inhparent = 'public.audit_events'::regclass
        join public.audit_head h on h.size >= p.first_sequence and h.size < p.end_sequence)
$$;

-- Makes what is missing and answers how many it made. Attached, not made in place: that stops neither
-- those who append nor those who read.
create function make_audit_partitions() returns int language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    settings public.audit_log_settings;
    first bigint;
    made int := 0;
    partition text;
begin
    if (select count(*) from public.audit_partitions_ahead) >= (select partitions_ahead from public.audit_log_settings) then
        return 0;
    end if;
    -- One replica makes them; the others wait here, and find them made.
    select * into settings from public.audit_log_settings where id = 1 for update;
    -- Not for ever: what somebody detached by hand is for people to mend.
    while made <= settings.partitions_ahead
        and (select count(*) from public.audit_partitions_ahead) < settings.partitions_ahead
    loop
        select coalesce(max(end_sequence), 0) into first from public.audit_partitions;
        partition := 'audit_events_' || first;
        execute format('create table public.%I (like public.audit_events including defaults including constraints)', partition);
        execute format('alter table public.audit_events attach partition public.%I for values from (%s) to (%s)',
            partition, first, first + settings.partition_size);
        -- Attaching brings the triggers for rows, which know whether they are `always`. These are for statements
        -- that name the partition.
        execute format('create trigger moves_the_head after insert on public.%I referencing new table as appended
            for each statement execute function public.move_audit_head()', partition);
        execute format('create trigger is_final before update or delete or truncate on public.%I
            for each statement execute function public.refuse_to_rewrite_history()', partition);
        execute format('alter table public.%I enable always trigger moves_the_head', partition);
        execute format('alter table public.%I enable always trigger is_final', partition);
        insert into public.audit_partitions (first_sequence, end_sequence, name)
            values (first, first + settings.partition_size, partition);
        made := made + 1;
    end loop;
    return made;
end
$$;
revoke execute on function make_audit_partitions() from public;
grant execute on function make_audit_partitions() to passphrase_broker;
grant select on audit_log_settings, audit_partitions, audit_partitions_ahead to passphrase_broker;

select make_audit_partitions();

-- ---- The archive -------------------------------------------------------------------------------------------------
-- For people with this role, in psql; the service has no part in it. README, "The archive".
do $$
begin
    create role passphrase_broker_archivist;
exception
    -- The second: two databases of one server are migrated at the same time.
    when duplicate_object or unique_violation then null;
end
$$;

-- Somebody shows that they have all events of a partition: by the SHA-256, in hexadecimal, of the leaf hashes of
-- its bodies in their order. An export that lacks or alters one has another.
create function acknowledge_audit_export(first bigint, digest text) returns void language plpgsql
    security definer set search_path = pg_catalog, pg_temp as $$
declare
    partition public.audit_partitions;
    expected text;
begin
    select * into partition from public.audit_partitions where first_sequence = first and archived_at is null;
    if not found then
        raise exception 'no partition of the audit log begins at %', first using errcode = 'no_data_found';
    end if;
    if (select size from public.audit_head where id = 1) < partition.end_sequence then
        raise exception 'the partition is not full yet' using errcode = 'object_not_in_prerequisite_state';
    end if;
    select encode(sha256(string_agg(substr(hashes, 1, 32), '' order by sequence)), 'hex') into expected
        from public.audit_tree where sequence >= partition.first_sequence and sequence < partition.end_sequence;
    if lower(digest) is distinct from expected then
        raise exception 'these are not the events from % to %', partition.first_sequence, partition.end_sequence - 1
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    update public.audit_partitions set exported_at = clock_timestamp(), exported_by = session_user
        where first_sequence = first;
end
$$;

-- Takes the oldest partition out of the log; it stays as a table of its own, for the owner to keep or to drop. That
-- it went is an event. Proofs, roots and ids are of audit_tree, which stays whole.
create function archive_audit_partition(first bigint) returns text language plpgsql
    -- Whoever reads the log for long makes this fail, and not everybody who appends wait.
    security definer set search_path = pg_catalog, pg_temp set lock_timeout = '500ms' as $$
declare
    partition public.audit_partitions;
    refusal text;
    now_at timestamptz := clock_timestamp();
begin
    -- First, like whoever appends: the other way round we would wait for each other.
    perform public.lock_audit_head();
    select * into partition from public.audit_partitions where first_sequence = first and archived_at is null for update;
    if not found then
        raise exception 'no partition of the audit log begins at %', first using errcode = 'no_data_found';
    end if;
    refusal := case
        when exists (select from public.audit_partitions where first_sequence < first and archived_at is null)
            then 'an older partition is still in the log'
        when (select size from public.audit_head where id = 1) < partition.end_sequence
            then 'the partition is not full yet'
        when (select recorded_at from public.audit_tree where sequence = partition.end_sequence - 1)
                > now_at - (select keep_for from public.audit_log_settings where id = 1)
            then 'its newest event is too young'
        when partition.exported_at is null
            then 'nobody has shown an export of it'
        when not exists (select from public.audit_checkpoints where size >= partition.end_sequence)
            then 'no checkpoint covers it'
        when exists (select from public.audit_sinks where position < partition.end_sequence)
            then 'a sink has not taken it'
        end;
    if refusal is not null then
        raise exception '% does not go to the archive: %', partition.name, refusal
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    execute format('alter table public.audit_events detach partition public.%I', partition.name);
    update public.audit_partitions set archived_at = now_at, archived_by = session_user where first_sequence = first;
    insert into public.audit_events (sequence, body)
        select size, convert_to(format(
            '{"action":"archive_audit_events","actor":{"kind":"system"},"details":{"archivedBy":%s,"end":"%s","exportedBy":%s,"first":"%s"},'
            '"id":"%s","operationId":"%s","outcome":"succeeded","schema":1,"time":"%s"}',
            to_json(session_user), partition.end_sequence, to_json(partition.exported_by), partition.first_sequence,
            gen_random_uuid(), gen_random_uuid(),
            to_char(now_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), 'UTF8')
        from public.audit_head where id = 1;
    return partition.name;
end
$$;

revoke execute on function acknowledge_audit_export(bigint, text), archive_audit_partition(bigint) from public;
grant execute on function acknowledge_audit_export(bigint, text), archive_audit_partition(bigint)
    to passphrase_broker_archivist;
grant usage on schema public to passphrase_broker_archivist;
grant select on audit_events, audit_tree, audit_head, audit_partitions, audit_log_settings to passphrase_broker_archivist;
