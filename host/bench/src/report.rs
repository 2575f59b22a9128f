//! Tables of figures, for a terminal or as Markdown, and the goals compared with what was measured.

use std::io::Write as _;

/// Prints a line, or several.
pub(crate) fn print(text: &str) {
    // Standard output may be closed at any time: `dispatcher-bench | head`.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// What a part found.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) tables: Vec<Table>,
    pub(crate) goals: Vec<Goal>,
}

/// Median, least and greatest of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(figures.len() / 2),
            least: at(0),
            greatest: at(figures.len().saturating_sub(1)),
        }
    }

    /// Each figure of ours divided by its pair of theirs.
    pub(crate) fn ratio(ours: impl IntoIterator<Item = f64>, theirs: &[f64]) -> Self {
        Self::of(ours.into_iter().zip(theirs).map(|(ours, theirs)| ours / theirs))
    }

    /// With that many decimals; without a range if there is one figure.
    pub(crate) fn show(&self, decimals: usize) -> String {
        let Self { median, least, greatest } = self;
        if least.total_cmp(greatest).is_eq() {
            return number(*median, decimals);
        }
        format!(
            "{} [{}..{}]",
            number(*median, decimals),
            number(*least, decimals),
            number(*greatest, decimals)
        )
    }
}

/// With commas between thousands; `-` for what is not a number.
pub(crate) fn number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let behind = whole.len() - at;
        if at > 0 && behind % 3 == 0 && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    if fraction.is_empty() { text } else { format!("{text}.{fraction}") }
}

pub(crate) fn mib(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "memory to a tenth of a MiB")]
    let bytes = bytes as f64;
    number(bytes / f64::from(1 << 20), 1)
}

/// A table with a title and notes.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title: title.into(), rows: vec![head], notes: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    fn text(&self, markdown: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut lines = Vec::new();
        for (at, row) in self.rows.iter().enumerate() {
            if markdown {
                lines.push(format!("| {} |", row.join(" | ")));
                if at == 0 {
                    lines.push(format!("|{}", "---|".repeat(columns)));
                }
            } else {
                let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
                lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
            }
        }
        let (title, gap) = if markdown { ("### ", "\n") } else { ("", "") };
        let notes = self.notes.join("\n");
        let notes = if notes.is_empty() { notes } else { format!("\n{gap}{notes}") };
        format!("\n{title}{}\n{gap}{}{notes}", self.title, lines.join("\n"))
    }

    pub(crate) fn print(&self, markdown: bool) {
        print(&self.text(markdown));
    }
}

/// A goal and whether it was reached.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) what: String,
    pub(crate) goal: String,
    pub(crate) measured: String,
    pub(crate) holds: bool,
}

impl Goal {
    /// Reached when the median is at least `least`.
    pub(crate) fn at_least(what: impl Into<String>, least: f64, measured: &Spread) -> Self {
        let goal = format!("≥ {least}");
        let holds = measured.median >= least;
        Self { what: what.into(), goal, measured: measured.show(2), holds }
    }

    /// Reached when the median is at most `most`.
    pub(crate) fn at_most(
        what: impl Into<String>,
        most: f64,
        unit: &str,
        measured: &Spread,
    ) -> Self {
        let goal = format!("≤ {most}{unit}");
        let holds = measured.median <= most;
        Self { what: what.into(), goal, measured: measured.show(2) + unit, holds }
    }
}

/// All goals as one table.
pub(crate) fn goals(goals: &[Goal]) -> Table {
    let mut table = Table::new("Goals", &["what", "goal", "measured", ""]);
    for Goal { what, goal, measured, holds } in goals {
        let holds = if *holds { "holds" } else { "falls short" }.to_owned();
        table.row([what.clone(), goal.clone(), measured.clone(), holds]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_of_pairs() {
        let spread = Spread::ratio([1.0, 8.0, 3.0], &[2.0, 4.0, 3.0]);
        assert_eq!(spread.show(2), "1.00 [0.50..2.00]");
        assert_eq!(Spread::of([]).show(0), "-");
    }

    #[test]
    fn thousands_are_set_apart() {
        for (value, decimals, shown) in [
            (0.0, 0, "0"),
            (999.0, 0, "999"),
            (1_234_567.89, 1, "1,234,567.9"),
            (-1000.0, 0, "-1,000"),
        ] {
            assert_eq!(number(value, decimals), shown);
        }
    }

    #[test]
    fn a_goal_without_a_figure_is_not_reached() {
        let none = Spread::of([]);
        assert!(!Goal::at_least("a", 0.8, &none).holds);
        assert!(!Goal::at_most("a", 2.0, "", &none).holds);
    }

    #[test]
    fn a_table_is_the_same_in_both_forms() {
        let mut table = Table::new("Title", &["a", "b"]);
        table.row(["1".to_owned(), "22".to_owned()]);
        table.note("a note");
        assert_eq!(table.text(false), "\nTitle\na  b\n1  22\na note");
        assert_eq!(table.text(true), "\n### Title\n\n| a | b |\n|---|---|\n| 1 | 22 |\n\na note");
    }
}
