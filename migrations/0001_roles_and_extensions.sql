-- The service logs in as `passphrase_broker`. It owns nothing, so that it cannot change a table, drop a
-- trigger or give itself a right; migrations run as the owner of the database.
do $$
begin
    create role passphrase_broker login;
exception
    -- The second: two databases of one server are migrated at the same time.
    when duplicate_object or unique_violation then null;
end
$$;

-- A replica that was paused (a VM freeze) while it held the log's head lets the others go on after
-- this long, and no statement of the service waits longer than a caller does.
do $$
begin
    execute format('alter role passphrase_broker in database %I set idle_in_transaction_session_timeout = ''2s''', current_database());
    execute format('alter role passphrase_broker in database %I set lock_timeout = ''2500ms''', current_database());
    execute format('alter role passphrase_broker in database %I set statement_timeout = ''4s''', current_database());
end
$$;

revoke create on schema public from public;
grant usage on schema public to passphrase_broker;

-- Search by any part of a name.
create extension if not exists pg_trgm;
