//! When an event was recorded, as PostgreSQL keeps it. A calendar's type would not do: whoever may write to the table
//! may write `infinity` or the year 294276, and the verifier must say where instead of failing.

use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueFormat, PgValueRef},
};
use time::OffsetDateTime;

/// From 1970 to 2000, where PostgreSQL counts from.
const POSTGRESQL_EPOCH_SECONDS: i128 = 946_684_800;

/// Microseconds since 2000-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordedAt(i64);

impl RecordedAt {
    pub(super) fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl From<OffsetDateTime> for RecordedAt {
    fn from(time: OffsetDateTime) -> Self {
        let seconds = i128::from(time.unix_timestamp()) - POSTGRESQL_EPOCH_SECONDS;
        let micros = seconds * 1_000_000 + i128::from(time.microsecond());
        Self(i64::try_from(micros).unwrap_or_default())
    }
}

impl Type<Postgres> for RecordedAt {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl Decode<'_, Postgres> for RecordedAt {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        if value.format() != PgValueFormat::Binary {
            return Err("a time in text".into());
        }
        Ok(Self(i64::from_be_bytes(value.as_bytes()?.try_into()?)))
    }
}
