//! `Retry-After` (RFC 9110, section 10.2.3), as services that we call send it.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// Longer than anybody here waits or tells a caller to wait.
const LONGEST: Duration = Duration::from_hours(1);

/// Seconds or a date; capped.
pub fn retry_after(header: &str, now: OffsetDateTime) -> Option<Duration> {
    let text = header.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_no_number) => {
            let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            Duration::try_from(at - now).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        let now = OffsetDateTime::from_unix_timestamp(1_445_412_420).unwrap();
        assert_eq!(retry_after("2", now), Some(Duration::from_secs(2)));
        assert_eq!(retry_after(" 0 ", now), Some(Duration::ZERO));
        assert_eq!(retry_after("86400", now), Some(Duration::from_hours(1)));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_mins(1)));
        assert_eq!(retry_after(date, now + Duration::from_hours(1)), Some(Duration::ZERO));
        for wrong in ["", "-1", "1.5", "soon", "99999999999999999999"] {
            assert_eq!(retry_after(wrong, now), None, "{wrong}");
        }
    }

    #[test]
    fn the_date_of_the_rfcs_own_example_is_read() {
        let now = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("-3", None),
            ("soon", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
