-- More than the newest: each version that somebody else wrote after the one in force may be what the machine uses.
alter table machines
    drop constraint machines_foreign_versions_check,
    add constraint machines_foreign_versions_check check (
        cardinality(foreign_versions) <= 10
        and array_to_string(foreign_versions, ' ', '?') ~ '^([0-9a-f]{32}( [0-9a-f]{32})*)?$');
