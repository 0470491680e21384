-- A rotation, and by its CHECKs the states that one can be in.
create table rotations (
    id uuid primary key,
    machine_id uuid not null references machines (id),
    sequence bigint generated always as identity unique,
    writer text not null check (writer in ('broker', 'agent')),
    state text not null check (state in
        ('requested', 'prepared', 'collected', 'confirmed', 'failed', 'abandoned', 'expired', 'indeterminate')),
    escrow_secret_name text not null check (escrow_secret_name ~ '^AzBackupPending-[0-9a-zA-Z-]{1,111}$'),
    escrow_version text check (escrow_version ~ '^[0-9a-f]{32}$'),
    epoch integer not null default 1 check (epoch >= 1),
    -- When somebody last began to write its passphrase to Key Vault, by this database's clock.
    attempted_at timestamptz not null default now(),
    -- The machine said that it uses the passphrase, and it is being written to AzBackup-... .
    confirming boolean not null default false,
    requested_by_tenant_id uuid not null,
    requested_by_object_id uuid not null,
    requested_at timestamptz not null,
    expires_at timestamptz not null check (expires_at > requested_at),
    -- The first time that anybody was given the passphrase.
    collected_at timestamptz,
    confirmed_version text check (confirmed_version ~ '^[0-9a-f]{32}$'),
    closed_at timestamptz,
    mars_error_code text,
    failure_message text,
    -- Versions of the machine's secret that MARS or somebody else wrote meanwhile and that hold another
    -- passphrase: the machine may use one of them. Few, so that an event can name every candidate.
    other_versions text[] not null default '{}' check (
        cardinality(other_versions) <= 3
        and array_to_string(other_versions, ' ', '?') ~ '^([0-9a-f]{32}( [0-9a-f]{32})*)?$'),
    check (collected_at is null or escrow_version is not null),
    check ((state in ('requested', 'prepared', 'collected')) = (closed_at is null)),
    check (state <> 'requested' or escrow_version is null),
    check (state <> 'prepared' or (escrow_version is not null and collected_at is null)),
    check (state not in ('collected', 'confirmed', 'indeterminate') or collected_at is not null),
    check (state not in ('abandoned', 'expired') or collected_at is null),
    check (not confirming or state in ('collected', 'indeterminate', 'failed')),
    check ((state = 'confirmed') = (confirmed_version is not null)),
    check (state = 'failed' or (mars_error_code is null and failure_message is null))
);

-- At most one open rotation per machine, whatever replica is asked.
create unique index rotations_one_open on rotations (machine_id)
    where state in ('requested', 'prepared', 'collected');

create index rotations_by_machine on rotations (machine_id, sequence);
create index rotations_open_by_deadline on rotations (expires_at)
    where state in ('requested', 'prepared', 'collected');
create index rotations_interrupted on rotations (attempted_at) where state = 'requested' or confirming;
create index rotations_unsettled on rotations (machine_id, sequence)
    where collected_at is not null and state <> 'confirmed';

grant select, insert, update on rotations to passphrase_broker;

-- The state that a machine is shown with, worked out anew from all that is known: the one place that knows
-- how. What a check found comes after what is under way, so that neither hides a rotation.
create function state_of_machine(m machines) returns text language sql stable as $$
    select case
        when m.retired_at is not null then 'retired'
        when exists (select from rotations r where r.machine_id = m.id
            and r.state in ('requested', 'prepared', 'collected')) then 'rotating'
        when exists (select from rotations r where r.machine_id = m.id
            and r.state = 'indeterminate' and r.sequence > m.current_rotation_sequence) then 'indeterminate'
        when m.current_version is null then 'awaitingPassphrase'
        when m.secret_condition = 'softDeleted' then 'softDeleted'
        when m.secret_condition in ('missing', 'versionDisabled', 'versionMissing')
            or cardinality(m.foreign_versions) > 0 or m.identity_vanished then 'drifted'
        else 'active' end
$$;
