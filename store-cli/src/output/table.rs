//! Tables as terminals and `awk` both like them: no lines, two spaces between columns.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text, to the left.
    Left(&'static str),
    /// Numbers, to the right.
    Right(&'static str),
}

/// Lays out rows below their headings; without rows there is nothing to lay out.
pub(crate) fn layout(columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| match column {
        Column::Left(name) | Column::Right(name) => *name,
    }));
    for row in rows {
        table.add_row(row);
    }
    if table.row_count() == 0 {
        return String::new();
    }
    for (index, column) in columns.iter().enumerate() {
        if let Some(place) = table.column_mut(index) {
            place.set_padding((0, 2));
            if matches!(column, Column::Right(_)) {
                place.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_two_spaces_apart() {
        let rows = [vec!["a".to_owned(), "1 B".to_owned()], vec!["bcd".to_owned(), "100 B".to_owned()]];
        assert_eq!(layout(&[Column::Left("name"), Column::Right("size")], rows), "name   size\na       1 B\nbcd   100 B\n");
        assert_eq!(layout(&[Column::Left("name")], []), "");
    }
}
