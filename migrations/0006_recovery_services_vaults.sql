-- What Azure Resource Manager told of the Recovery Services vaults of the machines, and of the machines
-- that are registered there: a copy, with the time it was made, because a report cannot ask ARM about
-- thousands.
create table recovery_services_vaults (
    tenant_id uuid not null,
    folded_id text not null check (folded_id = lower(folded_id)),
    id text not null check (lower(id) = folded_id),
    -- `vanished`: it had a system-assigned identity, and has none any more.
    identity text not null default 'unknown' check (identity in ('unknown', 'present', 'absent', 'vanished')),
    principal_id uuid,
    -- When ARM last told which machines are registered; and why it did not, when it was last asked.
    containers_read_at timestamptz,
    unreadable text,
    last_checked_at timestamptz,
    check_claimed_at timestamptz not null default '-infinity',
    primary key (tenant_id, folded_id),
    check ((identity = 'present') = (principal_id is not null))
);
create index recovery_services_vaults_to_check on recovery_services_vaults (check_claimed_at);

create table mars_containers (
    tenant_id uuid not null,
    folded_id text not null,
    -- The machine's name there, in lower case.
    name text not null check (name = lower(name) and length(name) between 1 and 512),
    agent_version text,
    registration_status text,
    health text,
    protected_items bigint,
    primary key (tenant_id, folded_id, name),
    foreign key (tenant_id, folded_id) references recovery_services_vaults
);

grant select, insert, update on recovery_services_vaults to passphrase_broker;
grant select, insert, update, delete on mars_containers to passphrase_broker;
