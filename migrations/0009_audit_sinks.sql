-- How far each sink has taken the log. The log itself is the outbox: its sequence is dense, and whoever sees an
-- event sees all before it. One replica at a time delivers, for as long as its lease lasts; when it dies,
-- another goes on where it stopped.
create table audit_sinks (
    name text primary key check (name in ('webhook', 'stdout')),
    -- The next event to deliver.
    position bigint not null check (position >= 0),
    lease_holder uuid,
    lease_until timestamptz not null default '-infinity',
    -- After a failure, for all replicas.
    retry_at timestamptz not null default '-infinity',
    -- Since the last delivery.
    failures int not null default 0
);

create function check_audit_sink() returns trigger language plpgsql as $$
begin
    if new.position > (select size from public.audit_head where id = 1)
        or tg_op = 'UPDATE' and (new.position < old.position or new.name <> old.name)
    then
        raise exception 'a sink goes forward, and not beyond the log' using errcode = 'insufficient_privilege';
    end if;
    return new;
end
$$;
create trigger audit_sinks_go_forward before insert or update on audit_sinks
    for each row execute function check_audit_sink();

grant select, insert, update on audit_sinks to passphrase_broker;
