-- A machine and where its passphrase lies. Never the passphrase, nor anything made from it.
create table machines (
    id uuid primary key,
    tenant_id uuid not null,
    fqdn text not null check (fqdn = lower(fqdn) and length(fqdn) between 1 and 253),
    recovery_services_vault_id text not null,
    key_vault_uri text not null,
    secret_name text not null check (secret_name ~ '^[0-9a-zA-Z-]{1,127}$'),
    agent_tenant_id uuid,
    agent_object_id uuid,
    agent_version text,
    tags jsonb not null default '{}' check (jsonb_typeof(tags) = 'object'),
    state text not null check (state in
        ('awaitingPassphrase', 'active', 'rotating', 'indeterminate', 'softDeleted', 'drifted', 'retired')),
    current_version text check (current_version ~ '^[0-9a-f]{32}$'),
    current_version_since timestamptz,
    current_rotation_sequence bigint not null default 0 check (current_rotation_sequence >= 0),
    -- Set while the first passphrase is being written to Key Vault; a registration that was
    -- interrupted is found by it, and finished or given up.
    registration_operation uuid,
    -- When somebody last began to work on that. By this database's clock, like every time by which one
    -- replica decides that another was interrupted.
    registration_attempted_at timestamptz,
    -- Set while a soft-deleted secret is being brought back: Key Vault takes half a minute.
    recovery_operation uuid,
    recovery_started_at timestamptz,
    -- What the checks of Key Vault and of the Recovery Services vault found; src/domain/drift.rs.
    last_checked_at timestamptz,
    -- When a replica last began a check of this machine, by this database's clock.
    check_claimed_at timestamptz not null default now(),
    -- A secret that a deletion or a recovery has hidden for seconds looks missing: it counts as that
    -- when it still does a while after this.
    seen_missing_at timestamptz,
    secret_condition text not null default 'unchecked' check (secret_condition in
        ('unchecked', 'present', 'softDeleted', 'missing', 'versionDisabled', 'versionMissing')),
    foreign_versions text[] not null default '{}' check (
        cardinality(foreign_versions) <= 3
        and array_to_string(foreign_versions, ' ', '?') ~ '^([0-9a-f]{32}( [0-9a-f]{32})*)?$'),
    identity_vanished boolean not null default false,
    revision bigint not null default 1 check (revision >= 1),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    retired_at timestamptz,
    -- fqdn, secret name and `name=value` of each tag, in lower case, one a line.
    search_text text not null,
    check ((agent_tenant_id is null) = (agent_object_id is null)),
    check ((current_version is null) = (current_version_since is null)),
    check ((registration_operation is null) = (registration_attempted_at is null)),
    check ((recovery_operation is null) = (recovery_started_at is null)),
    check ((state = 'retired') = (retired_at is not null)),
    check (state not in ('active', 'drifted') or current_version is not null),
    check (state <> 'awaitingPassphrase' or current_version is null)
);

-- One record for one machine in one Recovery Services vault, until it is retired.
create unique index machines_one_per_fqdn_and_vault
    on machines (tenant_id, fqdn, lower(recovery_services_vault_id)) where retired_at is null;

-- Two machines never share a secret, a retired one included: its versions stay retrievable.
-- Key Vault compares names without case.
create unique index machines_one_per_secret on machines (key_vault_uri, lower(secret_name));

-- An identity acts for one machine.
create unique index machines_one_per_agent on machines (agent_tenant_id, agent_object_id)
    where retired_at is null;

create index machines_search on machines using gin (search_text gin_trgm_ops);
create index machines_by_tenant on machines (tenant_id, id);
create index machines_by_state on machines (tenant_id, state, id);
create index machines_by_recovery_services_vault
    on machines (tenant_id, lower(recovery_services_vault_id), id);
create index machines_being_registered on machines (registration_attempted_at) where registration_operation is not null;
create index machines_to_check on machines (check_claimed_at);
create index machines_being_recovered on machines (recovery_started_at) where recovery_operation is not null;

grant select, insert, update on machines to passphrase_broker;
-- Only a registration that Key Vault refused is taken back: nothing else is ever deleted.
grant delete on machines to passphrase_broker;
create function refuse_to_forget_a_machine() returns trigger language plpgsql as $$
begin
    if old.current_version is not null or old.registration_operation is null then
        raise exception 'a machine that has or had a passphrase is retired, never deleted';
    end if;
    return old;
end
$$;
create trigger machines_are_kept before delete on machines
    for each row execute function refuse_to_forget_a_machine();
