//! The api-versions that each resource provider takes.
//!
//! The lists are not complete; they hold what Microsoft's clients of the last years send.

const RESOURCES: &[&str] = &[
    "2014-04-01",
    "2015-11-01",
    "2016-06-01",
    "2016-09-01",
    "2017-05-10",
    "2018-02-01",
    "2018-05-01",
    "2019-06-01",
    "2019-10-01",
    "2019-11-01",
    "2020-01-01",
    "2020-06-01",
    "2020-10-01",
    "2021-01-01",
    "2021-04-01",
    "2022-01-01",
    "2022-09-01",
    "2022-12-01",
    "2023-07-01",
    "2024-03-01",
    "2024-07-01",
    "2024-11-01",
    "2025-03-01",
    "2025-04-01",
];
const KEY_VAULT: &[&str] = &[
    "2015-06-01",
    "2016-10-01",
    "2018-02-14",
    "2019-09-01",
    "2021-06-01-preview",
    "2021-10-01",
    "2021-11-01-preview",
    "2022-07-01",
    "2022-11-01",
    "2023-02-01",
    "2023-07-01",
    "2024-04-01-preview",
    "2024-11-01",
    "2024-12-01-preview",
    "2025-05-01",
    "2026-02-01",
];
const RECOVERY_SERVICES: &[&str] = &[
    "2016-06-01",
    "2020-02-02",
    "2021-03-01",
    "2021-08-01",
    "2022-10-01",
    "2023-02-01",
    "2023-04-01",
    "2023-06-01",
    "2023-08-01",
    "2024-01-01",
    "2024-02-01",
    "2024-04-01",
    "2024-10-01",
    "2025-01-01",
    "2025-02-01",
    "2025-08-01",
    "2026-01-01",
    "2026-02-01",
    "2026-05-01",
    "2026-07-01",
];
const AUTHORIZATION: &[&str] = &[
    "2015-07-01",
    "2018-01-01-preview",
    "2018-07-01",
    "2018-09-01-preview",
    "2020-03-01-preview",
    "2020-04-01-preview",
    "2020-08-01-preview",
    "2020-10-01-preview",
    "2022-04-01",
    "2022-05-01-preview",
];
const INSIGHTS: &[&str] = &["2016-09-01", "2017-05-01-preview", "2021-05-01-preview"];

/// None: nobody to ask.
pub(super) fn of(namespace: Option<&str>) -> Option<&'static [&'static str]> {
    Some(match namespace {
        None => RESOURCES,
        Some("microsoft.keyvault") => KEY_VAULT,
        Some("microsoft.recoveryservices") => RECOVERY_SERVICES,
        Some("microsoft.authorization") => AUTHORIZATION,
        Some("microsoft.insights") => INSIGHTS,
        Some(_) => return None,
    })
}
