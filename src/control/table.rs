//! Columns side by side, for people at a terminal.

/// Spaces between two columns.
const GAP: &str = "  ";

/// A header line, a rule and the rows; each column as wide as its widest cell. Cells that are numbers in every row
/// stand right.
#[must_use]
pub fn aligned(headers: &[&str], rows: &[Vec<String>]) -> String {
    let columns: Vec<Column> =
        headers.iter().enumerate().map(|(index, header)| Column::of(index, header, rows)).collect();
    let mut text = line(columns.iter().zip(headers.iter().copied()));
    text.push_str(&columns.iter().map(|column| "─".repeat(column.width)).collect::<Vec<_>>().join(GAP));
    text.push('\n');
    for row in rows {
        text.push_str(&line(columns.iter().zip(row.iter().map(String::as_str))));
    }
    text
}

struct Column {
    width: usize,
    is_number: bool,
}

impl Column {
    fn of(index: usize, header: &str, rows: &[Vec<String>]) -> Self {
        let cells = || rows.iter().filter_map(|row| row.get(index));
        let widest = cells().map(|cell| one_line(cell).chars().count()).max().unwrap_or(0);
        let is_number = |cell: &String| {
            cell.is_empty()
                || cell.chars().all(|character| character.is_ascii_digit() || "-.,".contains(character))
        };
        Self {
            width: widest.max(header.chars().count()),
            is_number: !rows.is_empty() && cells().all(is_number),
        }
    }
}

fn line<'a>(cells: impl Iterator<Item = (&'a Column, &'a str)>) -> String {
    let padded: Vec<String> = cells
        .map(|(column, cell)| {
            let cell = one_line(cell);
            let padding = " ".repeat(column.width.saturating_sub(cell.chars().count()));
            if column.is_number { format!("{padding}{cell}") } else { format!("{cell}{padding}") }
        })
        .collect();
    format!("{}\n", padded.join(GAP).trim_end())
}

/// A cell that would break the table, or move the terminal's cursor, with its control characters replaced.
fn one_line(cell: &str) -> String {
    cell.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let rows =
            vec![vec!["amazon".to_owned(), "7".to_owned()], vec!["étsy\n".to_owned(), "1200".to_owned()]];
        let expected = "channel  orders\n───────  ──────\namazon        7\nétsy       1200\n";
        assert_eq!(aligned(&["channel", "orders"], &rows), expected);
    }
}
