-- Checkpoints of the log: what it was when it had so many events, signed. Written once, like the events.
create table audit_checkpoints (
    size bigint primary key check (size >= 0),
    root bytea not null check (octet_length(root) = 32),
    -- The signed note, which says the same.
    note text not null check (octet_length(note) between 2 and 65535),
    signed_at timestamptz not null default clock_timestamp()
);

-- The keys that ever signed one, so that old checkpoints stay verifiable. For people who have no better place:
-- whoever can write here could name a key of their own.
create table audit_verifier_keys (
    verifier_key text primary key check (octet_length(verifier_key) between 2 and 1024),
    first_used_at timestamptz not null default clock_timestamp()
);

-- A checkpoint beyond the head would be of events that do not exist.
create function check_audit_checkpoint() returns trigger language plpgsql as $$
begin
    if new.size > (select size from public.audit_head where id = 1) then
        raise exception 'a checkpoint is of events that are in the log' using errcode = 'insufficient_privilege';
    end if;
    new.signed_at := clock_timestamp();
    return new;
end
$$;
create trigger audit_checkpoints_are_of_events before insert on audit_checkpoints
    for each row execute function check_audit_checkpoint();

create trigger audit_checkpoints_are_final before update or delete on audit_checkpoints
    for each row execute function refuse_to_rewrite_history();
create trigger audit_checkpoints_are_never_truncated before truncate on audit_checkpoints
    for each statement execute function refuse_to_rewrite_history();
create trigger audit_verifier_keys_are_final before update or delete on audit_verifier_keys
    for each row execute function refuse_to_rewrite_history();
create trigger audit_verifier_keys_are_never_truncated before truncate on audit_verifier_keys
    for each statement execute function refuse_to_rewrite_history();
alter table audit_checkpoints enable always trigger audit_checkpoints_are_of_events;
alter table audit_checkpoints enable always trigger audit_checkpoints_are_final;
alter table audit_checkpoints enable always trigger audit_checkpoints_are_never_truncated;
alter table audit_verifier_keys enable always trigger audit_verifier_keys_are_final;
alter table audit_verifier_keys enable always trigger audit_verifier_keys_are_never_truncated;

grant select, insert on audit_checkpoints, audit_verifier_keys to passphrase_broker;
