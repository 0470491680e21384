//! What the database must do for the log: keep what it committed, refuse to rewrite, and give this service no
//! way around that. Looked at before the service starts, and again with every comparison.

use super::{AuditLog, checkpoint::CheckpointError, list::in_time};

/// Each must be there and fire `always`.
const TRIGGERS: [(&str, &str); 14] = [
    ("audit_events", "audit_events_are_derived"),
    ("audit_events", "audit_events_move_the_head"),
    ("audit_events", "audit_events_are_final"),
    ("audit_events", "audit_events_are_never_truncated"),
    ("audit_tree", "audit_tree_is_final"),
    ("audit_tree", "audit_tree_is_never_truncated"),
    ("audit_head", "audit_head_stays"),
    ("audit_head", "audit_head_is_never_truncated"),
    ("audit_head", "audit_head_grows"),
    ("audit_checkpoints", "audit_checkpoints_are_of_events"),
    ("audit_checkpoints", "audit_checkpoints_are_final"),
    ("audit_checkpoints", "audit_checkpoints_are_never_truncated"),
    ("audit_verifier_keys", "audit_verifier_keys_are_final"),
    ("audit_verifier_keys", "audit_verifier_keys_are_never_truncated"),
];

/// Of each partition of `audit_events`: those for rows are its, those for statements name the partition.
const TRIGGERS_OF_PARTITIONS: [&str; 4] =
    ["audit_events_are_derived", "audit_events_are_final", "moves_the_head", "is_final"];

impl AuditLog {
    /// What is missing, in words for whoever runs the database. An error: it cannot be asked, or has no log.
    pub async fn missing_safeguards(&self) -> Result<Vec<String>, CheckpointError> {
        let mut missing = self.settings().await?;
        missing.extend(self.role().await?);
        missing.extend(self.triggers().await?);
        Ok(missing)
    }

    async fn settings(&self) -> Result<Vec<String>, CheckpointError> {
        let settings = sqlx::query!(
            r#"select name as "name!" from pg_settings
               where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
               order by name"#
        );
        let off = in_time(settings.fetch_all(&self.pool)).await?;
        let told =
            |name| format!("{name} is off: PostgreSQL may lose events that it has confirmed");
        Ok(off.into_iter().map(|setting| told(setting.name)).collect())
    }

    /// An owner can drop the triggers, and so can the owner of the schema or of the database.
    async fn role(&self) -> Result<Option<String>, CheckpointError> {
        let role = sqlx::query!(
            r#"select session_user::text as "name!",
                exists (select from pg_roles where rolsuper and pg_has_role(session_user, oid, 'member')) as "superuser!",
                exists (select from pg_roles where rolname = session_user and rolcreaterole) as "creates_roles!",
                exists (select from (
                    select relowner from pg_class where oid in ('audit_events'::regclass, 'audit_head'::regclass,
                        'audit_tree'::regclass, 'audit_partitions'::regclass, 'audit_checkpoints'::regclass, 'audit_verifier_keys'::regclass)
                    union select nspowner from pg_namespace where oid = (
                        select relnamespace from pg_class where oid = 'audit_events'::regclass)
                    union select datdba from pg_database where datname = current_database()
                ) owners where pg_has_role(session_user, relowner, 'member')) as "owner!""#
        );
        let role = in_time(role.fetch_one(&self.pool)).await?;
        let name = role.name;
        Ok(if role.superuser {
            Some(format!("the role {name} is a superuser or may become one"))
        } else if role.owner {
            Some(format!(
                "the role {name} owns the log, its schema or its database, or may become their owner"
            ))
        } else if role.creates_roles {
            Some(format!("the role {name} may create roles, and so become the owner of the log"))
        } else {
            None
        })
    }

    async fn triggers(&self) -> Result<Vec<String>, CheckpointError> {
        let found = sqlx::query!(
            r#"select relname::text as "of!", tgname::text as "name!", tgenabled = 'A' as "always!"
               from pg_trigger join pg_class on pg_class.oid = tgrelid
               where not tgisinternal and relnamespace = (
                   select relnamespace from pg_class where oid = 'audit_events'::regclass)"#
        );
        let found = in_time(found.fetch_all(&self.pool)).await?;
        let partitions = sqlx::query_scalar!(
            r#"select relname::text as "name!" from pg_inherits join pg_class on pg_class.oid = inhrelid
               where inhparent = 'audit_events'::regclass"#
        );
        let partitions = in_time(partitions.fetch_all(&self.pool)).await?;
        let of_partitions = partitions.iter().flat_map(|partition| {
            TRIGGERS_OF_PARTITIONS.map(|trigger| (partition.as_str(), trigger))
        });
        let fires = |of: &str, name: &str| {
            found.iter().any(|it| it.of == of && it.name == name && it.always)
        };
        let lacking =
            TRIGGERS.into_iter().chain(of_partitions).filter(|(of, name)| !fires(of, name));
        let told = |(of, name): (&str, &str)| {
            format!("the trigger {name} of {of} is missing or does not fire always")
        };
        Ok(lacking.map(told).collect())
    }
}
