//! A report for a terminal: a table, and below it what to do about each check that is not all right.

use std::fmt::Write;

use crate::domain::preflight::{Check, Client, Remedy, Report, Status};

const HEADINGS: [&str; 5] = ["STATUS", "CHECK", "TITLE", "MARS", "CAUSE"];
const GAP: &str = "  ";
const NARROWEST: usize = 6;

/// Lines are at most `columns` wide, but for commands: a command that is cut or wrapped cannot be pasted.
pub(super) fn render(report: &Report, columns: usize) -> String {
    let mut text = format!("overall: {}\n\n", report.overall.name());
    table(&mut text, report, columns);
    let unwell = |check: &&Check| check.status >= Status::Warn;
    for check in report.checks.iter().filter(unwell) {
        details(&mut text, check, columns);
    }
    text
}

fn table(text: &mut String, report: &Report, columns: usize) {
    let row = |check: &Check| {
        [
            check.status.name().to_owned(),
            check.id.to_owned(),
            check.title.to_owned(),
            check.mars_error_code.unwrap_or_default().to_owned(),
            check.cause.clone().unwrap_or_default(),
        ]
    };
    let rows: Vec<[String; 5]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(report.checks.iter().map(row)).collect();
    let widths = widths(&rows, columns);
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| cut(cell, width)).collect();
        // Writing to a String cannot fail.
        let _written = writeln!(text, "{}", cells.join(GAP).trim_end());
    }
}

/// The widest column gives way first.
fn widths(rows: &[[String; 5]], columns: usize) -> [usize; 5] {
    let mut widths: [usize; 5] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    });
    let gaps = GAP.len() * (widths.len() - 1);
    while widths.iter().sum::<usize>() + gaps > columns {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= NARROWEST {
            break;
        }
        *widest -= 1;
    }
    widths
}

fn cut(cell: &str, width: usize) -> String {
    let length = cell.chars().count();
    if length <= width {
        return format!("{cell}{}", " ".repeat(width - length));
    }
    let kept: String = cell.chars().take(width.saturating_sub(3)).collect();
    format!("{kept}...")
}

fn details(text: &mut String, check: &Check, columns: usize) {
    let mars = check.mars_error_code.map_or_else(String::new, |code| format!(" (MARS: {code})"));
    let _written = writeln!(text, "\n{} {}: {}{mars}", check.id, check.title, check.status.name());
    paragraph(text, check.cause.as_deref().unwrap_or_default(), "  ", columns);
    for remedy in &check.remedies {
        mend(text, remedy, columns);
    }
}

fn mend(text: &mut String, remedy: &Remedy, columns: usize) {
    let _written = writeln!(text, "  {}:", remedy.client.name());
    let comment = if remedy.client == Client::Portal { "    " } else { "    # " };
    paragraph(text, &remedy.text, comment, columns);
    for command in &remedy.commands {
        let _written = writeln!(text, "    {command}");
    }
}

fn paragraph(text: &mut String, words: &str, indent: &str, columns: usize) {
    let mut line = String::new();
    for word in words.split_whitespace() {
        let width = indent.chars().count() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && width > columns {
            let _written = writeln!(text, "{indent}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _written = writeln!(text, "{indent}{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: Status, cause: &str, commands: &[&str]) -> Check {
        let remedies = vec![Remedy {
            client: Client::Az,
            text: "Give it one.".to_owned(),
            commands: commands.iter().map(ToString::to_string).collect(),
        }];
        Check {
            id: "PF-07",
            title: "System-assigned identity",
            status,
            mars_error_code: Some("391224"),
            cause: Some(cause.to_owned()),
            evidence: Vec::new(),
            remedies,
        }
    }

    #[test]
    fn the_widest_column_is_cut_first_and_commands_are_not() {
        let (cause, command) = ("no identity ".repeat(30), format!("az {}", "x".repeat(200)));
        let report = Report {
            overall: Status::Fail,
            checks: vec![check(Status::Fail, &cause, &[&command])],
        };
        let text = render(&report, 80);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80 || line.contains(&command)),
            "{text}"
        );
        assert!(text.contains(&format!("    {command}\n")));
        assert!(text.contains("System-assigned identity  391224"), "{text}");
    }

    #[test]
    fn what_is_all_right_has_no_details() {
        let report =
            Report { overall: Status::Pass, checks: vec![check(Status::Pass, "fine", &["az x"])] };
        let text = render(&report, 80);
        assert!(!text.contains("az x") && text.starts_with("overall: pass\n"));
    }
}
