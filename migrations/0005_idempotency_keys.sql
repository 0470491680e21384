-- Which resource an Idempotency-Key made. Neither the request nor the answer is kept: both can hold a
-- passphrase. The fingerprint is taken over the request without it.
create table idempotency_keys (
    tenant_id uuid not null,
    object_id uuid not null,
    operation text not null,
    key text not null check (length(key) between 1 and 255),
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Absent while the first request with this key is still running.
    resource_id uuid,
    created_at timestamptz not null,
    primary key (tenant_id, object_id, operation, key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);
grant select, insert, update, delete on idempotency_keys to passphrase_broker;
