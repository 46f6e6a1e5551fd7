//! Tables as stock prints them: columns left aligned, two blanks apart, a rule of dashes under the header.

/// The table with this header; an empty cell shows as `--`.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let dashed = |cell: &String| if cell.is_empty() { "--".to_owned() } else { cell.clone() };
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(dashed).collect()).collect();
    plain(header, &rows)
}

/// The table with this header; empty cells stay empty.
pub fn plain(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut text = header.join("\t");
    text.push('\n');
    text.push_str(&header.iter().map(|cell| "-".repeat(cell.chars().count())).collect::<Vec<_>>().join("\t"));
    for row in rows {
        text.push('\n');
        text.push_str(&row.join("\t"));
    }
    aligned(&text)
}

/// Cells between tabs, aligned as Go's tabwriter does it: a column goes on over the lines that have a cell in it behind
/// which another one stands. So a line break inside a cell begins the columns anew, and a tab makes a cell.
fn aligned(text: &str) -> String {
    let lines: Vec<Vec<&str>> = text.split('\n').map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    for column in 0..widths.iter().map(Vec::len).max().unwrap_or(0) {
        let mut from = 0;
        while from < lines.len() {
            let run = widths.iter().skip(from).take_while(|widths| widths.len() > column).count();
            let cells = lines.iter().skip(from).take(run).filter_map(|cells| cells.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            for width in widths.iter_mut().skip(from).take(run).filter_map(|widths| widths.get_mut(column)) {
                *width = widest;
            }
            from += run.max(1);
        }
    }
    let mut out = String::new();
    for (cells, widths) in lines.iter().zip(&widths) {
        let mut line = String::new();
        for (index, cell) in cells.iter().enumerate() {
            line.push_str(cell);
            if let Some(width) = widths.get(index) {
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_two_blanks_apart_by_characters() {
        let rows = vec![vec!["knoten-ä".into(), String::new()], vec!["n1".into(), "über".into()]];
        let text = "NODE      X\n----      -\nknoten-ä  --\nn1        über\n\n";
        assert_eq!(table(&["NODE", "X"], &rows), text);
    }
}
